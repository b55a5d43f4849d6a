"""Answers that are none, or not quite: a real HTTP server that sends any JSON, and bodies that
are none.
"""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmner.engines import Reply
from llmner.engines._answers import UnreadableError, read_answer, read_models
from llmner.errors import GenerationError, InputError
from tests.corruption import places, put
from tests.engines.endpoint import Endpoint, Fault, prompt, serving

pytest.importorskip("openai", reason='needs pip install "llmner[openai]"')
from llmner.engines import _sending
from llmner.engines.openai_engine import OpenAIGenerator

KEY = "sk-live-4f9a8b7c6d"


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setattr(_sending, "_LONGEST_WAIT", 0.001)


def chat(text: str = "가나", **choice: Any) -> dict[str, Any]:
    """A good answer of a chat, every part of it."""
    pieces = [
        {"token": char, "logprob": -0.1, "bytes": list(char.encode()), "top_logprobs": []}
        for char in text
    ]
    return {
        "id": "1",
        "object": "chat.completion",
        "created": 0,
        "model": "model",
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": text, "refusal": None},
                "logprobs": {"content": pieces},
                **choice,
            }
        ],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
    }


def completion(text: str = "가나", **choice: Any) -> dict[str, Any]:
    """The same of a completion."""
    logprobs = {"tokens": list(text), "token_logprobs": [-0.1] * len(text), "text_offset": [0, 1]}
    answer = chat(text)
    answer["choices"] = [
        {"index": 0, "finish_reason": "stop", "text": text, "logprobs": logprobs, **choice}
    ]
    return answer


def spoilt(raw: bytes, **more: Any) -> Any:
    """An endpoint that sends this to the middle one of three sentences."""
    return Endpoint(
        lambda text: f"PS: {text}", lambda text, _: {"raw": raw, **more} if text == "둘" else None
    )


def ask(endpoint: Endpoint, **options: Any) -> list[Reply]:
    engine = OpenAIGenerator(
        **{"base_url": endpoint.url, "model": "model", "attempts": 2, "completions": False}
        | options
    )
    return engine.generate([prompt(text) for text in ("하나", "둘", "셋")])


def test_good_answers_are_read_whole() -> None:
    for answer in (chat(), completion()):
        read = read_answer(json.dumps(answer).encode())
        assert (read.text, read.cut, read.refused) == ("가나", False, False)
        assert (read.prompt_tokens, read.completion_tokens) == (3, 2)
        assert [(token.start, token.end) for token in read.tokens() or ()] == [(0, 1), (1, 2)]


@pytest.mark.parametrize(
    "logprobs",
    [
        5,
        "none",
        [],
        {"content": 5},
        {"content": [5]},
        {"content": [{}]},
        {"content": [{"token": "가나"}]},
        {"content": [{"token": 5, "logprob": -0.1}]},
        {"content": [{"token": "가나", "logprob": "-0.1"}]},
        {"content": [{"token": "가나", "logprob": True}]},
        {"content": [{"token": "가나", "logprob": float("nan")}]},
        {"content": [{"token": "가나", "logprob": float("-inf")}]},
        {"content": [{"token": "가나", "logprob": float("inf")}]},
        {"content": [{"token": "가나", "logprob": -(10**400)}]},
        {"content": [{"token": "가나", "logprob": 3.0}]},
        {"content": [{"token": "가나", "logprob": -0.1, "bytes": 10**9}]},
        {"content": [{"token": "가나", "logprob": -0.1, "bytes": [256]}]},
        {"content": [{"token": "가나", "logprob": -0.1, "bytes": [-1]}]},
        {"content": [{"token": "가나", "logprob": -0.1, "bytes": ["a"]}]},
        {"content": [{"token": "가나", "logprob": -0.1, "bytes": [True]}]},
        {"content": [{"token": "다", "logprob": -0.1}]},
        {"tokens": ["가", "나"], "token_logprobs": [-0.1]},
        {"tokens": ["가"], "token_logprobs": [-0.1, -0.1]},
        {"tokens": "가나", "token_logprobs": [-0.1, -0.1]},
        {"tokens": [5, 6], "token_logprobs": [-0.1, -0.1]},
        {"tokens": ["가", "나"], "token_logprobs": [None, -0.1]},
        {"tokens": ["가", "나"], "token_logprobs": {"0": -0.1}},
        {"tokens": ["가", "나"]},
    ],
    ids=lambda value: str(value)[:60],
)
def test_where_only_the_probabilities_are_broken_the_sentence_has_an_answer(logprobs: Any) -> None:
    raw = json.dumps(chat(logprobs=logprobs)).encode()
    with serving(spoilt(raw)) as there:
        replies = ask(there)
    assert [(reply.text, reply.error) for reply in replies] == [
        ("PS: 하나", None),
        ("가나", None),
        ("PS: 셋", None),
    ]
    assert replies[1].tokens is None
    # Asked once: nothing was wrong with the answer itself.
    assert there.asked["둘"] == 1


