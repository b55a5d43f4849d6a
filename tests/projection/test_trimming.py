"""Particles, titles and other company that a name keeps, one rule at a time."""

from __future__ import annotations

import pytest

from llmner.languages import Language, Reason
from llmner.projection import project
from llmner.projection._edges import lighter_forms
from llmner.projection._explain import in_words
from llmner.schema import Label, LabelSchema
from llmner.spans import Mention

SCHEMA = LabelSchema.of("PS", "LC", "OG", "DT", "TI", "QT")


def placed(text: str, label: str, surface: str, **policy: object) -> str | None:
    """What a mention is placed on."""
    (outcome,) = project(text, [Mention(label, surface)], SCHEMA, **policy).outcomes
    return None if outcome.span is None else text[outcome.span.start : outcome.span.end]


@pytest.mark.parametrize(
    ("text", "label", "surface", "expected"),
    [
        # A particle that comes along with the name.
        ("춘천에서 왔다", "LC", "춘천에서", "춘천"),
        ("민주당의 대표는", "OG", "민주당의", "민주당"),
        ("삼성전자가 밝혔다", "OG", "삼성전자가", "삼성전자"),
        ("경찰은 밝혔다", "OG", "경찰은", "경찰"),
        ("100명이 모였다", "QT", "100명이", "100명"),
        ("3위로 마쳤다", "QT", "3위로", "3위"),
        ("오전 9시에 열린", "TI", "오전 9시에", "오전 9시"),
        ("한 편의 영화", "QT", "한 편의", "한 편"),
        ("지난 7일부터 열린", "DT", "지난 7일부터", "지난 7일"),
        ("손흥민은 뛰었다", "PS", "손흥민은", "손흥민"),
        ("3점이면 높다", "QT", "3점이", "3점"),
        ("춘천에서 왔다", "LC", "춘천에", "춘천"),
        # Half of another word.
        ("왕조현 주윤발 이것만으로", "PS", "주윤발이", "주윤발"),
    ],
)
def test_particles_that_are_trimmed(text: str, label: str, surface: str, expected: str) -> None:
    assert placed(text, label, surface) == expected
    assert placed(text, label, surface, particles="keep") == surface or " " in text[:8]


@pytest.mark.parametrize(
    ("text", "label", "surface"),
    [
        ("정은이 왔다", "PS", "정은"),
        ("이가 왔다", "PS", "이가"),
        ("김정은 위원장", "PS", "김정은"),
        ("김정은은 말했다", "PS", "김정은"),
        ("제주도 여행", "LC", "제주도"),
        ("제주도에 갔다", "LC", "제주도"),
        ("벨기에 대표", "LC", "벨기에"),
        ("오키나와 여행", "LC", "오키나와"),
        ("2013년 가을 성동구", "DT", "2013년 가을"),
        ("행정학과 교수", "OG", "행정학과"),
        ("종로2가 근처", "LC", "종로2가"),
        ("편도 2차로 도로", "QT", "2차로"),
        ("장미 한 송이 같은", "QT", "한 송이"),
        ("영상 5도 안팎", "QT", "영상 5도"),
        ("관객 1000만 돌파", "QT", "1000만"),
        ("국무회의 의결", "OG", "국무회의"),
        ("사나에 씨", "PS", "사나에"),
        ("롯데가(家)의 난", "OG", "롯데가"),
        ("내년 지방선거까지 간다", "DT", "내년 지방선거까지"),
        ("대서양도 건넌다", "LC", "대서양도"),
    ],
)
def test_names_that_stand_in_the_text_stay_whole(text: str, label: str, surface: str) -> None:
    assert placed(text, label, surface) == surface


