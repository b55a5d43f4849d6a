"""The engine for endpoints, against a real HTTP server that fails in every way it can."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections.abc import Generator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import replace

import pytest

from llmner.engines import create_generator
from llmner.engines._types import Reply, Token
from llmner.engines.grammars import is_answer, reply_grammar
from llmner.errors import GenerationError, InputError
from llmner.recipes import Recipe
from llmner.recipes.chat import Prompt
from tests.engines.endpoint import Endpoint, Fault, prompt, serving

pytest.importorskip("openai", reason='needs pip install "llmner[openai]"')
from llmner.engines import _sending
from llmner.engines.openai_engine import OpenAIGenerator


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setattr(_sending, "_LONGEST_WAIT", 0.02)


def ask(endpoint: Endpoint, texts: list[str], **options: object) -> list[Reply]:
    engine = create_generator("openai", base_url=endpoint.url, **options)
    return engine.generate([prompt(text) for text in texts])


def echo(question: str) -> str:
    return f"PS: {question}"


def test_answers_come_in_order_and_many_at_a_time() -> None:
    texts = [f"문장 {number}" for number in range(60)]
    with serving(
        Endpoint(echo, lambda question, _: {"delay": 0.05 if question.endswith("0") else 0.01})
    ) as there:
        replies = ask(there, texts, concurrency=8)
    assert [reply.text for reply in replies] == [f"PS: {text}" for text in texts]
    assert {(reply.prompt_tokens, reply.completion_tokens, reply.error) for reply in replies} == {
        (3, 2, None)
    }
    assert 2 <= there.most_at_once <= 8


def test_answers_are_streamed_as_they_come_and_failures_last() -> None:
    others = threading.Event()

    def faults(question: str, _: int) -> Fault | None:
        if question == "first":
            assert others.wait(30)
        return {"status": 500} if question == "bad" else None

    with serving(Endpoint(echo, faults)) as there:
        engine = OpenAIGenerator("model", base_url=there.url, completions=False, attempts=1)
        prompts = [prompt(text) for text in ("first", "bad", "a", "b")]
        stream = engine.stream(prompts)
        early = dict([next(stream), next(stream)])
        # The first is answered only now.
        others.set()
        late = list(stream)
    assert {index: reply.text for index, reply in early.items()} == {2: "PS: a", 3: "PS: b"}
    assert [index for index, _ in late] == [0, 1]
    assert late[1][1].error is not None


def test_whoever_closes_the_stream_ends_its_requests() -> None:
    with serving(Endpoint(echo)) as there:
        with OpenAIGenerator(
            "model", base_url=there.url, completions=False, concurrency=1
        ) as engine:
            stream = engine.stream([prompt(f"문장 {number}") for number in range(500)])
            assert isinstance(stream, Generator)
            next(stream)
            stream.close()
            # The connection is still good.
            assert engine.generate([prompt("하나")])[0].text == "PS: 하나"
        assert sum(there.asked.values()) < 500


FAULTS: list[Fault] = [
    {"status": 429, "headers": {"retry_after": "0"}},
    {"status": 500},
    {"status": 503, "headers": {"retry_after": "soon"}},
    {"reset": True},
    {"raw": b"<html>busy</html>", "type": "text/html"},
    {"raw": b"{"},
    {"raw": b"[]"},
    {"raw": b'{"choices": []}'},
    {"raw": b'{"choices": [{"finish_reason": "stop"}]}'},
    {"raw": b'{"choices": "none"}'},
    {"cut": 20},
    {"delay": 1.0},
]


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_what_may_pass_is_sent_again(fault: Fault) -> None:
    def faults(question: str, before: int) -> Fault | None:
        return fault if question == "둘" and before < 2 else None

    with serving(Endpoint(echo, faults)) as there:
        replies = ask(there, ["하나", "둘", "셋"], timeout=0.5, completions=False)
    assert [reply.text for reply in replies] == ["PS: 하나", "PS: 둘", "PS: 셋"]
    assert there.asked == {"하나": 1, "둘": 3, "셋": 1}


@pytest.mark.parametrize("fault", FAULTS[:-1], ids=str)
def test_what_does_not_pass_is_recorded_and_holds_up_no_other_sentence(fault: Fault) -> None:
    with serving(Endpoint(echo, lambda question, _: fault if question == "둘" else None)) as there:
        replies = ask(there, ["하나", "둘", "셋"], completions=False, attempts=3)
    assert [reply.text for reply in replies] == ["PS: 하나", "", "PS: 셋"]
    assert replies[1].finish_reason == "error"
    assert replies[1].error is not None
    assert "after 3 attempts" in replies[1].error
    assert "\n" not in replies[1].error
    assert there.asked["둘"] == 3


def test_every_sentence_ends_with_an_answer_or_a_failure_and_none_twice() -> None:
    texts = [f"문장 {number}" for number in range(120)]

    def faults(question: str, before: int) -> Fault | None:
        if question == ".":
            return None  # Whether it is there at all.
        number = int(question.split()[1])
        return FAULTS[(number + before) % (len(FAULTS) - 1)] if before < number % 5 else None

    with serving(Endpoint(echo, faults)) as there:
        replies = ask(there, texts, completions=False, attempts=4)
    for number, (text, reply) in enumerate(zip(texts, replies, strict=True)):
        assert (reply.text, reply.error is None) == (
            ("", False) if number % 5 == 4 else (f"PS: {text}", True)
        )
        # A cut-off answer counts as answered where it came from; nothing that arrived was asked for
        # again.
        assert there.asked[text] == (4 if number % 5 == 4 else number % 5 + 1)


def test_a_model_without_a_template_is_asked_for_a_completion() -> None:
    with serving(Endpoint(echo, template=False)) as there:
        engine = create_generator("openai", base_url=there.url, max_new_tokens=9)
        replies = engine.generate([prompt("하나"), prompt("둘")])
        assert engine.generate([prompt("셋")])[0].text == "PS: 셋\n→"
    assert [reply.text for reply in replies] == ["PS: 하나\n→", "PS: 둘\n→"]
    # Asked once, by one token.
    assert [body["max_tokens"] for body in there.bodies] == [1, 9, 9, 9]
    assert there.bodies[-1]["stop"] == ["\n\n"]
    assert all(body["temperature"] == 0 for body in there.bodies)


def test_an_answer_that_was_cut_off_says_so() -> None:
    with serving(Endpoint(echo, lambda *_: {"finish": "length"})) as there:
        assert ask(there, ["하나"])[0].finish_reason == "length"


@pytest.mark.parametrize(
    ("endpoint", "options", "told"),
    [
        (Endpoint(echo, key="k"), {}, r"refuses the key \(wrong key\); set OPENAI_API_KEY"),
        (Endpoint(echo), {"model": "other"}, r"has no model 'other', or the address is wrong"),
        (Endpoint(echo, models=("a", "b")), {}, r"has the models a, b; name one with --model"),
        (Endpoint(echo, models=()), {}, r"lists no models; name one with --model"),
        (
            Endpoint(
                echo, lambda *_: {"status": 400, "message": "maximum context length is 16 tokens"}
            ),
            {},
            r"a question \(id 'id-하나'\) and an answer of 256 tokens do not fit .*; shorten the "
            r"text",
        ),
        (
            Endpoint(echo, lambda *_: {"status": 422, "message": "no\nsuch field"}),
            {},
            r"answered with status 422 .*: no such field",
        ),
        (
            Endpoint(echo, lambda *_: {"status": 500}),
            {"attempts": 2},
            r"500 after 2 attempts \(injected\)",
        ),
    ],
)
def test_what_would_fail_for_all_ends_the_run_in_one_line(
    endpoint: Endpoint, options: dict[str, object], told: str
) -> None:
    with serving(endpoint) as there, pytest.raises(GenerationError, match=told) as caught:
        ask(there, ["하나", "둘"], **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 400, "message": "maximum context length is 16 tokens"},
        {"status": 400, "message": "filtered"},
        {"status": 413},
        {"status": 500},
        {"raw": b"{"},
    ],
    ids=str,
)
@pytest.mark.parametrize("texts", [["하나", "둘", "셋"], ["둘"], ["둘", "둘"]], ids=len)
def test_a_sentence_that_is_refused_ends_no_run(fault: Fault, texts: list[str]) -> None:
    """Be it the first that is asked, or one of a batch that holds no other."""
    with serving(Endpoint(echo, lambda question, _: fault if question == "둘" else None)) as there:
        replies = ask(there, texts, attempts=2)
        first = ask(there, texts[::-1], attempts=2)
    assert [reply.text for reply in replies] == [
        "" if text == "둘" else f"PS: {text}" for text in texts
    ]
    assert [reply.error is None for reply in replies] == [text != "둘" for text in texts]
    assert first == replies[::-1]


def test_an_endpoint_that_is_not_there_is_told_after_all_attempts() -> None:
    with serving(Endpoint(echo)) as there:
        pass
    with pytest.raises(GenerationError, match=r"no answer after 2 attempts \(Connect") as caught:
        ask(there, ["하나"], attempts=2)
    assert caught.value.retryable


def test_a_key_is_sent_and_never_described() -> None:
    with serving(Endpoint(echo, key="secret")) as there:
        engine = create_generator("openai", base_url=there.url, api_key="secret")
        assert engine.generate([prompt("하나")])[0].text == "PS: 하나"
    assert "secret" not in str(engine.describe())
    assert engine.describe()["model"] == "model"


def test_it_works_inside_a_running_loop() -> None:
    async def notebook() -> list[Reply]:
        with serving(Endpoint(echo)) as there:
            return ask(there, ["하나"])

    assert asyncio.run(notebook())[0].text == "PS: 하나"


@pytest.mark.parametrize("option", ["concurrency", "timeout", "attempts"])
def test_numbers_must_be_positive(option: str) -> None:
    with pytest.raises(InputError, match=f"{option} must be positive, got 0"):
        create_generator("openai", **{option: 0})


def test_no_prompt_asks_nothing() -> None:
    assert create_generator("openai", base_url="http://127.0.0.1:9/v1").generate([]) == []


GRAMMAR = 'start: reply\nreply: "가" | "나"\n'
SCHEMA = {"type": "object", "properties": {"PS": {"type": "array"}}, "additionalProperties": False}


def constrained(text: str, **more: object) -> Prompt:
    return replace(prompt(text), grammar=GRAMMAR, **more)


@pytest.mark.parametrize("template", [True, False])
def test_a_grammar_is_sent_as_vllm_takes_it(template: bool) -> None:
    with serving(Endpoint(lambda _: "가", template=template)) as there:
        engine = create_generator("openai", base_url=there.url)
        (reply,) = engine.generate([constrained("하나")])
    assert reply.text == "가"
    sent = there.bodies[-1]["structured_outputs"]["grammar"]
    if template:
        assert sent == GRAMMAR
    else:
        # A completion may begin with a space and end in its stop string.
        assert is_answer(" 나\n\n", sent)
        assert not is_answer("다", sent)
    # The question whether there is a template is not kept to anything.
    assert "structured_outputs" not in there.bodies[0]


@pytest.mark.parametrize("given", ["prompt", "schema"])
def test_an_endpoint_that_ignores_what_it_is_told_to_keep_to_is_found_out(given: str) -> None:
    asked = constrained("하나", json_schema=SCHEMA if given == "schema" else None)
    with serving(Endpoint(lambda _: '{"LC": ["다"]}')) as there:
        engine = create_generator("openai", base_url=there.url)
        what = "JSON schemas" if given == "schema" else "grammars"
        with pytest.raises(
            GenerationError, match=rf"ignores {what}: an answer \(id 'id-하나'\) is '.\"LC\""
        ):
            engine.generate([asked])


def test_a_json_schema_is_sent_as_openai_takes_it_and_checked() -> None:
    with serving(Endpoint(lambda _: '{"PS": ["가"]}')) as there:
        engine = create_generator("openai", base_url=there.url)
        (reply,) = engine.generate([constrained("하나", json_schema=SCHEMA)])
    assert reply.text == '{"PS": ["가"]}'
    form = there.bodies[-1]["response_format"]
    assert (form["type"], form["json_schema"]["schema"]) == ("json_schema", SCHEMA)
    assert "structured_outputs" not in there.bodies[-1]


def test_the_beginning_of_an_answer_that_was_cut_off_is_no_disobedience() -> None:
    grammar = 'start: reply\nreply: "가나다"\n'
    for schema, answer in ((None, "가나"), (SCHEMA, '{"PS": ["가')):
        with serving(
            Endpoint(lambda _, answer=answer: answer, lambda *_: {"finish": "length"})
        ) as there:
            asked = replace(prompt("하나"), grammar=grammar, json_schema=schema)
            (reply,) = create_generator("openai", base_url=there.url).generate([asked])
        assert (reply.text, reply.finish_reason) == (answer, "length")


def test_an_endpoint_that_takes_no_grammar_ends_the_run_in_a_line() -> None:
    with (
        serving(Endpoint(echo, refuses=("structured_outputs",))) as there,
        pytest.raises(
            GenerationError, match=r"does not accept the grammar .*structured_outputs is not"
        ),
    ):
        create_generator("openai", base_url=there.url).generate([constrained("하나")])


@pytest.mark.parametrize("template", [True, False])
def test_tokens_have_their_places_in_the_answer(template: bool) -> None:
    # Parts of a character come as nothing, the last one as all of it; an end token follows.
    told = [("\n", -0.5), ("PS", -0.1), ("", -0.2), ("", -0.3), ("쀍", -0.4), ("<eos>", -9.0)]
    with serving(Endpoint(lambda _: "\nPS쀍", template=template, tokens=lambda _: told)) as there:
        (reply,) = create_generator("openai", base_url=there.url).generate([prompt("하나")])
    assert reply.text == "PS쀍"
    assert reply.tokens == tuple(
        Token(*each)
        for each in [
            (0, 0, -0.5),
            (0, 2, -0.1),
            (2, 3, -0.2),
            (2, 3, -0.3),
            (2, 3, -0.4),
            (3, 3, -9.0),
        ]
    )


@pytest.mark.parametrize(
    "told",
    [[], [("bytes:\\xea", -0.1)], [("다른 것", -0.1)], [("가", None)]],
    ids=["none", "bytes", "other", "null"],
)
def test_tokens_that_do_not_make_up_the_answer_are_none(told: list[tuple[str, float]]) -> None:
    with serving(Endpoint(lambda _: "가", tokens=lambda _: told)) as there:
        (reply,) = create_generator("openai", base_url=there.url).generate([prompt("하나")])
    assert reply.text == "가"
    assert reply.tokens is None


def test_an_endpoint_without_probabilities_is_asked_without_them() -> None:
    with serving(Endpoint(echo, refuses=("logprobs",))) as there:
        engine = create_generator("openai", base_url=there.url)
        replies = engine.generate([prompt("하나"), prompt("둘")])
        assert [reply.error for reply in replies] == [None, None]
        assert [reply.tokens for reply in replies] == [None, None]
        before = len(there.bodies)
        engine.generate([prompt("셋")])
    # Once is enough to know.
    assert len(there.bodies) == before + 1


def test_draws_have_a_seed_of_their_own() -> None:
    with serving(Endpoint(echo)) as there:
        engine = create_generator("openai", base_url=there.url, temperature=0.7, seed=3)
        engine.generate([replace(prompt("하나"), sample=number) for number in range(3)])
        assert engine.describe()["decoding"] == "t=0.7"
    bodies = there.bodies[1:]
    assert {body["temperature"] for body in bodies} == {0.7}
    assert len({body["seed"] for body in bodies}) == 3


@pytest.mark.parametrize("form", ["refusal", "filter"])
def test_what_is_filtered_has_no_answer_and_ends_no_run(form: str) -> None:
    def faults(question: str, before: int) -> Fault | None:
        if question != "둘":
            return None
        choice = {
            "index": 0,
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": None},
        }
        if form == "refusal":
            choice["message"]["refusal"] = "no"  # type: ignore[index]
        else:
            choice["finish_reason"] = "content_filter"
        return {
            "raw": json.dumps(
                {"id": "1", "object": "chat.completion", "choices": [choice]}
            ).encode()
        }

    with serving(Endpoint(lambda _: "가", faults)) as there:
        engine = create_generator("openai", base_url=there.url)
        one, other = engine.generate([constrained("하나"), constrained("둘")])
    assert (one.text, one.error) == ("가", None)
    assert (other.finish_reason, other.text) == ("error", "")
    assert "filtered" in str(other.error)


def test_white_space_that_is_the_texts_own_is_no_disobedience() -> None:
    schema = Recipe.load("klue").schema_
    text = "손흥민. "
    asked = replace(prompt(text), grammar=reply_grammar(text, "tagged", schema))
    with serving(Endpoint(lambda _: "\n<손흥민:PS>. ", template=False)) as there:
        (reply,) = create_generator("openai", base_url=there.url).generate([asked])
    assert reply.text == "<손흥민:PS>."


def test_probabilities_are_refused_once_however_many_are_on_their_way() -> None:
    def slow(question: str, before: int) -> Fault | None:
        return {"delay": 0.02}

    texts = [f"문장 {number}" for number in range(40)]
    with serving(Endpoint(echo, slow, template=False, refuses=("logprobs",))) as there:
        replies = create_generator("openai", base_url=there.url).generate(
            [prompt(text) for text in texts]
        )
    assert [reply.error for reply in replies] == [None] * 40


def test_bytes_of_a_character_make_it_up() -> None:
    pieces = ["쀍".encode()[:1], "쀍".encode()[1:], b"<eos>"]
    content = [
        {"token": "x", "bytes": list(piece), "logprob": -0.1, "top_logprobs": []}
        for piece in pieces
    ]
    choice = {
        "index": 0,
        "finish_reason": "stop",
        "message": {"role": "assistant", "content": "쀍"},
        "logprobs": {"content": content},
    }
    raw = json.dumps({"id": "1", "object": "chat.completion", "choices": [choice]}).encode()
    with serving(Endpoint(echo, lambda *_: {"raw": raw})) as there:
        (reply,) = create_generator("openai", base_url=there.url).generate([prompt("하나")])
    assert reply.tokens == (Token(0, 1, -0.1), Token(0, 1, -0.1), Token(1, 1, -0.1))


def test_a_call_has_a_deadline_whatever_its_attempts_take() -> None:
    with serving(Endpoint(echo, lambda *_: {"delay": 3.0})) as there:
        began = time.monotonic()
        with pytest.raises(GenerationError, match=r"did not answer within 0\.3 s$") as caught:
            ask(there, ["하나"], completions=False, deadline=0.3)
        assert time.monotonic() - began < 2
        assert caught.value.retryable


def test_an_address_where_nothing_answers_is_no_fault_of_a_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("llmner.engines._connection.CONNECT_SECONDS", 0.2)
    # Connections that are never accepted: the queue of this socket is full.
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(0)
        with contextlib.ExitStack() as stack:
            for _ in range(4):
                waiting = stack.enter_context(socket.socket())
                waiting.setblocking(False)
                waiting.connect_ex(silent.getsockname())
            there = Endpoint(echo)
            there.url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
            began = time.monotonic()
            with pytest.raises(GenerationError, match="no answer after 2 attempts") as caught:
                ask(there, ["하나"], model="m", attempts=2, timeout=30)
    assert caught.value.retryable
    assert time.monotonic() - began < 5


def test_kept_connections_serve_many_threads_and_end_what_is_under_way() -> None:
    slow = Endpoint(
        echo, lambda question, _: {"delay": 5.0} if question == "느리다" else {"delay": 0.05}
    )
    with serving(slow) as there, ThreadPoolExecutor(9) as pool:
        engine = OpenAIGenerator(base_url=there.url, completions=False)
        with engine:
            texts = [f"문장 {number}" for number in range(16)]
            answers = list(pool.map(lambda text: engine.generate([prompt(text)])[0].text, texts))
            assert answers == [f"PS: {text}" for text in texts]
            late = pool.submit(engine.generate, [prompt("느리다")])
            while "느리다" not in there.asked:
                time.sleep(0.01)
            began = time.monotonic()
        with pytest.raises(CancelledError):
            late.result(5)
        assert time.monotonic() - began < 2
        # Afterwards each call has a connection of its own again.
        assert engine.generate([prompt("하나")])[0].text == "PS: 하나"
