"""Units: each language names those of the shared table, and none under another name."""

from __future__ import annotations

from llmner.languages import LANGUAGES
from llmner.languages.shared import SHARED


def test_languages_write_units_of_the_shared_table() -> None:
    for language in LANGUAGES:
        assert set(language.units) <= set(SHARED.units), language.code


def test_no_word_is_two_units() -> None:
    owner: dict[str, str] = {}
    for language in (SHARED, *LANGUAGES):
        for unit, words in language.units.items():
            for word in words:
                assert owner.setdefault(word, unit) == unit
