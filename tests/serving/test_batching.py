"""Questions of many make batches; none is lost, none spoils another, what is given up is not
asked.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import ExitStack

import pytest

pytest.importorskip("fastapi", reason='needs pip install "llmner[serve]"')

from llmner.engines import Engine, Reply
from llmner.engines._types import as_engine
from llmner.errors import GenerationError
from llmner.recipes.chat import Prompt
from llmner.serving._batching import Batcher, Turn
from tests.serving.fakes import Model, eventually

Start = Callable[..., Batcher]


def prompt(text: str) -> Prompt:
    return Prompt(({"role": "user", "content": text},), text, "\n", text)


def turn_of(batcher: Batcher, **options: object) -> Turn:
    return Turn(batcher, batcher.answering, **options)  # type: ignore[arg-type]


@pytest.fixture
def start() -> Iterator[Start]:
    with ExitStack() as stack:

        def started(model: Model | Streaming, **options: object) -> Batcher:
            batcher = Batcher(as_engine(model), **options)  # type: ignore[arg-type]
            batcher.start()
            stack.callback(batcher.close, 5)
            stack.callback(model.gate.set)
            return batcher

        yield started


def test_requests_that_come_together_are_asked_together(start: Start) -> None:
    model = Model(lambda text: f"re {text}")
    batcher = start(model, size=8, wait=0.2)
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(lambda n: turn_of(batcher).generate([prompt(str(n))])[0].text, range(8))
        )
    assert answers == [f"re {n}" for n in range(8)]
    assert len(model.batches) == 1
    assert sorted(model.batches[0]) == [str(n) for n in range(8)]


def test_a_full_batch_does_not_wait_and_a_lone_question_waits_as_long_as_it_was_told(
    start: Start,
) -> None:
    batcher = start(Model(), size=2, wait=0.4)
    started = time.monotonic()
    turn_of(batcher).generate([prompt("a"), prompt("b")])
    assert time.monotonic() - started < 0.3
    started = time.monotonic()
    turn_of(batcher).generate([prompt("a")])
    assert 0.35 < time.monotonic() - started < 2


def test_what_comes_while_the_engine_is_busy_makes_the_next_batch(start: Start) -> None:
    model = Model()
    model.gate.clear()
    batcher = start(model, size=16, wait=0)
    first = batcher.submit([prompt("first")])
    assert eventually(lambda: model.batches == [["first"]])
    rest = [batcher.submit([prompt(str(n))])[0] for n in range(5)]
    assert len(batcher) == 5
    model.gate.set()
    assert [answer.result(5).finish_reason for answer in (*first, *rest)] == ["stop"] * 6
    assert model.batches == [["first"], ["0", "1", "2", "3", "4"]]


def test_many_questions_of_one_request_do_not_hold_up_another_for_long(start: Start) -> None:
    model = Model(delay=0.02)
    batcher = start(model, size=4, wait=0)
    long = turn_of(batcher)
    with ThreadPoolExecutor(1) as pool:
        job = pool.submit(lambda: [long.generate([prompt(f"long {n}")] * 4) for n in range(20)])
        assert eventually(lambda: len(model.batches) > 1)
        before = len(model.batches)
        turn_of(batcher).generate([prompt("short")])
        assert not job.done()
        # At once, or after the one that was on its way and the one that waited already.
        (place,) = [number for number, batch in enumerate(model.batches) if "short" in batch]
        assert place <= before + 1
        job.result(5)


def test_a_question_that_is_refused_spoils_no_other(start: Start) -> None:
    def answer(text: str) -> str:
        if text == "poison":
            raise GenerationError("cannot answer poison")
        return f"re {text}"

    model = Model(answer)
    batcher = start(model, size=3, wait=0.2)
    answers = batcher.submit([prompt("a"), prompt("poison"), prompt("b")])
    assert [answers[0].result(5).text, answers[2].result(5).text] == ["re a", "re b"]
    with pytest.raises(GenerationError, match="poison"):
        answers[1].result(5)


def test_an_endpoint_that_is_away_is_not_asked_again_for_each_of_a_batch(start: Start) -> None:
    def answer(_: str) -> str:
        raise GenerationError("away", retryable=True)

    model = Model(answer)
    answers = start(model, size=3, wait=0.2).submit([prompt(str(n)) for n in range(3)])
    for each in answers:
        with pytest.raises(GenerationError, match="away"):
            each.result(5)
    assert len(model.batches) == 1


def test_an_error_nobody_foresaw_reaches_who_asked_and_the_next_is_answered(start: Start) -> None:
    def answer(text: str) -> str:
        if text == "bad":
            raise ZeroDivisionError
        return "fine"

    batcher = start(Model(answer), size=1, wait=0)
    with pytest.raises(ZeroDivisionError):
        turn_of(batcher).generate([prompt("bad")])
    assert turn_of(batcher).generate([prompt("good")])[0].text == "fine"


def test_an_engine_that_loses_count_is_told_to_who_asked_and_the_next_is_answered(
    start: Start,
) -> None:
    class Short(Model):
        def generate(self, prompts: Sequence[Prompt]) -> list[Reply]:
            replies = super().generate(prompts)
            return replies[:-1] if prompts[0].text == "bad" else replies

    batcher = start(Short(), size=2, wait=0)
    for answer in batcher.submit([prompt("bad"), prompt("bad")]):
        with pytest.raises(ValueError, match="1 replies to 2 prompts"):
            answer.result(5)
    assert turn_of(batcher).generate([prompt("good")])[0].finish_reason == "stop"


class Streaming(Engine):
    """Finishes its answers from the last to the first, each after a look at its gate."""

    def __init__(self) -> None:
        self.gates: dict[str, threading.Event] = {}
        self.errors: dict[str, Exception] = {}
        self.batches: list[list[str]] = []
        self.gate = threading.Event()

    def stream(self, prompts: Sequence[Prompt]) -> Iterator[tuple[int, Reply]]:
        self.batches.append([prompt.text for prompt in prompts])
        for number, prompt in reversed(list(enumerate(prompts))):
            if prompt.text in self.gates:
                self.gates[prompt.text].wait(30)
            if prompt.text in self.errors:
                raise self.errors[prompt.text]
            if prompt.text != "lost":
                yield number, Reply(f"re {prompt.text}", "stop")


def test_a_short_answer_does_not_wait_for_the_longest_of_its_batch(start: Start) -> None:
    engine = Streaming()
    engine.gates["long"] = threading.Event()
    long, short = start(engine, size=2, wait=5).submit([prompt("long"), prompt("short")])
    assert short.result(5).text == "re short"
    assert not long.done()
    engine.gates["long"].set()
    assert long.result(5).text == "re long"
    assert engine.batches == [["long", "short"]]


def test_a_refusal_half_way_leaves_the_answers_that_were_given(start: Start) -> None:
    engine = Streaming()
    engine.errors["poison"] = GenerationError("cannot answer poison")
    batcher = start(engine, size=3, wait=5)
    first, poison, last = batcher.submit([prompt("first"), prompt("poison"), prompt("last")])
    assert (first.result(5).text, last.result(5).text) == ("re first", "re last")
    with pytest.raises(GenerationError, match="poison"):
        poison.result(5)
    # What was answered is not asked again.
    assert engine.batches == [["first", "poison", "last"], ["first"], ["poison"]]


def test_a_prompt_that_an_engine_forgot_is_told_to_who_asked(start: Start) -> None:
    told: list[Exception] = []
    batcher = start(Streaming(), size=2, wait=5, on_error=told.append)
    lost, found = batcher.submit([prompt("lost"), prompt("found")])
    assert found.result(5).text == "re found"
    with pytest.raises(ValueError, match="no reply to 1 of 2 prompts"):
        lost.result(5)
    assert eventually(lambda: len(told) == 1)


def test_what_an_engine_raises_is_told_even_when_whoever_asked_has_gone(start: Start) -> None:
    def answer(_: str) -> str:
        raise GenerationError("away", retryable=True)

    model = Model(answer)
    model.gate.clear()
    told: list[Exception] = []
    batcher = start(model, size=1, wait=0, on_error=told.append)
    turn = turn_of(batcher)
    with ThreadPoolExecutor(1) as pool:
        job = pool.submit(turn.generate, [prompt("a")])
        assert eventually(lambda: model.batches == [["a"]])
        # Whoever waits for an answer that is on its way is let go at once.
        turn.end()
        with pytest.raises(CancelledError):
            job.result(5)
    assert told == []
    model.gate.set()
    assert eventually(lambda: [str(error) for error in told] == ["away"])


@pytest.mark.parametrize(
    ("said", "retryable", "told"),
    [
        (
            "429 from http://10.0.0.5:8000/v1 (sk-ab***yz)",
            True,
            "the engine did not answer this text; try again in a moment",
        ),
        (
            "do not fit into the model's context (sk-ab***yz)",
            False,
            "this text does not fit into the model's context; send it in parts",
        ),
        (
            "the endpoint filtered the answer",
            False,
            "the answer was filtered, or the model refused to give one",
        ),
        ("http://10.0.0.5:8000/v1 answers 400: sk-ab***yz", False, "the engine refuses this text"),
    ],
)
def test_what_an_endpoint_says_is_for_the_log(
    start: Start, said: str, retryable: bool, told: str
) -> None:
    heard: list[tuple[str, str]] = []
    batcher = start(
        Model(lambda _: Reply("", "error", error=said, retryable=retryable)), size=1, wait=0
    )
    turn = turn_of(batcher, on_unanswered=lambda *both: heard.append(both))
    (reply,) = turn.generate([prompt("a")])
    assert (reply.error, reply.retryable) == (told, retryable)
    assert heard == [(said, told)]


def test_a_turn_that_is_over_gives_its_place_back(start: Start) -> None:
    model = Model()
    model.gate.clear()
    batcher = start(model, size=1, wait=0)
    batcher.submit([prompt("busy")])
    assert eventually(lambda: model.batches == [["busy"]])
    turn = turn_of(batcher)
    told: list[BaseException] = []

    def ask() -> None:
        try:
            turn.generate([prompt("given up")])
        except CancelledError as error:
            told.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    assert eventually(lambda: len(batcher) == 1)
    turn.end()
    thread.join(5)
    assert len(told) == 1
    assert len(batcher) == 0
    model.gate.set()
    assert turn_of(batcher).generate([prompt("next")])[0].finish_reason == "stop"
    assert model.batches == [["busy"], ["next"]]
    with pytest.raises(CancelledError):
        turn.generate([prompt("too late")])


def test_lanes_answer_at_once(start: Start) -> None:
    batcher = start(Model(delay=0.2), size=1, wait=0, lanes=4)
    started = time.monotonic()
    answers = batcher.submit([prompt(str(n)) for n in range(4)])
    assert [answer.result(5).finish_reason for answer in answers] == ["stop"] * 4
    assert time.monotonic() - started < 0.6


def test_closing_answers_what_waits(start: Start) -> None:
    model = Model(lambda text: Reply(text), delay=0.05)
    batcher = start(model, size=1, wait=0)
    answers = batcher.submit([prompt(str(n)) for n in range(4)])
    batcher.close(5)
    assert [answer.result(0).text for answer in answers] == ["0", "1", "2", "3"]
    with pytest.raises(GenerationError, match="shutting down"):
        batcher.submit([prompt("late")])
