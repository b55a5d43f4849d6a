"""One bad row, whatever it is, ends no run: an exception planted in every stage of every
command.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import llmner.extraction.extractor
import llmner.extraction.projecting
import llmner.extraction.questions
import llmner.projection._project
import llmner.projection._task
from llmner._mishaps import Mishap, attempt, one_line
from llmner.baselines import BaselineExtractor
from llmner.cli import app
from llmner.engines import Reply, Token
from llmner.errors import GenerationError, InputError, MissingExtraError, RecipeError
from llmner.extraction import Extraction, Extractor
from llmner.extraction.confidence import Calibrator
from llmner.recipes import Recipe
from llmner.recipes.chat import Prompt
from llmner.spans import Sentence, Span

BAD = "나쁜"
GOOD = ["손흥민 왔다", "이강인 갔다", "김민재 뛰었다"]
TEXTS = [GOOD[0], f"{BAD} 문장", GOOD[1], GOOD[2]]


class Engine:
    """Calls the first word of every text a person, and is sure of it; fails as told."""

    constrains = True

    def __init__(self, fail: Callable[[Sequence[Prompt]], None] = lambda prompts: None) -> None:
        self.fail = fail
        self.asked: list[list[str]] = []

    def generate(self, prompts: Sequence[Prompt]) -> list[Reply]:
        self.asked.append([prompt.text for prompt in prompts])
        self.fail(prompts)
        return [self.reply(prompt.text) for prompt in prompts]

    def reply(self, text: str) -> Reply:
        answer = f"{text.split()[0]}\tPS" if text.split() else "-"
        return Reply(answer, tokens=(Token(0, len(answer), -0.1),))

    def describe(self) -> dict[str, Any]:
        return {"engine": "fake", "model": None}


def mentions(value: Any) -> bool:
    """Whether the bad text is anywhere in it."""
    return BAD in repr(value)


def plant(
    monkeypatch: pytest.MonkeyPatch, where: Any, name: str, error: Callable[[], BaseException]
) -> None:
    """Have a function fail at the bad text, and at nothing else."""
    real = getattr(where, name)

    def failing(*arguments: Any, **options: Any) -> Any:
        if mentions((arguments, options)):
            raise error()
        return real(*arguments, **options)

    monkeypatch.setattr(where, name, failing)


@pytest.fixture
def pairs(klue: Recipe) -> Recipe:
    return klue.with_reply_format("pairs")


OPTIONS: dict[str, Any] = {"calibrator": Calibrator((0.0, 1.0), (0.5, 1.0)), "min_score": 0.1}
STAGES: list[tuple[Any, str, dict[str, Any]]] = [
    (llmner.extraction.extractor, "build_prompt", {}),
    (llmner.extraction.extractor, "reply_grammar", {"grounded": True}),
    (llmner.extraction.extractor, "project_reply", {}),
    (llmner.projection._project, "read_reply", {}),
    (llmner.projection._task, "_folded", {}),
    (llmner.extraction.extractor, "read_exact", {"grounded": True}),
    (llmner.extraction.extractor, "score_spans", {}),
    (llmner.extraction.extractor, "vote", {"samples": 2}),
    (llmner.extraction.extractor, "drop_unsure", OPTIONS),
    (Calibrator, "calibrate", OPTIONS),
    (llmner.extraction.questions, "split_windows", {}),
    (llmner.extraction.extractor, "merge_windows", {"window": 4, "overlap": 1}),
]
ERRORS = [
    lambda: ValueError("planted\n\x1b[31mred"),
    lambda: RecursionError("planted"),
    lambda: KeyError("planted"),
    lambda: RecipeError("planted", path="recipe.yaml"),
    lambda: UnicodeEncodeError("utf-8", "planted", 0, 1, "planted"),
    lambda: OSError(28, "planted"),
    lambda: AssertionError("planted"),
    lambda: StopIteration("planted"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error()).__name__)
@pytest.mark.parametrize(("where", "name", "options"), STAGES, ids=[name for _, name, _ in STAGES])
def test_a_stage_that_fails_at_one_sentence_is_a_row_with_its_error(
    monkeypatch: pytest.MonkeyPatch,
    klue: Recipe,
    where: Any,
    name: str,
    options: dict[str, Any],
    error: Callable[[], BaseException],
) -> None:
    recipe = klue.with_reply_format("pairs")
    plant(monkeypatch, where, name, error)
    found = list(Extractor(recipe, Engine(), batch_size=3, **options).extract(TEXTS))
    assert [extraction.sentence.text for extraction in found] == TEXTS
    for extraction in found:
        row = extraction.row()
        json.dumps(row, allow_nan=False)
        bad = mentions(extraction.sentence.text)
        assert (row.get("error") is not None) == bad, row
        assert bool(extraction.spans) != bad
        if bad:
            assert row["error"].startswith(f"{type(error()).__name__}: ")
            assert "planted" in row["error"]
            assert row["error"].isprintable()
            assert row["status"] in ("empty", "truncated")
            assert row["finish_reason"] == "error"


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt, SystemExit, MemoryError, lambda: MissingExtraError("local", "it")]
)
@pytest.mark.parametrize(
    ("where", "name", "options"), STAGES[:4] + STAGES[8:10], ids=lambda value: str(value)[:20]
)
def test_what_concerns_everybody_goes_on_up(
    monkeypatch: pytest.MonkeyPatch,
    klue: Recipe,
    where: Any,
    name: str,
    options: dict[str, Any],
    error: Callable[[], BaseException],
) -> None:
    recipe = klue.with_reply_format("pairs")
    plant(monkeypatch, where, name, error)
    with pytest.raises(type(error())):
        list(Extractor(recipe, Engine(), **options).extract(TEXTS))


def at_bad(error: Callable[[], BaseException]) -> Callable[[Sequence[Prompt]], None]:
    def fail(prompts: Sequence[Prompt]) -> None:
        if any(mentions(prompt.text) for prompt in prompts):
            raise error()

    return fail


@pytest.mark.parametrize("error", [lambda: RuntimeError("planted"), lambda: IndexError("planted")])
@pytest.mark.parametrize("texts", [TEXTS, [TEXTS[1]]], ids=len)
def test_an_engine_that_fails_at_one_sentence_answers_the_others(
    pairs: Recipe, error: Callable[[], BaseException], texts: list[str]
) -> None:
    engine = Engine(at_bad(error))
    found = list(Extractor(pairs, engine).extract(texts))
    assert [mentions(each.sentence.text) for each in found] == [
        each.reply.error is not None for each in found
    ]
    (bad,) = [each for each in found if mentions(each.sentence.text)]
    assert bad.reply.error == f"{type(error()).__name__}: planted"
    # Together, a plain question, and each alone.
    assert len(engine.asked) == (2 if len(texts) == 1 else 2 + len(texts))


@pytest.mark.parametrize(
    "replies",
    [
        lambda prompts: [],
        lambda prompts: None,
        lambda prompts: [Reply("-")] * (len(prompts) + 1),
    ],
)
def test_an_engine_that_fails_at_everything_ends_the_run(
    monkeypatch: pytest.MonkeyPatch, pairs: Recipe, replies: Callable[[Sequence[Prompt]], Any]
) -> None:
    engine = Engine()
    monkeypatch.setattr(engine, "generate", replies)
    with pytest.raises(
        GenerationError, match=r"the engine fails on every question: [A-Z][A-Za-z]+Error: "
    ):
        list(Extractor(pairs, engine).extract(TEXTS))


@pytest.mark.parametrize("error", [GenerationError("no such model"), InputError("no such adapter")])
def test_what_an_engine_says_on_purpose_ends_the_run(pairs: Recipe, error: Exception) -> None:
    def fail(prompts: Sequence[Prompt]) -> None:
        raise error

    engine = Engine(fail)
    with pytest.raises(type(error), match="no such"):
        list(Extractor(pairs, engine).extract(TEXTS))
    assert len(engine.asked) == 1


@pytest.mark.parametrize(
    "reply",
    [None, "text", Reply(None), Reply(5), Reply(b"-"), Reply("-", "odd"), Reply("-", error=5),
     Reply("손\tPS", tokens=(Token(0, 4, float("nan")),)), Reply("손\tPS", tokens=5)],
    ids=str,
)  # fmt: skip
def test_a_reply_that_is_none_is_a_row_with_an_error_or_one_without_a_score(
    monkeypatch: pytest.MonkeyPatch, pairs: Recipe, reply: Any
) -> None:
    engine = Engine()
    real = engine.reply
    monkeypatch.setattr(engine, "reply", lambda text: reply if mentions(text) else real(text))
    for options in ({}, {"samples": 2}, {"window": 4, "overlap": 1}):
        found = list(Extractor(pairs, engine, **options).extract(TEXTS))
        assert [bool(each.spans) for each in found if not mentions(each.sentence.text)] == [
            True
        ] * 3
        for each in found:
            json.dumps(each.row(), allow_nan=False)
            assert isinstance(each.reply.error, str | None)


def test_a_window_that_fails_leaves_the_others_their_answers(
    monkeypatch: pytest.MonkeyPatch, pairs: Recipe
) -> None:
    plant(monkeypatch, llmner.extraction.extractor, "project_reply", lambda: ValueError("planted"))
    text = f"손흥민이 왔다. {BAD} 문장이다. 이강인이 갔다."
    (found,) = Extractor(pairs, Engine(), window=12, overlap=0).extract([Sentence(text, (), "s")])
    row = found.row()
    assert [text[span.start : span.end] for span in found.spans] == ["손흥민", "이강인"]
    assert row["error"] == "ValueError: planted"
    assert row["status"] == "truncated"
    assert ["error" in window for window in row["windows"]].count(True) == 1


def test_a_template_that_fails_at_an_empty_text_is_no_reason_to_fail_at_others(
    klue: Recipe,
) -> None:
    recipe = klue.model_copy(update={"user": "{{ text }}{{ 1 // (text | length) }}"})

    class Measuring(Engine):
        def fits(self, prompt: Prompt) -> bool:
            return len(prompt.text) < 10

    # The empty one itself is not asked about.
    found = list(Extractor(recipe, Measuring()).extract(["", *GOOD]))
    assert [each.reply.error for each in found] == [None] * 4


def test_an_engine_that_cannot_measure_one_text_is_asked_about_others(pairs: Recipe) -> None:
    class Measuring(Engine):
        def fits(self, prompt: Prompt) -> bool:
            if mentions(prompt.text):
                raise RuntimeError("planted")
            return True

    found = list(Extractor(pairs, Measuring()).extract(TEXTS))
    assert [each.reply.error for each in found] == [None, "RuntimeError: planted", None, None]

    class Broken(Engine):
        def fits(self, prompt: Prompt) -> bool:
            raise RuntimeError("planted")

    with pytest.raises(GenerationError, match="fails on every question: RuntimeError: planted"):
        list(Extractor(pairs, Broken()).extract(TEXTS))


class Tagger:
    """Tags the first character of each text; fails as told."""

    kind = "crf"
    labels = ("PS",)

    def __init__(self, fail: Callable[[str], None]) -> None:
        self.fail = fail

    def tag(self, texts: Sequence[str]) -> list[tuple[Span, ...]]:
        for text in texts:
            self.fail(text)
        return [(Span(0, 1, "PS", 0.9),) for _ in texts]


def tagging(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fail: Callable[[str], None], **options: Any
) -> list[Extraction]:
    (tmp_path / "baseline.json").write_text('{"kind": "crf", "labels": ["PS"]}')
    extractor = BaselineExtractor(tmp_path, **options)
    monkeypatch.setattr(extractor, "_baseline", Tagger(fail))
    return list(extractor.extract(TEXTS))


def test_a_tagger_that_fails_at_one_text_tags_the_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(text: str) -> None:
        if mentions(text):
            raise IndexError("planted")

    found = tagging(monkeypatch, tmp_path, fail, batch_size=3)
    assert [each.reply.error for each in found] == [None, "IndexError: planted", None, None]
    assert found[1].row()["error"] == "IndexError: planted"
    assert [len(each.spans) for each in found] == [1, 0, 1, 1]

    def always(text: str) -> None:
        raise IndexError("planted")

    with pytest.raises(GenerationError, match="fails whatever it is given: IndexError: planted"):
        tagging(monkeypatch, tmp_path, always)


# The commands, each over a corpus of which one row is bad.


@pytest.fixture
def corpus(tmp_path: Path) -> tuple[Path, Path]:
    """Gold sentences, and replies to them."""
    gold, replies = tmp_path / "gold.jsonl", tmp_path / "replies.jsonl"
    rows = [
        {
            "id": f"s{at}",
            "text": text,
            "spans": [{"start": 0, "end": len(text.split()[0]), "label": "PS"}],
        }
        for at, text in enumerate(TEXTS)
    ]
    gold.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    told = [
        {"id": row["id"], "text": row["text"], "reply": f"{row['text'].split()[0]}\tPS"}
        for row in rows
    ]
    replies.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in told), "utf-8")
    return gold, replies


def run(*arguments: Any, code: int = 0) -> Any:
    result = CliRunner().invoke(app, [*map(str, arguments)])
    assert result.exit_code == code, (result.output, result.exception)
    return result


def rows(path: Path) -> Iterator[dict[str, Any]]:
    for line in path.read_text("utf-8").splitlines():
        yield json.loads(line)


# Recorded replies are of whole texts: no windows.
RUN_STAGES = [
    (where, name) for where, name, options in STAGES if not options and name != "split_windows"
]


@pytest.mark.parametrize(("where", "name"), RUN_STAGES, ids=[name for _, name in RUN_STAGES])
def test_extract_keeps_the_good_rows(
    monkeypatch: pytest.MonkeyPatch,
    corpus: tuple[Path, Path],
    tmp_path: Path,
    where: Any,
    name: str,
) -> None:
    plant(monkeypatch, where, name, lambda: ValueError("planted"))
    gold, replies = corpus
    output = tmp_path / "out.jsonl"
    asked = ["--engine", "recorded", "--replies", replies]
    told = run("extract", "-i", gold, "-o", output, *asked, code=1)
    assert "warning: 1 of 4 sentences have no answer (first: ValueError: planted)" in told.stderr
    assert [row.get("error") for row in rows(output)] == [None, "ValueError: planted", None, None]
    assert [len(row["spans"]) for row in rows(output)] == [1, 0, 1, 1]
    monkeypatch.undo()
    # A mended program mends the row. What has been said of it stays where it was not asked again.
    run("extract", "-i", gold, "-o", output, *asked, "--retry-failed")
    assert [len(row["spans"]) for row in rows(output)] == [1, 1, 1, 1]


@pytest.mark.parametrize(("where", "name"), RUN_STAGES, ids=[name for _, name in RUN_STAGES])
def test_evaluate_counts_it_as_unanswered(
    monkeypatch: pytest.MonkeyPatch, corpus: tuple[Path, Path], where: Any, name: str
) -> None:
    plant(monkeypatch, where, name, lambda: ValueError("planted"))
    gold, replies = corpus
    told = run("evaluate", "--gold", gold, "--replies", replies, "--json", "--resamples", 0)
    assert "warning: 1 of 4 sentences have no answer (first: ValueError: planted)" in told.stderr
    assert json.loads(told.stdout)["micro"]["recall"] == pytest.approx(0.75)


def test_spans_that_no_prediction_can_have_are_no_answer(
    monkeypatch: pytest.MonkeyPatch, corpus: tuple[Path, Path], tmp_path: Path
) -> None:
    from llmner.scoring._predictions import Prediction

    gold, replies = corpus

    def only_with_spans(self: Any) -> None:
        if self.spans and mentions(self.text):
            raise ValueError("planted")

    monkeypatch.setattr(Prediction, "__post_init__", only_with_spans)
    told = run("evaluate", "--gold", gold, "--replies", replies, "--json", "--resamples", 0)
    assert "1 of 4 sentences have no answer (first: ValueError: planted)" in told.stderr


@pytest.mark.parametrize("name", ["project_reply", "projection_row"])
def test_project_keeps_the_good_rows(
    monkeypatch: pytest.MonkeyPatch, corpus: tuple[Path, Path], tmp_path: Path, name: str
) -> None:
    _, replies = corpus
    output = tmp_path / "out.jsonl"
    if name == "project_reply":
        plant(
            monkeypatch,
            llmner.extraction.projecting,
            "project_reply",
            lambda: ValueError("planted"),
        )
    else:
        plant(
            monkeypatch, llmner.projection._project, "project_read", lambda: ValueError("planted")
        )
    told = run("project", "-i", replies, "-o", output)
    assert (
        "warning: 1 of 4 replies could not be projected (first: ValueError: planted)" in told.stderr
    )
    found = list(rows(output))
    assert [row.get("error") for row in found] == [None, "ValueError: planted", None, None]
    assert [len(row["spans"]) for row in found] == [1, 0, 1, 1]
    assert found[1]["reply"] == f"{BAD}\tPS"
    # Of no reply that could be projected, the exit code tells; the rows are there to look at.
    replies.write_text(json.dumps({"id": "s", "text": BAD, "reply": BAD}) + "\n")
    failed = run("project", "-i", replies, "-o", output, code=1)
    assert "error: no reply could be projected (first: ValueError: planted)" in failed.stderr
    assert [row["error"] for row in rows(output)] == ["ValueError: planted"]


def test_a_disk_that_is_full_ends_the_run(
    monkeypatch: pytest.MonkeyPatch, corpus: tuple[Path, Path], tmp_path: Path
) -> None:
    import llmner.extraction.runs

    gold, replies = corpus

    def full(*_: Any) -> bytes:
        raise OSError(28, "No space left on device")

    real = llmner.extraction.runs.dump_json
    calls: list[int] = []

    def dump(value: Any, **options: Any) -> bytes:
        if "spans" in value:
            calls.append(1)
            if len(calls) == 2:
                full()
        return real(value, **options)

    monkeypatch.setattr(llmner.extraction.runs, "dump_json", dump)
    output = tmp_path / "out.jsonl"
    told = run(
        "extract", "-i", gold, "-o", output, "--engine", "recorded", "--replies", replies, code=1
    )
    assert "No space left on device" in told.stderr
    assert not output.exists()


class Silent(Exception):  # noqa: N818 - as somebody's library may call it
    def __str__(self) -> str:
        raise RuntimeError("even this fails")


def test_what_is_told_is_one_line_of_sensible_length() -> None:
    def fail(error: Exception) -> None:
        raise error

    for error, told in (
        (ValueError("a\n b\x00\u202e\ud800"), "ValueError: a b\\x00\\u202e\\ud800"),
        (ValueError(), "ValueError"),
        (KeyError("a"), "KeyError: 'a'"),
        (Silent(), "Silent"),
    ):
        assert str(attempt(fail, error)) == told
    assert len(str(attempt(fail, ValueError("x" * 10**6)))) < 400
    assert attempt(len, "abc") == 3
    assert not isinstance(attempt(len, "abc"), Mishap)


@pytest.mark.parametrize("size", [10**4, 10**7])
def test_a_line_is_made_of_the_beginning_of_a_text(size: int) -> None:
    assert one_line("\x1b" * size, 20) == "\\x1b\\x1b\\x1b\\x1b\\x1b\\x1b"[:19] + "…"
