"""A guaranteed precision holds as often as it says."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta, binom
from typer.testing import CliRunner

from llmner.cli import app
from llmner.corpora import read_corpus
from llmner.errors import InputError
from llmner.extraction.confidence import Calibrator
from llmner.extraction.guarantee import Guarantee, binomial_tail, guarantee
from llmner.projection import Projection
from llmner.spans import Sentence, Span


@given(st.integers(1, 400), st.integers(0, 400), st.floats(0.01, 0.99))
def test_the_tail_is_scipys_and_its_bound_clopper_and_pearsons(
    count: int, right: int, share: float
) -> None:
    right = min(right, count)
    tail = binomial_tail(right, count, share)
    assert tail == pytest.approx(binom.sf(right - 1, count, share), abs=1e-9)
    if right:
        bound = beta.ppf(0.05, right, count - right + 1)
        assert (tail <= 0.05) == (bound >= share) or abs(bound - share) < 1e-9


def drawn(rng: random.Random, count: int, curve: float, ties: bool) -> list[tuple[float, bool]]:
    """Scores from 0 to 1, each right with a probability that rises with it."""
    pairs = []
    for _ in range(count):
        score = rng.random()
        score = round(score, 1) if ties else score
        pairs.append((score, rng.random() < truth(score, curve)))
    return pairs


def truth(score: float, curve: float) -> float:
    return 1 - 0.6 * (1 - score) ** curve


@pytest.mark.parametrize(
    ("count", "curve", "target", "ties"),
    [(300, 3.0, 0.85, False), (1000, 3.0, 0.93, False), (1000, 2.0, 0.85, True), (2000, 4.0, 0.97, False)],
)  # fmt: skip
def test_of_500_splits_at_most_one_in_twenty_breaks_the_promise(
    count: int, curve: float, target: float, ties: bool
) -> None:
    rng = random.Random(7)
    grid = [(rng.random()) for _ in range(4000)]
    grid = [round(score, 1) for score in grid] if ties else grid
    broken = found = 0
    for _ in range(500):
        own = guarantee(drawn(rng, count, curve, ties), target, 0.95)
        if own is None:
            continue
        found += 1
        kept = [truth(score, curve) for score in grid if score >= own.min_score]
        broken += bool(kept) and sum(kept) / len(kept) < target
    # The probability of more, if the promise holds in exactly 95 of 100, is below one in a thousand.
    assert broken <= binom.ppf(0.999, 500, 0.05)
    assert found > 250


def test_where_nothing_can_be_promised_nothing_is() -> None:
    assert guarantee([], 0.95) is None
    assert guarantee([(0.5, True)] * 50, 0.95) is None
    assert guarantee([(score / 1000, False) for score in range(1000)], 0.5) is None
    for wrong in (0.0, 1.0, -1.0, float("nan")):
        with pytest.raises(InputError, match="between 0 and 1"):
            guarantee([(0.5, True)], wrong)
        with pytest.raises(InputError, match="between 0 and 1"):
            guarantee([(0.5, True)], 0.9, wrong)


@given(
    st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=300),
    st.sampled_from([0.3, 0.5, 0.8]),
)
def test_calibrated_scores_keep_just_the_spans_that_the_promise_is_about(
    pairs: list[tuple[float, bool]], target: float
) -> None:
    pairs = pairs * 3
    calibrator = Calibrator.fit(pairs).with_guarantee(pairs, target, 0.8)
    own = guarantee(pairs, target, 0.8)
    assert (calibrator is None) == (own is None)
    if calibrator is None or own is None:
        return
    assert calibrator.guarantee is not None
    lowest = calibrator.guarantee.min_score
    kept = [score for score, _ in pairs if calibrator(score) >= lowest]
    # Scores that differ in the seventh decimal are one to a calibration.
    assert len([score for score, _ in pairs if score >= own.min_score + 1e-5]) <= len(kept)
    assert len(kept) <= len([score for score, _ in pairs if score >= own.min_score - 1e-5])


def test_a_file_keeps_it_and_says_what_is_wrong(tmp_path: Path) -> None:
    pairs = [(0.9, True)] * 400 + [(0.2, False)] * 100
    calibrator = Calibrator.fit(pairs).with_guarantee(pairs, 0.95)
    assert calibrator is not None
    path = tmp_path / "c.json"
    calibrator.save(path)
    assert Calibrator.load(path) == calibrator
    assert Calibrator.load(path).hash != Calibrator.fit(pairs).hash
    fields = json.loads(path.read_text(encoding="utf-8"))
    for change in ({"kept": -1}, {"kept": 2.5}, {"precision": 2}, {"min_score": "x"}, {"more": 1}):
        path.write_text(json.dumps(fields | {"guarantee": fields["guarantee"] | change}))
        with pytest.raises(InputError, match="is not a calibration"):
            Calibrator.load(path)
    path.write_text(json.dumps(fields | {"guarantee": 3}))
    with pytest.raises(InputError, match="is not a calibration"):
        Calibrator.load(path)


def test_spans_that_nothing_is_promised_of_are_set_aside() -> None:
    promise = Guarantee(0.95, 0.95, 0.5, 400, 400, 500)
    calibrator = Calibrator((0.0, 1.0), (0.0, 1.0), promise)
    spans = (Span(0, 3, "PS", 0.9), Span(5, 7, "LC", 0.4), Span(8, 9, "DT"))
    kept, review = calibrator.for_review(Projection("손흥민은 춘천에서", spans))
    assert kept.spans == spans[:1]
    assert review == spans[1:]
    plain = Calibrator((0.0, 1.0), (0.0, 1.0))
    assert plain.for_review(kept) == (kept, ())


def test_the_command_promises_and_extract_keeps_it(tmp_path: Path) -> None:
    """A vote of samples stands for a model: what has a high score is right."""
    gold = tmp_path / "gold.jsonl"
    predicted = tmp_path / "predicted.jsonl"
    rng = random.Random(3)
    golds, found = [], []
    for number in range(600):
        score = rng.random()
        right = rng.random() < score**0.2
        text = "Ada met Bob."
        golds.append(
            {"id": str(number), "text": text, "spans": [{"start": 0, "end": 3, "label": "P"}]}
        )
        span = {"start": 0, "end": 3 if right else 2, "label": "P", "score": score}
        found.append({"id": str(number), "text": text, "spans": [span]})
    for path, rows in ((gold, golds), (predicted, found)):
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    output = tmp_path / "calibration.json"
    arguments = ["calibrate", "--gold", gold, "--predicted", predicted, "--output", output]
    run = lambda *more: CliRunner().invoke(app, [str(each) for each in (*arguments, *more)])  # noqa: E731
    result = run("--target-precision", "0.85")
    assert result.exit_code == 0, result.output
    assert "with 95% confidence, at least 85% of the spans" in result.stderr
    calibrator = Calibrator.load(output)
    assert calibrator.guarantee is not None
    assert calibrator.guarantee.spans == 600
    refused = run("--target-precision", "0.9999")
    assert refused.exit_code == 2
    assert "cannot be guaranteed" in refused.stderr
    assert run("--target-precision", "1.5").exit_code == 2
    # Rows say what is for review, and it is none of the spans.
    replies = tmp_path / "replies.jsonl"
    reply = '{"P": [{"text": "Ada", "confidence": 0.01}]}'
    replies.write_text(json.dumps({"id": "0", "text": "Ada met Bob.", "reply": reply}) + "\n")
    out = tmp_path / "out.jsonl"
    engine = [
        "--engine",
        "recorded",
        "--replies",
        str(replies),
        "--recipe",
        str(tmp_path / "r.yaml"),
    ]
    (tmp_path / "r.yaml").write_text("name: r\nlabels: [P]\n")
    texts = tmp_path / "one.jsonl"
    texts.write_text(json.dumps({"id": "0", "text": "Ada met Bob.", "spans": []}) + "\n")
    done = CliRunner().invoke(
        app, ["extract", "-i", str(texts), "-o", str(out), *engine, "--calibration", str(output)]
    )
    assert done.exit_code == 0, done.output
    (row,) = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert row["spans"] == []
    assert [(span["start"], span["end"]) for span in row["review"]] == [(0, 3)]
    assert row["outcomes"][0]["kind"] == "unsure"
    (sentence,) = read_corpus(out)
    assert sentence == Sentence("Ada met Bob.", (), "0")
