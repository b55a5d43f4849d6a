"""Chinese: how people are called, legal forms, days and numerals, units, and what labels are
called.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from llmner.languages._language import Language, Reason, without_legal_form

__all__ = [
    "CHINESE",
    "names_before_title",
    "other_forms",
    "particle_at_end",
    "split_particles",
]

_NUMERALS: Final = frozenset("〇零一二三四五六七八九十百千万萬億亿兆两兩壹貳參")

_LEGAL: Final = re.compile(
    r"(?:股份有限公司|股份公司|有限责任公司|有限責任公司|有限公司|集团|集團)$"
)


_TITLES: Final = (
    "先生",
    "女士",
    "小姐",
    "老师",
    "老師",
    "教授",
    "医生",
    "醫生",
    "博士",
    "经理",
    "主任",
)


def split_particles(surface: str) -> Iterator[tuple[str, str]]:
    """(stem, particle) of what ends in 的: 上海的 → 上海, 的."""
    if len(surface) > 2 and surface[-1] == "的":
        yield surface[:-1], "的"


def particle_at_end(surface: str, after: str, spaced: str, person: bool) -> int:
    """1 where a stretch of the text ends in 的 behind two letters or more."""
    return int(len(surface) > 2 and surface[-1] == "的" and "\u4e00" <= surface[-2] <= "\u9fff")


def names_before_title(surface: str) -> Iterator[tuple[str, Reason]]:
    """(name, reason) of a person's name with a title behind: 王芳女士 → 王芳."""
    for title in _TITLES:
        if surface.endswith(title) and len(surface) > len(title):
            yield surface[: -len(title)], Reason("title", title)


def other_forms(mention: str, spaced: str) -> Iterator[tuple[str, Reason]]:
    """(form, reason) for a firm without its legal form: 蓝天科技有限公司 → 蓝天科技."""
    if mention[-1:] not in ("司", "团", "團"):
        return
    yield from without_legal_form(mention, _LEGAL)


CHINESE: Final = Language(
    code="zh",
    scripts=frozenset({"han"}),
    called=("先生", "女士", "小姐", "老师", "老師"),
    particle_ends=frozenset("的"),
    split_particles=split_particles,
    particle_at_end=particle_at_end,
    names_before_title=names_before_title,
    other_forms=other_forms,
    numerals=_NUMERALS,
    counted_by=_NUMERALS,
    exact_words=("(?:星期|周|週)[一二三四五六日天]", "[东東西南北上下左右男女新旧舊前后後内內外]"),
    exact_hints=("星期", "周", "週", "[东東西南北上下左右男女新旧舊前后後内內外]"),
    units={
        "km": ("公里", "千米"),
        "kg": ("公斤",),
        "달러": ("美元",),
        "원": ("韩元", "韓元"),
        "유로": ("欧元", "歐元"),
        "위안": ("元", "人民币"),
    },
    label_words={
        "person": frozenset("人物 人名 人 姓名".split()),
        "place": frozenset("地点 地點 地名 地方 位置 地区 地區".split()),
        "organisation": frozenset(
            "组织 組織 机构 機構 组织名 机构名 公司 组织机构 团体 團體".split()
        ),
        "date": frozenset("日期".split()),
        "time": frozenset("时间 時間 时刻".split()),
        "quantity": frozenset("数量 數量 数值".split()),
        "other": frozenset("其他 其它".split()),
    },
)
