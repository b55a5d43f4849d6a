"""What projection promises, one statement a test."""

from __future__ import annotations

import unicodedata

import pytest

from llmner.errors import InputError, WorkLimitError
from llmner.projection import Budget, Projection, canonical_surface, project, project_reply
from llmner.schema import LabelSchema
from llmner.spans import Mention, Span
from tests.costs import seconds


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
        ("2,000만원을 냈다", "2000만원", "2,000만원", "canonical"),
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
    for text, name in (
        ("김정은은 말했다", "김정은"),
        ("제주도에 갔다", "제주도"),
        ("가을을 탄다", "가을"),
    ):
        projection = project(text, mentions(("X", name)))
        assert found(projection) == [(0, len(name), "X")]


def test_particles_by_policy() -> None:
    text = "춘천에서 왔다"
    assert found(project(text, mentions(("LC", "춘천에서")), particles="keep")) == [(0, 4, "LC")]
    assert found(project(text, mentions(("LC", "춘천에서")), particles="trim")) == [(0, 2, "LC")]
    assert (
        project("춘천은 좋다", mentions(("LC", "춘천이")), particles="keep", fuzzy=None).spans == ()
    )


@pytest.mark.parametrize(
    "policy",
    [
        {"particles": "never"},
        {"order": "random"},
        {"repeats": "some"},
        {"fuzzy": 80},
        {"fuzzy": -0.1},
    ],
)
def test_a_policy_that_does_not_exist(policy: dict[str, object]) -> None:
    with pytest.raises(InputError, match=next(iter(policy))):
        project("가", [], **policy)


@pytest.mark.parametrize(
    ("text", "mention", "surface"),
    [
        ("해양수산부가 공개한", "해양수산봐", "해양수산부"),
        ("디즈니의 왕자", "디즈님", "디즈니"),
        ("리비아 경찰은 지난", "리비아 경췰", "리비아 경찰"),
        ("환경부가 필요", "환경북", "환경부"),
        ("1시간 넘게", "1시난", "1시간"),
        ("in Valparaíso, and", "Valparaío", "Valparaíso"),
        ("محمد الكعبي 감독", "محد الكعبي", "محمد الكعبي"),
        ("응우옌은 갔다", "응우엔은", "응우옌"),
        ("의 '마이클 잭슨'을", "‘마이클 잭순’", "마이클 잭슨"),
    ],
)
def test_one_letter_wrong(text: str, mention: str, surface: str) -> None:
    (outcome,) = project(text, mentions(("X", mention))).outcomes
    assert outcome.kind == "fuzzy"
    assert outcome.span is not None
    assert text[outcome.span.start : outcome.span.end] == surface
    assert outcome.similarity < 1


@pytest.mark.parametrize(
    ("text", "mention"),
    [
        ("일요일에 만나", "월요일"),
        ("three million people", "three billion"),
        ("二〇一三年の夏", "二〇一四年"),
        ("김이 왔다", "긴"),
        ("남한과 북한", "만한"),
    ],
)
def test_what_is_only_alike_is_not_the_same(text: str, mention: str) -> None:
    assert kinds(project(text, mentions(("X", mention)))) == ["not_found"]


def test_every_place_of_a_name_that_is_listed_once() -> None:
    text = "서울은 서울대학교가 있는 서울, 남서울이 아닌 서울에서"
    listed = mentions(("LC", "서울"), ("OG", "서울대학교"))
    assert len(project(text, listed).spans) == 2
    projection = project(text, listed, repeats="all")
    assert found(projection) == [(0, 2, "LC"), (4, 9, "OG"), (14, 16, "LC"), (26, 28, "LC")]
    assert projection.outcomes[0].repeats == tuple(s for s in projection.spans[2:])
    assert projection.outcomes[1].repeats == ()
    # What was trimmed is looked for without what was trimmed.
    assert (
        len(
            project("춘천에서 왔다. 춘천은 좋다", mentions(("LC", "춘천에서")), repeats="all").spans
        )
        == 2
    )


