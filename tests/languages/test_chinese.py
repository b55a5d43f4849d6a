"""What Chinese says of how people are called, days and numerals."""

from __future__ import annotations

from llmner.languages.chinese import (
    CHINESE,
    names_before_title,
    other_forms,
    split_particles,
)


def test_how_people_are_called_makes_sure_of_a_name() -> None:
    assert "马先生爱骑马".startswith(CHINESE.called, 1)
    assert {word[0] for word in CHINESE.called} == CHINESE.called_begins


def test_days_and_numerals() -> None:
    assert CHINESE.find_exact_words("星期一和周五") == ["星期一", "周五"]
    assert CHINESE.numerals >= set("三四万亿")


def test_what_is_no_part_of_a_name() -> None:
    assert [form for form, _ in other_forms("蓝天科技有限公司", "")] == ["蓝天科技"]
    assert list(split_particles("上海的")) == [("上海", "的")]
    assert list(split_particles("美的")) == []
    assert [name for name, _ in names_before_title("王芳女士")] == ["王芳"]
