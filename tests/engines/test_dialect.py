"""What an endpoint refuses is sent otherwise, once: in the words of many servers, over HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from llmner.engines import Reply
from llmner.errors import GenerationError, InputError
from llmner.recipes.chat import Prompt
from tests.engines.endpoint import Endpoint, Fault, serving

pytest.importorskip("openai", reason='needs pip install "llmner[openai]"')
from llmner.engines import _sending
from llmner.engines.openai_engine import OpenAIGenerator

Body = dict[str, Any]


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setattr(_sending, "_LONGEST_WAIT", 0.001)


def question(text: str) -> Prompt:
    turns = (
        {"role": "system", "content": "Name what is named."},
        {"role": "user", "content": "Ada"},
        {"role": "assistant", "content": "PS: Ada"},
        {"role": "user", "content": text},
    )
    return Prompt(turns, f"{text}\n→", "\n\n", text)  # type: ignore[arg-type]


def refusing(status: int, error: Any, refused: Callable[[Body], bool]) -> Endpoint:
    """An endpoint that refuses some requests with this error."""
    fault: Fault = {"status": status, "raw": json.dumps(error).encode()}
    return Endpoint(
        lambda text: f"PS: {text}", checks=lambda body: fault if refused(body) else None
    )


def ask(there: Endpoint, **options: Any) -> tuple[list[Reply], list[str]]:
    """The replies to three questions in two calls, and what the user is told."""
    told: list[str] = []
    engine = OpenAIGenerator(base_url=there.url, attempts=2, report=told.append, **options)
    replies = engine.generate([question(text) for text in ("하나", "둘")])
    return replies + engine.generate([question("셋")]), told


def error(message: str, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", **more}}


def extra(name: str) -> list[dict[str, Any]]:
    """What pydantic says of a field that a server does not know."""
    problem = "Extra inputs are not permitted"
    return [{"type": "extra_forbidden", "loc": ["body", name], "msg": problem, "input": 1}]


LIMITS: dict[str, tuple[int, Any]] = {
    "openai": (
        400,
        error(
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use "
            "'max_completion_tokens' instead.",
            param="max_tokens",
            code="unsupported_parameter",
        ),
    ),
    "azure": (400, error("Unrecognized request argument supplied: max_tokens", code=None)),
    "litellm": (400, error("litellm.UnsupportedParamsError: max_tokens; set drop_params", code="400")),
    "fastapi": (422, {"detail": extra("max_tokens")}),
    "deprecated": (400, error("max_tokens is deprecated in favor of max_completion_tokens")),
    "code": (400, error("Bad request", param="max_tokens", code="unsupported_parameter")),
    "advice": (400, error("Please use max_completion_tokens for this model")),
    "chinese": (400, error("参数 max_tokens 不支持")),
    "camel": (400, {"message": "This model does not support maxTokens"}),
    "status 200": (200, error("max_tokens is not supported by this model", code=400)),
}  # fmt: skip


@pytest.mark.parametrize("server", LIMITS)
def test_the_token_limit_is_sent_under_its_new_name(server: str) -> None:
    with serving(refusing(*LIMITS[server], lambda body: "max_tokens" in body)) as there:
        replies, told = ask(there, max_new_tokens=9)
    assert [reply.text for reply in replies] == ["PS: 하나", "PS: 둘", "PS: 셋"]
    assert told == []
    first, *others = there.bodies
    assert first["max_tokens"] == 1
    assert [body["max_completion_tokens"] for body in others] == [1, 9, 9, 9]
    assert not any("max_tokens" in body for body in others)


FIELDS: dict[str, tuple[str, int, Any]] = {
    "openai": (
        "temperature",
        400,
        error(
            "Unsupported value: 'temperature' does not support 0 with this model. Only the default "
            "(1) value is supported.",
            param="temperature",
            code="unsupported_value",
        ),
    ),
    "anthropic": ("temperature", 400, error("`temperature` is deprecated for this model.")),
    "moonshot": ("temperature", 400, error("invalid temperature: only 1 is allowed for this model")),
    "tgi": ("temperature", 422, {"error": "Input validation error: `temperature` must be strictly positive", "error_type": "validation"}),
    "bedrock": ("temperature", 400, {"message": "The model returned the following errors: temperature: Extra inputs are not permitted"}),
    "litellm": ("temperature", 400, error("litellm.UnsupportedParamsError: azure does not support parameters: ['temperature'], for model=o1", code="400")),
    "openrouter": ("temperature", 200, error("Unsupported parameter: temperature", code=400)),
    "mistral": ("seed", 422, {"object": "error", "message": {"detail": extra("seed")}, "type": "invalid_request_error"}),
    "google": ("seed", 400, [error('Invalid JSON payload received. Unknown name "seed": Cannot find field.', code=400, status="INVALID_ARGUMENT")]),
    "vllm": ("seed", 400, {"object": "error", "message": str(extra("seed")), "code": 400}),
    "python": ("seed", 500, {"detail": "create() got an unexpected keyword argument 'seed'"}),
    "openai-logprobs": ("logprobs", 403, error("You are not allowed to request logprobs from this model.")),
    "groq": ("logprobs", 400, error("property 'logprobs' is unsupported")),
    "xai": ("logprobs", 400, {"code": "Client specified an invalid argument", "error": "Argument not supported on this model: logprobs"}),
    "llama.cpp": ("logprobs", 500, error("logprobs is not supported with this sampler", code=500, type="server_error")),
    "top_p": ("top_p", 400, error("`temperature` and `top_p` cannot both be specified; top_p is not supported")),
}  # fmt: skip


@pytest.mark.parametrize("server", FIELDS)
def test_what_an_answer_means_the_same_without_is_left_out_and_told_once(server: str) -> None:
    name, status, said = FIELDS[server]
    options: dict[str, Any] = {"request_fields": {"top_p": 0.5}} if name == "top_p" else {}
    options |= {"temperature": 0.7} if name == "seed" else {}
    with serving(refusing(status, said, lambda body: name in body)) as there:
        replies, told = ask(there, **options)
    assert [(reply.text, reply.error) for reply in replies] == [
        ("PS: 하나", None),
        ("PS: 둘", None),
        ("PS: 셋", None),
    ]
    assert [name in body for body in there.bodies] == [True, *[False] * (len(there.bodies) - 1)]
    assert len(there.bodies) == 5
    (line,) = [line for line in told if f" {name} (" in line]
    assert line.startswith(f"warning: {there.url} refuses {name} (")
    assert "it is left out" in line
    assert line.isprintable()


SYSTEM = {
    "gemma": (400, error("System role not supported", code=400)),
    "llama.cpp": (500, error("Jinja Exception: System role not supported", code=500, type="server_error")),
    "vllm": (400, {"object": "error", "message": "System role not supported", "type": "BadRequestError", "code": 400}),
    "lm studio": (400, {"error": 'Error rendering prompt with jinja template: "Only user and assistant roles are supported!"'}),
    "mistral": (400, error("Conversation roles must alternate user/assistant/user/assistant/...")),
    "sglang": (400, {"detail": "Failed to apply chat template: Conversation roles must alternate user/assistant"}),
    "o1": (400, error("Unsupported value: 'messages[0].role' does not support 'system' with this model.", param="messages[0].role", code="unsupported_value")),
    "google": (400, [error("Developer instruction is not enabled for models/gemma-3-27b-it", code=400)]),
    "pydantic": (422, {"detail": [{"loc": ["body", "messages", 0, "role"], "msg": "Input should be 'user' or 'assistant'"}]}),
    "rust": (400, error("messages[0].role: unknown variant `system`, expected `user` or `assistant`")),
    "openrouter": (200, {"choices": [{"error": error("This model does not support system prompts", code=400)["error"]}]}),
    "plain": (400, "system messages are not allowed"),
    "perplexity": (400, error("After the (optional) system message(s), user and assistant roles should be alternating.")),
    "others": (400, error("Roles other than user and assistant are not supported")),
    "valid": (400, error("system is not a valid role")),
    "words": (400, error("messages.0.role: Input should be 'user', 'assistant' or 'tool'")),
}  # fmt: skip


@pytest.mark.parametrize("server", SYSTEM)
def test_an_instruction_may_stand_in_the_first_question(server: str) -> None:
    def refused(body: Body) -> bool:
        return any(turn["role"] == "system" for turn in body["messages"])

    with serving(refusing(*SYSTEM[server], refused)) as there:
        replies, told = ask(there)
    assert [reply.text for reply in replies] == ["PS: 하나", "PS: 둘", "PS: 셋"]
    assert [refused(body) for body in there.bodies] == [True, False, False, False, False]
    assert [turn["role"] for turn in there.bodies[-1]["messages"]] == ["user", "assistant", "user"]
    assert there.bodies[-1]["messages"][0]["content"] == "Name what is named.\n\nAda"
    (line,) = told
    assert line.startswith(f"warning: {there.url} refuses system turns (")


def test_an_endpoint_may_refuse_one_thing_after_another_while_many_questions_are_on_their_way() -> (
    None
):
    told: list[str] = []

    def checks(body: Body) -> Fault | None:
        for name in ("max_tokens", "temperature", "logprobs"):
            if name in body:
                raw = json.dumps(error(f"Unsupported parameter: {name}")).encode()
                return {"status": 400, "raw": raw, "delay": 0.02}
        return None

    with serving(Endpoint(lambda text: text, checks=checks)) as there:
        engine = OpenAIGenerator(base_url=there.url, completions=False, report=told.append)
        replies = engine.generate([question(str(number)) for number in range(20)])
    assert [reply.text for reply in replies] == [str(number) for number in range(20)]
    assert [line.split()[3] for line in told] == ["temperature", "logprobs"]


@pytest.mark.parametrize(
    "message",
    [
        "'max_tokens' or 'max_completion_tokens' is too large: 256. This model's maximum context "
        "length is 200 tokens.",
        "Invalid 'max_tokens': integer below minimum value. Expected a value >= 16, but got 1 instead.",
        "max_tokens must be at least 16",
        "temperature must be between 0 and 2, got 5",
        "This request was rejected by our safety system.",
        "your prompt mentions temperature and a seed",
    ],
)  # fmt: skip
def test_other_refusals_change_no_request(message: str) -> None:
    bad = refusing(400, error(message), lambda body: "둘" in str(body))
    with serving(bad) as there:
        replies, told = ask(there, temperature=5.0)
    assert [reply.error is None for reply in replies] == [True, False, True]
    assert f"{there.url}" in str(replies[1].error)
    assert told == []
    assert all(body["max_tokens"] and body["temperature"] == 5 for body in there.bodies)


def test_a_model_that_spends_all_tokens_on_reasoning_was_cut_off() -> None:
    message = (
        "Could not finish the message because max_tokens or model output limit was reached. Please "
        "try again with higher max_tokens."
    )
    with serving(refusing(400, error(message), lambda body: True)) as there:
        replies, _ = ask(there)
    assert {(reply.text, reply.finish_reason, reply.error) for reply in replies} == {
        ("", "length", None)
    }


def test_fields_of_the_user_are_sent_and_win() -> None:
    fields = {
        "chat_template_kwargs": {"enable_thinking": False},
        "temperature": None,
        "logprobs": None,
        "max_completion_tokens": 99,
    }
    with serving(Endpoint(lambda text: text)) as there:
        engine = OpenAIGenerator(base_url=there.url, request_fields=fields)
        engine.generate([question("하나")])
        assert engine.describe()["request_fields"] == fields
    probe, body = there.bodies
    assert probe["max_completion_tokens"] == 1
    assert body.keys() == {"model", "messages", "chat_template_kwargs", "max_completion_tokens"}
    assert body["chat_template_kwargs"] == {"enable_thinking": False}
    assert "request_fields" not in OpenAIGenerator("m").describe()


def test_a_field_of_the_user_that_is_refused_ends_the_run_in_a_line() -> None:
    bad = refusing(400, error("Unknown parameter: 'top_q'."), lambda body: "top_q" in body)
    with serving(bad) as there, pytest.raises(GenerationError, match=r"parameter: 'top_q'") as told:
        ask(there, request_fields={"top_q": 1})
    assert str(told.value).startswith(there.url)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"model": "m"}, "the request field 'model' cannot be set; name it with --model"),
        ({"messages": []}, "'messages' cannot be set"),
        ({"stream": True}, "'stream' cannot be set; answers are read whole"),
        ({"x": float("nan")}, "'x' cannot be sent"),
        ({"x": {1}}, "'x' cannot be sent"),
        ({"x": "\udc80"}, "'x' cannot be sent"),
    ],
)
def test_fields_that_cannot_be_sent_are_told_at_once(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        OpenAIGenerator("m", request_fields=fields)
    assert OpenAIGenerator("m", request_fields={"stream": False}).request_fields


def test_a_key_among_the_fields_is_in_no_record() -> None:
    fields = {"api_key": "abcdef", "extra": [{"auth-token": "ghijkl", "top_k": 3}]}
    described = OpenAIGenerator("m", request_fields=fields).describe()["request_fields"]
    assert described == {"api_key": "***", "extra": [{"auth-token": "***", "top_k": 3}]}


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("localhost:1", "localhost:1 is no address; write http://localhost:1"),
        ("host:8000/v1", "host:8000/v1 is no address; write http://host:8000/v1"),
        ("//host/v1", "host/v1 is no address; write http://host/v1"),
        ("127.0.0.1/v1", "127.0.0.1/v1 is no address; write http://127.0.0.1/v1"),
        ("a:hunter2@host:1", r"\*\*\*@host:1 is no address; write http://\*\*\*@host:1"),
        ("ftp://host/v1", "ftp://host/v1 is no address; expected http://HOST:PORT/v1"),
        ("http:/host", "http:/host is no address; expected http://HOST:PORT/v1"),
    ],
)
def test_an_address_without_its_protocol_is_told_before_anything_is_sent(
    url: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match=f"^{told}$"):
        OpenAIGenerator("m", base_url=url)
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    with pytest.raises(InputError, match=told):
        OpenAIGenerator("m")