@pytest.mark.parametrize(
    ("text", "label", "mention"),
    [
        ("100mg을 먹고", "QT", "100g"),
        ("100km를 달려", "QT", "100kg"),
        ("2500밀리미터의 비", "QT", "2500밀리리터"),
        ("영상 15도까지", "QT", "영하 15도"),
        ("$5m을 냈다", "QT", "5달러"),
        ("$1.5bn을 냈다", "QT", "1.5달러"),
        ("７．２km를 달려", "QT", "２km"),
        ("３，０００원을", "QT", "０００원"),
        ("3½컵의", "QT", "3"),
        ("부산은 항구다", "OG", "부산시장"),
        ("남대문은 문이다", "LC", "남대문시장"),
        ("태평한 시대", "LC", "태평양"),
        ("이태리에서", "PS", "이태양"),
        ("네이버에서", "PS", "네이마르 대통령"),
        ("프랑스는", "PS", "프랑스님이요"),
    ],
)
def test_what_only_looks_alike_is_not_found(text: str, label: str, mention: str) -> None:
    projection = project(text, mentions((label, mention)))
    assert kinds(projection) == ["not_found"]


@pytest.mark.parametrize(
    ("text", "label", "mention", "surface"),
    [
        ("정우성너무 잘한다", "PS", "정우성님", "정우성"),
        ("이대형은 안타를", "PS", "이대형님", "이대형"),
        ("하와이에 갔다", "LC", "하와이라고", "하와이"),
        ("벨기에와 한국", "LC", "벨기에는", "벨기에"),
        ("유럽연합(EU) 국가", "OG", '"유럽연합(EU)".', "유럽연합(EU)"),
        ("경안레저산업(주)의", "OG", "경안레저산업(주)!", "경안레저산업(주)"),
        ("주차장, 13일 문래동", "DT", "#13일", "13일"),
        ("지난 16일에", "DT", "- 16일", "16일"),
        ("회사 【허윤미】", "PS", "허윤미", "허윤미"),
        ("허윤미는", "PS", "【허윤미】", "허윤미"),
        ("국가안보회의는", "OG", "국가안회의", "국가안보회의"),
        ("오바마는", "PS", "이바마", "오바마"),
        ("이정재가", "PS", "일정재", "이정재"),
        ("괌에서 왔다", "LC", "괌에서", "괌"),
        ("강동원 씨와 함께", "PS", "강동원 씨와", "강동원"),
        ("박근혜 대통령에 대해", "PS", "박근혜 대통령에", "박근혜"),
        ("김씨(37)는", "QT", "(37)", "37"),
    ],
)
def test_what_a_reader_would_find_is_found(
    text: str, label: str, mention: str, surface: str
) -> None:
    (outcome,) = project(text, mentions((label, mention))).outcomes
    assert outcome.span is not None
    assert text[outcome.span.start : outcome.span.end] == surface


def test_two_spellings_of_one_name_are_looked_for_one_by_one() -> None:
    text = "1 2번과 1 2번"
    assert kinds(project(text, mentions(("A", "1 2번"), ("B", "12번")))) == ["exact", "not_found"]
    assert found(
        project("nature and Nature", mentions(("B", "Nature"), ("A", "nature")), order="none")
    ) == [
        (0, 6, "A"),
        (11, 17, "B"),
    ]


def test_repeats_do_not_depend_on_the_size_of_the_text() -> None:
    text = "응우옌은 갔다. " + "가나다라 마바사 " * 60_000 + "그리고 응우옌이 왔다."
    claims = mentions(("PS", "응우엔"), *[("LC", f"없는곳{n}") for n in range(9)])
    assert len(project(text, claims, repeats="all").spans) == 2


def test_a_tagged_reply_keeps_its_promises_too() -> None:
    projection = project_reply("서울과 서울", "<서울:LC>과 서울", None, "tagged", repeats="all")
    assert found(projection) == [(0, 2, "LC"), (4, 6, "LC")]
    # A mark is never parted from its letter; without it the word is another spelling of the whole.
    (marked,) = project_reply("cafe\u0301", "<cafe:X>\u0301", None, "tagged").outcomes
    assert (marked.kind, marked.reason) == ("canonical", "another spelling")
    assert marked.span == Span(0, 5, "X")
    split = project_reply("7.2km를 달렸다", "7.<2km:QT>를 달렸다!", None, "tagged")
    assert split.spans == ()


@pytest.mark.slow
def test_a_reply_that_runs_away_takes_linear_time() -> None:
    short, long = (cost("서울", mentions(*[("A", "서울")] * count)) for count in (5_000, 40_000))
    assert long < 24 * short


