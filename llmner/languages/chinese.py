"""Chinese: how people are called, days and numerals, units, and what labels are called."""

from __future__ import annotations

from typing import Final

from llmner.languages._language import Language

__all__ = ["CHINESE"]

_NUMERALS: Final = frozenset("〇零一二三四五六七八九十百千万萬億亿兆两兩壹貳參")

CHINESE: Final = Language(
    code="zh",
    scripts=frozenset({"han"}),
    called=("先生", "女士", "小姐", "老师", "老師"),
    numerals=_NUMERALS,
    counted_by=_NUMERALS,
    exact_words=("(?:星期|周|週)[一二三四五六日天]",),
    exact_hints=("星期", "周", "週"),
    units={
        "km": ("公里", "千米"),
        "kg": ("公斤",),
        "달러": ("美元",),
        "원": ("韩元", "韓元"),
        "유로": ("欧元", "歐元"),
        "위안": ("元", "人民币"),
    },
    label_words={"person": frozenset("人物 人名 人".split())},
)
