"""What llmner knows of languages, one module a language: particles, titles, numerals, units, names
of labels.

Data and small pure functions, which a :class:`Language` holds. A recipe names its language; beyond
that the letters of a text decide, and a mixed text uses several. What the rules are used for is for
``projection`` and ``schema`` to know, which know no language.

A new language is a module with a :class:`Language` and a line in ``LANGUAGES``.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from llmner.languages._answers import answer_meaning, is_no_answer
from llmner.languages._language import Language, Reason, merge
from llmner.languages._scripts import KINDS, main_language, scripts_of
from llmner.languages.chinese import CHINESE
from llmner.languages.english import ENGLISH
from llmner.languages.german import GERMAN
from llmner.languages.japanese import JAPANESE
from llmner.languages.korean import KOREAN
from llmner.languages.shared import SHARED

__all__ = [
    "EVERY_LANGUAGE",
    "KINDS",
    "LANGUAGES",
    "Language",
    "Reason",
    "answer_meaning",
    "cues_after",
    "find_language",
    "find_languages",
    "is_no_answer",
    "is_particle",
    "main_language",
    "meaning_of",
    "merge",
    "scripts_of",
    "words_for",
]

LANGUAGES: Final = (KOREAN, JAPANESE, CHINESE, ENGLISH, GERMAN)
"""The languages that have rules; of rules that speak of one thing the first one's is asked first.
"""

EVERY_LANGUAGE: Final = merge((*LANGUAGES, SHARED))
"""All of them as one, for what is not about one text: names of labels, units."""


def find_languages(text: str, code: str | None = None) -> tuple[Language, ...]:
    """The languages whose rules a text needs: the one that is named, and those its letters are of.

    Args:
        text: Canonical text, with the mentions that are looked for in it. O(length).
        code: BCP 47 code of the language that a recipe names; one without rules names none.

    >>> [language.code for language in find_languages("손흥민은토트넘(spurs)의")]
    ['ko', 'en', 'de', 'und']
    >>> [language.code for language in find_languages("", "ja-JP")]
    ['ja', 'und']
    """
    return _chosen(scripts_of(text), code)


def find_language(text: str, code: str | None = None) -> Language:
    """The same languages as one. Arguments as for :func:`find_languages`."""
    return _merged(scripts_of(text), code)


@lru_cache(maxsize=256)
def _chosen(scripts: tuple[str, ...], code: str | None) -> tuple[Language, ...]:
    primary = (code or "").partition("-")[0].lower()
    used = [
        language
        for language in LANGUAGES
        if language.code == primary or not language.scripts.isdisjoint(scripts)
    ]
    used.sort(key=lambda language: language.code != primary)
    return (*used, SHARED)


@lru_cache(maxsize=256)
def _merged(scripts: tuple[str, ...], code: str | None) -> Language:
    return _one_of(_chosen(scripts, code))


@lru_cache(maxsize=256)
def _one_of(languages: tuple[Language, ...]) -> Language:
    return merge(languages)


def is_particle(text: str) -> bool:
    """Whether ``text`` is one particle of some language, or several in a row that are listed as
    one.

    >>> is_particle("에서는"), is_particle("서울")
    (True, False)
    """
    return text in EVERY_LANGUAGE.particles


def meaning_of(word: str) -> str | None:
    """What a label's name says its entities are: ``"person"``, ``"place"``, ``"date"``, ...

    Args:
        word: The name, case-folded.

    >>> meaning_of("인물"), meaning_of("location"), meaning_of("film")
    ('person', 'place', None)
    """
    return _MEANINGS.get(word)


def words_for(meaning: str) -> frozenset[str]:
    """The names of labels that mean this, in every language, case-folded.

    >>> "ps" in words_for("person")
    True
    """
    return frozenset(EVERY_LANGUAGE.label_words.get(meaning, ()))


def cues_after(meaning: str | None) -> tuple[str, ...]:
    """What often follows entities of that meaning in a text, in some language.

    >>> cues_after("place")[0], cues_after(None)
    ('에서', ())
    """
    return EVERY_LANGUAGE.cues.get(meaning or "", ())


_MEANINGS: Final = {
    word: meaning for meaning, words in EVERY_LANGUAGE.label_words.items() for word in words
}
