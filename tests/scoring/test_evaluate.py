from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from llmner.corpora import ReadStats, read_corpus, write_corpus
from llmner.errors import CorpusError, InputError, MismatchError, SpanError
from llmner.projection import Outcome, project_reply
from llmner.recipes import Recipe
from llmner.scoring import (
    Evaluation,
    Prediction,
    align,
    compare,
    corpus_signature,
    draw,
    evaluate,
    evaluate_all,
    read_predictions,
    read_run,
    sample,
    signature_line,
    write_run,
)
from llmner.spans import Mention, Sentence, Span
from llmner.tagging import tags_to_spans
from tests.scoring.runs import random_run

GOLD = [
    Sentence("손흥민은", (Span(0, 3, "PS"),), "a"),
    Sentence("춘천에서", (Span(0, 2, "LC"),), "b"),
]


def test_the_published_sample_is_drawn(klue_dev_v1: Path) -> None:
    drawn = sample(list(read_corpus(klue_dev_v1)), 100, 42)
    counts = Counter(span.label for sentence in drawn for span in sentence.spans)
    assert counts == {"PS": 77, "QT": 55, "DT": 53, "LC": 45, "OG": 40, "TI": 13}
    assert drawn[0].text.startswith("안현수")


def test_it_is_the_sample_that_datasets_draws() -> None:
    datasets = pytest.importorskip("datasets")
    rows = (
        datasets.Dataset.from_dict({"n": list(range(500))}).shuffle(seed=7).select(range(20))["n"]
    )
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
        (
            [Prediction("손흥민은", (), "a")],
            r"id 'b'\): no prediction for \d+ of \d+ gold sentences",
        ),
        (
            [Prediction("손흥민은", (), "a"), Prediction("부산에서", (), "c")],
            r"id 'b'\): no prediction",
        ),
        (
            [
                Prediction("손흥민은", (), "a"),
                Prediction("춘천에서", (), "b"),
                Prediction("x", (), "c"),
            ],
            r"id 'c'\): a prediction for no gold",
        ),
        ([Prediction("손흥민은", ())], r"1 predictions for 2 gold sentences"),
        (
            [Prediction("손흥민은", (), "a"), Prediction("부산에서", (), "b")],
            r"id 'b'\): the prediction is for another text",
        ),
        (
            [
                Prediction("손흥민은", (), "a"),
                Prediction("춘천에서".replace("천", "ᄎ\u1165ᆫ"), (), "b"),
            ],
            "another text",
        ),
    ],
)
def test_what_does_not_match_is_named(predictions: list[Prediction], message: str) -> None:
    with pytest.raises(MismatchError, match=message):
        align(GOLD, predictions, path="p.jsonl")


def test_two_versions_of_one_corpus_are_told_apart() -> None:
    gold = [Sentence("7.2㎞", (), "a")]
    with pytest.raises(
        MismatchError, match=r"two versions of one corpus \(KLUE v1.1 is v1 after NFKC\)"
    ):
        align(gold, [Prediction("7.2km", (), "a")])
    assert corpus_signature("x", gold)["nfkc"] is False
    assert corpus_signature("x", [Sentence("7.2km")])["nfkc"] is True


def test_a_sample_may_be_part_of_the_predictions() -> None:
    predictions = [Prediction("손흥민은", (), "a"), Prediction("춘천에서", (), "b")]
    assert align(GOLD, predictions[1:], complete=False) == [None, predictions[1]]
    with pytest.raises(MismatchError, match=r"no prediction for \d+ of \d+ gold sentences"):
        align(GOLD, predictions[1:])


def test_an_evaluation_counts_outcomes_and_statuses() -> None:
    predictions = [
        Prediction(
            "손흥민은",
            (Span(0, 3, "PS"),),
            "a",
            (
                Outcome(Mention("PS", "손흥민"), "exact", Span(0, 3, "PS"), 1.0),
                Outcome(Mention("LC", "런던"), "not_found"),
            ),
            "ok",
        ),
        Prediction("춘천에서", (), "b", (), "unreadable"),
    ]
    result = evaluate(
        GOLD, predictions, signature={"corpus": corpus_signature("x", GOLD)}
    ).to_dict()
    assert result["sentences"] == 2
    assert result["micro"] == {"precision": 1.0, "recall": 0.5, "f1": pytest.approx(2 / 3)}
    assert result["outcomes"]["exact"] == result["outcomes"]["not_found"] == 1
    none = dict.fromkeys(("repaired", "truncated", "empty", "unanswered"), 0)
    assert result["replies"] == {"ok": 1, "unreadable": 1, **none}
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
    bad.write_text('{"text": "가", "outcomes": [{"kind": "lucky"}]}\n', encoding="utf-8")
    with pytest.raises(CorpusError, match=r"bad.jsonl:1: outcome kind 'lucky' is unknown"):
        read_predictions(bad)
    bad.write_text(
        '{"text": "가", "outcomes": [{"kind": "exact", "start": 3, "end": 1}]}\n', encoding="utf-8"
    )
    with pytest.raises(CorpusError, match=r"bad.jsonl:1: an outcome.s range \[3, 1\) is not valid"):
        read_predictions(bad)


