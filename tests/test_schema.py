from __future__ import annotations

from functools import partial

import pytest
from hypothesis import given
from pydantic import ValidationError

from llmner.schema import Label, LabelSchema
from tests.costs import seconds
from tests.strategies import texts


@pytest.mark.parametrize(
    ("word", "code"),
    [
        ("PS", "PS"),
        ("ps", "PS"),
        ("ＰＳ", "PS"),
        ("사람", "PS"),
        ("인물", "PS"),
        ("Person", "PS"),
        ("PERSON", "PS"),
        ("B-PS", "PS"),
        ("I-LC", "LC"),
        ("PS(사람)", "PS"),
        ("사람 (PS)", "PS"),
        ("**PS**", "PS"),
        (" 장소 ", "LC"),
        ("날짜", "DT"),
        ("수량", "QT"),
        ("MISC", None),
        ("", None),
        ("PSX", None),
    ],
)
def test_what_models_call_a_label(schema: LabelSchema, word: str, code: str | None) -> None:
    assert schema.resolve(word) == code


def test_a_schema_of_bare_codes() -> None:
    schema = LabelSchema.of("PER", "LOC")
    assert schema.codes == ("PER", "LOC")
    assert schema.resolve("per") == "PER"


@pytest.mark.parametrize(
    ("word", "code"),
    [
        ("days", "DAY"),
        ("Persons", "PERSON"),
        ("companies", "COMPANY"),
        ("dates", None),
        ("parts", None),
        ("ies", None),
    ],
)
def test_plurals_of_names_and_no_other_words_in_s(word: str, code: str | None) -> None:
    assert LabelSchema.of("DAY", "PAY", "PERSON", "COMPANY").resolve(word) == code


def test_a_code_twice_is_refused() -> None:
    with pytest.raises(ValidationError, match="is used twice"):
        LabelSchema.of("PS", "PS")


def test_a_schema_takes_as_much_longer_as_it_is_larger() -> None:
    few, many = (
        seconds(partial(LabelSchema.of, *(f"L{n}" for n in range(size))))
        for size in (2_000, 20_000)
    )
    # A hundred times, were each code looked for among all.
    assert many < 40 * few


def test_one_name_for_two_labels_is_refused() -> None:
    with pytest.raises(ValidationError, match="names both"):
        LabelSchema(labels=(Label(code="A", name="사람"), Label(code="B", aliases=("사람",))))


@pytest.mark.parametrize("code", ["a b", "a:b", "<a>", "", "a\n"])
def test_codes_hold_no_delimiter(code: str) -> None:
    with pytest.raises(ValidationError):
        Label(code=code)


@given(texts)
def test_resolving_never_raises(word: str) -> None:
    LabelSchema.of("PS").resolve(word)
