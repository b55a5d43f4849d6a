"""What Korean says of particles, titles and what stands around a name."""

from __future__ import annotations

import pytest

from llmner.languages.korean import (
    KOREAN,
    PARTICLES,
    agrees,
    lone_cost,
    name_goes_on,
    name_length,
    names_before_title,
    particle_at_end,
    particle_reads_better,
    split_particles,
    tail_cost,
)


def test_the_longest_particle_comes_first() -> None:
    assert list(split_particles("춘천에서는")) == [("춘천", "에서는"), ("춘천에서", "는")]
    # Words that end as a particle does, and quantities.
    assert list(split_particles("벨기에만")) == [("벨기에", "만")]
    assert list(split_particles("100만")) == []
    assert list(split_particles("은")) == []


@pytest.mark.parametrize(
    ("stem", "particle", "fits"),
    [
        ("손흥민", "은", True),
        ("손흥민", "는", False),
        ("영희", "가", True),
        ("서울", "로", True),
        ("EU", "은", True),
    ],
)
def test_particles_agree_with_the_syllable_before(stem: str, particle: str, fits: bool) -> None:
    assert agrees(stem, particle) is fits


@pytest.mark.parametrize(
    ("surface", "after", "spaced", "size"),
    [
        ("춘천에서", " 왔다", "춘천에서", 2),
        ("춘천에", "서 왔다", "춘천에", 1),
        ("김정은", "은 말했다", "김정은", 0),
        # Half of another word, which a space parts from the name.
        ("주윤발 이", "것만으로", "주윤발이", 1),
        ("주윤발 이", "것만으로", "주윤발 이", 0),
        # No word goes on in other letters.
        ("춘천에서", "km", "춘천에서", 0),
    ],
)
def test_particles_in_the_text(surface: str, after: str, spaced: str, size: int) -> None:
    assert particle_at_end(surface, after, spaced, person=False) == size


def test_names_before_titles() -> None:
    # 님 alone, and 형님, which is a title too.
    assert list(names_before_title("이대형님")) == [
        ("이대형", ("title", "님")),
        ("이대", ("title", "형님")),
    ]
    assert list(names_before_title("신동빈총괄회장")) == [
        ("신동빈총괄", ("title", "회장")),
        ("신동빈총", ("long title", "괄회장")),
        ("신동빈", ("long title", "총괄회장")),
    ]
    assert list(names_before_title("손흥민")) == []
    # Japanese people are called so in Korean texts.
    assert next(iter(names_before_title("아베さん"))) == ("아베", ("title", "さん"))


@pytest.mark.parametrize(
    ("text", "last", "cost"),
    [
        ("은 왔다", "h", 0.0),
        ("씨가", "h", 0.0),
        ("인의", "h", 0.3),
        ("역", "h", None),
        ("は", "h", None),
    ],
)
def test_what_may_follow_a_name_in_its_word(text: str, last: str, cost: float | None) -> None:
    assert tail_cost(last, text, 0) == cost


@pytest.mark.parametrize(
    ("text", "start", "cost"),
    [
        ("이씨", 0, 0.0),
        ("이 그림", 0, 0.35),
        ("한일 정상", 0, 0.05),
        ("전 대통령", 0, 0.35),
        ("a", 0, None),
    ],
)
def test_one_syllable_is_more_often_a_word_than_a_name(
    text: str, start: int, cost: float | None
) -> None:
    assert lone_cost(text, start, 0.0) == cost


def test_the_functions_never_take_a_whole_name() -> None:
    for surface in ("씨", "님", "대통령", "은", "에서", "모", "김", " 씨", "전 의원", "(26)", ""):
        assert surface == "" or name_length(surface, "") >= 1
        assert particle_reads_better(surface, "", person=True) < max(1, len(surface))
        assert all(0 < len(name) < len(surface) for name, _ in names_before_title(surface))


def test_quick_looks_see_all_that_the_rules_see() -> None:
    assert all(particle[-1] in KOREAN.particle_ends for particle in PARTICLES)
    for surface in ("박씨", "김모", "오바마 대통령", "홍상수감독", "A군", "아베さん"):
        assert name_length(surface, "") < len(surface)
        assert surface[-1] in KOREAN.title_ends


@pytest.mark.parametrize(
    ("surface", "stem"),
    [
        ("민준에게는", "민준"),
        ("정부로부터", "정부"),
        ("중국까지의", "중국"),
        ("수아에게만은", "수아"),
        ("경기도", None),
        ("여의도", None),
    ],
)
def test_particles_behind_particles(surface: str, stem: str | None) -> None:
    assert next((left for left, _ in split_particles(surface)), None) == stem


def test_a_name_that_goes_on() -> None:
    assert name_goes_on("한서진과 갔다", 0, 2)
    assert not name_goes_on("민석이는 갔다", 0, 2)
    assert not name_goes_on("한서는 갔다", 0, 2)