def test_a_copy_goes_before_what_differs_in_capitals_or_spaces() -> None:
    assert (
        found(project("how human nature works, Nature wrote", mentions(("ORG", "Nature"))))[0][0]
        == 24
    )
    assert found(project("눈발이 날린 이날", mentions(("DT", "이날"))))[0][0] == 7


def test_of_equal_places_and_labels_the_first_gets_the_first() -> None:
    text = "부산 부산"
    assert found(project(text, mentions(("OG", "부산"), ("LC", "부산")), order="none")) == [
        (0, 2, "OG"),
        (3, 5, "LC"),
    ]


def test_quotes_that_the_text_has_too_are_no_part_of_the_name() -> None:
    assert found(project("영화 '변호인'은", mentions(("X", "'변호인'")))) == [(4, 7, "X")]
    assert found(project("영화 '변호인'은", mentions(("X", "'변호인'")), particles="keep")) == [
        (3, 8, "X")
    ]
    assert found(project("a U.K.-based firm", mentions(("X", "“U.K.”")))) == [(2, 6, "X")]


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


def test_the_order_is_found_out_from_the_mentions() -> None:
    text = "부산에서 김철수와 서울의 박지성, 그리고 부산에서 다시 김철수"
    # As they come: the names before and after say which of two places is meant.
    in_text_order = mentions(("LC", "서울"), ("PS", "박지성"), ("LC", "부산"), ("PS", "김철수"))
    assert {(23, 25, "LC"), (31, 34, "PS")} <= set(found(project(text, in_text_order)))
    # Label by label: 박지성 before 김철수 says the same, that 서울 comes after both says nothing.
    by_label = mentions(("PS", "박지성"), ("PS", "김철수"), ("LC", "서울"))
    assert (31, 34, "PS") in found(project(text, by_label))
    assert project(text, by_label) == project(text, by_label, order="label")
    # In no order: earlier places first.
    shuffled = mentions(
        ("PS", "박지성"), ("LC", "서울"), ("LC", "다시"), ("PS", "그리고"), ("PS", "김철수")
    )
    assert (5, 8, "PS") in found(project(text, shuffled, order="none"))


def test_places_and_organisations_are_told_apart_without_a_schema() -> None:
    claims = mentions(("LOC", "부산"), ("ORG", "부산"))
    assert found(project("부산은 부산에서 이겼다", claims)) == [(0, 2, "ORG"), (4, 6, "LOC")]
    assert found(project("부산에서 부산은 이겼다", claims)) == [(0, 2, "LOC"), (5, 7, "ORG")]


def test_shuffled_mentions_are_all_placed() -> None:
    text = "가나 다라 마바 사아"
    projection = project(text, mentions(("A", "사아"), ("A", "가나"), ("A", "마바"), ("A", "다라")))
    assert len(projection.spans) == 4


def test_one_surface_under_two_labels_takes_two_occurrences() -> None:
    text = "부산이 부산에서 이겼다"
    assert found(project(text, mentions(("OG", "부산"), ("LC", "부산")))) == [
        (0, 2, "OG"),
        (4, 6, "LC"),
    ]


def test_what_follows_decides_between_equals(schema: LabelSchema) -> None:
    reply = '{"LC": ["부산"], "OG": ["부산"]}'
    assert found(project_reply("부산은 부산에서 이겼다", reply, schema)) == [
        (0, 2, "OG"),
        (4, 6, "LC"),
    ]
    assert found(project_reply("부산에서 부산은 이겼다", reply, schema)) == [
        (0, 2, "LC"),
        (5, 7, "OG"),
    ]


def test_unknown_labels_are_reported_and_take_no_place(schema: LabelSchema) -> None:
    projection = project("서울은 크다", mentions(("CITY", "서울"), ("지역", "서울")), schema)
    assert kinds(projection) == ["unknown_label", "exact"]
    assert found(projection) == [(0, 2, "LC")]


def test_no_span_splits_a_character() -> None:
    text = "키 180㎝에 ㈜한빛"
    projection = project(
        text, mentions(("QT", "180c"), ("OG", "주)한빛"), ("QT", "180cm"), ("OG", "(주)한빛"))
    )
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
    claims = mentions(*[("X", surface) for surface in surfaces])
    assert seconds(lambda: project(text, claims), times=1) < 6


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