def test_broken_tags_of_predictions_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "tags.conll"
    path.write_text("가\tB-LC\n나\tO\n다\tI-PS\n\n", encoding="utf-8")
    stats = ReadStats()
    assert read_predictions(path, "conll", stats=stats)[0].spans
    assert stats.repairs == 1


def test_the_sample_is_drawn_from_the_corpus_or_from_what_has_a_prediction() -> None:
    corpus = [Sentence(str(n), (), str(n)) for n in range(50)]
    assert draw(corpus, []) == list(range(50))
    assert draw(corpus, [], limit=7, seed=3) == sample(range(50), 7, 3)
    even = [lambda at: at % 2 == 0]
    with pytest.raises(
        MismatchError, match=r"id '1': 25 of 50 sentences have no prediction; .*--partial"
    ):
        draw(corpus, even)
    assert draw(corpus, even, partial=True) == list(range(0, 50, 2))
    both = [*even, lambda at: at < 10]
    assert draw(corpus, both, partial=True) == [0, 2, 4, 6, 8]
    assert draw(corpus, both, limit=2, seed=1, partial=True) == sample([0, 2, 4, 6, 8], 2, 1)
    with pytest.raises(MismatchError, match="no sentence has a prediction"):
        draw(corpus, [lambda at: False], partial=True)


def predicted(side: list[Sentence]) -> list[Prediction]:
    return [Prediction(s.text, s.spans, s.id) for s in side]


def test_every_figure_comes_out_of_the_kept_run_again(tmp_path: Path) -> None:
    schema = Recipe.load("klue").schema_
    gold = [
        Sentence("손흥민은 7.2㎞를 달렸다", (Span(0, 3, "PS"), Span(5, 9, "QT")), "a"),
        *GOLD[1:],
        Sentence("\ud800"),
    ]
    replies = [
        '{"PS": ["손흥민은", "메시"], "QT": ["7.2km"]}',
        "?",
        '[{"text": "x", "type": "PS", "confidence": 0.5}]',
    ]
    predictions = []
    for sentence, reply in zip(gold, replies, strict=True):
        found = project_reply(sentence.text, reply, schema)
        assert found.reply is not None
        predictions.append(
            Prediction(
                sentence.text, found.spans, sentence.id, found.outcomes, found.reply.status, reply
            )
        )
    first = evaluate(gold, predictions, signature={"model": "m"}, resamples=50, seed=3)
    path = tmp_path / "run.json"
    write_run(first, path)
    again_gold, again_predictions, signature = read_run(path)
    again = evaluate(again_gold, again_predictions, signature=signature, resamples=50, seed=3)
    assert again.to_run() == first.to_run()
    assert [row.faults for row in again.rows] == [row.faults for row in first.rows]
    for text, message in (
        ("{", "not JSON"),
        ("[]", "holds no rows"),
        ('{"rows": [{"text": "가"}]}', "row 1: 'gold' is not a list"),
        (
            '{"rows": [{"text": "가", "gold": [{"start": 0, "end": 9, "label": "PS"}], "spans": '
            "[]}]}",
            "ends after the text",
        ),
        (
            '{"rows": [{"text": "가", "gold": [], "spans": [{"start": 0, "end": 9, "label": '
            '"PS"}]}]}',
            "ends after the text",
        ),
    ):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(InputError, match=message):
            read_run(path)
    for tags, message in (
        ('"O"', "'tags' is not a list of strings"),
        ('["B-PS", "O"]', "the tags do not give the spans"),
        ('["x"]', "'x' is not a tag"),
    ):
        path.write_text(
            f'{{"rows": [{{"text": "가", "gold": [], "spans": [], "tags": {tags}}}]}}',
            encoding="utf-8",
        )
        with pytest.raises(InputError, match=message):
            read_run(path)
    with pytest.raises(CorpusError, match=r"nowhere\.json: no such file"):
        read_run(tmp_path / "nowhere.json")


