"""What projection promises, one statement a test."""

from __future__ import annotations

import time
import unicodedata

import pytest

from llmner.projection import Projection, project, project_reply
from llmner.schema import LabelSchema
from llmner.spans import Mention, Span


def mentions(*pairs: tuple[str, str]) -> list[Mention]:
    return [Mention(label, text) for label, text in pairs]


def found(projection: Projection) -> list[tuple[int, int, str]]:
    return [(span.start, span.end, span.label) for span in projection.spans]


def kinds(projection: Projection) -> list[str]:
    return [outcome.kind for outcome in projection.outcomes]


@pytest.mark.parametrize(
    ("text", "mention", "surface", "kind"),
    [
        ("손흥민은 춘천에서", "손흥민", "손흥민", "exact"),
        ("거리는 7.2㎞이다", "7.2km", "7.2㎞", "canonical"),
        ("거리는 7.2km이다", "7.2㎞", "7.2km", "canonical"),
        ("길이 1000ｍ 코스", "1000m", "1000ｍ", "canonical"),
        ("이재용 부회장", "이 재 용", "이재용", "canonical"),
        ("국립 중앙 박물관에서", "국립중앙박물관", "국립 중앙 박물관", "canonical"),
        ("the iPhone 15", "IPHONE 15", "iPhone 15", "canonical"),
        ("영화 ‘변호인’은", "변호인", "변호인", "exact"),
        ("영화 변호인은", "'변호인'", "변호인", "trimmed"),
        ("영화 변호인은", "**변호인**", "변호인", "trimmed"),
        ("손흥민이 왔다", "손흥민은", "손흥민", "trimmed"),
        ("손흥민이 왔다", "손흥민 씨", "손흥민", "trimmed"),
        ("춘천에서 왔다", "춘천에서", "춘천", "trimmed"),
        ("베트남의 응우옌 감독", "응우엔", "응우옌", "fuzzy"),
        ("2,000만원을 냈다", "2000만원", "2,000만원", "fuzzy"),
        ("도스토예프스키의 소설", "도스토옙스키", "도스토예프스키", "fuzzy"),
        ("😀 손흥민 👍", "손흥민", "손흥민", "exact"),
    ],
)
def test_one_mention(text: str, mention: str, surface: str, kind: str) -> None:
    projection = project(text, mentions(("PS", mention)))
    (span,) = projection.spans
    assert text[span.start : span.end] == surface
    assert kinds(projection) == [kind]
    assert 0 < projection.outcomes[0].similarity <= 1


@pytest.mark.parametrize(
    ("text", "mention"),
    [
        ("16일에 만나", "15일"),
        ("7.3km를 달려", "7.2km"),
        ("2017년의 일", "17년"),
        ("3,000명이 왔다", "000명"),
        ("7.25%로", "7.2"),
        ("1,234,567원", "234,567원"),
        ("삼십만원을 냈다", "사십만원"),
        ("10²개", "102개"),
        ("100명이 왔다", "100만"),
        ("5시다", "5도"),
        ("5도", "-5도"),
        ("5명", ".5명"),
        ("1 2번", "12번"),
        ("25 13으로", "2513"),
        ("1\u200b000원", "000원"),
        ("박 감독은", "김"),
        ("이재명은", "이재용은 말했다"),
        ("거리는 5㎞", "5k"),
        ("abc", ""),
        ("abc", " "),
        ("", "abc"),
        ("가방을 샀다", "우크라이나"),
    ],
)
def test_what_is_not_there_is_not_found(text: str, mention: str) -> None:
    projection = project(text, mentions(("QT", mention)))
    assert projection.spans == ()
    assert kinds(projection) == ["not_found"]
    assert projection.outcomes[0].reason


def test_names_that_look_like_name_and_particle_stay_whole() -> None:
    for text, name in (("김정은은 말했다", "김정은"), ("제주도에 갔다", "제주도"), ("가을을 탄다", "가을")):
        projection = project(text, mentions(("X", name)))
        assert found(projection) == [(0, len(name), "X")]


def test_particles_by_policy() -> None:
    text = "춘천에서 왔다"
    assert found(project(text, mentions(("LC", "춘천에서")), particles="keep")) == [(0, 4, "LC")]
    assert found(project(text, mentions(("LC", "춘천에서")), particles="trim")) == [(0, 2, "LC")]
    assert project("춘천은 좋다", mentions(("LC", "춘천이")), particles="keep", fuzzy=None).spans == ()


