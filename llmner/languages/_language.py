"""What a language is to this package: data and small pure functions, all of them optional; several
as one.

What is done with them is for ``projection`` (spans) and ``schema`` (names of labels) to say.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Final, NamedTuple

__all__ = [
    "Language",
    "Reason",
    "merge",
    "without_article",
    "without_legal_form",
    "without_legal_words",
]


class Reason(NamedTuple):
    """Why a place or a form differs from what was said: a kind, and the piece of text it is about.

    A language's own reasons say what was taken off: ``Reason("particle", "에서")``,
    ``Reason("title", "씨")``. They are shown as their kind and their text.
    """

    kind: str
    text: str = ""


# No legal form with what stands before it is longer.
_LONGEST_LEGAL: Final = 60


def without_article(
    mention: str, words: str, articles: re.Pattern[str]
) -> tuple[str, str, Reason | None]:
    """A canonical mention and its words less an article in front, and the reason if there is one.

    >>> without_article("theelbe", "the Elbe", re.compile("the ", re.I))
    ('elbe', 'Elbe', Reason(kind='article', text='the'))
    """
    article = articles.match(words)
    if article is None:
        return mention, words, None
    word = article[0].strip().lower()
    return mention[len(word) :], words[article.end() :], Reason("article", word)


def without_legal_words(
    mention: str, words: str, legal_forms: re.Pattern[str]
) -> Iterator[tuple[str, Reason]]:
    """(form, reason) of a canonical mention whose words end in a legal form behind a space.

    >>> list(without_legal_words("brandtag", "Brandt AG", re.compile(" AG$")))
    [('brandt', Reason(kind='legal form', text='AG'))]
    """
    legal = legal_forms.search(words, max(0, len(words) - _LONGEST_LEGAL))
    if legal is None:
        return
    letters = "".join(legal[0].split()).lower()
    for written in (letters, letters.rstrip(".,")):
        if mention.endswith(written):
            if name := mention[: -len(written)]:
                yield name, Reason("legal form", legal[0].strip(" ,"))
            return


def without_legal_form(mention: str, legal_forms: re.Pattern[str]) -> Iterator[tuple[str, Reason]]:
    """(form, reason) of a canonical mention with a legal form, which no space parts from the name.

    >>> list(without_legal_form("青空株式会社", re.compile("株式会社")))
    [('青空', Reason(kind='legal form', text='株式会社'))]
    """
    legal = legal_forms.search(mention)
    if legal is not None and (name := mention[: legal.start()] + mention[legal.end() :]):
        yield name, Reason("legal form", legal[0])


def _no_pairs(surface: str) -> Iterable[tuple[str, Any]]:
    return ()


def _no_forms(mention: str, spaced: str) -> Iterable[tuple[str, Reason]]:
    return ()


def _never(text: str, start: int, end: int) -> bool:
    return False


def _fits(stem: str, particle: str) -> bool:
    return True


def _nothing(surface: str, after: str, spaced: str, person: bool) -> int:
    return 0


def _whole(surface: str, after: str) -> int:
    return len(surface)


def _no_say(*args: Any) -> None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Language:
    """One language, or several as one (:func:`merge`); a field left out is a rule it does not have.

    *Canonical* strings are folded: no spaces, lower case. *Letters* are code points.

    Attributes:
        code: Primary subtag of its BCP 47 code.
        scripts: Scripts (of :func:`scripts_of`) of the texts it is used for unasked. A language
            without any is used only where a recipe names it.
        particles: What may follow a name in its word and is no part of it (에서).
        particle_ends: Last letters of a surface that may carry a particle, for a quick look.
        possessives: The last two letters of surfaces that may carry a possessive ('s), for a quick
            look.
        name_endings: Particles that are also the last syllable of many people's names (은).
        name_goes_on: (text, start, end) → whether a stretch is only the beginning of a person's
            name: 한서 in 한서진.
        split_particles: Canonical surface → (stem, particle) for each particle that it may end in,
            the longest first.
        particle_fits: (stem, particle) → whether the particle has the form that follows the stem.
        particle_at_end: (surface in the text, what follows it, the mention as it was written,
            whether it is said to be a person) → how many letters of particle to take off, 0 for
            none.
        titles_before: Titles before a person's name, with the space behind them (``"Mr "``).
        title_ends: Last letters of titles that ``name_length`` takes off, for a quick look.
        name_length: (surface in the text, what follows it) → letters of a person's name without
            titles, 1 at least.
        names_before_title: Canonical surface → (name, reason) for a person's name with a title
            behind, the longest name first.
        common_addresses: Titles that people of any name are called by (씨). A short name before
            another one has to be a word of the text.
        endings: What a name may end in that is no part of it, without a sign between (CEOs).
        common_words: Short words that acronyms are not: US is not us, WHO is not who.
        other_forms: (canonical mention, the mention as it was written) → (form, reason) for what it
            may be without an article or a legal form, the least trimmed first.
        called: What people are called right behind their names, where that makes sure of a place
            (さん).
        tail_cost: (kind of the last letter, of :data:`KINDS`; text; offset behind it) → what a
            place costs by what follows it in its word; ``None`` where the language does not say.
        lone_cost: (text, offset, cost) → what a place of one letter costs; ``None`` as before.
        lone_words: Words of one letter that stand alone and name nothing.
        kept_before: What follows a name that is to stay as it is (롯데가(家)).
        numerals: Letters that count (三, 삼).
        counted_by: Letters beside which a numeral counts: other numerals, counters (월, 명).
        exact_words: Words that count, or name a day, and of which one edit makes another; regular
            expressions over canonical text.
        exact_hints: The same for pieces of which each of ``exact_words`` has one, for a quick look.
        magnitudes: What multiplies the digits before it (만, million), canonical.
        number_ends: What a written number may end in besides a digit, canonical.
        units: Unit → how else it is written.
        scales: Unit → words before a number that say the unit behind it is this one (섭씨 30도).
        label_words: ``"person"``, ``"place"``, ``"organisation"`` → what labels of such entities
            are called, case-folded.
        cues: The same keys → what often follows such entities in a text.
    """

    code: str
    scripts: frozenset[str] = frozenset()

    particles: frozenset[str] = frozenset()
    particle_ends: frozenset[str] = frozenset()
    possessives: frozenset[str] = frozenset()
    name_endings: frozenset[str] = frozenset()
    split_particles: Callable[[str], Iterable[tuple[str, str]]] = _no_pairs
    name_goes_on: Callable[[str, int, int], bool] = _never
    particle_fits: Callable[[str, str], bool] = _fits
    particle_at_end: Callable[[str, str, str, bool], int] = _nothing

    titles_before: tuple[str, ...] = ()
    title_ends: frozenset[str] = frozenset()
    name_length: Callable[[str, str], int] = _whole
    names_before_title: Callable[[str], Iterable[tuple[str, Reason]]] = _no_pairs
    common_addresses: frozenset[str] = frozenset()
    endings: tuple[str, ...] = ()
    common_words: frozenset[str] = frozenset()
    other_forms: Callable[[str, str], Iterable[tuple[str, Reason]]] = _no_forms

    called: tuple[str, ...] = ()
    tail_cost: Callable[[str, str, int], float | None] = _no_say
    lone_cost: Callable[[str, int, float], float | None] = _no_say
    lone_words: frozenset[str] = frozenset()
    kept_before: tuple[str, ...] = ()

    numerals: frozenset[str] = frozenset()
    counted_by: frozenset[str] = frozenset()
    exact_words: tuple[str, ...] = ()
    exact_hints: tuple[str, ...] = ()
    magnitudes: tuple[str, ...] = ()
    number_ends: tuple[str, ...] = ()
    units: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    scales: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    label_words: Mapping[str, frozenset[str]] = field(default_factory=dict)
    cues: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    # Made of the fields above.
    called_begins: frozenset[str] = field(init=False)
    find_exact_words: Callable[[str], list[str]] = field(init=False)
    hints_at_exact_words: Callable[[str], object] = field(init=False)

    def __post_init__(self) -> None:
        begins = frozenset(word[0] for word in self.called)
        object.__setattr__(self, "called_begins", begins)
        words, hints = ("|".join(some) or "(?!)" for some in (self.exact_words, self.exact_hints))
        object.__setattr__(self, "find_exact_words", re.compile(words).findall)
        object.__setattr__(self, "hints_at_exact_words", re.compile(hints).search)


# Fields by what they are; the names of the others stand below.
_SETS: Final = (
    "scripts particles particle_ends title_ends common_addresses common_words name_endings "
    "possessives "
    "lone_words numerals "
    "counted_by"
).split()
_WORDS: Final = (
    "titles_before called endings kept_before exact_words exact_hints magnitudes "
    "number_ends".split()
)


def merge(languages: Sequence[Language]) -> Language:
    """Several languages as one, for mixed texts.

    Each is asked about every text, so that its rules must leave alone what is of other scripts; of
    two that speak of one thing, the first language's is asked first.
    """
    if len(languages) == 1:
        return languages[0]
    fields: dict[str, Any] = {"code": "+".join(language.code for language in languages)}
    for name in _SETS:
        fields[name] = frozenset().union(*(getattr(language, name) for language in languages))
    for name in _WORDS:
        # A word may be used by several languages; it is looked for once.
        words = chain.from_iterable(getattr(language, name) for language in languages)
        fields[name] = tuple(dict.fromkeys(words))
    for name in ("units", "scales", "cues"):
        fields[name] = _merged_lists(getattr(language, name) for language in languages)
    fields["label_words"] = {
        meaning: frozenset(words)
        for meaning, words in _merged_lists(language.label_words for language in languages).items()
    }
    for name, (nothing, combine) in _COMBINED.items():
        functions = [
            function
            for language in languages
            if (function := getattr(language, name)) is not nothing
        ]
        if len(functions) == 1:
            fields[name] = functions[0]
        elif functions:
            fields[name] = combine(functions)
    return Language(**fields)


def _merged_lists(tables: Iterable[Mapping[str, Iterable[str]]]) -> dict[str, tuple[str, ...]]:
    merged: dict[str, tuple[str, ...]] = {}
    for table in tables:
        for key, words in table.items():
            merged[key] = tuple(dict.fromkeys((*merged.get(key, ()), *words)))
    return merged


_Rules = Sequence[Callable[..., Any]]


def _each(rules: _Rules) -> Callable[..., Iterator[tuple[str, Any]]]:
    """What every rule gives, each form once."""

    def forms(*args: Any) -> Iterator[tuple[str, Any]]:
        given: set[str] = set()
        for rule in rules:
            for form, what in rule(*args):
                if form not in given:
                    given.add(form)
                    yield form, what

    return forms


def _every(rules: _Rules) -> Callable[..., bool]:
    return lambda *args: all(rule(*args) for rule in rules)


def _any(rules: _Rules) -> Callable[..., bool]:
    return lambda *args: any(rule(*args) for rule in rules)


def _most(rules: _Rules) -> Callable[..., int]:
    return lambda *args: max([rule(*args) for rule in rules])


def _least(rules: _Rules) -> Callable[..., int]:
    return lambda *args: min([rule(*args) for rule in rules])


def _first(rules: _Rules) -> Callable[..., float | None]:
    """What the first rule says that says anything."""

    def said(*args: Any) -> float | None:
        for rule in rules:
            cost: float | None = rule(*args)
            if cost is not None:
                return cost
        return None

    return said


# Field → what a language without a rule has there, and how the rules of several become one.
_COMBINED: Final[dict[str, tuple[Callable[..., Any], Callable[..., Any]]]] = {
    "split_particles": (_no_pairs, _each),
    "name_goes_on": (_never, _any),
    "particle_fits": (_fits, _every),
    "particle_at_end": (_nothing, _most),
    "name_length": (_whole, _least),
    "names_before_title": (_no_pairs, _each),
    "other_forms": (_no_forms, _each),
    "tail_cost": (_no_say, _first),
    "lone_cost": (_no_say, _first),
}