@pytest.mark.parametrize(
    ("text", "surface", "expected"),
    [
        ("박씨의 딸", "박씨", "박"),
        ("이상훈 씨는", "이상훈 씨", "이상훈"),
        ("송창의씨는", "송창의씨", "송창의"),
        ("김상석님 영화", "김상석님", "김상석"),
        ("김모(26) 씨 등", "김모", "김"),
        ("김모 씨가", "김모 씨", "김"),
        # Digits are never taken off, an age neither.
        ("윤모(35) 씨도", "윤모(35) 씨", "윤모(35) 씨"),
        ("A군 어머니", "A군", "A"),
        ("오바마 대통령은", "오바마 대통령", "오바마"),
        ("전 전 대통령은", "전 전 대통령", "전"),
        ("홍상수감독의", "홍상수감독", "홍상수"),
        # Names that end like a title.
        ("하느님의 어린양", "하느님", "하느님"),
        ("혜민스님이", "혜민스님", "혜민스님"),
        ("태양의 노래", "태양", "태양"),
        ("전 대통령은", "전 대통령", "전 대통령"),
        # Titles of which KLUE takes some into the name.
        ("윤 선수는", "윤 선수", "윤 선수"),
    ],
)
def test_titles_of_people(text: str, surface: str, expected: str) -> None:
    assert placed(text, "PS", surface) == expected
    assert placed(text, "PS", surface, particles="keep") == surface


@pytest.mark.parametrize(
    "title", ["씨", " 씨", "님", " 선수", " 총괄회장", " 전 대통령", "양", " 박사님"]
)
@pytest.mark.parametrize("particle", ["", "은", "에게"])
def test_a_title_that_the_text_does_not_have_is_taken_off(title: str, particle: str) -> None:
    projection = project("손흥민이 골을 넣었다", [Mention("PS", f"손흥민{title}{particle}")])
    (outcome,) = projection.outcomes
    assert outcome.span is not None
    assert (outcome.span.start, outcome.span.end, outcome.kind) == (0, 3, "trimmed")
    assert "title" in outcome.reason


def test_titles_are_taken_off_people_only() -> None:
    assert placed("한빛씨 회사", "OG", "한빛씨") == "한빛씨"
    keeps = LabelSchema(labels=(Label(code="PS", person=False),))
    assert project("박씨의 딸", [Mention("PS", "박씨")], keeps).spans[0].end == 2
    people = LabelSchema(labels=(Label(code="HERO", person=True), Label(code="X", name="인물")))
    assert people.persons == {"HERO", "X"}
    assert project("박씨의 딸", [Mention("HERO", "박씨")], people).spans[0].end == 1
    # Without a schema the label itself has to say so.
    assert project("박씨의 딸", [Mention("PERSON", "박씨")]).spans[0].end == 1
    assert project("박씨의 딸", [Mention("LOC", "박씨")]).spans[0].end == 2


def test_what_was_trimmed_is_in_the_outcome() -> None:
    projection = project("손흥민 씨에게 물었다", [Mention("PS", "손흥민 씨에게")], SCHEMA)
    assert projection.outcomes[0].kind == "trimmed"
    assert projection.outcomes[0].reason == "particle 에게, title 씨"


@pytest.mark.parametrize("label", ["PS", "PER"])
@pytest.mark.parametrize(
    ("text", "surface", "start"),
    [
        ("登山家の山本氏は、山本来の姿を守りたい", "山本", 4),
        ("花屋を営む花さんは花巻市から", "花", 5),
        ("马先生爱骑马", "马", 0),
        ("市民钱女士花钱买票", "钱", 2),
    ],
)
def test_people_are_found_by_how_they_are_called(
    text: str, surface: str, start: int, label: str
) -> None:
    assert project(text, [Mention(label, surface)]).spans[0].start == start


def test_a_language_may_have_forms_of_its_own() -> None:
    """What an article or a legal form would need: nothing but a module of its language."""
    german = Language(
        code="de",
        other_forms=lambda mention, spaced: (
            [(mention.removesuffix("gmbh"), Reason("legal form", "GmbH"))]
            if spaced.endswith(" GmbH")
            else []
        ),
    )
    forms = list(lighter_forms("mustergmbh", "Muster GmbH", False, german))
    assert forms == [("muster", (("legal form", "GmbH"),))]
    assert in_words(forms[0][1]) == "legal form GmbH"
