"""CRF and BiLSTM-CRF, really trained on sentences of this project."""

from __future__ import annotations

import json
import tracemalloc
import unicodedata
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("torch", reason='needs pip install "llmner[baselines]"')
pytest.importorskip("sklearn_crfsuite", reason='needs pip install "llmner[baselines]"')

from llmner.baselines import (
    Baseline,
    BaselineExtractor,
    BilstmCrfConfig,
    CrfConfig,
    load_baseline,
    train_baseline,
)
from llmner.baselines._features import features
from llmner.baselines._store import fingerprint
from llmner.baselines._syllables import bioes_tags, places_of, spans_of
from llmner.baselines._types import BestEpoch, Epoch, judge, tag_counts
from llmner.baselines._views import VIEWS, views
from llmner.baselines.crf import train_crf
from llmner.corpora import read_corpus
from llmner.errors import InputError
from llmner.scoring import from_extractor
from llmner.spans import Sentence, Span
from tests.conftest import ROOT
from tests.strategies import sentences as any_sentences

SENTENCES = list(read_corpus(ROOT / "data" / "sample.tsv"))
CONFIGS: dict[str, Any] = {
    "crf": CrfConfig(max_iterations=60),
    "bilstm-crf": BilstmCrfConfig(
        hidden=64, epochs=20, batch_size=4, dropout=0.1, forget=0.0, min_frequency=1
    ),
}


@pytest.fixture(scope="module", params=sorted(CONFIGS))
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("baseline") / request.param
    train_baseline(SENTENCES[:50], CONFIGS[request.param], place, corpus="sample.tsv")
    return place


@pytest.fixture(scope="module")
def tagger(folder: Path) -> Baseline:
    return load_baseline(folder)


def test_a_crf_is_written_to_a_folder_that_was_not_there(tmp_path: Path) -> None:
    trained = train_crf(SENTENCES[:10], CrfConfig(max_iterations=3), tmp_path / "new" / "crf")
    assert len(trained.epochs) == 3
    assert list((tmp_path / "new" / "crf").iterdir())


@given(any_sentences())
def test_spans_come_back_from_their_tags_but_for_spaces_at_their_edges(sentence: Sentence) -> None:
    places = places_of(sentence.text)
    back = spans_of(bioes_tags(sentence, places), places)
    stripped = []
    for span in sentence.spans:
        inside = [at for at in places if span.start <= at < span.end]
        if inside:
            stripped.append(Span(inside[0], inside[-1] + 1, span.label))
    assert list(back) == stripped


@given(st.text(max_size=40))
def test_every_character_has_its_features(text: str) -> None:
    places = places_of(text)
    rows = features(text, places)
    assert len(rows) == len(places)
    assert {view: len(held) for view, held in views(text, places).items()} == dict.fromkeys(
        VIEWS, len(places)
    )


def test_features_know_spaces_words_and_digits() -> None:
    one, other = features("서울 7시", [0, 1, 3, 4]), features("서울7시", [0, 1, 2, 3])
    assert "c0" in one[2]
    assert "w0시" in one[2]
    assert "b서울" in one[2]
    assert "w서울0시" in other[2]
    assert "b\x02" in other[2]


def test_what_was_learnt_is_known(tagger: Baseline) -> None:
    held = SENTENCES[:50]
    precision, recall, f1 = judge(held, tagger.tag([s.text for s in held]))
    assert f1 >= 0.95
    assert min(precision, recall) >= 0.9
    assert tagger.labels == ("DT", "LC", "OG", "PS", "QT", "TI")


def test_spans_lie_apart_and_have_scores(tagger: Baseline) -> None:
    texts = [s.text for s in SENTENCES[50:]]
    for text, spans in zip(texts, tagger.tag(texts), strict=True):
        for span in spans:
            assert span.score is not None
            assert 0 <= span.score <= 1
            assert not text[span.start].isspace()
            assert not text[span.end - 1].isspace()
            assert span.end <= len(text)
        assert all(one.end <= other.start for one, other in pairwise(spans))


@pytest.mark.parametrize(
    "text", ["", " ", "\t\n", "가", "\ud800", "é" * 3, unicodedata.normalize("NFD", "서울")]
)
def test_odd_texts(tagger: Baseline, text: str) -> None:
    (spans,) = tagger.tag([text])
    assert all(0 <= span.start < span.end <= len(text) for span in spans)


def test_texts_do_not_depend_on_their_company(tagger: Baseline) -> None:
    texts = [s.text for s in SENTENCES[50:70]]
    together = tagger.tag([*texts, ""])
    assert together[-1] == ()
    assert together[:-1] == [tagger.tag([text])[0] for text in texts]


def test_a_long_text_has_the_spans_of_its_sentences(tagger: Baseline) -> None:
    parts = [s.text for s in SENTENCES[:50]] * 4
    text = "\n".join(parts)
    (spans,) = tagger.tag([text])
    found = {(span.start, span.end, span.label) for span in spans}
    expected, at = set(), 0
    for sentence in SENTENCES[:50] * 4:
        expected |= {(at + span.start, at + span.end, span.label) for span in sentence.spans}
        at += len(sentence.text) + 1
    assert len(found & expected) / len(expected) > 0.85
    assert all(one.end <= other.start for one, other in pairwise(spans))


