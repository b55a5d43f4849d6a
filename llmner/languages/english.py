"""English: titles before names, numbers in words, units, and what labels are called."""

from __future__ import annotations

from typing import Final

from llmner.languages._language import Language

__all__ = ["ENGLISH"]

ENGLISH: Final = Language(
    code="en",
    scripts=frozenset({"latin"}),
    titles_before=(
        "Mr ",
        "Mr. ",
        "Mrs ",
        "Mrs. ",
        "Ms ",
        "Ms. ",
        "Dr ",
        "Dr. ",
        "Sir ",
        "President ",
    ),
    exact_words=(
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
    },
    label_words={
        "person": frozenset("ps per person people pers".split()),
        "place": frozenset("lc loc location place gpe".split()),
        "organisation": frozenset("og org organization organisation".split()),
    },
)