def test_fuzzy_by_policy() -> None:
    assert project("응우옌 감독", mentions(("PS", "응우엔")), fuzzy=None).spans == ()
    assert project("응우옌 감독", mentions(("PS", "응우엔")), fuzzy=0.95).spans == ()
    with pytest.raises(TypeError):
        project("가", [], no_such_policy=1)


def test_repeated_mentions_take_successive_occurrences() -> None:
    text = "서울에서 서울로, 다시 서울로"
    projection = project(text, mentions(("LC", "서울"), ("LC", "서울")))
    assert found(projection) == [(0, 2, "LC"), (5, 7, "LC")]


def test_surplus_copies_are_reported_not_stacked() -> None:
    projection = project("서울은 크다", mentions(("LC", "서울"), ("LC", "서울"), ("LC", "서 울")))
    assert found(projection) == [(0, 2, "LC")]
    assert kinds(projection) == ["exact", "surplus", "surplus"]


def test_longer_mentions_are_not_eaten_by_shorter_ones() -> None:
    text = "서울대학교는 서울에 있다"
    expected = [(0, 5, "OG"), (7, 9, "LC")]
    for given in (("LC", "서울"), ("OG", "서울대학교")), (("OG", "서울대학교"), ("LC", "서울")):
        assert found(project(text, mentions(*given))) == expected


def test_a_place_held_by_another_mention_is_overlapped() -> None:
    projection = project("서울대학교", mentions(("LC", "서울"), ("OG", "서울대학교")))
    assert found(projection) == [(0, 5, "OG")]
    assert kinds(projection) == ["overlapped", "exact"]


def test_whole_words_go_before_parts_of_words() -> None:
    assert (
        found(
            project(
                "대한민국과 한국",
                mentions(
                    ("LC", "민국"),
                ),
            )
        )[0][0]
        == 2
    )
    assert found(
        project(
            "남한국과 한국의",
            mentions(
                ("LC", "한국"),
            ),
        )
    ) == [(5, 7, "LC")]
    assert found(
        project(
            "overlap lap",
            mentions(
                ("QT", "lap"),
            ),
        )
    ) == [(8, 11, "QT")]


def test_one_syllable_names_are_found_by_their_title() -> None:
    text = "이 사건에서 이씨는 이 일을 부인했다"
    assert found(project(text, mentions(("PS", "이")))) == [(7, 8, "PS")]
    assert found(project("전 전 대통령은", mentions(("PS", "전")))) == [(0, 1, "PS")]


def test_order_decides_where_the_format_keeps_it() -> None:
    text = "김철수와 박지성, 그리고 김철수"
    after = mentions(("PS", "박지성"), ("PS", "김철수"))
    assert (14, 17, "PS") in found(project(text, after, order="text"))
    before = mentions(("PS", "김철수"), ("PS", "박지성"))
    assert (0, 3, "PS") in found(project(text, before, order="text"))


def test_shuffled_mentions_are_all_placed() -> None:
    text = "가나 다라 마바 사아"
    projection = project(text, mentions(("A", "사아"), ("A", "가나"), ("A", "마바"), ("A", "다라")))
    assert len(projection.spans) == 4


def test_one_surface_under_two_labels_takes_two_occurrences() -> None:
    text = "부산이 부산에서 이겼다"
    assert found(project(text, mentions(("OG", "부산"), ("LC", "부산")))) == [(0, 2, "OG"), (4, 6, "LC")]


def test_what_follows_decides_between_equals(schema: LabelSchema) -> None:
    reply = '{"LC": ["부산"], "OG": ["부산"]}'
    assert found(project_reply("부산은 부산에서 이겼다", reply, schema)) == [(0, 2, "OG"), (4, 6, "LC")]
    assert found(project_reply("부산에서 부산은 이겼다", reply, schema)) == [(0, 2, "LC"), (5, 7, "OG")]


def test_unknown_labels_are_reported_and_take_no_place(schema: LabelSchema) -> None:
    projection = project("서울은 크다", mentions(("CITY", "서울"), ("지역", "서울")), schema)
    assert kinds(projection) == ["unknown_label", "exact"]
    assert found(projection) == [(0, 2, "LC")]


