"""The linear classifier of whole texts: what it learns, keeps, refuses, and how it is used."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from llmner.baselines import (
    BaselineExtractor,
    LinearClassifier,
    LinearClassifierConfig,
    load_baseline,
    train_baseline,
)
from llmner.cli import app
from llmner.corpora import write_corpus
from llmner.errors import InputError
from llmner.hub.taggers import push_baseline
from llmner.scoring import Prediction, evaluate
from llmner.spans import Sentence, TextLabel

WORDS = {
    "배송": ["택배가", "배송이", "도착이"],
    "가격": ["가격이", "값이", "비용이"],
    "맛": ["맛이", "풍미가", "국물이"],
}
JUDGED = {1: ["좋아요", "훌륭해요", "만족해요"], -1: ["나빠요", "별로예요", "실망이에요"]}


def reviews() -> list[Sentence]:
    rows = []
    for label, subjects in WORDS.items():
        for sentiment, verdicts in JUDGED.items():
            for subject in subjects:
                for verdict in verdicts:
                    given = TextLabel(label, {"sentiment": sentiment})
                    rows.append(Sentence(f"{subject} {verdict}", labels=(given,)))
    for one, other in (("배송", "맛"), ("가격", "배송")):
        for first, second in zip(WORDS[one], WORDS[other], strict=True):
            labels = (TextLabel(one, {"sentiment": 1}), TextLabel(other, {"sentiment": 1}))
            rows.append(Sentence(f"{first} 좋아요, {second} 좋아요", labels=labels))
    return [Sentence(row.text, id=str(n), labels=row.labels) for n, row in enumerate(rows)]


CONFIG = LinearClassifierConfig(buckets=1 << 12, folds=2)
SENTENCES = reviews()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("classifier") / "reviews"
    train_baseline(SENTENCES, CONFIG, place)
    return place


def test_labels_and_their_attributes_are_learnt(folder: Path) -> None:
    extractor = BaselineExtractor(folder)
    assert extractor.about == "texts"
    assert extractor.labels == ("가격", "맛", "배송")
    extractions = list(extractor.extract(SENTENCES))
    predictions = [Prediction.of(extraction) for extraction in extractions]
    result = evaluate(SENTENCES, predictions, resamples=20).to_dict()["text_labels"]
    assert result["micro"]["f1"] > 0.97
    assert result["pairs"]["f1"] > 0.95
    # Words that it has not seen together.
    (extraction,) = extractor.extract(["국물이 실망이에요"])
    (label,) = extraction.labels
    assert (label.label, label.attributes) == ("맛", {"sentiment": -1})
    assert isinstance(label.attributes["sentiment"], int)
    assert label.score is not None
    assert 0 < label.score <= 1
    assert extraction.row()["labels"][0]["label"] == "맛"


def test_the_same_texts_give_the_same_model(folder: Path, tmp_path: Path) -> None:
    again = train_baseline(SENTENCES, CONFIG, tmp_path / "again").baseline
    loaded = load_baseline(folder)
    texts = [sentence.text for sentence in SENTENCES]
    assert loaded.tag(texts) == again.tag(texts)
    # A text has the same labels whatever its company, and any text has some.
    assert [loaded.tag([text])[0] for text in texts[:9]] == list(loaded.tag(texts[:9]))
    assert loaded.tag([]) == []
    for text in ("", "\ud800", "가" * 50_000, "\x00"):
        assert len(loaded.tag([text])[0]) > 0


def test_held_out_texts_choose_thresholds(tmp_path: Path) -> None:
    trained = train_baseline(SENTENCES, CONFIG, tmp_path / "a", held_out=12)
    (epoch,) = trained.epochs
    assert epoch.f1 is not None
    assert epoch.f1 > 0.6
    record = json.loads((tmp_path / "a" / "baseline.json").read_text(encoding="utf-8"))
    assert record["kind"] == "linear-classifier"
    assert set(record["tags"]) == set(WORDS)
    classes = json.loads((tmp_path / "a" / "classifier.json").read_text(encoding="utf-8"))
    assert classes["at_least_one"] is True
    assert all(0 < threshold < 1 for threshold in classes["thresholds"])
    fixed = train_baseline(SENTENCES, LinearClassifierConfig(folds=0), tmp_path / "b").baseline
    assert isinstance(fixed, LinearClassifier)
    assert fixed.probabilities(["맛이 좋아요"]).shape == (1, 3)


def test_rare_labels_weigh_more_if_that_is_asked_for(tmp_path: Path) -> None:
    texts = [*SENTENCES, Sentence("포장이 좋아요", labels=(TextLabel("포장"),))]
    balanced = LinearClassifierConfig(buckets=1 << 12, folds=0, class_weight="balanced")
    plain, weighted = (
        train_baseline(texts, config, tmp_path / str(n)).baseline
        for n, config in enumerate((CONFIG, balanced))
    )
    assert isinstance(plain, LinearClassifier)
    assert isinstance(weighted, LinearClassifier)
    index = plain.labels.index("포장")
    scores = [own.probabilities(["포장이 좋아요"])[0, index] for own in (plain, weighted)]
    assert scores[1] > scores[0]


def test_what_has_no_labels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the training texts have no labels"):
        train_baseline([Sentence("a")], CONFIG, tmp_path / "a")


def broken(folder: Path, tmp_path: Path) -> Path:
    place = tmp_path / "broken"
    place.mkdir()
    for file in folder.iterdir():
        (place / file.name).write_bytes(file.read_bytes())
    record = json.loads((place / "baseline.json").read_text(encoding="utf-8"))
    record["files"] = {}
    (place / "baseline.json").write_text(json.dumps(record), encoding="utf-8")
    return place


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("classifier.npz", b""),
        ("classifier.npz", b"PK\x03\x04 nothing"),
        ("classifier.json", b"[]"),
        ("classifier.json", b"{}"),
        ("classifier.json", b'{"buckets": 4096, "labels": ["a"], "thresholds": [], "ngrams": 4}'),
        ("pickle", b""),
        ("nan", b""),
    ],
)
def test_a_broken_folder_is_one_line_that_names_the_file(
    folder: Path, tmp_path: Path, file: str, content: bytes
) -> None:
    place = broken(folder, tmp_path)
    if file == "pickle":
        np.savez(place / "classifier.npz", labels=np.array([{"a": 1}], dtype=object))
    elif file == "nan":
        with np.load(place / "classifier.npz") as stored:
            arrays: dict[str, Any] = {name: stored[name] for name in stored.files}
        arrays["labels"][0, 0] = np.nan
        np.savez(place / "classifier.npz", **arrays)
    else:
        (place / file).write_bytes(content)
    with pytest.raises(InputError) as raised:
        load_baseline(place)
    assert "classifier." in str(raised.value)
    assert "\n" not in str(raised.value)


def test_the_command_trains_and_evaluates(tmp_path: Path) -> None:
    corpus = tmp_path / "reviews.jsonl"
    write_corpus(SENTENCES, corpus, "spans")
    output = tmp_path / "model"
    run = CliRunner().invoke
    arguments = ["train-baseline", "classifier", "--train", str(corpus), "--output", str(output)]
    result = run(app, [*arguments, "--buckets", "4096", "--folds", "2"])
    assert result.exit_code == 0, result.output
    assert "배송" in result.stdout
    assert "Loading" not in result.stderr
    arguments = ["evaluate", "--gold", str(corpus), "--engine", f"baseline:{output}"]
    result = run(app, arguments)
    assert result.exit_code == 0, result.output
    assert "with attributes" in result.stdout
    assert "not one entity" not in result.stderr
    result = run(app, [*arguments, "--json"])
    assert json.loads(result.stdout)["text_labels"]["micro"]["f1"] > 0.97
    result = run(app, ["extract", "--engine", f"baseline:{output}", "맛이 별로예요"])
    assert result.exit_code == 0, result.output
    assert "sentiment=-1" in result.stdout


def test_it_is_served_and_pushed_as_any_tagger(folder: Path, tmp_path: Path) -> None:
    testclient = pytest.importorskip("starlette.testclient", reason='needs "llmner[serve]"')
    from llmner.recipes import Recipe
    from llmner.serving import create_app
    from llmner.serving._service import Service

    service = Service(Recipe.load("klue"), tagger=BaselineExtractor(folder))
    with testclient.TestClient(create_app(service)) as client:
        deadline = time.monotonic() + 60
        while service.state != "ready" and time.monotonic() < deadline:
            time.sleep(0.02)
        one = client.post("/infer", json={"text": "맛이 별로예요"}).json()
        assert one["result"] == []
        assert one["labels"][0]["label"] == "맛"
        assert one["labels"][0]["attributes"] == {"sentiment": -1}
        many = client.post("/infer", json={"text": ["맛이 좋아요", "값이 좋아요"]}).json()
        assert [own[0]["label"] for own in many["labels"]] == ["맛", "가격"]
        row = client.post("/v1/extract", json={"texts": ["맛이 좋아요"]}).json()["results"][0]
        assert row["labels"][0]["label"] == "맛"
    result = push_baseline(folder, "me/reviews", dry_run=True)
    assert "classifier.npz" in dict(result.files)
    card = result.card
    assert "배송" in card
    assert "pipeline_tag: text-classification" in card


def test_it_stands_in_the_table_of_models(tmp_path: Path) -> None:
    corpus = tmp_path / "reviews.jsonl"
    write_corpus(SENTENCES, corpus, "spans")
    config = {
        "train": {"path": str(corpus)},
        "gold": {"path": str(corpus)},
        "models": [
            {"name": "linear", "train": "classifier", "options": {"buckets": 4096, "folds": 0}},
            {
                "name": "plain",
                "train": "classifier",
                "options": {"model": "linear", "buckets": 4096, "ngrams": 1},
            },
        ],
    }
    (tmp_path / "models.yaml").write_text(json.dumps(config), encoding="utf-8")
    arguments = ["compare-models", "--config", str(tmp_path / "models.yaml")]
    result = CliRunner().invoke(app, [*arguments, "--output", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    row = next(line for line in result.stdout.splitlines() if "micro F1" in line)
    assert float(row.split()[2]) > 90
