"""Korean: particles, titles, what stands around a name, numerals, units, and what labels are
called.

The rules were counted on the labelled KLUE train sentences (``benchmarks/particles.py``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from llmner.languages._language import Language, Reason, without_legal_form
from llmner.languages._scripts import KINDS

__all__ = [
    "KOREAN",
    "NEVER_IN_A_NAME",
    "PARTICLES",
    "agrees",
    "lone_cost",
    "name_goes_on",
    "name_length",
    "names_before_title",
    "other_forms",
    "particle_at_end",
    "particle_reads_better",
    "split_particles",
    "tail_cost",
    "tail_is_function_word",
]

# Particles that others follow: 에게는, 까지의, 으로부터도.
_CASE: Final = (
    "에게 에게서 에서 으로 까지 부터 께서 한테 한테서 처럼 보다 로부터 으로부터 으로서 으로써 "
    "만큼 조차 마저 밖에"
).split()
_AUXILIARY: Final = (
    "는 은 도 만 의 까지 부터 라도 이라도 만은 만의 만이 만으로 만으로도 조차 마저 나 이나 보다 "
    "까지는 까지도 "
    "까지의 부터는 부터의"
).split()
_STACKED: Final = frozenset(case + other for case in _CASE for other in _AUXILIARY)
PARTICLES: Final = _STACKED | frozenset(
    (
        "에서부터 이라고는 이라고 이라는 이라며 이라도 이란 이라 라고 라는 라며 만큼 마다 조차 "
        "마저 밖에 이나마 이나 "
        "이며 이랑 이지만 이었다 이다 에겐 한텐 까진 부턴 으론 에선 에는 에도 에만 에까지 과의 "
        "와의 과는 와는 "
        "로는 로서 로써 만의 만이 만은 만을 만으로 만으로도 도의 같은 은 는 이 가 을 를 "
        "의 에 로 와 과 도 만 나 랑 께 야 아 여"
    ).split()
    + _CASE
)
# Of the gold entities in KLUE's train sentences none ends in one of these.
NEVER_IN_A_NAME: Final = _STACKED | frozenset(
    (
        "는 를 와는 과는 로는 에는 에도 에까지 과의 와의 이라고 라고 이라는 라는 에겐 한텐 까진 "
        "부턴 으론 에선 "
        "로부터 으로부터 "
        "에게 에게서 에서 에서부터 으로 까지 부터 께서 한테 한테서 처럼 보다 으로서 으로써 조차 "
        "마저 밖에"
    ).split()
)
# After digits these make another quantity: 100만, 5도, 3인.
_COUNTERS: Final = frozenset("만 도 나 인 야 아 여 만의 만이 만은 만을 도의".split())
_ENDINGS: Final = frozenset(
    "이면 이라면 이라도 이라서 이었던 이었고 이고 이자 이든 이니 이에요 이야 이죠 이지".split()
)
# Whose first syllables are no particles by themselves.
_LONG_PARTICLES: Final = frozenset(
    "까지 까지는 까지도 부터 부터는 으로 으로는 으로도 께서 께서는 보다 처럼 한테".split()
)
_ENDINGS_AND_PARTICLES: Final = _ENDINGS | PARTICLES
_AFTER_CONSONANT: Final = frozenset("은 이 을 과".split())
_AFTER_VOWEL: Final = frozenset("는 가 를 와 로".split())
# A number and what it counts: 100명, 3위, 2.5%, 오후 8시, 세 번.
_COUNTED: Final = re.compile(
    r"(?:\d|[한두세네몇수] ?|다섯 ?|여섯 ?|일곱 ?|여덟 ?|아홉 ?|열 "
    r"?|[일이삼사오육칠팔구십백천만억])(?:여 ?)?"
    r"(?:\d|%|[a-z㎞㎝㎏㎡]|[ 가-힣]{0,3}"
    r"[명개원점위번시분초회살세년월일주대호층건곳장쪽편부배척권차평석표억천러승패골선째계데달통마리디루수나])$"
)
# Words that end like a name and a particle and are neither; 2가 is a block of a street, 2차로 a
# road.
_WHOLE: Final = re.compile(
    r"(?:벨기에|펠리에|트리에|틀리에|믈리에|[키니]나와|[카가자사]와|학과|(?<!해)[외내안치인]과|스리가|라리가|\d가|\d기가|"
    r"[둥간킴양돌순놀살잡벌풀박백덩들송]이|아이|[은을]마을|차로|"
    r"(?:국무|안보|장관|정상|대책|연석|비서관|각료|연대|시민|자문|간부|확대|최고|전략)회의)$"
)
# Provinces and islands, whose last syllable is no particle.
_NAMED_DO: Final = re.compile(
    r"(?:경기|강원|충청|전라|경상|제주|평안|함경|황해|[청라상안경][남북]|여의|울릉|거제|강화|영종|백령|연평|안면|"
    r"대부|선유|우|한산|보길|추자|거문|흑산|홍|욕지|교|석모|덕적|신|오동|돌산|월미|제부|무의|한반|대마|인|열)도$"
)
# Until the election: no date without the particle.
_ONLY_WHOLE: Final = re.compile(
    r"^(?:올해|내년|지난해|작년|오는|이번|다음)\s.*[^\d년월일주말초순때시분날][^\d]?(?:까지|부터)$"
)
_SURNAMES: Final = (
    "김이박최정강조윤장임한오서신권황안송류유전홍고문양손배백허남심노하곽성차주우구민진엄채원천방공현함변염여추도소석"
    "선설마길연위표명기반왕금옥육인맹모탁국어은편"
)
# Titles that stand outside the name at least twenty times in KLUE's train sentences and inside once
# at most. Of others (장관, 박사, 선수) too few are seen, or some are inside.
_TITLES: Final = "대통령|의원|감독|후보자|후보|대표|부장판사|부장검사|판사"
_CALLED: Final = re.compile(
    rf"(?:(?<!\s)\s+(?:{_TITLES}|씨|님|군|양|氏)|(?<=[^\s])(?:대통령|감독|(?<!스)님|씨|氏|さん))$"
)
# What a mention may be trimmed by where the text has it without: any title.
_MORE_TITLES: Final = (
    "대표이사|회장|총재|총리|장관|차관|기자|박사|선수|검사|변호사|교수|사장|부장|과장|팀장|실장|국장|청장|시장|지사|위원장|위원|당선인|"
    "원장|소장|대위|중사|경사|경위|코치|셰프|아나운서|앵커|전무|상무|이사|수석|대변인|의장|형사|선생|작가|배우|가수|단장|연구원|"
    "대령|소령|중위|하사|일병|병장|목사|신부|스님|주석|장군|아저씨|아줌마|언니|오빠|누나|누님|형님|할머니|할아버지|어머니|아버지"
)
_ADDRESSES: Final = "씨|님|군|양|옹|氏|さん|先生"
_ADDRESSED: Final = re.compile(rf"(?:{_ADDRESSES})$")
_EVERY_TITLE: Final = re.compile(rf"(?:(?:{_TITLES}|{_MORE_TITLES})님?|{_ADDRESSES})$")
_CALLED_YOUNG: Final = re.compile(rf"^[A-Z{_SURNAMES}](?P<title>[군양])$")
_FORMER: Final = re.compile(r"(?<=\S)\s+(?:전|현)$")
_SURNAME_MO: Final = re.compile(rf"^[{_SURNAMES}]모$")
_MO_AFTER: Final = re.compile(r"\s?(?:\(|씨|군|양|[,·]|$)")
_LAST_OF_TITLES: Final = frozenset(
    title[-1] for title in f"{_TITLES}|씨|님|군|양|氏|さん|모".split("|")
)
_LAST_OF_PARTICLES: Final = frozenset(particle[-1] for particle in PARTICLES) | frozenset(
    "까부으께보처한"
)
_LAST_OF_EVERY_TITLE: Final = frozenset(
    title[-1] for title in f"{_TITLES}|{_MORE_TITLES}|{_ADDRESSES}".split("|")
)
# What follows one syllable that is a surname: 이씨, 이 씨, 김모(26), 전 전 대통령, 박 감독.
_NAMED: Final = re.compile(
    r"모?\s?(?:씨|군|양|옹|\(\d)|모\b|\s(?:전\s)?(?:대통령|총리|장관|차관|의원|위원장|위원|총재|회장|부회장|사장|"
    r"부사장|대표|이사|교수|박사|감독|코치|선수|기자|판사|검사|변호사|청장|차장|국장|실장|수석|후보|시장|지사|경위|경사|순경|"
    r"대위|대령|중위|병장|상병|일병|원장|소장|팀장|과장|부장|작가|배우|할머니|할아버지)"
)
_COUNTRIES: Final = frozenset("한일중미북남영러불독")
_MAX_NAME: Final = 60
_LONGEST: Final = max(map(len, PARTICLES))


def tail_of(text: str, start: int) -> str:
    """The Hangul run from ``start``, up to six syllables; longer ones are no particle."""
    end = start
    while end < len(text) and end - start < 6 and "가" <= text[end] <= "힣":
        end += 1
    return text[start:end]


def tail_is_function_word(tail: str) -> bool:
    """Whether the Hangul run after a name may end its word: a particle or a way to call people."""
    return tail in PARTICLES or tail.startswith(("씨", "님", "군", "양"))


def split_particles(surface: str) -> Iterator[tuple[str, str]]:
    """(stem, particle) for each particle the surface may end in, the longest first."""
    if surface[-1:] not in _LAST_OF_PARTICLES:
        return
    for size in range(min(_LONGEST, len(surface) - 1), 0, -1):
        particle = surface[-size:]
        if particle not in PARTICLES:
            continue
        stem = surface[:-size]
        if stem[-1].isdigit() and particle in _COUNTERS:
            continue
        if particle == "도" and _NAMED_DO.search(surface):
            continue
        if size > 1 and _WHOLE.search(surface[: 1 - size]):
            # 벨기에만 is 벨기에 and 만.
            continue
        yield stem, particle


def name_goes_on(text: str, start: int, end: int) -> bool:
    """Whether two syllables are the beginning of a name of three: 한서 in 한서진과."""
    tail = tail_of(text, end)
    if end - start != 2 or not tail or tail in PARTICLES or text[start] not in _SURNAMES:
        return False
    if tail[0] in "이씨님군양네형":
        # 민석이는, 금자씨에서: what people are called by.
        return False
    return len(tail) == 1 or tail[1:] in PARTICLES


def agrees(stem: str, particle: str) -> bool:
    """Whether the particle has the form that follows the stem's last syllable (consonant or
    vowel).
    """
    last = ord(stem[-1]) - 0xAC00
    if not 0 <= last < 11172:
        return True
    closed = last % 28 != 0
    if particle in _AFTER_CONSONANT:
        return closed
    if particle in _AFTER_VOWEL:
        return not closed or (particle == "로" and last % 28 == 8)
    return True


def particle_reads_better(surface: str, tail: str, person: bool) -> int:
    """How many letters of particle to take off a mention that stands in the text as it is; 0 for
    none.

    Args:
        surface: The stretch of the text, ending in a particle's letters.
        tail: The Hangul run that follows it.
        person: Whether the mention is said to be a person.
    """
    if len(surface) > _MAX_NAME:
        surface = surface[-_MAX_NAME:]
    if tail in PARTICLES:
        # 김정은은, 제주도에: the name goes on to its particle.
        return 0
    if tail:
        for size in (1, 2):
            # 서울까 in 서울까지: half of a particle.
            if len(surface) > size + 1 and surface[-size:] + tail in _LONG_PARTICLES:
                return size
    for stem, particle in split_particles(surface):
        size = len(particle)
        if len(stem) < 2 and size < 2 and not stem.isdigit():
            continue
        if tail:
            # 3점이면, 한번이라도: what follows belongs to the particle.
            if particle + tail not in _ENDINGS_AND_PARTICLES:
                continue
            return size if agrees(stem, particle) else 0
        if particle in NEVER_IN_A_NAME:
            return size if not _ONLY_WHOLE.search(surface) else 0
        if (
            not (stem[-1].isalnum() or (stem[-1] == ")" and particle in "은이을의과"))
            or not agrees(stem, particle)
            or _WHOLE.search(surface)
        ):
            continue
        if not person and _COUNTED.search(stem) and not (particle == "도" and stem.endswith("년")):
            if particle in "은이을과가와로의에도만":
                return size
            continue
        if particle in ("의", "을", "과", "와", "가"):
            return size
        called = person and stem.endswith(("씨", "님", "대통령", "의원", "감독"))
        if particle == "에" and (called or not person):
            return size
        if particle in ("은", "이") and (called or not (person and len(stem) == 2)):
            return size
    return 0


def name_length(surface: str, after: str) -> int:
    """How long the name of a person is without titles: 박씨, 오바마 대통령, 전 전 의원, 김모 씨.

    ``len(surface)`` where nothing is to be taken off; never 0.

    Args:
        surface: The stretch of the text.
        after: What follows it.
    """
    if len(surface) > _MAX_NAME or surface[-1:] not in _LAST_OF_TITLES:
        return len(surface)
    end = len(surface)
    called = False
    found = _CALLED_YOUNG.search(surface)
    if found is not None:
        called, end = True, found.start("title")
    elif (found := _CALLED.search(surface)) is not None and _is_name(surface, found):
        called, end = True, found.start()
        former = _FORMER.search(surface, 0, end)
        if former is not None:
            end = former.start()
    if (
        end == 2
        and _SURNAME_MO.match(surface[:2])
        and (called or _MO_AFTER.match(surface[2:] + after))
    ):
        return 1
    return end if called else len(surface)


def names_before_title(surface: str) -> Iterator[tuple[str, Reason]]:
    """(name, reason) for a canonical mention that ends in a title, the longest name first.

    이대형님 → 이대형, 이대; 신동빈총괄회장 → 신동빈총괄, and of titles with more before them
    신동빈총, 신동빈.
    """
    if surface[-1:] not in _LAST_OF_EVERY_TITLE:
        return
    end = len(surface)
    for pattern in (_ADDRESSED, _EVERY_TITLE):
        titled = pattern.search(surface[-_MAX_NAME:])
        if titled is None or end == len(surface) - len(titled[0]):
            continue
        end = len(surface) - len(titled[0])
        if end:
            yield surface[:end], Reason("title", surface[end:])
    for length in range(end - 1, max(1, end - 3), -1):
        if not "가" <= surface[length] <= "힣":
            # Only syllables may belong to the title: digits are never taken off.
            break
        yield surface[:length], Reason("long title", surface[length:])


def _is_name(surface: str, title: re.Match[str]) -> bool:
    """Whether what stands before a title can be a name of its own."""
    before = surface[: title.start()]
    word = title.group().strip()
    if not before or before[-1] == ")" or (before in ("전", "현") and word not in ("씨", "님")):
        return False
    if word == "님" and not title.group()[0].isspace():
        # 하느님, 부처님, 유느님 are names; 송강호님 is called so.
        return len(before) > 2
    return len(before) > 1 or before in _SURNAMES or before.isascii() or title.group()[0].isspace()


def particle_at_end(surface: str, after: str, spaced: str, person: bool) -> int:
    """How many letters of particle to take off a mention that stands in the text as it is; 0 for
    none.

    Args:
        surface: The stretch of the text.
        after: What follows it, six letters at least where there are so many.
        spaced: The mention as the reply wrote it.
        person: Whether it is said to be a person.
    """
    if after and KINDS[after[0]] not in ("", "h"):
        return 0
    tail = tail_of(after, 0)
    size = particle_reads_better(surface, tail, person)
    if not size and not tail_is_function_word(tail):
        size = _across_a_space(surface, spaced)
    return size


def _across_a_space(surface: str, spaced: str) -> int:
    """1 where the text parts the last syllable, a particle's, by a space that the mention does not
    have.

    주윤발이 in "주윤발 이것만": the text's 이 begins another word.
    """
    if len(surface) > 2 and surface[-2].isspace() and surface[-1] in PARTICLES:
        said = spaced.strip()
        if len(said) > 1 and not said[-2].isspace():
            return 1
    return 0


def tail_cost(last: str, text: str, end: int) -> float | None:
    """What a place costs by the syllables behind it: nothing for a particle, more for people of a
    place (인).

    Args:
        last: The kind of the place's last letter.
        text: The text.
        end: Where the place ends.
    """
    tail = tail_of(text, end)
    if not tail:
        return None
    if tail_is_function_word(tail):
        return 0.0
    return 0.3 if last == "h" and tail[0] == "인" else None


def lone_cost(text: str, start: int, cost: float) -> float | None:
    """What one syllable costs that stands for a whole name.

    It is more often a word of its own (이, 전, 한): 0.35 more, unless a title or an age follows, or
    it stands in a pair of countries (한일).

    Args:
        text: The text.
        start: Where the syllable stands.
        cost: What its neighbours cost it.
    """
    syllable = text[start]
    if not "가" <= syllable <= "힣":
        return None
    if _NAMED.match(text, start + 1):
        # 노무현 전 대통령: the office is a former one. 전 전 대통령: the first 전 is a name.
        return cost + 0.35 if syllable == "전" and text[start + 1 : start + 4] != " 전 " else 0.0
    if syllable in _COUNTRIES:
        around = text[max(0, start - 1) : start] + text[start + 1 : start + 2]
        if any(char in _COUNTRIES for char in around):
            return 0.05
    return cost + 0.35


_LEGAL: Final = re.compile(
    r"^(?:주식회사|유한회사|재단법인|사단법인|\(주\)|\(유\)|\(재\)|\(사\))|(?:주식회사|유한회사|\(주\)|\(유\))$"
)


_FIRST_OF_LEGAL: Final = frozenset("주유재사(")
_LAST_OF_LEGAL: Final = frozenset("사)")


def other_forms(mention: str, spaced: str) -> Iterator[tuple[str, Reason]]:
    """(form, reason) for a firm without its legal form: (주)한빛전자 → 한빛전자."""
    if mention[-1:] not in _LAST_OF_LEGAL and mention[:1] not in _FIRST_OF_LEGAL:
        return
    yield from without_legal_form(mention, _LEGAL)


# Cities, counties and districts, without the last syllable; many are one letter apart.
_MUNICIPALITIES: Final = "|".join(
    (
        "서울 부산 대구 인천 광주 대전 울산 세종 수원 성남 의정부 안양 부천 광명 평택 동두천 안산 "
        "고양 과천 구리 "
        "남양주 오산 시흥 군포 의왕 하남 용인 파주 이천 안성 김포 화성 양주 포천 여주 춘천 원주 "
        "강릉 동해 태백 속초 "
        "삼척 청주 충주 제천 천안 공주 보령 아산 서산 논산 계룡 당진 전주 군산 익산 정읍 남원 "
        "김제 목포 여수 순천 "
        "나주 광양 포항 경주 김천 안동 구미 영주 영천 상주 문경 경산 창원 진주 통영 사천 김해 "
        "밀양 거제 양산 제주 "
        "서귀포 연천 가평 양평 홍천 횡성 영월 평창 정선 철원 화천 양구 인제 고성 양양 보은 옥천 "
        "영동 증평 진천 괴산 "
        "음성 단양 금산 부여 서천 청양 홍성 예산 태안 완주 진안 무주 장수 임실 순창 고창 부안 "
        "담양 곡성 구례 고흥 "
        "보성 화순 장흥 강진 해남 영암 무안 함평 영광 장성 완도 진도 신안 의성 청송 영양 영덕 "
        "청도 고령 성주 칠곡 "
        "예천 봉화 울진 울릉 의령 함안 창녕 남해 하동 산청 함양 거창 합천 기장 강화 옹진 달성 "
        "군위 종로 용산 성동 "
        "광진 동대문 중랑 성북 강북 도봉 노원 은평 서대문 마포 양천 강서 구로 금천 영등포 동작 "
        "관악 서초 강남 송파 "
        "강동"
    ).split()
)
_POWERS: Final = "만억조천백"

KOREAN: Final = Language(
    code="ko",
    # Ideographs too: names and titles are written with them (朴씨, 롯데가(家)).
    scripts=frozenset({"hangul", "han"}),
    particles=PARTICLES,
    particle_ends=_LAST_OF_PARTICLES,
    name_endings=frozenset("은이아나도만여로야랑"),
    split_particles=split_particles,
    name_goes_on=name_goes_on,
    particle_fits=agrees,
    particle_at_end=particle_at_end,
    title_ends=_LAST_OF_TITLES,
    name_length=name_length,
    names_before_title=names_before_title,
    common_addresses=frozenset("씨님"),
    other_forms=other_forms,
    tail_cost=tail_cost,
    lone_cost=lone_cost,
    lone_words=frozenset(
        "이그저전한두세네본총첫각매현신구수등및중내외더또못안잘다왜꼭참것때곳데뿐채줄"
    ),
    kept_before=("(家",),
    numerals=frozenset("일이삼사오육륙칠팔구십백천만억조영공한두세네"),
    counted_by=frozenset("일이삼사오육륙칠팔구십백천만억조영명개원월년시분초회번살점위차층호주"),
    exact_words=(
        "[월화수목금토일]요일",
        "영상|영하|오전|오후|이상|이하|초과|미만|상반기|하반기|이전|이후|여자|남자|여성|남성|국내|국외|"
        "최대|최소|초등|중학|고등",
        "^[동서남북]|[동서남북]부",
        f"(?:{_MUNICIPALITIES})[시군구]",
    ),
    exact_hints=(
        *(
            "요일",
            "영상",
            "영하",
            "오전",
            "오후",
            "이상",
            "이하",
            "초과",
            "미만",
            "반기",
            "이전",
            "이후",
        ),
        *("여자", "남자", "여성", "남성", "국내", "국외", "최대", "최소", "초등", "중학", "고등"),
        *("^[동서남북]", "[동서남북]부", "[가-힣]{2}[시군구]"),
    ),
    magnitudes=tuple(_POWERS),
    number_ends=(*_POWERS, *"십수몇"),
    units={
        "km": ("킬로미터", "키로미터"),
        "m": ("미터",),
        "cm": ("센티미터", "센치미터", "센티", "센치"),
        "mm": ("밀리미터",),
        "kg": ("킬로그램", "킬로그람"),
        "g": ("그램", "그람"),
        "mg": ("밀리그램",),
        "t": ("톤",),
        "l": ("리터",),
        "ml": ("밀리리터",),
        "m2": ("제곱미터", "평방미터"),
        "km2": ("제곱킬로미터", "평방킬로미터"),
        "ha": ("헥타르",),
        "kwh": ("킬로와트시",),
        "kw": ("킬로와트",),
        "mw": ("메가와트",),
        "mb": ("메가바이트",),
        "gb": ("기가바이트",),
        "tb": ("테라바이트",),
        "%p": ("퍼센트포인트", "%포인트"),
        "%": ("퍼센트", "프로"),
        "°c": ("도씨", "도"),
        "달러": ("불",),
        "위안": ("위엔",),
    },
    scales={"°c": ("섭씨",), "°f": ("화씨",)},
    label_words={
        "person": frozenset("사람 인물 인명 사람들 인물명 사람이름".split()),
        "place": frozenset("장소 지역 지명 위치 장소명 지역명".split()),
        "organisation": frozenset("기관 단체 조직 기업 회사 기관명 단체명 조직명 회사명".split()),
        "date": frozenset("날짜 일자 기간".split()),
        "time": frozenset("시간 시각".split()),
        "quantity": frozenset("수량 수치 숫자".split()),
        "other": frozenset("기타".split()),
    },
    # Counted on KLUE's train sentences.
    cues={
        "place": ("에서", "에", "으로", "로", "을", "를"),
        "organisation": ("은", "는", "이", "가", "에 따르면", " 측", " 소속", "으로부터", "로부터"),
    },
)
