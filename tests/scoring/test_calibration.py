from __future__ import annotations

import random

import pytest

from llmner.projection import project_reply
from llmner.scoring._calibration import reliability
from llmner.spans import Mention


def test_without_a_confidence_there_is_nothing_to_calibrate() -> None:
    assert reliability([]) is None
    assert reliability([(None, True), (None, False)]) is None


def test_known_values() -> None:
    found = reliability([(0.95, True), (0.91, False), (0.2, False), (0.0, False), (None, True)])
    assert found is not None
    assert (found.scored, found.unscored) == (4, 1)
    assert [(b.low, b.high, b.count) for b in found.bins] == [
        (0.0, 0.1, 1),
        (0.1, 0.2, 1),
        (0.9, 1.0, 2),
    ]
    assert found.bins[-1].confidence == pytest.approx(0.93)
    assert found.bins[-1].precision == 0.5
    assert found.ece == pytest.approx((0 + 0.2 + 2 * 0.43) / 4)


def test_honest_confidences_have_no_error() -> None:
    rng = random.Random(1)
    sure = [rng.random() for _ in range(50_000)]
    found = reliability([(p, rng.random() < p) for p in sure])
    assert found is not None
    assert found.ece < 0.01
    assert sum(b.count for b in found.bins) == 50_000


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("0.9", 0.9),
        (0.25, 0.25),
        ("85%", 0.85),
        (1, 1.0),
        ("high", None),
        (True, None),
        ("-1", None),
        ("nan", None),
        (90, None),
        ([], None),
    ],
)
def test_a_confidence_is_a_fraction_or_a_percentage(given: object, expected: float | None) -> None:
    assert Mention("PS", "가", {"confidence": given}).confidence == expected


def test_what_a_reply_says_of_its_confidence_becomes_the_spans_score() -> None:
    reply = '[{"text": "손흥민", "type": "PS", "confidence": 0.9}, {"text": "춘천에서", "type": "LC", "score": "70%"}, {"text": "팀", "type": "OG"}]'
    found = project_reply("손흥민은 춘천에서 팀을", reply)
    assert [span.score for span in found.spans] == [0.9, 0.7, None]
