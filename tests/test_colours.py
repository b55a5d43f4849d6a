"""A label has one colour, wherever it is shown."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmner._colours import COLOURS, LIGHT, label_colours, word_colours
from llmner.reports import console
from tests.conftest import ROOT


@given(st.lists(st.text(max_size=5), max_size=20))
def test_the_order_of_labels_decides_nothing(labels: list[str]) -> None:
    colours = label_colours(labels)
    assert list(colours) == list(dict.fromkeys(labels))
    assert label_colours(sorted(labels, reverse=True)) == colours
    assert set(colours.values()) <= set(range(COLOURS))
    # As long as there are enough, no two labels share one.
    if len(colours) <= COLOURS:
        assert len(set(colours.values())) == len(colours)


def test_people_and_places_have_theirs_in_every_corpus() -> None:
    for labels in (["PS", "LC", "OG"], ["PER", "LOC", "ORG"], ["사람", "장소", "기관"]):
        assert list(label_colours([*labels, "제품"]).values())[:3] == [0, 1, 2]
    assert label_colours(["Person"])["Person"] == word_colours()["person"]


@pytest.mark.parametrize(
    ("file", "name"), [("reports/templates/report.css", "l"), ("serving/page/style.css", "c")]
)
def test_every_place_has_the_same_colours(file: str, name: str) -> None:
    style = Path(ROOT, "llmner", file).read_text(encoding="utf-8")
    declared = re.findall(rf"--{name}(\d): (#\w+);", style.partition("prefers-color-scheme")[0])
    shown = dict(declared[: 2 * COLOURS])
    assert [shown[str(number)] for number in range(COLOURS)] == list(LIGHT)
    assert len(console._COLOURS) == COLOURS
