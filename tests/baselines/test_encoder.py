"""Encoders: a tiny random one and its tokenizer, made on the spot and really trained."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason='needs pip install "llmner[baselines]"')
transformers = pytest.importorskip("transformers", reason='needs pip install "llmner[baselines]"')

from llmner.baselines import EncoderConfig, EncoderTagger, load_baseline, train_baseline  # noqa: E402
from llmner.baselines._store import read_baseline_record  # noqa: E402
from llmner.baselines._types import judge  # noqa: E402
from llmner.baselines.encoder import _rows  # noqa: E402
from llmner.corpora import read_corpus  # noqa: E402
from llmner.errors import GenerationError, InputError  # noqa: E402
from llmner.spans import Sentence  # noqa: E402
from tests.baselines.tiny import tiny_encoder  # noqa: E402
from tests.conftest import ROOT  # noqa: E402

SENTENCES = list(read_corpus(ROOT / "data" / "sample.tsv"))[:50]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_encoder(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def folder(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("encoder") / "tagger"
    config = EncoderConfig(model=str(base), epochs=40, batch_size=5, learning_rate=2e-3)
    train_baseline(SENTENCES, config, place)
    return place


@pytest.mark.slow
def test_it_learns_fifty_sentences_by_heart(folder: Path) -> None:
    tagger = load_baseline(folder, device="cpu")
    _, _, f1 = judge(SENTENCES, tagger.tag([s.text for s in SENTENCES]))
    assert f1 >= 0.95
    record = read_baseline_record(folder)
    assert record["entities"] == sum(len(s.spans) for s in SENTENCES)
    assert record["windowed_sentences"] == record["entities_lost_to_tokens"] == 0
    assert len(record["epochs"]) == 40
    assert record["epochs"][-1]["train_loss"] < 0.1 * record["epochs"][0]["train_loss"]
    assert {path.name for path in folder.iterdir()} == {
        "baseline.json", "config.json", "model.safetensors", "runs", "tokenizer.json",
        "tokenizer_config.json",
    }  # fmt: skip
    for spans in tagger.tag([s.text for s in SENTENCES]):
        assert all(span.score is not None and 0 < span.score <= 1 for span in spans)


def test_a_text_over_the_models_length_is_tagged_whole(folder: Path) -> None:
    tagger = load_baseline(folder, device="cpu")
    assert isinstance(tagger, EncoderTagger)
    assert tagger.max_length == 128
    text = " ".join(s.text for s in SENTENCES * 2)
    windows = tagger.windows(text)
    assert len(windows) > 20
    (spans,) = tagger.tag([text])
    Sentence(text, spans)
    # Entities are found in every window, to the last.
    for window in windows:
        first, last = window.offsets[window.own[0]][0], window.offsets[window.own[-1]][1]
        assert any(first <= span.start < last for span in spans)
    assert tagger.tag([text, SENTENCES[0].text])[1] == tagger.tag([SENTENCES[0].text])[0]


def test_windows_hold_every_token_once_where_they_are_joined(folder: Path) -> None:
    tagger = load_baseline(folder, device="cpu")
    assert isinstance(tagger, EncoderTagger)
    text = " ".join(s.text for s in SENTENCES)
    whole = tagger.tokenizer(text, return_offsets_mapping=True, add_special_tokens=False)[
        "offset_mapping"
    ]
    for stride in (0, 1, 7, 31):
        tagger.stride = stride
        windows = tagger.windows(text)
        answers = [
            (window, ["B-A"] * len(window.ids), [1.0] * len(window.ids)) for window in windows
        ]
        offsets: list[tuple[int, int]] = []
        for number, (window, *_) in enumerate(answers):
            first = stride // 2 if number else 0
            end = stride - stride // 2 if number + 1 < len(answers) else 0
            offsets += [window.offsets[at] for at in window.own[first : len(window.own) - end]]
        assert offsets == [tuple(pair) for pair in whole]
        assert len(tagger._joined(text, answers)) == len(whole)


def test_sentences_over_the_models_length_are_learnt_in_windows_and_told(
    base: Path, tmp_path: Path
) -> None:
    told: list[str] = []
    long = Sentence(" ".join(s.text for s in SENTENCES[:12]))
    config = EncoderConfig(model=str(base), epochs=1, max_length=32, stride=8)
    trained = train_baseline([long, *SENTENCES[:4]], config, tmp_path / "t", report=told.append)
    assert trained.notes["windowed_sentences"] >= 1
    assert any("cut into several windows" in line for line in told)


def test_frozen_encoders_stay_as_they_were(base: Path, tmp_path: Path) -> None:
    config = EncoderConfig(model=str(base), epochs=2, freeze_encoder=True, learning_rate=1e-2)
    trained = train_baseline(SENTENCES[:10], config, tmp_path / "frozen")
    before = transformers.BertModel.from_pretrained(base).state_dict()
    held: Any = trained.baseline
    after = held.model.base_model.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in after)
    assert trained.epochs[1].train_loss < trained.epochs[0].train_loss


def test_held_out_sentences_choose_the_epoch(base: Path, tmp_path: Path) -> None:
    told: list[str] = []
    config = EncoderConfig(
        model=str(base), epochs=12, batch_size=4, learning_rate=3e-3, patience=12
    )
    trained = train_baseline(
        SENTENCES,
        config,
        tmp_path / "t",
        held_out=10,
        on_epoch=lambda epoch: told.append(str(epoch)),
    )
    assert len(trained.epochs) == len(told) == 13
    assert told[0].startswith("before training: held-out F1 ")
    scores = [epoch.f1 or 0.0 for epoch in trained.epochs[1:]]
    assert max(scores) > 0
    assert trained.best == 1 + scores.index(max(scores))
    again = load_baseline(tmp_path / "t", device="cpu")
    texts = [s.text for s in SENTENCES]
    assert again.tag(texts) == trained.baseline.tag(texts)


def test_roberta_counts_places_from_behind_its_padding(tmp_path: Path) -> None:
    place = tiny_encoder(tmp_path / "roberta", "roberta", places=64)
    config = EncoderConfig(model=str(place), epochs=1)
    trained = train_baseline(SENTENCES[:4], config, tmp_path / "t")
    tagger: Any = trained.baseline
    assert tagger.max_length == 63
    tagger.tag([" ".join(s.text for s in SENTENCES)])
    assert tagger._longest(32) == 32


def test_what_the_tokenizer_cannot_tell_apart_is_counted(folder: Path) -> None:
    tagger = load_baseline(folder, device="cpu")
    assert isinstance(tagger, EncoderTagger)
    unknown = Sentence("뷁쀍은 갔다", (type(SENTENCES[0].spans[0])(0, 2, "PS"),))
    _, notes = _rows(tagger, [unknown])
    assert notes["entities_lost_to_tokens"] == 1


def test_half_a_character_and_rare_labels_are_no_trouble(
    base: Path, folder: Path, tmp_path: Path
) -> None:
    tagger = load_baseline(folder, device="cpu")
    text = SENTENCES[0].text
    one, other = tagger.tag([f"{text} \ud800", f"{text} \ufffd"])
    assert one == other
    rare = [
        Sentence(s.text, tuple(replace(span, label=f"L{n}") for span in s.spans))
        for n, s in enumerate(SENTENCES)
    ]
    trained = train_baseline(
        rare[:12], EncoderConfig(model=str(base), epochs=1), tmp_path / "t", held_out=4
    )
    assert trained.best is None
    with pytest.raises(InputError, match="device 'abacus' cannot be used"):
        load_baseline(folder, device="abacus")
    (tmp_path / "t" / "model.safetensors").write_bytes(b"short")
    with pytest.raises(InputError, match="cannot be loaded"):
        load_baseline(tmp_path / "t")


def test_what_cannot_be_loaded_is_told_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(GenerationError, match="cannot be loaded"):
        train_baseline(SENTENCES, EncoderConfig(model=str(tmp_path / "empty")), tmp_path / "t")
    (tmp_path / "baseline.json").write_text('{"kind": "encoder"}')
    with pytest.raises(InputError, match="cannot be loaded"):
        load_baseline(tmp_path)
