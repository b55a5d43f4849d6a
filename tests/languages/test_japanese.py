"""What Japanese says of how people are called, and of particles in kana."""

from __future__ import annotations

import pytest

from llmner.languages.japanese import (
    JAPANESE,
    name_goes_on,
    name_length,
    names_before_title,
    split_particles,
    tail_cost,
)


@pytest.mark.parametrize(
    ("surface", "length"),
    [
        ("山本氏", 2),
        ("花さん", 3),
        ("アリスさん", 3),
        ("Aさん", 1),
        ("さん", 2),
        ("山本", 2),
        ("山本 氏", 4),
    ],
)
def test_the_name_without_how_people_are_called(surface: str, length: int) -> None:
    assert name_length(surface, "") == length


def test_names_before_titles() -> None:
    assert list(names_before_title("山本先生")) == [("山本", ("title", "先生"))]
    assert list(names_before_title("氏")) == []


def test_particles_in_kana_end_a_word_in_other_letters() -> None:
    assert tail_cost("c", "花は", 1) == 0.0
    assert tail_cost("k", "アリスは", 3) == 0.0
    assert tail_cost("k", "まやは", 2) is None
    assert tail_cost("c", "山本来", 2) is None


def test_days_of_the_week_are_exact() -> None:
    assert JAPANESE.find_exact_words("月曜日と火曜") == ["月曜日", "火曜"]


@pytest.mark.parametrize(
    ("surface", "stem"),
    [
        ("横浜からは", "横浜"),
        ("山口さんにだけは", "山口さん"),
        ("青森でしか", "青森"),
        ("アリスの", "アリス"),
        ("まやは", None),
        ("東京", None),
    ],
)
def test_particles_behind_other_letters(surface: str, stem: str | None) -> None:
    assert next((left for left, _ in split_particles(surface)), None) == stem


def test_a_name_that_goes_on() -> None:
    assert name_goes_on("長谷川さんは", 0, 2)
    assert not name_goes_on("長谷さんは", 0, 2)
