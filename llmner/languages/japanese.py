"""Japanese: how people are called, particles in kana, days and numerals, units, and what labels are
called.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from llmner.languages._language import Language, Reason, without_legal_form

__all__ = [
    "JAPANESE",
    "name_goes_on",
    "name_length",
    "names_before_title",
    "other_forms",
    "particle_at_end",
    "split_particles",
    "tail_cost",
]

# Of those below, the ones that are taken off a name in the text, and off one that a reply says.
_OFF_IN_THE_TEXT: Final = ("さん", "氏")
_OFF_A_MENTION: Final = ("さん", "氏", "先生")
_CALLED: Final = ("さん", "氏", "様", "さま", "君", "くん", "ちゃん", "先生")
_PARTICLES: Final = frozenset("はがをにでとものへや")
# What ends the word of a name: case particles and those that follow them, up to four in a row.
_ENDS: Final = re.compile(
    r"(?:から|まで|より|だけ|など|しか|なら|ばかり|ほど|くらい|ぐらい|こそ|さえ|って|はもちろん|[はがをにでともへやの]){1,4}"
)
_LONGEST: Final = 8
_PARTICLE_ENDS: Final = frozenset("はがをにでともへやのらりけどしいそえてんか")
_MAX_NAME: Final = 60


def split_particles(surface: str) -> Iterator[tuple[str, str]]:
    """(stem, particle) for a surface that ends in particles behind other letters than hiragana.

    横浜からは → 横浜, からは.
    """
    if surface[-1:] not in _PARTICLE_ENDS:
        return
    for size in range(min(_LONGEST, len(surface) - 1), 0, -1):
        stem, tail = surface[:-size], surface[-size:]
        if "ぁ" <= stem[-1] <= "ゖ" and not stem.endswith(_CALLED):
            continue
        if _ENDS.fullmatch(tail) is not None:
            yield stem, tail


def particle_at_end(surface: str, after: str, spaced: str, person: bool) -> int:
    """How many letters of particles a stretch of the text ends in, where no hiragana follows."""
    if "ぁ" <= after[:1] <= "ゖ":
        return 0
    return max((len(particle) for _, particle in split_particles(surface)), default=0)


def name_goes_on(text: str, start: int, end: int) -> bool:
    """Whether a stretch is only the beginning of a name: 長谷 in 長谷川さん."""
    stop = end
    while stop < len(text) and stop - end < 3 and "\u4e00" <= text[stop] <= "\u9fff":
        stop += 1
    return 0 < stop - end < 3 and text.startswith(_CALLED, stop)


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
    ends_a_word = last != "k" or "ァ" <= text[end - 1] <= "ー"
    return 0.0 if ends_a_word and text[end] in _PARTICLES else None


_LEGAL: Final = re.compile(
    r"^(?:株式会社|有限会社|合同会社|\(株\)|\(有\))|(?:株式会社|有限会社|合同会社|\(株\)|\(有\))$"
)


def other_forms(mention: str, spaced: str) -> Iterator[tuple[str, Reason]]:
    """(form, reason) for a firm without its legal form: 株式会社青空 → 青空."""
    if mention[-1:] not in ("社", ")") and mention[:1] not in ("株", "有", "合", "("):
        return
    yield from without_legal_form(mention, _LEGAL)


JAPANESE: Final = Language(
    code="ja",
    scripts=frozenset({"han", "kana"}),
    particle_ends=_PARTICLE_ENDS,
    split_particles=split_particles,
    name_goes_on=name_goes_on,
    particle_at_end=particle_at_end,
    title_ends=frozenset(title[-1] for title in _OFF_IN_THE_TEXT),
    name_length=name_length,
    names_before_title=names_before_title,
    other_forms=other_forms,
    called=_CALLED,
    tail_cost=tail_cost,
    numerals=frozenset("〇零一二三四五六七八九十百千万億兆壹貳參"),
    counted_by=frozenset("〇零一二三四五六七八九十百千万億兆壹貳參"),
    exact_words=(
        "オーストラリア|オーストリア|イラン|イラク|スロバキア|スロベニア|ナイジェリア|ニジェール|ガンビア|ザンビア",
        "[月火水木金土日]曜日?",
        "[東西南北上下左右男女新旧前後内外]",
    ),
    exact_hints=("曜", "[ァ-ー]{3}", "[東西南北上下左右男女新旧前後内外]"),
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
        "°c": ("度",),
    },
    scales={"°c": ("摂氏", "セ氏"), "°f": ("華氏", "カ氏")},
    label_words={
        "person": frozenset("人物 人名 人 人物名".split()),
        "place": frozenset("場所 地名 地域 場所名".split()),
        "organisation": frozenset("組織 団体 組織名 団体名 会社 企業 機関".split()),
        "date": frozenset("日付 日付け".split()),
        "time": frozenset("時間 時刻".split()),
        "quantity": frozenset("数量".split()),
        "other": frozenset("その他".split()),
    },
)
