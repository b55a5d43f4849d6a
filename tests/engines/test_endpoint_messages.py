"""Where an answer stands in what an endpoint sends, and errors in place of answers, over HTTP."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llmner.engines import Reply
from llmner.errors import GenerationError
from tests.engines.endpoint import Endpoint, Fault, prompt, sent, serving

pytest.importorskip("openai", reason='needs pip install "llmner[openai]"')
from llmner.engines import _sending
from llmner.engines.openai_engine import OpenAIGenerator

ANSWER = '{"PS": ["손흥민"]}'


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setattr(_sending, "_LONGEST_WAIT", 0.001)


def ask(fault: Fault, **options: Any) -> tuple[Reply, Endpoint]:
    with serving(Endpoint(lambda text: text, lambda *_: fault)) as there:
        engine = OpenAIGenerator(
            base_url=there.url, completions=False, attempts=3, report=lambda _: None, **options
        )
        (reply,) = engine.generate([prompt("하나")])
    return reply, there


def call(arguments: Any) -> dict[str, Any]:
    return {"id": "1", "type": "function", "function": {"name": "f", "arguments": arguments}}


MESSAGES: dict[str, tuple[dict[str, Any], str]] = {
    "content": ({"content": ANSWER, "reasoning_content": "PS: 춘천"}, ANSWER),
    "part": ({"content": [{"type": "text", "text": ANSWER}]}, ANSWER),
    "parts": ({"content": [{"type": "output_text", "text": '{"PS":'}, {"text": ' ["손흥민"]}'}]}, ANSWER),
    "strings": ({"content": ['{"PS":', ' ["손흥민"]}']}, ANSWER),
    "one part": ({"content": {"type": "text", "text": ANSWER}}, ANSWER),
    "parsed": ({"content": {"PS": ["손흥민"]}}, ANSWER),
    "magistral": (
        {"content": [
            {"type": "thinking", "thinking": [{"type": "text", "text": "PS: 춘천"}]},
            {"type": "text", "text": ANSWER},
        ]},
        ANSWER,
    ),
    "gemini": ({"content": [{"text": "PS: 춘천", "thought": True}, {"text": ANSWER}]}, ANSWER),
    "tool": ({"content": None, "tool_calls": [call(ANSWER)], "reasoning": "PS: 춘천"}, ANSWER),
    "tools": ({"content": "", "tool_calls": [call("{}"), call({"PS": ["손흥민"]})]}, "{}\n" + ANSWER),
    "function": ({"content": None, "function_call": {"name": "f", "arguments": ANSWER}}, ANSWER),
    "custom": ({"content": None, "tool_calls": [{"custom": {"name": "f", "input": ANSWER}}]}, ANSWER),
    "tool part": ({"content": [{"type": "tool_use", "input": {"PS": ["손흥민"]}}]}, ANSWER),
    "no tool": ({"content": ANSWER, "tool_calls": []}, ANSWER),
}  # fmt: skip
REASONING: dict[str, dict[str, Any]] = {
    "vllm": {"content": None, "reasoning_content": ANSWER},
    "ollama": {"content": "", "reasoning": ANSWER},
    "blank": {"content": "\n\n", "tool_calls": None, "reasoning_content": ANSWER},
    "openrouter": {"reasoning_details": [{"type": "reasoning.text", "text": ANSWER}]},
    "summary": {"content": None, "reasoning": [{"type": "reasoning.summary", "summary": ANSWER}]},
    "parts": {"content": [{"type": "thinking", "thinking": ANSWER}]},
}


@pytest.mark.parametrize("server", MESSAGES)
def test_an_answer_is_read_from_where_it_stands(server: str) -> None:
    message, text = MESSAGES[server]
    reply, there = ask(sent(message))
    assert (reply.text, reply.error, reply.is_reasoning) == (text, None, False)
    assert there.asked.total() == 1


@pytest.mark.parametrize("server", REASONING)
def test_reasoning_is_taken_where_there_is_nothing_else(server: str) -> None:
    reply, _ = ask(sent(REASONING[server]))
    assert (reply.text, reply.error, reply.is_reasoning) == (ANSWER, None, True)


def test_a_user_hears_once_that_answers_come_as_reasoning() -> None:
    told: list[str] = []
    fault = sent(REASONING["vllm"])
    with serving(Endpoint(lambda text: text, lambda *_: fault)) as there:
        engine = OpenAIGenerator(base_url=there.url, report=told.append)
        engine.generate([prompt("하나"), prompt("둘")])
        engine.generate([prompt("셋")])
    (line,) = told
    assert line.startswith(f"warning: {there.url} sends reasoning and no content")


def test_without_anybody_to_tell_it_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with serving(Endpoint(lambda text: text, lambda *_: sent(REASONING["vllm"]))) as there:
        OpenAIGenerator(base_url=there.url).generate([prompt("하나")])
    assert [record.name for record in caplog.records if "reasoning" in record.message] == ["llmner"]


@pytest.mark.parametrize("finish", ["length", "MAX_TOKENS", "model_length", "max_output_tokens"])
def test_the_end_of_the_tokens_has_many_names(finish: str) -> None:
    reply, _ = ask(sent({"content": None}, finish))
    assert (reply.text, reply.finish_reason, reply.error) == ("", "length", None)


@pytest.mark.parametrize(
    "fault",
    [
        sent({"content": None}, "content_filter: SAFETY"),
        sent({"content": [{"type": "refusal", "refusal": "no"}]}),
        sent({"content": None, "refusal": "no", "reasoning": "PS: 손흥민"}),
    ],
    ids=["google", "part", "field"],
)
def test_a_refusal_has_no_answer(fault: Fault) -> None:
    reply, there = ask(fault)
    assert (reply.text, reply.finish_reason) == ("", "error")
    assert str(reply.error).startswith(f"{there.url} filtered the answer")


ERRORS: dict[str, tuple[Any, bool]] = {
    "openrouter": ({"error": {"message": "Rate limited", "code": 429}}, True),
    "choice": ({"choices": [{"error": {"message": "upstream is gone", "code": 502}}]}, True),
    "words": ({"error": {"message": "busy", "type": "overloaded_error"}}, True),
    "text": ({"error": {"message": "slow down", "code": "rate_limit_exceeded"}}, True),
    "code in words": ({"error": {"message": "oops", "code": "503"}}, True),
    "credits": ({"error": {"message": "Insufficient credits", "code": 402}}, False),
    "quota": ({"error": {"message": "You exceeded it", "code": "insufficient_quota"}}, False),
    "key": ({"error": {"message": "no such key", "code": 401}}, False),
    "model": ({"error": {"message": "x is not a valid model ID", "code": 404}}, False),
    "no code": ({"error": {"message": "Provider returned error", "metadata": {"raw": "too hot"}}}, False),
    "string": ({"error": "the model crashed"}, False),
    "vllm": ({"object": "error", "message": "bad input", "type": "BadRequestError", "code": 400}, False),
    "cloudflare": ({"success": False, "errors": [{"code": 5007, "message": "No such model"}]}, False),
    "only a code": ({"error": {"code": 418}}, False),
    "fastapi": ({"detail": "Not authenticated"}, False),
    "both": ({"error": {"message": "half of it", "code": 500}, "choices": [{"finish_reason": "error", "message": {"content": "x"}}]}, True),
}  # fmt: skip


@pytest.mark.parametrize("server", ERRORS)
def test_an_error_with_status_200_is_told_and_sent_again_only_if_its_code_says_so(
    server: str,
) -> None:
    body, retried = ERRORS[server]
    fault: Fault = {"raw": json.dumps(body).encode()}
    with serving(Endpoint(lambda text: text, lambda *_: fault)) as there:
        engine = OpenAIGenerator("model", base_url=there.url, completions=False, attempts=3)
        with pytest.raises(GenerationError) as caught:
            engine.generate([prompt("하나")])
    said = json.dumps(body)
    assert str(caught.value).startswith(there.url)
    assert str(caught.value).count("\n") == 0
    for words in ("Rate limited", "upstream is gone", "busy", "slow down", "oops", "credits",
                  "You exceeded", "no such key", "not a valid model", "too hot", "crashed",
                  "bad input", "No such model", "Not authenticated", "half of it"):  # fmt: skip
        assert (words in str(caught.value)) == (words in said), words
    assert there.asked["하나"] == (3 if retried else 1)


def test_an_error_of_one_question_holds_up_no_other() -> None:
    error: Fault = {"raw": json.dumps({"error": {"message": "flagged", "code": 400}}).encode()}
    there = Endpoint(lambda text: text, lambda text, _: error if text == "둘" else None)
    with serving(there):
        engine = OpenAIGenerator(base_url=there.url)
        replies = engine.generate([prompt(text) for text in ("하나", "둘", "셋")])
    assert [reply.text for reply in replies] == ["하나", "", "셋"]
    assert replies[1].error == f"{there.url} answered with an error (id 'id-둘'): flagged"