@pytest.mark.parametrize(
    "usage",
    ["none", 5, [], {}, {"prompt_tokens": -1}, {"prompt_tokens": "3"}, {"prompt_tokens": 10**30},
     {"prompt_tokens": 3.5}, {"prompt_tokens": True}, {"prompt_tokens": [3]}, {"prompt_tokens": None}],
    ids=str,
)  # fmt: skip
def test_counts_that_are_none_count_as_not_told(usage: Any) -> None:
    with serving(spoilt(json.dumps(chat() | {"usage": usage}).encode())) as there:
        reply = ask(there)[1]
    assert (reply.text, reply.error, reply.prompt_tokens) == ("가나", None, None)


DEEP = b"[" * 100_000 + b"]" * 100_000
NO_ANSWERS: list[tuple[str, Fault]] = [
    ("deep", {"raw": DEEP}),
    ("deep-choices", {"raw": b'{"choices": ' + DEEP + b"}"}),
    ("digits", {"raw": b'{"choices": ' + b"9" * 5000 + b"}"}),
    ("choices-null", {"raw": b'{"choices": null}'}),
    ("choices-number", {"raw": b'{"choices": 5}'}),
    ("choices-object", {"raw": b'{"choices": {"0": {}}}'}),
    ("choice-null", {"raw": b'{"choices": [null]}'}),
    ("choice-list", {"raw": b'{"choices": [[]]}'}),
    ("content-list", {"raw": json.dumps(chat(message={"content": ["가", 5]})).encode()}),
    ("content-number", {"raw": json.dumps(chat(message={"content": 5})).encode()}),
    ("message-string", {"raw": json.dumps(chat(message="가")).encode()}),
    ("message-null", {"raw": json.dumps(chat(message=None)).encode()}),
    ("text-number", {"raw": b'{"choices": [{"finish_reason": "stop", "text": 5}]}'}),
    ("html", {"raw": b"<html>\x1b[31mbusy", "type": "text/html"}),
    ("stream", {"raw": b'data: {"choices": []}\n\ndata: [DONE]\n\n', "type": "text/event-stream"}),
    ("nothing", {"raw": b""}),
    ("bytes", {"raw": b"\xff\xfe\xfd", "type": "application/octet-stream"}),
    ("codec", {"raw": b"eJw=", "type": "application/json; charset=base64"}),
    (
        "error-codec",
        {"raw": b"eJw=", "status": 500, "headers": {"content_type": "text/html; charset=zip"}},
    ),
    ("error-deep", {"raw": DEEP, "status": 500}),
    ("no-gzip", {"raw": b"{}", "headers": {"content_encoding": "gzip"}}),
    ("br", {"raw": b"{}", "headers": {"content_encoding": "br"}}),
    ("chunks", {"chunks": [b'{"choices": [', b'{"index"']}),
    ("huge", {"raw": b" " * ((32 << 20) + 1)}),
    ("bomb", {"raw": gzip.compress(bytes(64 << 20)), "headers": {"content_encoding": "gzip"}}),
    ("wait-nan", {"status": 503, "headers": {"retry_after": "nan"}}),
]


