"""English: titles and articles before names, possessives, legal forms, numbers in words, units, and
what labels are called.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from llmner.languages._language import Language, Reason, without_article, without_legal_words

__all__ = ["ENGLISH", "other_forms", "possessive"]

_ARTICLE: Final = re.compile(r"(?:the|a|an)\s+(?=\S)", re.I)
_LEGAL_WORDS: Final = frozenset(
    "Co Ltd Inc Corp LLC PLC plc LP LLP Limited Incorporated Corporation Company N.V S.A S.p.A Pty "
    "Holding Holdings".split()
)
_LEGAL: Final = re.compile(rf"(?:[\s,]+(?:{'|'.join(map(re.escape, sorted(_LEGAL_WORDS)))})\.?)+$")
# Names of firms that are written so; most began as somebody's.
_KEEP_THE_POSSESSIVE: Final = frozenset(
    "mcdonald levi macy wendy kellogg lay denny arby sainsbury lloyd christie sotheby moody domino "
    "hershey kohl lowe joe dick carl bloomingdale harrod selfridge cadbury reese hardee chili "
    "applebee papajohn traderjoe st.john st.andrew king queen women men children bartholomew "
    "people valentine mother father new year president".split()
)
_OWNED: Final = re.compile(r"\s+\w|\s*$|[,.;:!?)\]]")


def other_forms(mention: str, spaced: str) -> Iterator[tuple[str, Reason]]:
    """(form, reason) for a mention without its article, possessive or legal form.

    The White House → White House, Apple's → Apple, Samsung Electronics Co., Ltd. → Samsung
    Electronics.
    """
    mention, words, article = without_article(mention, spaced.strip(), _ARTICLE)
    if article is not None:
        yield mention, article
    for ending in ("'s", "'"):
        if mention.endswith(ending) and len(mention) > len(ending) + 1:
            yield mention[: -len(ending)], Reason("possessive", ending)
            break
    if words.rstrip(".").rpartition(" ")[2].rpartition(",")[2] not in _LEGAL_WORDS:
        return
    yield from without_legal_words(mention, words, _LEGAL)


def possessive(surface: str, after: str, spaced: str, person: bool) -> int:
    """How many letters of a possessive to take off a mention that stands in the text as it is.

    Args:
        surface: The stretch of the text.
        after: What follows it.
        spaced: The mention as the reply wrote it.
        person: Whether it is said to be a person.
    """
    if surface[-2:] in ("'s", "’s"):
        size = 2
    elif surface[-2:] in ("s'", "s’"):
        size = 1
    else:
        return 0
    words = surface[:-size].lower().split()
    if sum(map(len, words)) < 2:
        return 0
    if not _KEEP_THE_POSSESSIVE.isdisjoint((words[-1], "".join(words[-2:]))):
        return 0
    return size if _OWNED.match(after) else 0


ENGLISH: Final = Language(
    code="en",
    scripts=frozenset({"latin"}),
    titles_before=tuple(
        f"{title} "
        for title in (
            *("Mr", "Mr.", "Mrs", "Mrs.", "Ms", "Ms.", "Miss", "Dr", "Dr.", "Prof.", "Professor"),
            *("Sir", "Dame", "Lord", "Lady", "Rev.", "Father", "Sister", "Judge", "Justice"),
            *("President", "Prime Minister", "Chancellor", "Minister", "Senator", "Sen.", "Gov."),
            *("Governor", "Mayor", "King", "Queen", "Prince", "Princess", "Pope", "Captain"),
            *("Capt.", "General", "Gen.", "Colonel", "Col.", "Sgt.", "Coach"),
        )
    ),
    possessives=frozenset(("'s", "’s", "s'", "s’")),
    particle_at_end=possessive,
    other_forms=other_forms,
    endings=("s",),
    common_words=frozenset(
        "i a us it who am is as at an on or in be he me my no so to up we do go if of by and are "
        "can for "
        "had has her him his how may not now off one our out she the too was you all any but did "
        "get let see use why way new aid ask fit map own per set top".split()
    ),
    exact_words=(
        "north|south|east|west",
        "hyper|hypo|inter|intra|macro|micro|female|male|women|men|upper|lower|inner|outer",
        # Countries that are a letter or two apart.
        "austria|australia|iran|iraq|nigeria|niger|slovakia|slovenia|gambia|zambia|mauritius|mauritania",
        "iceland|ireland|dominican|dominica|guyana|guinea|paraguay|uruguay|sweden|switzerland",
        "import|export|internal|external|senior|junior",
        "january|february|march|april|june|july|august|september|october|november|december",
        "three|four|five|seven|eight|nine|eleven|twelve",
        "(?:thir|four|fif|six|seven|eigh|nine)teen",
        "(?:twen|thir|for|fif|six|seven|eigh|nine)ty",
        "hundred|thousand|[mbtr]+illion",
        "(?:mon|tues|wednes|thurs|fri|satur|sun)day",
    ),
    exact_hints=("[a-z]{4}",),
    magnitudes=("million", "billion"),
    number_ends=("illion",),
    units={
        "km": ("kilometers", "kilometer", "kilometres", "kilometre"),
        "m": ("meters", "meter", "metres", "metre"),
        "cm": ("centimeters", "centimeter"),
        "mm": ("millimeters", "millimeter"),
        "kg": ("kilograms", "kilogram"),
        "g": ("grams", "gram"),
        "mg": ("milligrams", "milligram"),
        "t": ("tons", "ton", "tonnes", "tonne"),
        "l": ("liters", "liter", "litres", "litre"),
        "ml": ("milliliters", "milliliter"),
        "%": ("percent",),
        "달러": ("us$", "dollars", "dollar", "usd"),
        "원": ("won", "krw"),
        "엔": ("yen", "jpy"),
        "유로": ("euros", "euro", "eur"),
        "위안": ("yuan", "cny", "rmb"),
        "파운드": ("pounds", "gbp"),
        "°c": ("degrees celsius", "degree celsius", "degrees centigrade", "celsius"),
        "°f": ("degrees fahrenheit", "degree fahrenheit", "fahrenheit"),
    },
    label_words={
        "person": frozenset("ps per person people pers persons".split()),
        "place": frozenset("lc loc location locations place places gpe".split()),
        "organisation": frozenset(
            "og org organization organisation organizations organisations company companies "
            "institution institutions".split()
        ),
        "date": frozenset("dt date dates".split()),
        "time": frozenset("ti time times".split()),
        "quantity": frozenset("qt quantity quantities amount amounts".split()),
        "other": frozenset("misc miscellaneous other".split()),
    },
)
