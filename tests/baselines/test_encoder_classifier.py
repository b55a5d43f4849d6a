"""Encoders as classifiers of whole texts: what they learn, keep, refuse, and how they are used."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

torch = pytest.importorskip("torch", reason='needs pip install "llmner[baselines]"')
transformers = pytest.importorskip("transformers", reason='needs pip install "llmner[baselines]"')

from llmner.baselines import (  # noqa: E402
    BaselineExtractor,
    EncoderClassifier,
    EncoderClassifierConfig,
    load_baseline,
    train_baseline,
)
from llmner.baselines._store import read_baseline_record  # noqa: E402
from llmner.baselines._text_labels import judge_labels  # noqa: E402
from llmner.cli import app  # noqa: E402
from llmner.corpora import write_corpus  # noqa: E402
from llmner.errors import InputError  # noqa: E402
from llmner.hub.taggers import push_baseline  # noqa: E402
from llmner.labelling import explain  # noqa: E402
from llmner.spans import Sentence, TextLabel  # noqa: E402
from tests.baselines.test_classifier import SENTENCES  # noqa: E402
from tests.baselines.tiny import tiny_encoder  # noqa: E402
from tests.killing import killed_once_there  # noqa: E402

TEXTS = [sentence.text for sentence in SENTENCES]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_encoder(tmp_path_factory.mktemp("bert"), texts=TEXTS)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("corpus") / "reviews.jsonl"
    write_corpus(SENTENCES, path, "spans")
    return path


def settings(base: Path, **changed: Any) -> dict[str, Any]:
    return {"model": str(base), "epochs": 12, "batch_size": 8, "learning_rate": 3e-3, **changed}


@pytest.fixture(scope="module")
def folder(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("trained") / "reviews"
    train_baseline(SENTENCES, EncoderClassifierConfig(**settings(base)), place)
    return place


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_labels_and_their_attributes_are_learnt(folder: Path) -> None:
    classifier = load_baseline(folder, device="cpu")
    assert isinstance(classifier, EncoderClassifier)
    assert classifier.labels == ("가격", "맛", "배송")
    assert judge_labels(SENTENCES, classifier.tag(TEXTS))[2] > 0.95
    (labels,) = classifier.tag(["맛이 나빠요"])
    (label,) = labels
    assert (label.label, label.attributes) == ("맛", {"sentiment": -1})
    assert isinstance(label.attributes["sentiment"], int)
    assert 0 < (label.score or 0) <= 1
    # The same in any company, and texts of all kinds are read.
    alone = [classifier.tag([text])[0] for text in TEXTS[:5]]
    together = classifier.tag([*TEXTS[:5], "가 " * 400, "", "\ud800", "\x00"])
    assert [[own.label for own in found] for found in together[:5]] == [
        [own.label for own in found] for found in alone
    ]
    assert all(together)
    assert classifier.tag([]) == []
    assert classifier.probabilities([]).shape == (0, 3)
    extractor = BaselineExtractor(folder)
    assert extractor.about == "texts"
    (row,) = (own.row() for own in extractor.extract(["배송이 좋아요"]))
    assert row["labels"][0]["attributes"] == {"sentiment": 1}


def test_a_long_text_is_read_to_its_end(folder: Path) -> None:
    classifier = load_baseline(folder, device="cpu")
    assert isinstance(classifier, EncoderClassifier)
    text = "좋아요 " * 300 + "맛이 " + "나빠요 " * 40
    assert len(classifier.encoded(text)) > 2
    index = classifier.labels.index("맛")
    whole, beginning = classifier.probabilities([text, "좋아요 " * 300])[:, index]
    assert whole > beginning + 0.3
    # The value is told from where the label is.
    (labels,) = classifier.tag([text])
    assert {"sentiment": -1} in [own.attributes for own in labels if own.label == "맛"]


def test_explanations_point_at_the_word(folder: Path) -> None:
    (explanations,) = explain(BaselineExtractor(folder), ["택배가 좋아요"])
    best = explanations[0].highlight
    assert best is not None
    assert "택배가 좋아요"[best.start : best.end] == "택배가"


def test_texts_with_one_label_each_are_given_one(base: Path, tmp_path: Path) -> None:
    sentences = [
        Sentence(own.text, labels=(TextLabel(own.labels[0].label),))
        for own in SENTENCES
        if len(own.labels) == 1
    ]
    config = EncoderClassifierConfig(**settings(base, epochs=1))
    trained = train_baseline(sentences, config, tmp_path / "one", held_out=6)
    found = trained.baseline.tag([*TEXTS, "", "?"])
    assert {len(labels) for labels in found} == {1}
    assert not (tmp_path / "one" / "attributes.safetensors").exists()


def test_a_frozen_encoder_stays_as_it_is(base: Path, tmp_path: Path) -> None:
    config = EncoderClassifierConfig(
        **settings(base, epochs=2, freeze_encoder=True, class_weight="balanced")
    )
    train_baseline(SENTENCES, config, tmp_path / "frozen")
    given = transformers.AutoModel.from_pretrained(base).state_dict()
    kept = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "frozen")
    same = kept.bert.state_dict()
    assert all(torch.equal(given[name], same[name]) for name in given)
    assert kept.config.problem_type == "multi_label_classification"


def test_held_out_texts_choose_the_epoch_and_thresholds(base: Path, tmp_path: Path) -> None:
    config = EncoderClassifierConfig(**settings(base, epochs=4, patience=1, batching="length"))
    trained = train_baseline(SENTENCES, config, tmp_path / "a", held_out=12)
    assert trained.best is not None
    assert trained.epochs[0].epoch == 0
    kept = next(epoch for epoch in trained.epochs if epoch.epoch == trained.best)
    assert kept.f1 == max(epoch.f1 or 0 for epoch in trained.epochs[1:])
    record = json.loads((tmp_path / "a" / "baseline.json").read_text(encoding="utf-8"))
    assert record["kind"] == "encoder-classifier"
    assert record["base"] == str(base)
    fields = json.loads((tmp_path / "a" / "classifier.json").read_text(encoding="utf-8"))
    assert len(fields["thresholds"]) == 3
    loaded = load_baseline(tmp_path / "a", device="cpu")
    assert loaded.tag(TEXTS) == trained.baseline.tag(TEXTS)


def test_a_loss_does_not_depend_on_how_a_step_is_divided(base: Path, tmp_path: Path) -> None:
    losses = []
    for batch, parts in ((8, 1), (4, 2)):
        config = EncoderClassifierConfig(
            **settings(
                base, epochs=1, batch_size=batch, gradient_accumulation=parts, dropout=0.0,
                learning_rate=1e-4,
            )
        )  # fmt: skip
        texts = [own for own in SENTENCES if len(own.labels) == 1][:48]
        trained = train_baseline(texts, config, tmp_path / str(parts))
        losses.append(trained.epochs[-1].train_loss)
    assert losses[0] == pytest.approx(losses[1], rel=0.02)


def foreign(base: Path, place: Path, names: list[str], problem: str | None) -> Path:
    """A classifier that transformers saved, whose first class wins."""
    config = transformers.AutoConfig.from_pretrained(
        base, num_labels=len(names), id2label=dict(enumerate(names)), problem_type=problem
    )
    model = transformers.AutoModelForSequenceClassification.from_pretrained(base, config=config)
    with torch.no_grad():
        model.classifier.bias.copy_(torch.tensor([4.0] + [-4.0] * (len(names) - 1)))
    model.save_pretrained(place)
    transformers.AutoTokenizer.from_pretrained(base).save_pretrained(place)
    return place


def test_a_classifier_of_transformers_is_a_baseline(base: Path, tmp_path: Path) -> None:
    place = foreign(base, tmp_path / "one", ["POSITIVE", "NEGATIVE"], None)
    assert read_baseline_record(place)["kind"] == "encoder-classifier"
    pipeline = transformers.pipeline("text-classification", model=str(place), device="cpu")
    (expected,) = pipeline("맛이 좋아요")
    (extraction,) = BaselineExtractor(place).extract(["맛이 좋아요"])
    (label,) = extraction.labels
    assert label.label == expected["label"] == "POSITIVE"
    assert label.score == pytest.approx(expected["score"], abs=1e-4)
    several = foreign(base, tmp_path / "many", ["a", "b", "c"], "multi_label_classification")
    classifier = load_baseline(several, device="cpu")
    assert [own.label for own in classifier.tag(["맛이 좋아요"])[0]] == ["a"]
    result = run("extract", "--engine", f"baseline:{place}", "맛이 좋아요")
    assert result.exit_code == 0, result.output
    assert "POSITIVE" in result.stdout


@pytest.mark.parametrize(("names", "problem"), [(["x"], None), (["x", "y"], "regression")])
def test_what_gives_a_number_is_refused(
    base: Path, tmp_path: Path, names: list[str], problem: str | None
) -> None:
    place = foreign(base, tmp_path / "regression", names, None)
    config = json.loads((place / "config.json").read_text(encoding="utf-8"))
    (place / "config.json").write_text(
        json.dumps(config | {"problem_type": problem}), encoding="utf-8"
    )
    with pytest.raises(InputError, match="gives a number, and no labels"):
        load_baseline(place)


def test_a_language_model_learns_to_classify(tmp_path: Path) -> None:
    base = tiny_encoder(tmp_path / "lm", texts=TEXTS)
    torch.manual_seed(0)
    shape = transformers.LlamaConfig(
        vocab_size=400, hidden_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, intermediate_size=128, max_position_embeddings=128,
        pad_token_id=None, bos_token_id=2, eos_token_id=3,
    )  # fmt: skip
    for file in ("model.safetensors", "config.json"):
        (base / file).unlink()
    transformers.LlamaForCausalLM(shape).save_pretrained(base)
    config = EncoderClassifierConfig(**settings(base, batching="length"))
    trained = train_baseline(SENTENCES, config, tmp_path / "llama")
    loaded = load_baseline(tmp_path / "llama", device="cpu")
    assert judge_labels(SENTENCES, loaded.tag(TEXTS))[2] > 0.9  # type: ignore[arg-type]
    assert loaded.tag(TEXTS) == trained.baseline.tag(TEXTS)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("classifier.json", b"[]"),
        ("classifier.json", b"{}"),
        ("classifier.json", b'{"thresholds": [0.5], "at_least_one": true, "attributes": {}}'),
        ("attributes.safetensors", b""),
        ("attributes.safetensors", None),
        ("model.safetensors", b"\x00" * 40),
        ("tokenizer.json", b"{}"),
        ("config.json", b"{}"),
    ],
)
def test_broken_folders_are_told(
    folder: Path, tmp_path: Path, file: str, content: bytes | None
) -> None:
    place = tmp_path / "broken"
    place.mkdir()
    for own in folder.iterdir():
        if own.is_file():
            (place / own.name).write_bytes(own.read_bytes())
    record = json.loads((place / "baseline.json").read_text(encoding="utf-8"))
    (place / "baseline.json").write_text(json.dumps(record | {"files": {}}), encoding="utf-8")
    (place / file).unlink() if content is None else (place / file).write_bytes(content)
    with pytest.raises(InputError) as raised:
        load_baseline(place, device="cpu")
    assert "\n" not in str(raised.value)


def test_the_command_trains_serves_and_pushes(base: Path, corpus: Path, tmp_path: Path) -> None:
    output = tmp_path / "model"
    arguments = ["train-baseline", "classifier", "--train", corpus, "--output", output]
    result = run(*arguments, "--model", base, "--epochs", 8, "--learning-rate", 3e-3,
                 "--batch-size", 8, "--held-out", 0)  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "배송" in result.stdout
    result = run("evaluate", "--gold", corpus, "--engine", f"baseline:{output}", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["text_labels"]["micro"]["f1"] > 0.9
    pushed = push_baseline(output, "me/reviews", dry_run=True)
    assert {"attributes.safetensors", "classifier.json"} < set(dict(pushed.files))
    assert "pipeline_tag: text-classification" in pushed.card


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--epochs", "2"], "--epochs says nothing to --model linear"),
        (["--model", "folder", "--ngrams", "2"], "--ngrams says nothing to --model folder"),
    ],
)
def test_options_of_the_other_kind_are_refused(
    corpus: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    output = ["--train", str(corpus), "--output", str(tmp_path / "model")]
    result = run("train-baseline", "classifier", *output, *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    # A file's fields count as options do.
    config = tmp_path / "classifier.yaml"
    fields = dict(zip(arguments[::2], arguments[1::2], strict=True))
    config.write_text(
        json.dumps({name.lstrip("-").replace("-", "_"): value for name, value in fields.items()}),
        encoding="utf-8",
    )
    result = run("train-baseline", "classifier", *output, "--config", config)
    assert message in result.stderr


@pytest.mark.slow
def test_a_killed_training_goes_on(base: Path, corpus: Path, tmp_path: Path) -> None:
    command = [
        sys.executable, "-m", "llmner", "train-baseline", "classifier", "--train", str(corpus),
        "--model", str(base), "--epochs", "4", "--learning-rate", "1e-3", "--output",
    ]  # fmt: skip
    checkpoints = tmp_path / "model" / ".training" / "checkpoints"
    first = checkpoints / "checkpoint-2" / "trainer_state.json"
    killed_once_there([*command, str(tmp_path / "model")], first)
    again = run(*command[3:], tmp_path / "model")
    assert again.exit_code == 0, again.output
    assert "Resuming from checkpoint-" in again.stderr
    whole = run(*command[3:], tmp_path / "whole")
    assert whole.exit_code == 0, whole.output
    one, other = (read_baseline_record(tmp_path / name) for name in ("model", "whole"))
    assert one["labels"] == other["labels"]
    losses = [[epoch["train_loss"] for epoch in own["epochs"][1:]] for own in (one, other)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