def test_a_folder_is_loaded_as_it_was_saved(folder: Path, tagger: Baseline, tmp_path: Path) -> None:
    tagger.save(tmp_path)
    (tmp_path / "baseline.json").write_bytes((folder / "baseline.json").read_bytes())
    texts = [s.text for s in SENTENCES]
    assert load_baseline(tmp_path).tag(texts) == tagger.tag(texts)
    assert fingerprint(tmp_path) == fingerprint(folder)
    record = json.loads((folder / "baseline.json").read_text("utf-8"))
    assert record["parameters"] == tagger.parameters() > 1000
    assert record["corpus"]["sentences"] == 50
    assert record["tags"] == tag_counts(SENTENCES[:50])
    assert record["epochs"][-1]["train_loss"] < record["epochs"][0]["train_loss"]
    assert record["seconds"] > 0


def test_an_extractor_gives_spans_and_no_outcomes(folder: Path) -> None:
    extractor = BaselineExtractor(folder, batch_size=7)
    found = list(extractor.extract([*SENTENCES[:10], "손흥민은 춘천에서 태어났다."]))
    assert [e.sentence for e in found[:10]] == SENTENCES[:10]
    assert {*found[0].row()} == {"id", "text", "spans"}
    assert found[0].projection.outcomes == ()
    assert extractor.describe()["weights"] == fingerprint(folder)
    source = from_extractor("tagger", extractor, SENTENCES[:10])
    predictions = source.predict(range(10))
    assert [p.spans for p in predictions] == [e.spans for e in found[:10]]
    assert {p.status for p in predictions} == {None}
    sure = BaselineExtractor(folder, min_score=0.9)
    kept = [span for e in sure.extract(SENTENCES[50:]) for span in e.spans]
    every = [span for e in extractor.extract(SENTENCES[50:]) for span in e.spans]
    assert 0 < len(kept) < len(every)
    assert [span for span in every if (span.score or 0) >= 0.9] == kept


def test_what_decides_the_answers_is_in_the_signature(tmp_path: Path) -> None:
    shy, bold = tmp_path / "shy", tmp_path / "bold"
    for place, penalty in ((shy, 0.0), (bold, 3.0)):
        train_baseline(SENTENCES[:50], CrfConfig(max_iterations=8, outside_penalty=penalty), place)
    assert fingerprint(shy) == fingerprint(bold)
    one, other = BaselineExtractor(shy), BaselineExtractor(bold)
    assert one.describe() != other.describe()
    counts = [sum(len(e.spans) for e in extractor.extract(SENTENCES)) for extractor in (one, other)]
    assert counts[0] < counts[1]