def test_what_strict_mode_counts_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "tags.conll"
    path.write_text("가\tI-PS\n나\tO\n다\tB-LC\n", encoding="utf-8")
    (prediction,) = read_predictions(path)
    assert prediction.tags == ("I-PS", "O", "O", "O", "B-LC")
    assert [Span(*part) for part in tags_to_spans(prediction.tags, drop=True)[0]] == list(
        prediction.spans[1:]
    )
    gold = [Sentence(prediction.text, prediction.spans)]
    first = evaluate(gold, [prediction], resamples=10)
    assert (first.scores.micro.f1, first.scores.strict.f1) == (1, pytest.approx(2 / 3))
    write_run(first, path)
    assert read_run(path)[1] == [prediction]


def test_a_confusion_matrix_counts_every_span_once() -> None:
    gold, found = random_run(200, seed=8)
    result = evaluate(gold, predicted(found), resamples=0)
    labels, matrix = result.confusion.labels, result.confusion.matrix
    for at, label in enumerate(labels):
        assert sum(matrix[at]) == sum(span.label == label for s in gold for span in s.spans)
        assert sum(row[at] for row in matrix) == sum(
            span.label == label for s in found for span in s.spans
        )
    assert matrix[-1][-1] == 0
    assert sum(matrix[at][at] for at in range(len(labels))) == result.scores.partial["type"].correct


def test_two_runs_are_compared_sentence_by_sentence() -> None:
    gold, found = random_run(100, seed=9)
    worse = [s if n % 3 else Sentence(s.text, (), s.id) for n, s in enumerate(found)]
    a, b = evaluate_all(gold, [predicted(worse), predicted(found)], resamples=10)
    result = compare(a, b, resamples=200, shuffles=200)
    assert result.differences["micro.f1"].difference == pytest.approx(
        b.scores.micro.f1 - a.scores.micro.f1
    )
    changed = [n for n in range(100) if worse[n].spans != found[n].spans]
    assert [change.number for change in result.changes] == changed
    assert result.changes[0].errors == (
        len(a.rows[changed[0]].faults),
        len(b.rows[changed[0]].faults),
    )
    assert result.better + result.worse <= len(changed)
    assert result.better > result.worse
    (other,) = evaluate_all(gold[1:], [predicted(found[1:])], resamples=0)
    with pytest.raises(MismatchError, match="different sentences"):
        compare(a, other)


def test_what_replies_say_is_not_compared_with_what_a_tagger_covers() -> None:
    said = [
        Prediction(
            s.text,
            s.spans,
            s.id,
            (Outcome(Mention("PS", "손흥민은"), "trimmed", s.spans[0]),),
            "ok",
            "...",
        )
        for s in GOLD
    ]
    a, b = evaluate_all(GOLD, [predicted(GOLD), said], resamples=5)
    assert "text.f1" not in compare(a, b, resamples=5, shuffles=5).differences
    assert "text.f1" in compare(a, a, resamples=5, shuffles=5).differences


def test_runs_with_labels_of_their_own_are_counted_alike() -> None:
    a, b = evaluate_all(
        GOLD,
        [
            [Prediction("손흥민은", (Span(0, 3, "PER"),)), Prediction("춘천에서", ())],
            [Prediction("손흥민은", (Span(0, 3, "PS"),)), Prediction("춘천에서", ())],
        ],
        resamples=5,
    )
    assert a.counts.labels == b.counts.labels == ("LC", "PER", "PS")
    assert compare(a, b, resamples=5, shuffles=5).differences["micro.f1"].b == pytest.approx(2 / 3)


def test_a_signature_names_what_was_measured() -> None:
    result = evaluate(
        GOLD,
        predicted(GOLD),
        signature={"corpus": corpus_signature("dev", GOLD), "sample": None},
        resamples=20,
    )
    line = signature_line(result.signature)
    assert "corpus:name=dev,sentences=2,sha256=" in line
    assert "interval:bootstrap 95%, n=20, seed=42" in line
    assert "llmner:" in line
    assert "sample" not in line


def test_without_resamples_there_are_no_intervals_and_negative_ones_are_refused() -> None:
    result: Evaluation = evaluate(GOLD, predicted(GOLD), resamples=0)
    assert result.intervals == {}
    assert result.signature["interval"] is None
    with pytest.raises(InputError, match="got -1"):
        evaluate(GOLD, predicted(GOLD), resamples=-1)


def test_predictions_are_checked_and_sorted() -> None:
    assert Prediction("가나", (Span(1, 2, "PS"), Span(0, 1, "LC"))).spans[0].start == 0
    with pytest.raises(SpanError, match=r"id 'x': .*overlap"):
        Prediction("가나", (Span(0, 2, "PS"), Span(1, 2, "LC")), "x")
