"""Answers that come one by one and in any order: what is yielded when, and what becomes of failures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from llmner._watching import watcher, watching
from llmner.engines import Capabilities, Engine, Reply
from llmner.engines._types import PLAIN_QUESTION, as_engine
from llmner.errors import GenerationError, InputError
from llmner.extraction import Extractor
from llmner.extraction.runs import partial_path, run_extraction
from llmner.recipes import Recipe
from llmner.recipes.chat import Prompt
from llmner.spans import Sentence, Span
from tests.extraction.test_extraction import Echo

SENTENCES = [Sentence(f"사람{n} 왔다", (), f"s{n}") for n in range(6)]


def answer(prompt: Prompt) -> Reply:
    return Reply(f'{{"PS": ["{prompt.text.split()[0]}"]}}')


class Streaming(Engine):
    """Answers the prompts of each batch in an order of its own.

    Attributes:
        order: The order of a batch of so many prompts.
        log: What happened: the numbers of streamed prompts, and how the stream ended.
    """

    def __init__(self, order: Callable[[int], Sequence[int]] = lambda count: range(count)) -> None:
        self.order = order
        self.log: list[Any] = []

    def generate(self, prompts: Sequence[Prompt]) -> list[Reply]:
        self.log.append(f"asked {len(prompts)}")
        return [answer(prompt) for prompt in prompts]

    def stream(self, prompts: Sequence[Prompt]) -> Iterator[tuple[int, Reply]]:
        try:
            for index in self.order(len(prompts)):
                self.log.append(index)
                yield index, answer(prompts[index])
            self.log.append("end")
        finally:
            self.log.append("closed")

    def describe(self) -> dict[str, Any]:
        return {"engine": "streaming"}


def test_rows_come_in_order_each_as_soon_as_it_can(klue: Recipe) -> None:
    engine = Streaming(lambda count: [2, 0, 1, 3])
    stream = Extractor(klue, engine, batch_size=4).extract(SENTENCES[:4])
    seen = []
    for extraction in stream:
        assert extraction.spans == (Span(0, 3, "PS"),)
        seen.append((extraction.sentence.id, list(engine.log)))
    assert seen == [
        ("s0", [2, 0]),
        ("s1", [2, 0, 1]),
        ("s2", [2, 0, 1]),
        ("s3", [2, 0, 1, 3]),
    ]
    assert engine.log == [2, 0, 1, 3, "end", "closed"]


def test_the_next_batch_is_asked_when_the_last_one_is_done(klue: Recipe) -> None:
    engine = Streaming(lambda count: range(count)[::-1])
    stream = Extractor(klue, engine, batch_size=2).extract(iter(SENTENCES))
    assert [next(stream).sentence.id, engine.log] == ["s0", [1, 0]]
    assert [extraction.sentence.id for extraction in stream] == ["s1", "s2", "s3", "s4", "s5"]
    assert engine.log == [1, 0, "end", "closed"] * 3


def test_a_sentence_waits_for_all_its_windows_and_samples(klue: Recipe) -> None:
    text = "가나다라마 왔다. " * 4
    sentences = [Sentence(text, (), "long"), SENTENCES[0]]
    engine = Streaming(lambda count: range(count)[::-1])
    extractor = Extractor(klue, engine, batch_size=64, window=12, overlap=0, samples=2)
    stream = extractor.extract(sentences)
    first = next(stream)
    windows = len(first.windows)
    assert windows > 1
    assert engine.log == list(range(2 * windows + 2))[::-1]
    assert all(len(part.samples) == 2 for part in first.windows)
    assert next(stream).sentence.id == "s0"


@pytest.mark.parametrize("batch_size", [1, 2, 3, 5, 64])
def test_whatever_the_order_and_the_batch_the_result_is_the_same(
    klue: Recipe, batch_size: int
) -> None:
    sentences = [Sentence("가나다라마 왔다. " * (n % 3 + 1), (), str(n)) for n in range(6)]

    def rows(engine: Any) -> list[dict[str, Any]]:
        extractor = Extractor(klue, engine, batch_size=batch_size, window=12, overlap=0)
        return [extraction.row() for extraction in extractor.extract(sentences)]

    assert rows(Streaming(lambda count: range(count)[::-1])) == rows(Echo())


def test_the_watcher_is_told_of_answers_whose_rows_wait(klue: Recipe) -> None:
    told: list[str] = []

    class Told:
        def begin(self) -> None:
            told.append("begin")

        def answer(self) -> None:
            told.append("answer")

    class Loading(Streaming):
        capabilities = Capabilities(in_process=True)

        def load(self) -> None:
            told.append("load")

    engine = Loading(lambda count: [2, 1, 0])
    with watching(Told()):
        for extraction in Extractor(klue, engine, batch_size=3).extract(SENTENCES):
            told.append(str(extraction.sentence.id))
    three = ["answer"] * 3
    assert told == ["load", "begin", *three, "s0", "s1", "s2", *three, "s3", "s4", "s5"]
    assert not hasattr(watcher(), "told")
    # Windows in several batches are one sentence; one without a prompt has its answer at once.
    told.clear()
    sentences = [Sentence("가나다라마 왔다. " * 5), SENTENCES[0]]
    with watching(Told()):
        list(Extractor(klue, Streaming(), batch_size=2, window=12, overlap=0).extract(sentences))
        assert told == ["begin", "answer", "answer"]
        broken = klue.model_copy(update={"user": "{{ text | nothing }}"})
        told.clear()
        (extraction,) = Extractor(broken, Streaming()).extract(SENTENCES[:1])
    assert extraction.reply.error is not None
    assert told == ["begin", "answer"]


def test_what_goes_wrong_while_loading_is_left_to_the_first_question(klue: Recipe) -> None:
    class Broken(Streaming):
        capabilities = Capabilities(in_process=True)

        def load(self) -> None:
            raise self.error

    engine = Broken()
    engine.error = OSError("no file")  # type: ignore[attr-defined]
    assert len(list(Extractor(klue, engine).extract(SENTENCES))) == 6
    engine.error = InputError("no such adapter")  # type: ignore[attr-defined]
    with pytest.raises(InputError, match="no such adapter"):
        list(Extractor(klue, engine).extract(SENTENCES))


class Failing(Streaming):
    """Streams so many replies, and then does something else."""

    def __init__(self, count: int, then: Callable[[], Iterator[Any]]) -> None:
        super().__init__()
        self.count = count
        self.then = then

    def stream(self, prompts: Sequence[Prompt]) -> Iterator[tuple[int, Reply]]:
        for index in range(self.count):
            yield index, answer(prompts[index])
        yield from self.then()


def raising(error: Exception) -> Callable[[], Iterator[Any]]:
    def fail() -> Iterator[Any]:
        raise error
        yield

    return fail


@pytest.mark.parametrize(
    "then",
    [
        raising(ValueError("planted")),
        lambda: iter([]),
        lambda: iter([(0, Reply("-"))]),
        lambda: iter([(6, Reply("-"))]),
        lambda: iter([(-1, Reply("-"))]),
        lambda: iter([None]),
        lambda: iter(["ab"]),
        lambda: iter([(2.0, Reply("-"))]),
    ],
    ids=["raises", "ends", "twice", "beyond", "negative", "None", "a string", "no index"],
)
def test_where_a_stream_breaks_what_it_gave_is_kept_and_the_rest_is_asked_alone(
    klue: Recipe, then: Callable[[], Iterator[Any]]
) -> None:
    engine = Failing(2, then)
    found = list(Extractor(klue, engine, batch_size=6).extract(SENTENCES))
    assert [extraction.spans for extraction in found] == [(Span(0, 3, "PS"),)] * 6
    # A plain question, and each of the four that had no reply.
    assert engine.log == ["asked 1"] * 5


def test_what_goes_wrong_after_the_last_reply_loses_none(klue: Recipe) -> None:
    for then in (raising(ValueError("planted")), lambda: iter([(0, Reply("-"))])):
        engine = Failing(6, then)
        assert len(list(Extractor(klue, engine, batch_size=6).extract(SENTENCES))) == 6
        assert engine.log == []


def test_an_engine_that_isolates_failures_is_not_asked_again(klue: Recipe) -> None:
    engine = Failing(2, raising(ValueError("planted")))
    engine.capabilities = Capabilities(isolates=True)
    stream = Extractor(klue, engine, batch_size=6).extract(SENTENCES)
    assert [next(stream).sentence.id, next(stream).sentence.id] == ["s0", "s1"]
    with pytest.raises(ValueError, match="planted"):
        next(stream)


def test_the_engine_is_told_that_nobody_waits_any_more(klue: Recipe) -> None:
    engine = Streaming()
    stream: Any = Extractor(klue, engine, batch_size=6).extract(SENTENCES)
    next(stream)
    stream.close()
    assert engine.log == [0, "closed"]


def test_rows_are_on_disk_before_the_next_reply_is_there(klue: Recipe, tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    lines: list[int] = []

    class Looking(Streaming):
        def stream(self, prompts: Sequence[Prompt]) -> Iterator[tuple[int, Reply]]:
            for index in (1, 0, 2, 3):
                lines.append(partial_path(output).read_bytes().count(b"\n"))
                yield index, answer(prompts[index])
            raise GenerationError("the engine died")

    extractor = Extractor(klue, Looking(), batch_size=6)
    with pytest.raises(GenerationError, match="the engine died"):
        run_extraction(extractor, SENTENCES, output, source="test")
    assert lines == [0, 0, 2, 3]
    # What was streamed before it died is kept, and is not asked again.
    engine = Streaming()
    resumed: list[int] = []
    extractor = Extractor(klue, engine, batch_size=6)
    run_extraction(extractor, SENTENCES, output, source="test", on_resume=resumed.append)
    assert resumed == [4]
    assert engine.log == [0, 1, "end", "closed"]
    assert [line[8:10] for line in output.read_text("utf-8").splitlines()] == [
        f"s{n}" for n in range(6)
    ]


def test_an_engine_that_only_generates_streams_all_or_nothing() -> None:
    class Short(Streaming):
        stream = Engine.stream

        def generate(self, prompts: Sequence[Prompt]) -> list[Reply]:
            return super().generate(prompts)[1:]

    with pytest.raises(ValueError, match="the engine gave 1 replies to 2 prompts"):
        next(Short().stream([PLAIN_QUESTION] * 2))


def test_a_stream_of_an_object_that_is_no_engine_is_not_taken_for_ours(klue: Recipe) -> None:
    class Tokens(Echo):
        def stream(self, text: str) -> Iterator[str]:
            raise AssertionError

    generator = Tokens()
    assert [index for index, _ in as_engine(generator).stream([PLAIN_QUESTION] * 3)] == [0, 1, 2]
    assert len(list(Extractor(klue, generator).extract(SENTENCES))) == 6
