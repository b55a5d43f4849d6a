"""Baselines as a user meets them: train-baseline, extract, evaluate, compare, calibrate, push,
compare-models.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import get_args

import pytest
import yaml
from typer.testing import CliRunner, Result

pytest.importorskip("torch", reason='needs pip install "llmner[baselines]"')
pytest.importorskip("sklearn_crfsuite", reason='needs pip install "llmner[baselines]"')
pytest.importorskip("huggingface_hub")

from huggingface_hub import close_session

from llmner.baselines import find_baseline, push_baseline
from llmner.baselines._kinds import KINDS
from llmner.cli import app
from llmner.comparison import ModelEntry
from llmner.corpora import read_corpus, write_corpus
from llmner.errors import InputError
from tests.baselines.tiny import tiny_encoder
from tests.conftest import ROOT
from tests.hub.hub_server import TOKEN, HubServer, serving
from tests.tiny import tiny_model

SAMPLE = ROOT / "data" / "sample.tsv"


def run(*args: object) -> Result:
    return CliRunner().invoke(app, [str(arg) for arg in args])


def passed(*args: object) -> Result:
    result = run(*args)
    assert result.exit_code == 0, result.output
    return result


def refused(*args: object) -> str:
    result = run(*args)
    assert result.exit_code == 2, result.output
    message = result.stderr.strip().splitlines()[-1]
    assert message.startswith("error: ")
    return message


@pytest.fixture(scope="module")
def halves(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    place = tmp_path_factory.mktemp("corpus")
    sentences = list(read_corpus(SAMPLE))
    write_corpus(sentences[::2], place / "train.jsonl", "spans")
    write_corpus(sentences[1::2], place / "dev.jsonl", "spans")
    return place / "train.jsonl", place / "dev.jsonl"


@pytest.fixture(scope="module")
def crf(halves: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("crf") / "crf"
    result = passed(
        "train-baseline",
        "crf",
        "--train",
        halves[0],
        "--output",
        place,
        "--max-iterations",
        40,
        "--held-out",
        5,
    )
    assert "B-QT" in result.stdout
    assert "%" in result.stdout
    assert f"use it with --engine baseline:{place}" in result.stderr
    return place


def test_extract_shows_spans_with_scores(crf: Path) -> None:
    out = passed(
        "extract", "한빛전자는 오전 9시에 부산에서 연다.", "--engine", f"baseline:{crf}"
    ).stdout
    assert "score" in out
    assert "QT" in out
    rows = passed("extract", "오전 9시에 연다.", "--engine", f"baseline:{crf}", "--json").stdout
    row = json.loads(rows)
    assert set(row) == {"id", "text", "spans"}
    for span in row["spans"]:
        assert 0 <= span["score"] <= 1


def test_extract_to_a_file_evaluate_and_compare(
    crf: Path, halves: tuple[Path, Path], tmp_path: Path
) -> None:
    dev = halves[1]
    output = tmp_path / "out.jsonl"
    passed("extract", "--input", dev, "--output", output, "--engine", f"baseline:{crf}")
    assert len(output.read_text("utf-8").splitlines()) == 50
    record = json.loads((tmp_path / "out.jsonl.run.json").read_text("utf-8"))
    assert record["kind"] == "crf"
    asked = json.loads(
        passed(
            "evaluate",
            "--gold",
            dev,
            "--engine",
            f"baseline:{crf}",
            "--json",
            "--output",
            tmp_path / "run.json",
        ).stdout
    )
    read = json.loads(passed("evaluate", "--gold", dev, "--predicted", output, "--json").stdout)
    assert asked["micro"] == read["micro"]
    assert asked["micro"]["f1"] > 0.3
    assert asked["calibration"]["ece"] >= 0
    assert asked["signature"]["engine"] == "baseline"
    assert asked["replies"] == asked["outcomes"] == {}
    passed("compare", tmp_path / "run.json", tmp_path / "run.json", "--report", tmp_path / "r.html")
    passed("calibrate", "--gold", dev, "--predicted", output, "--output", tmp_path / "c.json")
    kept = tmp_path / "sure.jsonl"
    passed(
        "extract", "--input", dev, "--output", kept, "--engine", f"baseline:{crf}",
        "--calibration", tmp_path / "c.json", "--min-score", 0.8,
    )  # fmt: skip
    counts = [
        sum(len(json.loads(line)["spans"]) for line in p.read_text("utf-8").splitlines())
        for p in (output, kept)
    ]
    assert counts[1] < counts[0]


def test_an_interrupted_run_goes_on(crf: Path, halves: tuple[Path, Path], tmp_path: Path) -> None:
    whole, partial = tmp_path / "whole.jsonl", tmp_path / "again.jsonl"
    passed("extract", "--input", halves[1], "--output", whole, "--engine", f"baseline:{crf}")
    lines = whole.read_bytes().splitlines(keepends=True)
    (tmp_path / "again.jsonl.partial").write_bytes(b"".join(lines[:20]) + lines[20][:9])
    record = (tmp_path / "whole.jsonl.run.json").read_bytes()
    (tmp_path / "again.jsonl.partial.run.json").write_bytes(record)
    result = passed(
        "extract", "--input", halves[1], "--output", partial, "--engine", f"baseline:{crf}"
    )
    assert "20 sentences were done already" in result.stderr
    assert partial.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize(
    "option",
    [
        ("--grounded",),
        ("--recipe", "klue"),
        ("--adapter", "none"),
        ("--samples", "3"),
        ("--window", "100"),
        ("--max-new-tokens", "8"),
    ],
)
def test_what_means_nothing_to_a_baseline_is_refused(crf: Path, option: tuple[str, ...]) -> None:
    for command in (["extract", "서울"], ["evaluate", "--gold", str(SAMPLE)]):
        message = refused(*command, "--engine", f"baseline:{crf}", *option)
        assert f"{option[0]} does not apply to a baseline" in message


def test_what_is_no_baseline(tmp_path: Path) -> None:
    assert "no such folder" in refused(
        "extract", "서울", "--engine", f"baseline:{tmp_path / 'none'}"
    )
    assert "holds no baseline.json" in refused(
        "extract", "서울", "--engine", f"baseline:{tmp_path}"
    )
    assert "no such folder" in refused("extract", "서울", "--engine", "baseline:x")


def test_training_again_needs_restart(crf: Path, halves: tuple[Path, Path]) -> None:
    message = refused("train-baseline", "crf", "--train", halves[0], "--output", crf)
    assert "--restart" in message
    assert "no such file" in refused(
        "train-baseline", "crf", "--train", "none.tsv", "--output", crf / "x"
    )


def test_compare_models_trains_loads_and_writes_one_table(
    crf: Path, halves: tuple[Path, Path], tmp_path: Path
) -> None:
    train, dev = halves
    output = tmp_path / "out.jsonl"
    passed("extract", "--input", dev, "--output", output, "--engine", f"baseline:{crf}")
    config = tmp_path / "models.yaml"
    held = {
        "gold": {"path": str(dev)},
        "train": {"path": str(train)},
        "held_out": 5,
        "resamples": 50,
        "models": [
            {"name": "CRF", "train": "crf", "held_out": 0, "options": {"max_iterations": 10}},
            {"name": "BiLSTM & CRF", "train": "bilstm-crf", "options": {"epochs": 2, "hidden": 8}},
            {"name": "loaded <b>", "baseline": str(crf)},
            {"name": "a file", "predicted": str(output)},
        ],
        "published": [{"name": "BERT", "figures": {"entity F1": 84.77}, "source": "its paper"}],
    }
    config.write_text(yaml.safe_dump(held, allow_unicode=True), "utf-8")
    folder = tmp_path / "models"
    result = passed("compare-models", "--config", config, "--output", folder, "--json")
    found = {row["name"]: row for row in json.loads(result.stdout)["models"]}
    assert list(found) == ["CRF", "BiLSTM & CRF", "loaded <b>", "a file"]
    assert found["loaded <b>"]["micro"] == found["a file"]["micro"]
    for name in ("CRF", "BiLSTM & CRF", "loaded <b>"):
        facts = found[name]["facts"]
        assert facts["training_seconds"] > 0
        assert facts["sentences_a_second"] > 0
        assert facts["parameters"] > 1000
        assert facts["bytes"] > 1000
    assert found["a file"]["facts"]["parameters"] is None
    assert len(found["BiLSTM & CRF"]["epochs"]) == 2
    table = (folder / "models.md").read_text("utf-8")
    assert "| CRF |" in table
    assert "BERT: entity F1 84.77" in table
    page = (folder / "report.html").read_text("utf-8")
    assert "loaded &lt;b&gt;" in page
    assert "<b>loaded" not in page.replace("<b>loaded &lt;b&gt;</b>", "")
    assert "data:image/png;base64," in page
    assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")
    passed("compare", folder / "crf.run.json", folder / "a-file.run.json")
    again = passed("compare-models", "--config", config, "--output", folder)
    assert again.stderr.count("trained already") == 2
    assert "published elsewhere: BERT" in again.stdout
    held["models"] = held["models"][:1]
    held["models"][0]["options"] = {"max_iterations": 11}
    config.write_text(yaml.safe_dump(held, allow_unicode=True), "utf-8")
    assert (
        "trained already"
        not in passed("compare-models", "--config", config, "--output", folder).stderr
    )


def test_the_other_kinds_through_the_command(halves: tuple[Path, Path], tmp_path: Path) -> None:
    train, dev = halves
    passed(
        "train-baseline", "bilstm-crf", "--train", train, "--output", tmp_path / "b", "--epochs", 2, "--hidden", 8,
        "--dropout", 0.25, "--patience", 1, "--batch-size", 4, "--learning-rate", 0.01, "--held-out", 6, "--seed", 3,
    )  # fmt: skip
    record = json.loads((tmp_path / "b" / "baseline.json").read_text("utf-8"))
    config = record["config"]
    wanted = {
        "epochs": 2,
        "hidden": 8,
        "dropout": 0.25,
        "patience": 1,
        "batch_size": 4,
        "learning_rate": 0.01,
    }
    assert {key: config[key] for key in wanted} == wanted
    assert (record["held_out"], record["seed"], config["seed"]) == (6, 3, 3)
    base = tiny_encoder(tmp_path / "base")
    result = passed(
        "train-baseline", "encoder", "--model", base, "--train", train, "--output", tmp_path / "e", "--epochs", 1,
        "--batch-size", 4, "--learning-rate", 0.001, "--warmup", 0.1, "--weight-decay", 0.01, "--max-length", 64,
        "--stride", 8, "--freeze-encoder", "--held-out", 6, "--json",
    )  # fmt: skip
    assert json.loads(result.stdout)["epochs"][0]["eval_loss"] > 0
    config = json.loads((tmp_path / "e" / "baseline.json").read_text("utf-8"))["config"]
    wanted = {
        "warmup": 0.1,
        "weight_decay": 0.01,
        "max_length": 64,
        "stride": 8,
        "freeze_encoder": True,
    }
    assert {key: config[key] for key in wanted} == wanted
    passed("evaluate", "--gold", dev, "--engine", f"baseline:{tmp_path / 'e'}", "--device", "cpu")
    message = refused(
        "extract", "서울", "--engine", f"baseline:{tmp_path / 'b'}", "--device", "cpu"
    )
    assert "--device does not apply" in message


def test_compare_models_asks_engines_once_and_goes_on(
    halves: tuple[Path, Path], tmp_path: Path
) -> None:
    model = tiny_model(tmp_path / "tiny")
    config = tmp_path / "models.yaml"
    options = {"model": str(model), "max_new_tokens": 4, "batch_size": 2}
    held = {
        "gold": {"path": str(halves[1])},
        "limit": 12,
        "resamples": 0,
        "models": [
            {"name": "tiny", "engine": "transformers", "recipe": "klue-mini", "options": options}
        ],
    }
    config.write_text(yaml.safe_dump(held), "utf-8")
    folder = tmp_path / "out"

    def facts(*more: str) -> dict[str, float]:
        result = passed("compare-models", "--config", config, "--output", folder, "--json", *more)
        (row,) = json.loads(result.stdout)["models"]
        found: dict[str, float] = row["facts"]
        return found

    first = facts()
    assert first["timed_sentences"] == 12
    assert first["sentences_a_second"] > 0
    assert first["parameters"] > 1000
    (rows,) = folder.glob("tiny-*.rows.jsonl")
    whole = rows.read_bytes()
    # Called again it asks nothing; interrupted it asks the rest.
    assert facts() == {
        **first,
        "sentences_a_second": pytest.approx(first["sentences_a_second"], rel=0.01),
    }
    rows.write_bytes(b"".join(whole.splitlines(keepends=True)[:8]))
    assert facts()["timed_sentences"] == 16
    assert rows.read_bytes() == whole
    assert facts("--restart")["timed_sentences"] == 12
    # Other settings are other rows.
    options["max_new_tokens"] = 5
    config.write_text(yaml.safe_dump(held), "utf-8")
    assert facts()["timed_sentences"] == 12
    assert len(list(folder.glob("tiny-*.rows.jsonl"))) == 2


def test_every_kind_of_baseline_can_be_compared() -> None:
    kinds = [kind for kind in get_args(ModelEntry.model_fields["train"].annotation) if kind]
    names = [name for choice in kinds for name in get_args(choice)]
    # Which classifier it is, its model says.
    classifiers = {"linear-classifier", "encoder-classifier"}
    told = ["classifier" if name in classifiers else name for name in KINDS]
    assert names == list(dict.fromkeys(told))
    assert all(kind.tagger.kind == name for name, kind in KINDS.items())


@pytest.mark.parametrize(
    ("models", "told"),
    [
        (
            [{"name": "x"}],
            "models.0: needs exactly one of train, baseline, engine and predicted, has 0",
        ),
        ([{"name": "x", "train": "crf", "predicted": "p"}], "has 2"),
        ([{"name": "x", "train": "svm"}], "models.0.train"),
        (
            [{"name": "x", "train": "crf"}, {"name": "X", "train": "crf"}],
            "two models have the same name",
        ),
        ([{"name": "x", "train": "crf", "grounded": True}], "can only be used with engine"),
        ([{"name": "x", "train": "crf", "options": {"c9": 1}}], "options.c9"),
        ([{"name": "x", "engine": "transformers", "options": {"c9": 1}}], "options: "),
        ([], "models"),
    ],
)
def test_configurations_that_are_wrong_name_the_field(
    models: list[dict[str, object]], told: str, tmp_path: Path
) -> None:
    config = tmp_path / "models.yaml"
    held = {"gold": {"path": str(SAMPLE)}, "train": {"path": str(SAMPLE)}, "models": models}
    config.write_text(yaml.safe_dump(held), "utf-8")
    assert told in refused("compare-models", "--config", config, "--output", tmp_path / "out")
    config.write_text("- a", "utf-8")
    assert "has no fields" in refused(
        "compare-models", "--config", config, "--output", tmp_path / "out"
    )


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubServer]:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1,localhost")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    close_session()
    with serving(HubServer()) as server:
        yield server
    close_session()


Push = Callable[..., None]


def test_a_baseline_goes_to_the_hub_with_a_card(
    crf: Path, halves: tuple[Path, Path], hub: HubServer, tmp_path: Path
) -> None:
    (crf / "notes.txt").write_text("mine")
    evaluation = tmp_path / "evaluation-dev.json"
    found = passed("evaluate", "--gold", halves[1], "--engine", f"baseline:{crf}", "--json").stdout
    evaluation.write_text(found, "utf-8")
    told: list[str] = []
    result = push_baseline(
        crf,
        "someone/klue-crf",
        evaluations=[evaluation],
        token=TOKEN,
        endpoint=hub.url,
        report=told.append,
    )
    files = hub.repos["someone/klue-crf"].files
    assert hub.repos["someone/klue-crf"].summaries[0].startswith("Upload tagger with llmner ")
    assert set(files) == {"README.md", "baseline.json", "evaluation-dev.json", "model.crfsuite"}
    assert files["model.crfsuite"][0] == (crf / "model.crfsuite").read_bytes()
    assert result.left == (("notes.txt", "not part of a baseline"),)
    about = yaml.safe_load(result.card.split("---")[1])
    assert about["library_name"] == "sklearn-crfsuite"
    assert "baseline:someone/klue-crf" in result.card
    f1 = json.loads(found)["micro"]["f1"]
    assert f"| {100 * f1:.2f} |" in result.card
    assert b"/tmp" not in files["baseline.json"][0]
    out = passed("push", crf, "--repo", "someone/klue-crf", "--dry-run").stdout
    assert "model.crfsuite" in out


def test_tokens_and_other_peoples_files_are_not_published(crf: Path, tmp_path: Path) -> None:
    record = json.loads((crf / "baseline.json").read_text("utf-8"))
    (tmp_path / "model.crfsuite").write_bytes((crf / "model.crfsuite").read_bytes())
    secret = "hf_" + "a" * 34
    (tmp_path / "baseline.json").write_text(json.dumps({**record, "config": {"note": secret}}))
    with pytest.raises(InputError, match="looks like a token"):
        push_baseline(tmp_path, "someone/crf", dry_run=True)
    (tmp_path / "baseline.json").write_text(json.dumps(record))
    (tmp_path / "evaluation-x.json").write_text("{}")
    with pytest.raises(InputError, match="not an evaluation"):
        push_baseline(tmp_path, "someone/crf", dry_run=True)
    assert "--recipe does not apply" in refused(
        "push", crf, "--repo", "a/b", "--recipe", "klue", "--dry-run"
    )
    with pytest.raises(InputError, match="no such folder"):
        find_baseline("/nowhere/at-all")
