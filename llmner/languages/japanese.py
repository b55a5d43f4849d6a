"""Japanese: how people are called, particles in kana, days and numerals, units, and what labels are
called.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from llmner.languages._language import Language, Reason

__all__ = ["JAPANESE", "name_length", "names_before_title", "tail_cost"]

# Of those below, the ones that are taken off a name in the text, and off one that a reply says.
_OFF_IN_THE_TEXT: Final = ("さん", "氏")
_OFF_A_MENTION: Final = ("さん", "氏", "先生")
_CALLED: Final = ("さん", "氏", "様", "さま", "君", "くん", "ちゃん", "先生")
_PARTICLES: Final = frozenset("はがをにでとものへや")
_MAX_NAME: Final = 60


def name_length(surface: str, after: str) -> int:
    """How long the name of a person is without how they are called: 山本さん → 2.

    One letter is a name only where it is Latin: 皆さん is everybody.
    """
    for title in _OFF_IN_THE_TEXT:
        length = len(surface) - len(title)
        if length > 0 and len(surface) <= _MAX_NAME and surface.endswith(title):
            name = surface[:length]
            if name[-1] == ")" or name[-1].isspace():
                break
            if length > 1 or name.isascii():
                return length
    return len(surface)


def names_before_title(surface: str) -> Iterator[tuple[str, Reason]]:
    """(name, reason) for a canonical mention that ends in how people are called: 山本氏 → 山本."""
    for title in _OFF_A_MENTION:
        if len(surface) > len(title) and surface.endswith(title):
            yield surface[: -len(title)], Reason("title", title)


def tail_cost(last: str, text: str, end: int) -> float | None:
    """Nothing for a particle in kana after a name in other letters."""
    return 0.0 if last != "k" and text[end] in _PARTICLES else None


JAPANESE: Final = Language(
    code="ja",
    scripts=frozenset({"han", "kana"}),
    title_ends=frozenset(title[-1] for title in _OFF_IN_THE_TEXT),
    name_length=name_length,
    names_before_title=names_before_title,
    called=_CALLED,
    tail_cost=tail_cost,
    numerals=frozenset("〇零一二三四五六七八九十百千万億兆壹貳參"),
    counted_by=frozenset("〇零一二三四五六七八九十百千万億兆壹貳參"),
    exact_words=("[月火水木金土日]曜日?",),
    exact_hints=("曜",),
    units={
        "km": ("キロメートル",),
        "m": ("メートル",),
        "cm": ("センチ",),
        "mm": ("ミリ",),
        "kg": ("キログラム",),
        "g": ("グラム",),
        "t": ("トン",),
        "l": ("リットル",),
        "%": ("パーセント",),
        "달러": ("ドル",),
        "원": ("ウォン",),
        "엔": ("円",),
        "유로": ("ユーロ",),
        "파운드": ("ポンド",),
    },
    label_words={"person": frozenset("人物 人名 人".split())},
)
