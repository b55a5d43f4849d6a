"""What English says of titles before names and of numbers in words."""

from __future__ import annotations

import pytest

from llmner.languages.english import ENGLISH, other_forms, possessive


def test_titles_before_names() -> None:
    assert "met Mr. ".endswith(ENGLISH.titles_before)
    assert not "met Mister ".endswith(ENGLISH.titles_before)


def test_words_that_count_are_exact() -> None:
    assert ENGLISH.find_exact_words("thirteenmillionandfifty") == ["thirteen", "million", "fifty"]
    for word in ("three", "fifteen", "ninety", "thousand", "trillion", "tuesday"):
        assert ENGLISH.hints_at_exact_words(word)


@pytest.mark.parametrize(
    ("spaced", "forms"),
    [
        ("The White House", ["whitehouse"]),
        ("Apple's", ["apple"]),
        ("Samsung Electronics Co., Ltd.", ["samsungelectronics"]),
        ("the Harbour Bank Inc.", ["harbourbankinc.", "harbourbank"]),
        ("Theodor", []),
    ],
)
def test_what_is_no_part_of_a_name(spaced: str, forms: list[str]) -> None:
    mention = "".join(spaced.split()).lower()
    assert [form for form, _ in other_forms(mention, spaced)] == forms


@pytest.mark.parametrize(
    ("surface", "after", "size"),
    [
        ("Apple's", " chief", 2),
        ("Nokia’s", ".", 2),
        ("James'", " boat", 1),
        ("McDonald's", " opened", 0),
        ("Trader Joe's", " opened", 0),
        ("the Burger King's", " menu", 0),
        ("Hawking's", " book", 2),
        ("Delaney's", " office", 2),
        ("Paris", " is", 0),
    ],
)
def test_a_possessive_is_taken_off_its_name(surface: str, after: str, size: int) -> None:
    assert possessive(surface, after, surface, False) == size