@pytest.mark.parametrize(
    "fault", [fault for _, fault in NO_ANSWERS], ids=[name for name, _ in NO_ANSWERS]
)
def test_what_is_no_answer_is_asked_for_again_and_then_a_row_with_its_error(fault: Fault) -> None:
    endpoint = Endpoint(lambda text: f"PS: {text}", lambda text, _: fault if text == "둘" else None)
    with serving(endpoint) as there:
        replies = ask(there)
    assert [reply.text for reply in replies] == ["PS: 하나", "", "PS: 셋"]
    assert replies[1].finish_reason == "error"
    error = str(replies[1].error)
    assert "after 2 attempts" in error
    assert error.isprintable()
    assert len(error) < 400
    assert there.asked["둘"] == 2


def test_a_compressed_answer_is_unpacked() -> None:
    raw = gzip.compress(json.dumps(chat()).encode())
    with serving(spoilt(raw, headers={"content_encoding": "gzip"})) as there:
        assert [reply.text for reply in ask(there)] == ["PS: 하나", "가나", "PS: 셋"]


def test_an_answer_that_never_ends_counts_as_lost() -> None:
    """The client's own limits are between two bytes."""
    slow = {"chunks": [b" "] * 100, "pause": 0.1}
    endpoint = Endpoint(lambda text: f"PS: {text}", lambda text, _: slow if text == "둘" else None)
    with serving(endpoint) as there:
        began = time.monotonic()
        replies = ask(there, timeout=0.3)
        assert time.monotonic() - began < 5
    assert [reply.text for reply in replies] == ["PS: 하나", "", "PS: 셋"]
    assert replies[1].retryable


def caught(kind: type[Exception], work: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """What it gives, or the exception of this kind that it raises; no other."""
    try:
        return work(*arguments, **options)
    except kind as error:
        return error


ANY_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([-1, 10**30, -(10**400), 1e308])
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["stop", "length", "content_filter", "\ud800", "\x1b[31m", "a\nb"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=5,
)
GOOD = [chat(), completion(), {"object": "list", "data": [{"id": "model", "object": "model"}]}]
# Mutated errors too: their bodies are read by the client before they reach us.
ERROR = {"error": {"message": f"no, {KEY} is wrong", "type": "x", "code": 400, "param": None}}
MUTATED = st.sampled_from([*GOOD, ERROR]).flatmap(
    lambda good: st.builds(put, st.just(good), st.sampled_from(list(places(good))), ANY_JSON)
)


@given(MUTATED)
@settings(max_examples=300)
def test_any_json_is_an_answer_or_none(body: Any) -> None:
    raw = json.dumps(body).encode()
    read, names = (caught(UnreadableError, reader, raw) for reader in (read_answer, read_models))
    for error in (read, names):
        assert not isinstance(error, UnreadableError) or str(error).isprintable()
    if not isinstance(read, UnreadableError):
        assert isinstance(read.text, str)
        for token in read.tokens() or ():
            assert 0 <= token.start <= token.end <= len(read.text.strip())
            assert -1e6 < token.logprob <= 0
        for count in (read.prompt_tokens, read.completion_tokens):
            assert count is None or 0 <= count < 2**31
    assert isinstance(names, UnreadableError) or all(isinstance(name, str) for name in names)


@pytest.fixture(scope="module")
def mutating() -> Iterator[tuple[Endpoint, Fault]]:
    fault: Fault = {}
    with serving(
        Endpoint(lambda text: f"PS: {text}", lambda text, _: fault if "둘" in text else None)
    ) as there:
        yield there, fault


@given(
    body=MUTATED, status=st.sampled_from([200, 200, 200, 400, 404, 429, 500]), form=st.booleans()
)
@settings(max_examples=60)
def test_every_prompt_has_one_reply_in_order_whatever_the_endpoint_sends(
    mutating: tuple[Endpoint, Fault], body: Any, status: int, form: bool
) -> None:
    there, fault = mutating
    fault.update(raw=json.dumps(body).encode(), status=status)
    replies = caught(GenerationError, ask, there, completions=form, concurrency=2, api_key=KEY)
    if isinstance(replies, GenerationError):
        assert str(replies).isprintable()
        assert KEY not in str(replies)
        return
    first, odd, last = replies
    assert (first.text[:6], last.text[:5]) == ("PS: 하나", "PS: 셋")
    assert (first.error, last.error) == (None, None)
    assert isinstance(odd.text, str)
    assert odd.error is None or (odd.error.isprintable() and KEY not in odd.error)


@pytest.mark.parametrize(
    ("message", "hidden"),
    [
        (f"Incorrect API key provided: {KEY}.", KEY),
        ("Incorrect API key provided: sk-proj-abcdefghijkl.", "abcdefghijkl"),
        ("Authorization: Bearer eyJhbGciOi.J9.x_y-z", "eyJhbGciOi"),
        ("bearer 0123456789abcdef is unknown", "0123456789abcdef"),
        ("hf_abcdefghijklmnop has no access", "abcdefghijklmnop"),
        ('{"api_key": "0123456789"}', "0123456789"),
        ("see http://user:hunter2@host/v1", "hunter2"),
        ("the key zzz-own-key-zzz", "zzz-own-key-zzz"),
    ],
)
@pytest.mark.parametrize("status", [400, 401, 404, 422, 500])
def test_no_error_shows_a_key(message: str, hidden: str, status: int) -> None:
    raw = json.dumps({"error": {"message": f"{'x' * 20} {message}"}}).encode()
    endpoint = Endpoint(lambda text: text, lambda *_: {"status": status, "raw": raw})
    with serving(endpoint) as there, pytest.raises(GenerationError) as caught:
        ask(there, api_key="zzz-own-key-zzz")
    assert hidden not in str(caught.value)
    assert "***" in str(caught.value)
    # What follows is still told.
    assert "x" * 20 in str(caught.value)


def test_an_address_with_a_password_is_shown_without_it() -> None:
    with serving(Endpoint(lambda text: text, models=())) as there:
        address = there.url.replace("http://", "http://user:hunter2@")
        with pytest.raises(GenerationError, match=r"http://\*\*\*@127\.0\.0\.1") as caught:
            ask(there, model=None, base_url=address)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "message", ["a" * 100_000, "a\x1b[31mb\x00c\u202ed\x9b", ["a"], {"b": "c"}, 5, None]
)
def test_what_an_endpoint_says_is_one_line_of_sensible_length(message: Any) -> None:
    raw = json.dumps({"error": {"message": message}}).encode()
    for status in (400, 401, 500):
        endpoint = Endpoint(
            lambda text: text, lambda *_, status=status: {"status": status, "raw": raw}
        )
        with serving(endpoint) as there, pytest.raises(GenerationError) as caught:
            ask(there)
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 600