def test_held_out_sentences_choose_the_epoch_and_stop_early(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = BilstmCrfConfig(hidden=8, epochs=30, patience=2, batch_size=8)
    f1s = iter([0.0, 0.0, 0.0, 0.5, 0.6, 0.4, 0.6, 0.9])

    def judged(held: Any, predicted: Any) -> tuple[float, float, float]:
        return 0.5, 0.5, next(f1s)

    told: list[Epoch] = []
    monkeypatch.setattr("llmner.baselines.bilstm.judge", judged)
    trained = train_baseline(
        SENTENCES[:30], config, tmp_path / "b", held_out=10, on_epoch=told.append
    )
    # Zeros are no better than nothing; the fifth epoch is the best, and two that are none better
    # end it.
    assert [epoch.f1 for epoch in trained.epochs] == [0.0, 0.0, 0.0, 0.5, 0.6, 0.4, 0.6]
    assert trained.best == 5
    held = json.loads((tmp_path / "b" / "baseline.json").read_text("utf-8"))
    assert (held["held_out"], held["best_epoch"]) == (10, 5)
    assert tuple(told) == trained.epochs


def test_the_best_weights_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    choice = BestEpoch(patience=1)
    for epoch, f1 in ((1, 0.0), (2, 0.7), (3, 0.6)):
        assert choice.update(Epoch(epoch, None, f1=f1)) == (epoch == 2)
        assert choice.should_stop(Epoch(epoch, None)) == (epoch == 3)
    seen: list[Any] = []

    def judged(held: Any, predicted: Any) -> tuple[float, float, float]:
        seen.append(predicted)
        return 0.5, 0.5, 0.9 if len(seen) == 3 else 0.5

    monkeypatch.setattr("llmner.baselines.bilstm.judge", judged)
    config = BilstmCrfConfig(epochs=6, patience=9, hidden=64, batch_size=1, learning_rate=1e-2)
    train_baseline(SENTENCES[:40], config, tmp_path / "b", validation=SENTENCES[:20])
    found = load_baseline(tmp_path / "b").tag([sentence.text for sentence in SENTENCES[:20]])
    assert any(found)
    assert found == seen[2] != seen[-1]


@pytest.mark.parametrize("epochs", range(1, 12))
def test_any_number_of_steps_has_a_schedule(epochs: int, tmp_path: Path) -> None:
    config = BilstmCrfConfig(hidden=4, epochs=epochs)
    assert len(train_baseline(SENTENCES[:3], config, tmp_path / "b").epochs) == epochs


def test_held_out_sentences_that_decide_nothing_are_told(tmp_path: Path) -> None:
    told: list[str] = []
    config = BilstmCrfConfig(hidden=4, epochs=2)
    plain = [Sentence(f"없다 {number}") for number in range(20)]
    trained = train_baseline(
        [SENTENCES[0], *plain], config, tmp_path / "a", held_out=3, seed=1, report=told.append
    )
    assert trained.best is None
    assert any("have no entities" in line for line in told)
    rare = [Sentence(f"서울 {number}", (Span(0, 2, f"L{number}"),)) for number in range(9)]
    train_baseline(rare, config, tmp_path / "b", held_out=2, report=told.append)
    assert any("only held-out sentences have cannot be learnt: L" in line for line in told)


def test_a_word_of_any_length_takes_little_memory(tagger: Baseline) -> None:
    tracemalloc.start()
    tagger.tag(["가나다라마" * 800])
    assert tracemalloc.get_traced_memory()[1] < 100e6
    tracemalloc.stop()


def test_models_that_are_cut_short_are_refused(tmp_path: Path) -> None:
    train_baseline(SENTENCES[:10], CrfConfig(max_iterations=3), tmp_path / "b")
    path = tmp_path / "b" / "model.crfsuite"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(InputError, match="its SHA-256 differs"):
        load_baseline(tmp_path / "b")
    # As records were before they kept hashes.
    record = json.loads((tmp_path / "b" / "baseline.json").read_text("utf-8"))
    del record["files"]
    (tmp_path / "b" / "baseline.json").write_text(json.dumps(record), "utf-8")
    for size in (0, 20, 48, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(InputError, match="is not a CRFsuite model"):
            load_baseline(tmp_path / "b")
    path.write_bytes(whole[:20] + b"\xff" * 28 + whole[48:])
    with pytest.raises(InputError, match="is not a CRFsuite model"):
        load_baseline(tmp_path / "b")


def test_another_kind_in_the_same_folder_leaves_nothing_of_the_first(tmp_path: Path) -> None:
    place = tmp_path / "b"
    train_baseline(SENTENCES[:10], CrfConfig(max_iterations=3), place)
    train_baseline(SENTENCES[:10], BilstmCrfConfig(hidden=4, epochs=1), place, restart=True)
    assert {path.name for path in place.iterdir()} == {
        "baseline.json",
        "model.safetensors",
        "vocabulary.json",
    }


def test_the_same_seed_trains_the_same_network(tmp_path: Path) -> None:
    config = BilstmCrfConfig(hidden=8, epochs=2, batch_size=8)
    for name in ("a", "b"):
        train_baseline(SENTENCES[:16], config, tmp_path / name)
    assert fingerprint(tmp_path / "a") == fingerprint(tmp_path / "b")


def test_what_is_wrong_is_told_in_a_line(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(InputError, match="have no entities"):
        train_baseline([Sentence("없다")], CrfConfig(), tmp_path / "none")
    with pytest.raises(InputError, match="holds a baseline already"):
        train_baseline(SENTENCES[:5], CrfConfig(), folder)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "config.json").write_text("mine")
    for restart in (False, True):
        with pytest.raises(InputError, match="is not empty, and holds no baseline"):
            train_baseline(SENTENCES[:5], CrfConfig(), tmp_path / "full", restart=restart)
    assert (tmp_path / "full" / "config.json").read_text() == "mine"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(InputError, match="have no entities"):
        train_baseline([Sentence("없다")], CrfConfig(), folder, restart=True)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    with pytest.raises(InputError, match=r"holds no baseline\.json"):
        load_baseline(tmp_path)
    (tmp_path / "baseline.json").write_text("{")
    with pytest.raises(InputError, match="not JSON"):
        load_baseline(tmp_path)
    (tmp_path / "baseline.json").write_text('{"kind": "oracle"}')
    with pytest.raises(InputError, match="is not a kind of baseline"):
        load_baseline(tmp_path)
    (tmp_path / "baseline.json").write_text('{"kind": "crf"}')
    with pytest.raises(InputError, match="no such model file"):
        load_baseline(tmp_path)
    (tmp_path / "model.crfsuite").write_text("no")
    with pytest.raises(InputError, match="is not a CRFsuite model"):
        load_baseline(tmp_path)
    (tmp_path / "baseline.json").write_text('{"kind": "bilstm-crf"}')
    with pytest.raises(InputError, match=r"vocabulary\.json: is missing"):
        load_baseline(tmp_path)
    (tmp_path / "vocabulary.json").write_text("{}")
    with pytest.raises(InputError, match="is not of a BiLSTM-CRF"):
        load_baseline(tmp_path)
