"""Options of the commands that generate: grounding, scores, samples, calibration, merging; on a
tiny model.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from llmner.cli import app
from llmner.corpora import read_corpus, write_corpus
from llmner.extraction.confidence import Calibrator
from llmner.spans import Sentence, Span
from tests.engines.endpoint import Endpoint, serving
from tests.tiny import tiny_model

pytest.importorskip("torch", reason='needs pip install "llmner[local]"')

TEXTS = ("손흥민은 춘천에서 태어났다.", "7.2㎞를 달렸다.")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_model(tmp_path_factory.mktemp("base")))


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    gold = ((Span(0, 3, "PS"), Span(5, 7, "LC")), (Span(0, 4, "QT"),))
    path = tmp_path / "gold.jsonl"
    write_corpus(
        [
            Sentence(text, spans, f"s{at}")
            for at, (text, spans) in enumerate(zip(TEXTS, gold, strict=True))
        ],
        path,
        "spans",
    )
    return path


def run(*arguments: Any, code: int = 0) -> Any:
    result = CliRunner().invoke(app, [*map(str, arguments)])
    assert result.exit_code == code, result.output
    return result


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def extract(model: str, corpus: Path, output: Path, *more: Any, code: int = 0) -> Any:
    return run(
        "extract",
        "--input",
        corpus,
        "--output",
        output,
        "--model",
        model,
        "--max-new-tokens",
        24,
        *more,
        code=code,
    )


def test_grounded_replies_name_only_what_is_in_the_text(
    model: str, corpus: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.jsonl"
    extract(model, corpus, output, "--grounded", "--recipe", "klue-mini")
    for row in rows(output):
        assert all(outcome["text"] in row["text"] for outcome in row["outcomes"])
        assert all(0 <= span["score"] <= 1 for span in row["spans"])
    assert json.loads((tmp_path / "out.jsonl.run.json").read_text("utf-8"))["grounded"] is True


def test_a_score_that_is_too_low_drops_the_span(model: str, corpus: Path, tmp_path: Path) -> None:
    # A random model is sure of nothing.
    extract(
        model,
        corpus,
        tmp_path / "out.jsonl",
        "--grounded",
        "--recipe",
        "klue-mini",
        "--min-score",
        0.9,
    )
    for row in rows(tmp_path / "out.jsonl"):
        assert row["spans"] == []
        # Half a number is in the text, and no place of a name.
        assert {o["kind"] for o in row["outcomes"]} <= {
            "unsure",
            "surplus",
            "overlapped",
            "not_found",
        }


def test_samples_are_kept_and_put_to_the_vote(model: str, corpus: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    extract(model, corpus, output, "--grounded", "--recipe", "klue-mini", "--samples", 3)
    for row in rows(output):
        assert len(row["samples"]) == 3
        assert row["reply"] == row["samples"][0]
    record = json.loads((tmp_path / "out.jsonl.run.json").read_text("utf-8"))
    assert (record["samples"], record["decoding"]) == (3, "t=0.7")
    # The same draws again.
    extract(
        model,
        corpus,
        tmp_path / "again.jsonl",
        "--grounded",
        "--recipe",
        "klue-mini",
        "--samples",
        3,
    )
    assert rows(tmp_path / "again.jsonl") == rows(output)


def test_what_cannot_be_is_refused_before_a_model_is_loaded(corpus: Path, tmp_path: Path) -> None:
    output, replies = tmp_path / "out.jsonl", tmp_path / "replies.jsonl"
    replies.write_text(
        '{"id": "s0", "reply": "{}"}\n{"id": "s1", "reply": "{}"}\n', encoding="utf-8"
    )
    for told, *options in (
        (
            "the recorded engine cannot keep replies",
            "--engine",
            "recorded",
            "--replies",
            replies,
            "--grounded",
        ),
        ("cannot be both grounded and kept", "--grounded", "--json-schema", "--recipe", "klue"),
        ("replies in pairs have no JSON schema", "--json-schema"),
        (
            "with --temperature 0 all --samples would be the same",
            "--samples",
            2,
            "--temperature",
            0,
        ),
        ("--max-model-len does not apply to --engine transformers", "--max-model-len", 100),
        (
            "--gpu-memory-utilization does not apply",
            "--gpu-memory-utilization",
            0.5,
            "--engine",
            "openai",
        ),
        ("no such file", "--calibration", tmp_path / "nowhere.json"),
    ):
        result = run("extract", "--input", corpus, "--output", output, *options, code=2)
        assert told in result.stderr, result.stderr
    assert not output.exists()


def test_scores_are_calibrated_by_what_was_right(model: str, corpus: Path, tmp_path: Path) -> None:
    predicted, fitted = tmp_path / "predicted.jsonl", tmp_path / "calibration.json"
    gold = list(read_corpus(corpus))
    lines = [
        {
            "id": "s0",
            "text": TEXTS[0],
            "spans": [{"start": 0, "end": 3, "label": "PS", "score": 0.9}],
        },
        {
            "id": "s1",
            "text": TEXTS[1],
            "spans": [{"start": 0, "end": 3, "label": "QT", "score": 0.3}],
        },
    ]
    predicted.write_text(
        "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8"
    )
    told = run("calibrate", "--gold", corpus, "--predicted", predicted, "--output", fitted)
    assert (
        "fitted on 2 spans of 2 sentences; before, their expected calibration error (ECE) was 0.200"
        in told.stderr
    )
    calibrator = Calibrator.load(fitted)
    assert (calibrator(0.9), calibrator(0.3)) == (1.0, 0.0)
    extract(
        model,
        corpus,
        tmp_path / "out.jsonl",
        "--grounded",
        "--recipe",
        "klue-mini",
        "--calibration",
        fitted,
    )
    record = json.loads((tmp_path / "out.jsonl.run.json").read_text("utf-8"))
    assert record["calibration"] == calibrator.hash
    for row in rows(tmp_path / "out.jsonl"):
        assert all(span["score"] == 0.0 for span in row["spans"] if span["score"] < 0.3)
    assert len(gold) == 2
    unscored = tmp_path / "unscored.jsonl"
    write_corpus(gold, unscored, "spans")
    refused = run(
        "calibrate", "--gold", corpus, "--predicted", unscored, "--output", fitted, code=2
    )
    assert "no prediction has a score" in refused.stderr
    over = run(
        "calibrate", "--gold", corpus, "--predicted", predicted, "--output", predicted, code=2
    )
    assert "would overwrite another file" in over.stderr


def test_evaluations_take_the_same_options(model: str, corpus: Path, tmp_path: Path) -> None:
    result = run(
        "evaluate", "--gold", corpus, "--engine", "transformers", "--model", model, "--recipe", "klue-mini",
        "--max-new-tokens", 24, "--grounded", "--json", "--resamples", 0,
    )  # fmt: skip
    found = json.loads(result.stdout)
    assert found["signature"]["grounded"] is True
    assert found["replies"]["unreadable"] == 0
    assert found["calibration"] is not None


def test_an_endpoint_is_asked_for_grounded_replies(corpus: Path, tmp_path: Path) -> None:
    def answer(question: str) -> str:
        return "손흥민\tPS" if "손흥민" in question else "-"

    output = tmp_path / "out.jsonl"
    with serving(Endpoint(answer, tokens=lambda text: [(char, -0.1) for char in text])) as there:
        run(
            "extract", "--input", corpus, "--output", output, "--engine", "openai", "--base-url", there.url,
            "--recipe", "klue-mini", "--grounded",
        )  # fmt: skip
    spans = [row["spans"] for row in rows(output)]
    assert [[(span["start"], span["end"], span["label"]) for span in each] for each in spans] == [
        [(0, 3, "PS")],
        [],
    ]
    assert spans[0][0]["score"] == pytest.approx(0.5488, abs=1e-3)
    assert all(
        "substring_chunks" in body["structured_outputs"]["grammar"] for body in there.bodies[1:]
    )


def test_an_adapter_is_merged_into_a_model_that_brings_its_recipe(tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    import torch
    import transformers

    base = tiny_model(tmp_path / "base")
    model = transformers.AutoModelForCausalLM.from_pretrained(base)
    torch.manual_seed(1)
    adapted = peft.get_peft_model(
        model,
        peft.LoraConfig(
            r=4, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM"
        ),
    )
    adapted.save_pretrained(tmp_path / "adapter")
    (tmp_path / "adapter" / "recipe.yaml").write_text(
        "extends: klue-mini\nname: mine\n", encoding="utf-8"
    )
    merged = tmp_path / "merged"
    told = run("merge", tmp_path / "adapter", "--model", base, "--output", merged)
    assert f"{merged} is the merged model" in told.stderr
    asked = ["손흥민", "--max-new-tokens", 12, "--json"]
    # It has learnt nothing, so its answer is cut off.
    one = run("extract", *asked, "--model", base, "--adapter", tmp_path / "adapter", code=1).stdout
    other = run("extract", *asked, "--model", merged, code=1).stdout
    assert json.loads(one) == json.loads(other)
    assert json.loads(one)["finish_reason"] == "length"
    again = run("merge", tmp_path / "adapter", "--model", base, "--output", merged, code=2)
    assert "already exists" in again.stderr
    named = run(
        "merge",
        tmp_path / "adapter",
        "--model",
        "LGAI-EXAONE/EXAONE-4.0-1.2B",
        "--output",
        tmp_path / "x",
        code=2,
    )
    assert 'begins with "EXAONE"' in named.stderr
