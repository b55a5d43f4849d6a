"""What is written alike in every language: signs of units and currencies."""

from __future__ import annotations

from typing import Final

from llmner.languages._language import Language

__all__ = ["SHARED"]

# Signs that folding does not make equal: ㎞ is km already.
SHARED: Final = Language(
    code="und",
    units={
        "km": (),
        "m": (),
        "cm": (),
        "mm": (),
        "kg": (),
        "g": (),
        "mg": (),
        "t": (),
        "l": (),
        "ml": (),
        "m2": ("m^2",),
        "km2": ("km^2",),
        "ha": (),
        "kwh": (),
        "kw": (),
        "mw": (),
        "mb": (),
        "gb": (),
        "tb": (),
        "%p": (),
        "%": (),
        "°c": (),
        "°f": (),
        "달러": ("$",),
        "원": ("₩",),
        "엔": ("¥",),
        "유로": ("€",),
        "위안": (),
        "파운드": ("£",),
    },
)
