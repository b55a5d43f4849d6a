"""A student learns from what a teacher is certain of."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from llmner.cli import app
from llmner.corpora import write_corpus
from llmner.labelling import certain
from llmner.spans import Sentence
from tests.labelling.test_audit import PEOPLE, PLACES, corpus

pytest.importorskip("sklearn_crfsuite", reason='needs pip install "llmner[baselines]"')
from llmner.baselines import BaselineExtractor


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("teacher")
    write_corpus(corpus(200), folder / "gold.jsonl", "spans")
    done = run("train-baseline", "crf", "--train", folder / "gold.jsonl", "-o", folder / "crf")
    assert done.exit_code == 0, done.output
    return folder / "crf"


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    rng = random.Random(9)
    lines = [
        f"{rng.choice(PEOPLE)}은 {rng.choice(('아침', '저녁'))} {rng.choice(PLACES)}에서 {rng.choice(('쉬었다', '걸었다'))}."
        for _ in range(80)
    ]
    path = tmp_path / "texts.txt"
    path.write_text("\n".join(dict.fromkeys(lines)) + "\n", encoding="utf-8")
    return path


def test_a_student_finds_what_its_teacher_was_certain_of(
    teacher: Path, texts: Path, tmp_path: Path
) -> None:
    output = tmp_path / "student"
    arguments = ["distill", texts, "--model", f"baseline:{teacher}", "--output", output]
    result = run(*arguments, "--min-score", "0.5")
    assert result.exit_code == 0, result.output
    assert "sentences teach" in result.stderr
    (found,) = BaselineExtractor(output).extract(["손흥민은 아침 춘천에서 걸었다."])
    assert [(span.text, span.label) for span in found.spans] == [("손흥민", "PS"), ("춘천", "LC")]
    # The teacher is asked once, whatever is made of it.
    rows = tmp_path / "student.teacher.jsonl"
    kept = rows.read_bytes()
    again = run(*arguments, "--min-score", "0.6")
    assert again.exit_code == 2
    assert "--restart" in again.stderr
    result = run(*arguments, "--min-score", "0.6", "--restart")
    assert result.exit_code == 0, result.output
    assert "already" in result.stderr
    assert rows.read_bytes() == kept


def test_what_is_labelled_already_is_not_asked_about(
    teacher: Path, texts: Path, tmp_path: Path
) -> None:
    lines = texts.read_text(encoding="utf-8").splitlines()
    labelled = tmp_path / "gold.jsonl"
    write_corpus([Sentence(line) for line in lines[:10]] + corpus(30), labelled, "spans")
    done = run(
        "distill", texts, "--model", f"baseline:{teacher}", "--labelled", labelled,
        "--output", tmp_path / "s", "--min-score", 0.5,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    rows = (tmp_path / "s.teacher.jsonl").read_text(encoding="utf-8").splitlines()
    assert {json.loads(row)["text"] for row in rows} == set(lines[10:])


def test_a_sentence_teaches_as_a_whole_or_not_at_all() -> None:
    def row(text: str, *scores: float | None, **more: Any) -> dict[str, Any]:
        spans = [
            {"start": n, "end": n + 1, "label": "A", **({} if score is None else {"score": score})}
            for n, score in enumerate(scores)
        ]
        return {"id": text, "text": text, "spans": spans, **more}

    silver = certain(
        [
            row("ab", 0.95, 0.9),
            row("cd", 0.95, 0.5),
            row("ef"),
            row("ab", 0.99, 0.99),
            row("gh", None),
            row("ij", 0.99, error="timed out"),
            row("kl", 0.99, status="truncated"),
            row("mn", 0.99, review=[{"start": 1, "end": 2, "label": "A"}]),
            row("op", 0.99, outcomes=[{"kind": "not_found"}]),
            row("qr", outcomes=[{"kind": "unsure"}]),
        ],
        0.9,
    )
    assert [sentence.text for sentence in silver.sentences] == ["ab", "ef"]
    assert silver.dropped == {"unsure": 5, "repeated": 1, "without a score": 1, "unanswered": 1}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--model", "crf"], "crf learns from labels, so it is no teacher"),
        (["--student", "bert"], "unknown student 'bert'"),
        (["--min-score", "1"], "try a lower --min-score"),
    ],
)
def test_slips_are_told(
    teacher: Path, texts: Path, tmp_path: Path, arguments: list[str], told: str
) -> None:
    result = run(
        "distill", texts, "--model", f"baseline:{teacher}", "--output", tmp_path / "s", *arguments
    )
    assert result.exit_code == 2, result.output
    assert told in result.stderr
