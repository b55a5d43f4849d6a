"""Scores of spans: from the tokens that wrote them, from votes, and calibrated."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmner.engines import Reply, Token
from llmner.errors import InputError
from llmner.extraction.confidence import Calibrator, drop_unsure, score_spans, vote
from llmner.projection import Projection, project_reply
from llmner.recipes import Recipe
from llmner.replies import REPLY_FORMATS, find_places, read_reply, render_reply
from llmner.scoring import find_faults
from llmner.spans import Mention, Sentence, Span, TextLabel
from tests.strategies import sentences

SCHEMA = Recipe.load("klue").schema_
TEXT = "손흥민은 춘천에서, 손흥민은 런던에서 7.2㎞를 달렸다."
GOLD = (
    Span(0, 3, "PS"),
    Span(5, 7, "LC"),
    Span(11, 14, "PS"),
    Span(16, 18, "LC"),
    Span(21, 25, "QT"),
)


def by_character(text: str, doubt: dict[int, float]) -> Reply:
    """A reply of one token a character and one that ends it, certain but where ``doubt`` says
    otherwise.
    """
    tokens = [Token(at, at + 1, math.log(doubt.get(at, 1.0))) for at in range(len(text))]
    tokens.append(Token(len(text), len(text), math.log(doubt.get(len(text), 1.0))))
    return Reply(text, tokens=tuple(tokens))


def scored(text: str, reply: Reply, format: str) -> Projection:
    return score_spans(project_reply(text, reply.text, SCHEMA, format), reply)


@pytest.mark.parametrize("format", sorted(REPLY_FORMATS))
def test_each_span_has_the_probability_of_its_own_surface_and_label(format: str) -> None:
    sentence = Sentence(TEXT, GOLD)
    reply = render_reply(sentence, format, SCHEMA)
    mentions = read_reply(reply, SCHEMA, format).mentions
    places = find_places(reply, mentions, format)
    assert all(place is not None for place in places)
    for number, (mention, place) in enumerate(zip(mentions, places, strict=True)):
        assert place is not None
        surface, label = place
        assert reply[surface[0] : surface[1]].startswith(mention.text)
        assert label is not None
        assert reply[slice(*label)].strip() == mention.label
        for at, share in ((surface[0], 0.5), (surface[1] - 1, 0.25), (label[0], 0.125)):
            result = scored(TEXT, by_character(reply, {at: share}), format)
            assert [outcome.kind for outcome in result.outcomes] == ["exact"] * len(GOLD)
            scores = [outcome.span.score for outcome in result.outcomes if outcome.span is not None]
            assert scores[number] == pytest.approx(share)
            # In json-by-type one label stands for all its mentions.
            touched = sum(score != 1.0 for score in scores)
            assert touched <= (2 if format == "json-by-type" and at == label[0] else 1)
        assert {span: span.score for span in result.spans} == {
            outcome.span: outcome.span.score
            for outcome in result.outcomes
            if outcome.span is not None
        }


@pytest.mark.parametrize("format", sorted(REPLY_FORMATS))
@given(sentence=sentences())
def test_what_a_format_writes_is_found_again(format: str, sentence: Sentence) -> None:
    reply = render_reply(sentence, format, SCHEMA)
    mentions = read_reply(reply, SCHEMA, format).mentions
    for place in find_places(reply, mentions, format):
        if place is not None:
            (start, end), _ = place
            assert 0 <= start < end <= len(reply) + 1
    result = scored(sentence.text, by_character(reply, {}), format)
    assert all(span.score in (None, 1.0) for span in result.spans)


@given(st.text(max_size=80), st.lists(st.text(max_size=6), max_size=4))
def test_any_reply_and_any_mentions(reply: str, surfaces: list[str]) -> None:
    for format in (*REPLY_FORMATS, None):
        places = find_places(reply, [Mention("PS", surface) for surface in surfaces], format)
        assert len(places) == len(surfaces)


def test_a_damaged_reply_is_scored_where_its_mentions_stand() -> None:
    reply = "네! ```json\n{'PS': ['손흥민'], 'XX': []}\n```"
    result = scored(TEXT, by_character(reply, {reply.index("흥"): 0.5}), "json-by-type")
    assert [(span.label, span.score) for span in result.spans] == [("PS", pytest.approx(0.5))]


def test_without_probabilities_a_score_stays_what_the_reply_says() -> None:
    reply = Reply('[{"label": "PS", "text": "손흥민", "confidence": 0.7}]')
    assert [span.score for span in scored(TEXT, reply, "json-list").spans] == [0.7]
    assert score_spans(Projection(TEXT), reply) == Projection(TEXT)


def test_a_span_below_the_lowest_score_is_dropped_and_says_so() -> None:
    reply = render_reply(Sentence(TEXT, GOLD), "pairs", SCHEMA)
    at = reply.index("런던")
    result = drop_unsure(scored(TEXT, by_character(reply, {at: 0.4}), "pairs"), 0.5)
    assert Span(16, 18, "LC") not in result.spans
    assert len(result.spans) == len(GOLD) - 1
    assert result.outcomes[3].kind == "unsure"
    assert result.outcomes[3].reason == "score 0.400 is below 0.5"
    (fault,) = find_faults(TEXT, GOLD, result.spans, result.outcomes, "ok")
    assert (fault.kind, fault.cause) == ("missed", "unsure")
    # What has no score is not below any.
    unscored = project_reply(TEXT, reply, SCHEMA, "pairs")
    assert drop_unsure(unscored, 1.0) == unscored


def test_a_vote_keeps_what_more_than_half_have() -> None:
    def of(*spans: Span) -> Projection:
        return project_reply(
            TEXT, render_reply(Sentence(TEXT, spans), "pairs", SCHEMA), SCHEMA, "pairs"
        )

    wrong = Span(16, 18, "OG")
    elected = vote([of(wrong, GOLD[1]), of(GOLD[3], GOLD[1], GOLD[4]), of(GOLD[3], GOLD[1])])
    assert elected.spans == (GOLD[1], GOLD[3])
    assert [span.score for span in elected.spans] == [1.0, pytest.approx(2 / 3)]
    assert [(outcome.kind, outcome.span) for outcome in elected.outcomes] == [
        ("exact", GOLD[1]),
        ("unsure", None),
        ("exact", GOLD[3]),
    ]
    assert elected.outcomes[1].reason == "1 of 3 replies have it"
    # A half is no majority: two that disagree keep neither.
    assert vote([of(GOLD[3]), of(wrong)]).spans == ()
    assert vote([of(GOLD[3])]).spans == (GOLD[3],)


@given(st.lists(st.lists(st.integers(0, 5), min_size=0, max_size=3), min_size=1, max_size=7))
def test_elected_spans_lie_apart(draws: list[list[int]]) -> None:
    choices = [
        Span(0, 3, "PS"),
        Span(0, 4, "PS"),
        Span(2, 6, "LC"),
        Span(5, 7, "LC"),
        Span(16, 18, "OG"),
        GOLD[4],
    ]
    replies = []
    for draw in draws:
        kept: list[Span] = []
        for number in draw:
            if all(
                choices[number].end <= span.start or span.end <= choices[number].start
                for span in kept
            ):
                kept.append(choices[number])
        replies.append(Projection(TEXT, tuple(sorted(kept))))
    spans = vote(replies).spans
    assert all(one.end <= other.start for one, other in pairwise(spans))
    assert all(span.score is not None and 0.5 < span.score <= 1 for span in spans)


def test_calibrated_scores_are_the_precision_there_was(tmp_path: Path) -> None:
    pairs = [(0.2, False)] * 3 + [(0.2, True)] + [(0.9, True)] * 9 + [(0.9, False)]
    fitted = Calibrator.fit(pairs)
    assert fitted(0.2) == pytest.approx(0.25)
    assert fitted(0.9) == pytest.approx(0.9)
    assert fitted(0.0) == pytest.approx(0.25)
    assert fitted(1.0) == pytest.approx(0.9)
    assert 0.25 < fitted(0.5) < 0.9
    fitted.save(tmp_path / "calibration.json")
    assert Calibrator.load(tmp_path / "calibration.json") == fitted
    projection = Projection(TEXT, (Span(0, 3, "PS", 0.2), Span(5, 7, "LC")))
    # Spans that no mention of the reply stands for keep what they have.
    assert fitted.calibrate(projection).spans[1].score is None


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60))
def test_a_calibration_rises_and_stays_between_0_and_1(pairs: list[tuple[float, bool]]) -> None:
    fitted = Calibrator.fit(pairs)
    values = [fitted(step / 20) for step in range(21)]
    assert all(0 <= value <= 1 for value in values)
    assert all(one <= other + 1e-12 for one, other in pairwise(values))


@pytest.mark.parametrize(
    ("held", "told"),
    [
        (None, "no such file"),
        ("{", r"not JSON .*; expected a file that llmner calibrate wrote"),
        ("[]", "is not a calibration: 'scores' is not a list of numbers"),
        (json.dumps({"scores": "01", "precisions": "01"}), "'scores' is not a list of numbers"),
        (
            json.dumps({"scores": [False, True], "precisions": [0, 1]}),
            "'scores' is not a list of numbers",
        ),
        (
            json.dumps({"scores": [0.1], "precisions": [float("nan")]}),
            "'precisions' is not a list of numbers",
        ),
        (f'{{"scores": [{"9" * 400}], "precisions": [1]}}', "a number of 400 digits"),
        (json.dumps({"scores": [0.1]}), "is not a calibration: 'precisions'"),
        (
            json.dumps({"scores": [0.9, 0.1], "precisions": [0.1, 0.2]}),
            "must rise and be from 0 to 1",
        ),
        (json.dumps({"scores": [0.1, 0.9], "precisions": [0.1]}), "one precision for each"),
        (json.dumps({"scores": [], "precisions": []}), "must rise and be from 0 to 1"),
        (json.dumps({"scores": [0.1], "precisions": [2]}), "must rise and be from 0 to 1"),
    ],
)
def test_what_is_no_calibration(tmp_path: Path, held: str | None, told: str) -> None:
    path = tmp_path / "calibration.json"
    if held is not None:
        path.write_text(held, encoding="utf-8")
    with pytest.raises(InputError, match=told):
        Calibrator.load(path)
    with pytest.raises(InputError, match="no prediction has a score"):
        Calibrator.fit([])


def test_json_strings_are_told_from_keys_and_labels_from_their_neighbours() -> None:
    for reply, mention, surface, label in (
        ('{"LC": ["서울"], "PS": "손흥민"}', Mention("PS", "손흥민"), "손흥민", "PS"),
        ('{"OG": ["OG"]}', Mention("OG", "OG"), "OG", "OG"),
        ('{"PS": ["가[나", "다"]}', Mention("PS", "다"), "다", "PS"),
        ('{"PS": [{"text": "다", "score": 1}]}', Mention("PS", "다"), "다", "PS"),
        (
            '[{"text": "다", "class": "LC"}, {"text": "라", "class": "PS"}]',
            Mention("LC", "다"),
            "다",
            "LC",
        ),
        ('[{"entity_group": "PS", "word": "라"}]', Mention("PS", "라"), "라", "PS"),
        ('{"PS": ["\\uc190"]}', Mention("PS", "손"), "\\uc190", "PS"),
    ):
        (place,) = find_places(reply, [mention], "json-list" if reply[0] == "[" else "json-by-type")
        assert place is not None
        (start, end), where = place
        assert reply[start : end - 1] == surface
        assert where is not None
        assert reply[slice(*where)] == label


def test_what_failed_has_voted_for_nothing() -> None:
    one = Projection(TEXT, (GOLD[0],))
    assert vote([one, one], 5).spans == ()
    (span,) = vote([one, one, one], 5).spans
    assert span.score == pytest.approx(0.6)


@pytest.mark.parametrize("format", ["labels", "json-list"])
def test_each_label_of_a_text_has_the_probability_of_its_name_and_value(format: str) -> None:
    schema = Recipe.load("reviews-ko").schema_
    labels = (TextLabel("디자인", {"sentiment": 1}), TextLabel("배송", {"sentiment": -1}))
    reply = render_reply(Sentence("리뷰", labels=labels), format, schema)
    for at, scores in (
        (reply.index("디자인"), {"디자인": 0.5, "배송": 1.0}),
        (reply.index("배송") + 1, {"디자인": 1.0, "배송": 0.5}),
        (reply.index("-1"), {"디자인": 1.0, "배송": 0.5}),
    ):
        answer = by_character(reply, {at: 0.5})
        found = score_spans(project_reply("리뷰", reply, schema, format), answer).labels
        assert {label.label: label.score for label in found} == pytest.approx(scores)


def test_a_label_in_other_words_keeps_its_score() -> None:
    schema = Recipe.load("reviews-ko").schema_
    answer = by_character("택배: 긍정", {0: 0.5})
    (label,) = score_spans(project_reply("리뷰", answer.text, schema, "labels"), answer).labels
    assert label.label == "배송"
    assert label.score in (None, pytest.approx(0.5))
    # A number without a label beside it is nobody's; a broken model's probabilities are none.
    broken = Reply("배송-1", tokens=(Token(0, 4, math.nan),))
    (label,) = score_spans(project_reply("리뷰", broken.text, schema, "labels"), broken).labels
    assert label.score is None


@given(
    st.lists(
        st.tuples(st.integers(0, 30).map(lambda n: n / 30), st.booleans()), min_size=1, max_size=60
    )
)
def test_calibration_is_scikit_learns_isotonic_regression(pairs: list[tuple[float, bool]]) -> None:
    isotonic = pytest.importorskip("sklearn.isotonic", reason="scikit-learn is not installed")
    fitted = isotonic.IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(
        [round(score, 6) for score, _ in pairs], [float(right) for _, right in pairs]
    )
    calibrator = Calibrator.fit(pairs)
    wanted = [number / 97 for number in range(98)]
    assert list(map(calibrator, wanted)) == pytest.approx(list(fitted.predict(wanted)))
