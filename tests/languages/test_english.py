"""What English says of titles before names and of numbers in words."""

from __future__ import annotations

from llmner.languages.english import ENGLISH


def test_titles_before_names() -> None:
    assert "met Mr. ".endswith(ENGLISH.titles_before)
    assert not "met Mister ".endswith(ENGLISH.titles_before)


def test_words_that_count_are_exact() -> None:
    assert ENGLISH.find_exact_words("thirteenmillionandfifty") == ["thirteen", "million", "fifty"]
    for word in ("three", "fifteen", "ninety", "thousand", "trillion", "tuesday"):
        assert ENGLISH.hints_at_exact_words(word)