INVENTED = (
    "쿠르바노프스키",
    "제갈나래빛",
    "하늘땅별컴퍼니",
    "Zyxwood Holdings",
    "은하수마을박물관",
) * 2


def cost(text: str, claims: list[Mention]) -> float:
    return seconds(lambda: project(text, claims))


@pytest.mark.slow
def test_cost_grows_with_the_text_not_with_its_square() -> None:
    sentence = "경찰은 서울과 부산에서 16명을 입건했다고 7.2㎞ 떨어진 곳에서 밝혔다. "
    claims = mentions(*[("PS", f"{name}{n}") for n, name in enumerate(INVENTED)])
    short, long = (cost(sentence * (size // len(sentence)), claims) for size in (10_000, 80_000))
    # Eight times the text; a square would be sixty-four times the time.
    assert long < 24 * short
    # Ten times the promised 20 ms, for machines that are busy.
    assert cost(sentence * (20_000 // len(sentence)), claims) < 0.2


@pytest.mark.slow
def test_a_thousand_mentions_in_a_megabyte() -> None:
    sentence = "경찰은 서울과 부산에서 16명을 입건했다고 7.2㎞ 떨어진 곳에서 밝혔다. "
    text = "".join(f"{chr(0xAC00 + n * 7)}{chr(0xAC00 + n * 11)}동 {sentence}" for n in range(800))
    text *= 1_000_000 // len(text.encode()) + 1
    real = [("LC", f"{chr(0xAC00 + n * 7)}{chr(0xAC00 + n * 11)}동") for n in range(500)]
    invented = [("PS", f"{chr(0xAC00 + n * 13)}{chr(0xAC00 + n * 17)}나무{n}") for n in range(500)]
    assert cost(text, mentions(*real, *invented)) < 10


@pytest.mark.slow
def test_many_copies_of_many_mentions() -> None:
    text = "가나다라 " * 2000
    claims = mentions(*[("A", "가나")] * 300, *[("B", "나다")] * 300, *[("C", "라")] * 300)
    projection = project(text, claims)
    assert cost(text, claims) < 20
    assert len(projection.outcomes) == 900


@pytest.mark.parametrize("text", ["( )", "(\u200b)", "' '", "“\u3000”", "[ ]", "<>", '" "'])
@pytest.mark.parametrize("repeats", ["listed", "all"])
def test_brackets_around_nothing_stay_as_they_are(text: str, repeats: str) -> None:
    projection = project(
        f"가 {text} 나 {text}", mentions(("PS", text)), fuzzy=None, repeats=repeats
    )
    assert all(
        canonical_surface(projection.text[span.start : span.end]) for span in projection.spans
    )
    assert len(projection.spans) == (2 if repeats == "all" else 1)


def test_a_projection_ends_where_its_budget_does_and_from_outside() -> None:
    claims = mentions(*[("PS", "손흥민")] * 5)
    whole = Budget()
    assert project("손흥민", claims, budget=whole) == project("손흥민", claims)
    assert whole.spent >= 5
    assert project("손흥민", claims, budget=Budget(whole.spent)) == project("손흥민", claims)
    with pytest.raises(WorkLimitError, match=f"more than {whole.spent - 1} steps"):
        project("손흥민", claims, budget=Budget(whole.spent - 1))
    ended = Budget()
    ended.end()
    with pytest.raises(WorkLimitError, match="ended"):
        project_reply("손흥민", '{"PS": ["손흥민"]}', budget=ended)


@pytest.mark.parametrize(
    "surface", ["the (", "ein [", "a -", "Die (", "GmbH", " Co., Ltd.", "Mr ", "(주)"]
)
def test_mentions_of_which_nothing_is_left_are_not_found(surface: str) -> None:
    """An article and a sign, a legal form alone: no error, and no place without a letter."""
    for label in ("PS", "OG"):
        (outcome,) = project("Anna Weber traf ihn.", mentions((label, surface))).outcomes
        assert outcome.kind == "not_found"


def test_places_in_another_spelling_are_as_few_as_others() -> None:
    budgets = []
    for count in (600, 6000):
        budget = Budget()
        claims = mentions(*[("OG", "A-B")] * 600)
        assert len(project("A.B " * count, claims, budget=budget).spans) == 512
        budgets.append(budget.spent)
    assert budgets[1] < 20 * budgets[0]
