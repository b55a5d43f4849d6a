"""The same quantity written in another way, and nothing but the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmner.errors import RecipeError
from llmner.projection import project, project_reply
from llmner.projection._canonical import canonicalize
from llmner.projection._quantities import UNITS, Quantities, may_be_written_otherwise
from llmner.recipes import Recipe
from llmner.schema import LabelSchema
from llmner.spans import Mention
from tests.strategies import texts


@pytest.mark.parametrize(
    ("text", "mention", "surface"),
    [
        ("7.2킬로미터를 달려", "7.2km", "7.2킬로미터"),
        ("7.2㎞를 달려", "7.2 킬로미터", "7.2㎞"),
        ("5퍼센트 올라", "5%", "5퍼센트"),
        ("5％ 올라", "5프로", "5％"),
        ("금리 0.5%p 인상", "0.5퍼센트포인트", "0.5%p"),
        ("$5를 냈다", "5달러", "$5"),
        ("3만 달러를 냈다", "$3만", "3만 달러"),
        ("$1.5 million in cash", "1.5 million dollars", "$1.5 million"),
        ("10 kilometers away", "10km", "10 kilometers"),
        ("84㎡ 아파트", "84제곱미터", "84㎡"),
        ("쌀 20킬로그램", "20kg", "20킬로그램"),
        ("영상 20℃까지", "20도", "20℃"),
        ("영상 20도까지", "20℃", "20도"),
        ("기온은 섭씨 30도였다.", "30℃", "섭씨 30도"),
        ("기온은 30°C였다.", "섭씨 30도", "30°C"),
        ("기온은 화씨 86도였다.", "86℉", "화씨 86도"),
        ("기온은 86℉였다.", "화씨 86도", "86℉"),
        ("It was 86°F outside.", "86 degrees Fahrenheit", "86°F"),
        ("It was 30 degrees Celsius.", "30°C", "30 degrees Celsius"),
        ("気温は摂氏30度だった", "30℃", "摂氏30度"),
        ("2,000만원을 냈다", "2000만원", "2,000만원"),
        ("1234567원을 냈다", "1,234,567원", "1234567원"),
        ("$2,000를 냈다", "2000달러", "$2,000"),
        ("約10公里", "10km", "10公里"),
        ("7.2킬로미터를 달려", "7.2km를", "7.2킬로미터"),
    ],
)
def test_the_same_quantity(text: str, mention: str, surface: str) -> None:
    (outcome,) = project(text, [Mention("QT", mention)]).outcomes
    assert outcome.span is not None
    assert text[outcome.span.start : outcome.span.end] == surface
    assert outcome.kind in ("canonical", "trimmed")
    assert "the same quantity" in outcome.reason


@pytest.mark.parametrize(
    ("text", "mention"),
    [
        ("7.2킬로미터를 달려", "7.3km"),
        ("7.2킬로미터를 달려", "7.2m"),
        ("17.2킬로미터를", "7.2km"),
        ("$15를 냈다", "5달러"),
        ("$5,000를 냈다", "5달러"),
        ("5퍼센트 올라", "5도"),
        ("기온은 30℃였다.", "30℉"),
        ("기온은 화씨 86도였다.", "섭씨 86도"),
        ("기온은 섭씨 30도였다.", "30℉"),
        ("12,000만원", "2000만원"),
        ("20만원", "2,000원"),
        ("1,23원", "123원"),
        ("미터기가 5개", "5m"),
    ],
)
def test_another_quantity(text: str, mention: str) -> None:
    (outcome,) = project(text, [Mention("QT", mention)]).outcomes
    assert outcome.kind == "not_found"


def test_a_unit_needs_a_number_before_it() -> None:
    assert Quantities(canonicalize("미터기와 그램책, 톤 단위")).text == "미터기와그램책,톤단위"


def test_both_sides_are_rewritten_to_the_same() -> None:
    for unit, words in UNITS.items():
        for word in (unit, *words):
            assert (
                Quantities(canonicalize("")).mention(canonicalize(f"3{word}").text)
                == canonicalize(f"3{unit}").text
            )


def test_units_of_a_recipe(tmp_path: Path) -> None:
    path = tmp_path / "flats.yaml"
    path.write_text(
        "name: flats\nlanguage: ko\nsystem: 넓이를 찾는다.\nlabels: [{code: QT}]\nunits: {평: "
        "[坪, pyeong], km: [킬로]}\n",
        encoding="utf-8",
    )
    schema = Recipe.load(str(path)).schema_
    text = "32평 아파트에서 5킬로 떨어진 곳"
    projection = project_reply(text, '{"QT": ["32坪", "5km"]}', schema)
    assert [text[span.start : span.end] for span in projection.spans] == ["32평", "5킬로"]
    assert project(text, [Mention("QT", "32坪")]).spans == ()
    assert schema.units == {"평": ("坪", "pyeong"), "km": ("킬로",)}


@pytest.mark.parametrize("word", ["", " ", "5", "５평", "²"])
def test_a_unit_that_would_change_numbers_is_refused(word: str) -> None:
    with pytest.raises(ValueError, match="begins with a digit"):
        LabelSchema(labels=LabelSchema.of("QT").labels, units={"평": (word,)})


def test_a_unit_that_is_no_list_says_how_to_mend_it(tmp_path: Path) -> None:
    path = tmp_path / "km.yaml"
    path.write_text(
        "name: x\nsystem: hi\nlabels: [{code: QT}]\nunits: {km: 킬로}\n", encoding="utf-8"
    )
    with pytest.raises(RecipeError, match=r"km\.yaml:4: units\.km: expected a list, like \[a, b\]"):
        Recipe.load(str(path))


def test_a_recipe_may_give_a_word_another_meaning() -> None:
    schema = LabelSchema(labels=LabelSchema.of("QT").labels, units={"점": ("프로",)})
    assert project("90점을 받았다", [Mention("QT", "90프로")], schema).spans != ()
    assert project("90%를 받았다", [Mention("QT", "90프로")], schema).spans == ()


@given(texts)
def test_every_rewritten_character_leads_back(text: str) -> None:
    canonical = canonicalize(text)
    quantities = Quantities(canonical)
    assert len(quantities.text) == len(quantities.starts) == len(quantities.ends)
    assert all(
        0 <= start < end <= len(canonical.text)
        for start, end in zip(quantities.starts, quantities.ends, strict=True)
    )
    assert quantities.starts == sorted(quantities.starts)
    assert Quantities(canonicalize(quantities.text)).mention(quantities.text) == Quantities(
        canonicalize("")
    ).mention(quantities.text)


number = st.from_regex(r"[1-9]\d{0,2}(,\d{3}){0,2}(\.\d)?", fullmatch=True)


@given(number, st.sampled_from(["km", "%", "달러", "명", "㎡"]), number)
def test_rewriting_keeps_the_number(one: str, unit: str, other: str) -> None:
    said, stands = one.replace(",", ""), other
    (outcome,) = project(f"모두 {stands}{unit} 정도", [Mention("QT", f"{said}{unit}")]).outcomes
    assert (outcome.span is not None) == (said == stands.replace(",", ""))


def test_what_may_be_written_otherwise() -> None:
    assert may_be_written_otherwise("2000명")
    assert may_be_written_otherwise("5km")
    assert not may_be_written_otherwise("15일")
    assert not may_be_written_otherwise("손흥민")