def test_names_of_models_are_shown_and_not_acted_on() -> None:
    names = tuple(f"\x1b[31m{number}" for number in range(1000))
    with (
        serving(Endpoint(lambda text: text, models=names)) as there,
        pytest.raises(GenerationError) as caught,
    ):
        ask(there, model=None)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("url", ["http://[::1", "http://a b:x/v1", "http://host:port/v1"])
def test_an_address_that_is_none_is_told(url: str) -> None:
    with pytest.raises((InputError, GenerationError)) as caught:
        OpenAIGenerator("m", base_url=url, attempts=1).generate([prompt("하나")])
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "key", ["비밀비밀", "sk-live\nX-Evil: 1", "sk live 12345", "sk-\x00abcdef"]
)
def test_a_key_that_no_header_can_hold_is_told_and_not_shown(key: str) -> None:
    with (
        serving(Endpoint(lambda text: text)) as there,
        pytest.raises(InputError, match="OPENAI_API_KEY") as caught,
    ):
        ask(there, api_key=key)
    assert key not in str(caught.value)


def test_tokens_take_time_in_proportion_to_their_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each token's bytes are decoded once, however long the answer before it."""
    import codecs

    decoded: list[int] = []
    real = codecs.getincrementaldecoder("utf-8")

    class Counting(real):  # type: ignore[misc, valid-type]
        def decode(self, data: Any, final: bool = False) -> str:
            decoded.append(len(data))
            return super().decode(data, final)

    monkeypatch.setattr(codecs, "getincrementaldecoder", lambda name: Counting)
    totals = []
    for size in (100, 400):
        decoded.clear()
        assert len(read_answer(json.dumps(chat("가" * size)).encode()).tokens() or ()) == size
        totals.append(sum(decoded))
    assert totals[1] == 4 * totals[0]
