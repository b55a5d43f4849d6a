from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from llmner.corpora import read_corpus, write_corpus
from llmner.errors import CorpusError, MismatchError
from llmner.scoring import Prediction, align, corpus_signature, evaluate, read_predictions, sample
from llmner.spans import Sentence, Span

GOLD = [Sentence("손흥민은", (Span(0, 3, "PS"),), "a"), Sentence("춘천에서", (Span(0, 2, "LC"),), "b")]


def test_the_published_sample_is_drawn(klue_dev_v1: Path) -> None:
    drawn = sample(list(read_corpus(klue_dev_v1)), 100, 42)
    counts = Counter(span.label for sentence in drawn for span in sentence.spans)
    assert counts == {"PS": 77, "QT": 55, "DT": 53, "LC": 45, "OG": 40, "TI": 13}
    assert drawn[0].text.startswith("안현수")


def test_it_is_the_sample_that_datasets_draws() -> None:
    datasets = pytest.importorskip("datasets")
    rows = datasets.Dataset.from_dict({"n": list(range(500))}).shuffle(seed=7).select(range(20))["n"]
    drawn = sample([Sentence(str(n)) for n in range(500)], 20, 7)
    assert [int(sentence.text) for sentence in drawn] == list(rows)


def test_no_limit_keeps_every_sentence_in_its_place() -> None:
    assert sample(GOLD, None, 42) == GOLD
    assert sorted(s.text for s in sample(GOLD, 50, 42)) == sorted(s.text for s in GOLD)


def test_predictions_are_aligned_by_id_whatever_their_order() -> None:
    predictions = [Prediction("춘천에서", (), "b"), Prediction("손흥민은", (), "a")]
    assert align(GOLD, predictions) == [predictions[1], predictions[0]]


def test_predictions_without_ids_are_aligned_by_place() -> None:
    predictions = [Prediction("손흥민은", ()), Prediction("춘천에서", ())]
    assert align(GOLD, predictions) == predictions


@pytest.mark.parametrize(
    ("predictions", "message"),
    [
        ([Prediction("손흥민은", (), "a")], r"id 'b'\): no prediction for this gold sentence"),
        ([Prediction("손흥민은", (), "a"), Prediction("춘천에서", (), "c")], r"id 'b'\): no prediction"),
        (
            [Prediction("손흥민은", (), "a"), Prediction("춘천에서", (), "b"), Prediction("x", (), "c")],
            r"id 'c'\): a prediction for no gold",
        ),
        ([Prediction("손흥민은", ())], r"1 predictions for 2 gold sentences"),
        (
            [Prediction("손흥민은", (), "a"), Prediction("부산에서", (), "b")],
            r"id 'b'\): predicted on another text",
        ),
        (
            [Prediction("손흥민은", (), "a"), Prediction("춘천에서".replace("천", "ᄎ\u1165ᆫ"), (), "b")],
            "another text",
        ),
    ],
)
def test_what_does_not_match_is_named(predictions: list[Prediction], message: str) -> None:
    with pytest.raises(MismatchError, match=message):
        align(GOLD, predictions, path="p.jsonl")


def test_two_versions_of_one_corpus_are_told_apart() -> None:
    gold = [Sentence("7.2㎞", (), "a")]
    with pytest.raises(MismatchError, match=r"two versions of one corpus \(KLUE v1.1 is v1 after NFKC\)"):
        align(gold, [Prediction("7.2km", (), "a")])
    assert corpus_signature("x", gold)["nfkc"] is False
    assert corpus_signature("x", [Sentence("7.2km")])["nfkc"] is True


def test_a_sample_may_be_part_of_the_predictions() -> None:
    predictions = [Prediction("손흥민은", (), "a"), Prediction("춘천에서", (), "b")]
    assert align(GOLD, predictions[1:], part=1) == [None, predictions[1]]
    with pytest.raises(MismatchError, match="no prediction for this gold sentence"):
        align(GOLD, predictions[1:])


def test_an_evaluation_counts_outcomes_and_statuses() -> None:
    predictions = [
        Prediction("손흥민은", (Span(0, 3, "PS"),), "a", ("exact", "not_found"), "ok"),
        Prediction("춘천에서", (), "b", (), "unreadable"),
    ]
    result = evaluate(GOLD, predictions, signature={"corpus": corpus_signature("x", GOLD)}).to_dict()
    assert result["sentences"] == 2
    assert result["micro"] == {"precision": 1.0, "recall": 0.5, "f1": pytest.approx(2 / 3)}
    assert result["outcomes"]["exact"] == result["outcomes"]["not_found"] == 1
    assert result["replies"] == {"ok": 1, "repaired": 0, "truncated": 0, "empty": 0, "unreadable": 1}
    assert result["per_label"]["LC"]["support"] == 1
    assert set(result["klue"]) == {"entity_f1", "char_f1"}
    assert result["signature"]["corpus"]["sentences"] == 2
    assert result["signature"]["llmner"]


def test_predictions_come_from_any_corpus_format(tmp_path: Path) -> None:
    for format in ("spans", "klue-tsv", "markup"):
        path = tmp_path / format
        write_corpus(GOLD, path, format)
        assert [p.spans for p in align(GOLD, read_predictions(path)) if p is not None] == [
            s.spans for s in GOLD
        ]
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"text": "가", "outcomes": [1]}\n', encoding="utf-8")
    with pytest.raises(CorpusError, match=r"bad.jsonl:1: 'outcomes' is not a list of objects"):
        read_predictions(bad)
