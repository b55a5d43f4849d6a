"""``evaluate`` and ``compare`` as a user meets them: figures, reports, kept runs, and what they
refuse.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from llmner.cli import app
from llmner.corpora import read_corpus, write_corpus
from llmner.recipes import Recipe
from llmner.replies import render_reply

Run = Callable[..., Result]


@pytest.fixture
def run() -> Run:
    def invoke(*args: object) -> Result:
        return CliRunner().invoke(app, [str(arg) for arg in args])

    return invoke


def passed(result: Result) -> str:
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(result: Result, *parts: str) -> None:
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    message = result.stderr.strip()
    assert message.startswith("error: ")
    assert "\n" not in message
    for part in parts:
        assert part in message


@pytest.fixture
def worse(tmp_path: Path, sample: Path) -> Path:
    """The sample with a fifth of its entities gone and a tenth under another label."""
    rng = random.Random(4)
    path = tmp_path / "worse.jsonl"
    write_corpus(
        [
            replace(
                sentence,
                spans=tuple(
                    replace(span, label="OG") if rng.random() < 0.1 else span
                    for span in sentence.spans
                    if rng.random() < 0.8
                ),
            )
            for sentence in read_corpus(sample)
        ],
        path,
        "spans",
    )
    return path


@pytest.fixture
def replies(tmp_path: Path, sample: Path, klue: Recipe) -> Path:
    path = tmp_path / "replies.jsonl"
    with path.open("w", encoding="utf-8") as stream:
        for sentence in read_corpus(sample):
            reply = render_reply(sentence, "json-by-type", klue.schema_)
            stream.write(
                json.dumps({"id": sentence.id, "text": sentence.text, "reply": reply}) + "\n"
            )
    return path


def evaluated(run: Run, *args: object) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(passed(run("evaluate", *args, "--json")))
    return result


def test_wrong_sentences_are_shown_in_the_terminal(
    run: Run, sample: Path, worse: Path, replies: Path
) -> None:
    sentences = list(read_corpus(sample))
    changed = [
        gold
        for gold, found in zip(sentences, read_corpus(worse), strict=True)
        if gold.spans != found.spans
    ]
    shown = passed(run("evaluate", "--gold", sample, "--predicted", worse, "--show-wrong", 3))
    for sentence in changed[:3]:
        assert f"\n{sentence.id}  " in shown
    assert f"\n{changed[3].id}  " not in shown
    assert shown.count("  gold: ") == shown.count("  worse: ") == 3
    first = changed[0].spans[0]
    assert f"{changed[0].surface(first)}[{first.label}]" in shown
    total = f"{len(changed)} of {len(sentences)} sentences are not all right"
    assert f"{total}; {len(changed) - 3} more" in shown
    shown = passed(run("evaluate", "--gold", sample, "--replies", replies, "--show-wrong", 3))
    assert f"0 of {len(sentences)} sentences are not all right" in shown


def test_every_figure_is_there_with_interval_and_signature(
    run: Run, sample: Path, worse: Path
) -> None:
    found = evaluated(run, "--gold", sample, "--predicted", worse)
    low, high = found["intervals"]["micro.f1"]
    assert low < found["micro"]["f1"] < high < 1
    assert found["micro"] == found["strict"]
    assert set(found["partial"]) == {"strict", "exact", "partial", "type"}
    assert found["partial"]["exact"]["f1"] > found["micro"]["f1"]
    assert set(found["klue"]) == {"entity_f1", "char_f1"}
    assert sum(loss["f1_lost"] for loss in found["losses"]) == pytest.approx(
        1 - found["micro"]["f1"]
    )
    assert {loss["cause"] for loss in found["losses"]} <= {"label", "missed", "repeat"}
    assert set(found["ceilings"]) == {"projection", "labels", "boundaries"}
    assert found["calibration"] is None
    assert "rows" not in found
    assert found["signature"]["predicted"]["name"] == "worse.jsonl"
    assert found["signature"]["interval"] == "bootstrap 95%, n=1000, seed=42"
    shown = passed(run("evaluate", "--gold", sample, "--predicted", worse))
    for part in (
        "micro (seqeval)",
        "95 % interval",
        "KLUE",
        "SemEval",
        "text level",
        "where the F1 went",
        "wrong label",
        "metric:",
    ):
        assert part in shown
    assert "F1 with perfect projection" in shown


def test_a_run_is_kept_and_compared(
    run: Run, tmp_path: Path, sample: Path, worse: Path, replies: Path
) -> None:
    for name, source in (("a", ("--predicted", worse)), ("b", ("--replies", replies))):
        passed(run("evaluate", "--gold", sample, *source, "--output", tmp_path / f"{name}.json"))
    found = json.loads(passed(run("compare", tmp_path / "a.json", tmp_path / "b.json", "--json")))
    held = found["differences"]["micro.f1"]
    assert held["b"] > held["a"]
    assert held["interval"][0] > 0
    assert held["p"] < 0.01
    assert found["a"]["predicted"]["name"] == "worse.jsonl"
    assert found["b"]["engine"] == "recorded"
    assert found["test"].startswith(
        "paired bootstrap 95%, n=1000; approximate randomisation, n=10000; seed=42"
    )
    assert found["changed"][0]["sentence"].startswith("sample_")
    # The same from the files themselves.
    passed(
        run(
            "extract",
            "--input",
            sample,
            "--output",
            tmp_path / "b.jsonl",
            "--engine",
            "recorded",
            "--replies",
            replies,
        )
    )
    again = json.loads(
        passed(run("compare", worse, tmp_path / "b.jsonl", "--gold", sample, "--json"))
    )
    assert again["differences"] == found["differences"]
    assert again["changed"] == found["changed"]
    shown = passed(run("compare", tmp_path / "a.json", tmp_path / "b.json", "--show", 1))
    assert f"{len(found['changed'])} sentences changed: b is better on {found['better']}" in shown
    assert f"and {len(found['changed']) - 1} more" in shown


def test_several_runs_stand_side_by_side(
    run: Run, tmp_path: Path, sample: Path, worse: Path, replies: Path
) -> None:
    args = ("--gold", sample, "--predicted", worse, "--predicted", sample, "--replies", replies)
    found = evaluated(run, *args)
    assert list(found["runs"]) == ["worse", "sample", "replies"]
    assert list(found["compared"]) == ["sample", "replies"]
    assert found["runs"]["sample"]["micro"]["f1"] == 1
    assert found["runs"]["worse"] == evaluated(run, "--gold", sample, "--predicted", worse)
    shown = passed(run("evaluate", *args, "--report", tmp_path / "r.html"))
    assert "lost: wrong label" in shown
    assert "sentences changed: replies is better on" in shown
    assert (tmp_path / "r.html").read_text("utf-8").startswith("<!doctype html>")


def test_a_report_is_html_or_markdown(run: Run, tmp_path: Path, sample: Path, worse: Path) -> None:
    args = ("evaluate", "--gold", sample, "--predicted", worse)
    passed(run(*args, "--report", tmp_path / "r.HTM"))
    passed(run(*args, "--report", tmp_path / "r.md"))
    assert (tmp_path / "r.HTM").read_text("utf-8").startswith("<!doctype html>")
    assert (tmp_path / "r.md").read_text("utf-8").startswith("### sample.tsv: 100 sentences")
    refused(run(*args, "--report", tmp_path / "r.pdf"), "r.pdf", "name it .html or .md")
    refused(run(*args, "--report", tmp_path / "no" / "r.html"), "its folder does not exist")


def test_part_of_a_corpus_is_scored_only_when_asked(
    run: Run, tmp_path: Path, sample: Path, replies: Path
) -> None:
    part = tmp_path / "part.jsonl"
    part.write_text(
        "".join(replies.read_text("utf-8").splitlines(keepends=True)[10:30]), encoding="utf-8"
    )
    refused(
        run("evaluate", "--gold", sample, "--replies", part),
        f"{part} (id",
        "80 of 100 sentences have no prediction",
        "--partial",
    )
    nothing = tmp_path / "nothing.jsonl"
    nothing.write_text('{"id": "x", "text": "가", "reply": ""}\n', encoding="utf-8")
    refused(
        run("evaluate", "--gold", sample, "--replies", nothing, "--partial"),
        f"{nothing}: no sentence has a prediction",
    )
    found = evaluated(run, "--gold", sample, "--replies", part, "--partial")
    assert found["sentences"] == found["signature"]["scored"]["sentences"] == 20
    assert found["signature"]["scored"]["sha256"] != found["signature"]["corpus"]["sha256"]
    both = evaluated(run, "--gold", sample, "--replies", part, "--predicted", sample, "--partial")
    assert [row["sentences"] for row in both["runs"].values()] == [20, 20]
    sampled = evaluated(run, "--gold", sample, "--replies", part, "--partial", "--limit", 5)
    assert sampled["sentences"] == 5


def test_broken_tags_of_predictions_are_told(run: Run, tmp_path: Path) -> None:
    (tmp_path / "g.conll").write_text("가\tB-LC\n나\tO\n다\tB-PS\n", encoding="utf-8")
    (tmp_path / "p.conll").write_text("가\tB-LC\n나\tO\n다\tI-PS\n", encoding="utf-8")
    result = run(
        "evaluate", "--gold", tmp_path / "g.conll", "--predicted", tmp_path / "p.conll", "--json"
    )
    found = json.loads(passed(result))
    assert found["micro"]["f1"] == 1
    assert found["strict"]["f1"] == pytest.approx(2 / 3)
    assert found["klue"]["entity_f1"] == 0.5
    assert found["signature"]["broken_tags"] == 1
    assert found["intervals"]["strict.f1"][0] < 1
    assert "1 broken tags were read as in seqeval's default mode" in result.stderr
    assert "for IOB2 files strict figures ignore such entities" in result.stderr


def test_what_does_not_fit_is_one_line(
    run: Run, tmp_path: Path, sample: Path, worse: Path, replies: Path
) -> None:
    kept = tmp_path / "kept.json"
    passed(run("evaluate", "--gold", sample, "--predicted", worse, "--output", kept, "--limit", 20))
    other = tmp_path / "other.json"
    passed(
        run(
            "evaluate",
            "--gold",
            sample,
            "--predicted",
            worse,
            "--output",
            other,
            "--limit",
            20,
            "--seed",
            7,
        )
    )
    refused(run("compare", kept, other), "other.json: another corpus or sample than that of")
    refused(
        run("compare", kept, worse),
        "worse.jsonl: not JSON",
        "expected what evaluate --output writes",
    )
    refused(run("compare", kept, tmp_path / "none.json"), "none.json: no such file")
    refused(
        run(
            "evaluate",
            "--gold",
            sample,
            "--predicted",
            worse,
            "--replies",
            replies,
            "--output",
            kept,
        ),
        "--output can keep only one run",
    )
    for args, message in (
        (("--output", tmp_path), "is a directory"),
        (("--output", "-"), "cannot write a run to standard output"),
        (("--output", "x" * 300), "(File name too long)"),
        (("--output", worse), "would overwrite another file of this command"),
        (("--report", tmp_path / "r.md", "--output", tmp_path / "r.md"), "would overwrite"),
        (("--output", "/dev/full"), "cannot be written (No space left on device)"),
        (("--predicted", "-", "--replies", "-"), "standard input is named twice"),
    ):
        refused(run("evaluate", "--gold", sample, "--predicted", worse, *args), message)
    figures = tmp_path / "figures.json"
    figures.write_text(
        passed(run("evaluate", "--gold", sample, "--predicted", worse, "--json")), encoding="utf-8"
    )
    refused(run("compare", figures, figures), "holds no rows", "--json leaves rows out")


def test_a_pipe_will_do(tmp_path: Path, sample: Path, worse: Path) -> None:
    command = f"{sys.executable} -m llmner evaluate --gold {sample} --json --predicted"
    for given in (
        f"{command} - < {worse}",
        f"cat {worse} | {command} -",
        f"{command} <(cat {worse})",
    ):
        done = subprocess.run(["bash", "-c", given], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["sentences"] == 100


def test_sentences_without_ids_are_numbered_alike_everywhere(run: Run, tmp_path: Path) -> None:
    gold, found = tmp_path / "gold.txt", tmp_path / "found.txt"
    gold.write_text("<가:PS>나\n<다:LC>라\n", encoding="utf-8")
    found.write_text("<가:PS>나\n다라\n", encoding="utf-8")
    args = ("compare", gold, found, "--gold", gold)
    assert json.loads(passed(run(*args, "--json")))["changed"] == [
        {"sentence": "#2", "errors": [0, 1]}
    ]
    assert "#2  errors 0 → 1" in passed(run(*args))


def test_a_full_disk_is_one_line(sample: Path, worse: Path) -> None:
    for command in (f"evaluate --gold {sample} --predicted {worse}", f"stats {sample} --json"):
        done = subprocess.run(
            ["bash", "-c", f"{sys.executable} -m llmner {command} > /dev/full"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        assert done.stderr.strip() == "error: [Errno 28] No space left on device"


def test_hand_made_runs_do_not_break_a_report(
    run: Run, tmp_path: Path, sample: Path, worse: Path
) -> None:
    kept = tmp_path / "kept.json"
    passed(run("evaluate", "--gold", sample, "--predicted", worse, "--output", kept))
    held = json.loads(kept.read_text("utf-8"))
    for signature in ({"corpus": "klue"}, {"corpus": {"name": 3}}, {"corpus": None}, "x", None):
        kept.write_text(json.dumps(held | {"signature": signature}), encoding="utf-8")
        passed(
            run(
                "compare",
                kept,
                kept,
                "--report",
                tmp_path / "r.html",
                "--resamples",
                5,
                "--shuffles",
                5,
            )
        )
    held["rows"][0]["spans"] = [{"start": 0, "end": 1, "label": "PS", "score": float("nan")}]
    kept.write_text(json.dumps(held), encoding="utf-8")
    refused(run("compare", kept, kept), "a span's 'score' is nan; expected a number from 0 to 1")


def test_without_resamples_a_comparison_has_no_interval(
    run: Run, tmp_path: Path, sample: Path, worse: Path
) -> None:
    args = ("--gold", sample, "--predicted", worse, "--predicted", sample, "--resamples", 0)
    found = evaluated(run, *args)
    assert found["compared"]["sample"]["differences"]["micro.f1"]["interval"] is None
    for name in ("r.html", "r.md"):
        passed(run("evaluate", *args, "--report", tmp_path / name))


def test_no_resamples_no_intervals(run: Run, sample: Path, worse: Path) -> None:
    found = evaluated(run, "--gold", sample, "--predicted", worse, "--resamples", 0)
    assert found["intervals"] == {}
    assert found["signature"]["interval"] is None


def test_the_published_sample_of_klue(run: Run, tmp_path: Path, klue_dev_v1: Path) -> None:
    found = evaluated(
        run, "--gold", klue_dev_v1, "--predicted", klue_dev_v1, "--limit", 100, "--seed", 42
    )
    assert found["gold_spans"] == 283
    support = {label: row["support"] for label, row in found["per_label"].items()}
    assert support == {"PS": 77, "QT": 55, "DT": 53, "LC": 45, "OG": 40, "TI": 13}
    assert found["signature"]["sample"] == {"limit": 100, "seed": 42}