def test_no_span_splits_a_character() -> None:
    text = "키 180㎝에 ㈜한빛"
    projection = project(text, mentions(("QT", "180c"), ("OG", "주)한빛"), ("QT", "180cm"), ("OG", "(주)한빛")))
    assert [text[s.start : s.end] for s in projection.spans] == ["180㎝", "㈜한빛"]
    assert kinds(projection)[:2] == ["not_found", "not_found"] or "fuzzy" not in kinds(projection)


def test_decomposed_text_and_composed_mention() -> None:
    text = unicodedata.normalize("NFD", "손흥민은 춘천에서")
    projection = project(text, mentions(("LC", "춘천")))
    (span,) = projection.spans
    assert unicodedata.normalize("NFC", text[span.start : span.end]) == "춘천"


def test_a_tagged_reply_gives_its_own_places() -> None:
    text = "서울 사람은 서울에서 서울로"
    reply = "서울 사람은 <서울:LC>에서 서울로"
    assert found(project_reply(text, reply)) == [(7, 9, "LC")]


def test_digits_spaced_out_by_the_reply_are_found() -> None:
    assert found(project("등 16명을", mentions(("QT", "1 6 명")))) == [(2, 5, "QT")]
    assert found(project("번호 1 2번", mentions(("QT", "1 2번")))) == [(3, 7, "QT")]


def test_many_repeats_keep_the_places_a_tagged_reply_gives_them() -> None:
    text = "가 " + "서울 " * 450
    reply = "나 " + "서울 " * 440 + "<서울:LC> " * 10
    projection = project_reply(text, reply, format="tagged")
    assert [span.start for span in projection.spans] == [2 + 3 * n for n in range(440, 450)]


@pytest.mark.parametrize(
    ("text", "surfaces"),
    [
        ("a", ["a" + "." * 40_000 + "a"]),
        ("1" * 80_000, ["1" * 40_000]),
        ("가" * 512, ["가" * n for n in range(1, 200)]),
        ("가나" * 3000, ["가나" * 1500] * 3),
        ("x", ["(" * 50_000]),
    ],
)
def test_nothing_runs_away(text: str, surfaces: list[str]) -> None:
    started = time.perf_counter()
    project(text, mentions(*[("X", surface) for surface in surfaces]))
    assert time.perf_counter() - started < 6


def test_a_tagged_reply_that_changed_the_text_still_points_near() -> None:
    text = "서울 사람은, 서울에서 7.2㎞ 떨어진 서울로"
    reply = "서울 사람은 <서울:LC>에서 <7.2km:QT> 떨어진 서울로"
    assert found(project_reply(text, reply)) == [(8, 10, "LC"), (13, 17, "QT")]


def test_tags_are_iob2_over_the_text() -> None:
    projection = project("손흥민은", mentions(("PS", "손흥민")))
    assert projection.tags() == ["B-PS", "I-PS", "I-PS", "O"]


def test_read_status_travels_with_the_projection() -> None:
    projection = project_reply("손흥민은", '```json\n{"PS": ["손흥민"]}\n```')
    assert projection.reply is not None
    assert projection.reply.status == "repaired"


def test_mentions_of_one_reply_are_answered_one_by_one() -> None:
    given = mentions(("PS", "손흥민"), ("LC", "런던"), ("PS", "손흥민"), ("X", ""))
    projection = project("손흥민", given)
    assert [outcome.mention for outcome in projection.outcomes] == given
    assert projection.spans == (Span(0, 3, "PS"),)


@pytest.mark.slow
def test_cost_grows_with_the_text_not_with_its_square() -> None:
    def seconds(size: int) -> float:
        text = "경찰은 서울과 부산에서 16명을 입건했다. " * (size // 24)
        given = mentions(*[("PS", f"없는사람{n}호") for n in range(10)], ("LC", "서울"), ("QT", "16명"))
        started = time.perf_counter()
        project(text, given)
        return time.perf_counter() - started

    seconds(2_000)
    small, large = seconds(20_000), seconds(200_000)
    assert large < 25 * max(small, 0.01)


@pytest.mark.slow
def test_many_copies_of_many_mentions() -> None:
    text = "가나다라 " * 2000
    started = time.perf_counter()
    projection = project(text, mentions(*[("A", "가나")] * 300, *[("B", "나다")] * 300, *[("C", "라")] * 300))
    assert time.perf_counter() - started < 20
    assert len(projection.outcomes) == 900
