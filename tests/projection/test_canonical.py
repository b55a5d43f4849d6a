from __future__ import annotations

import unicodedata

import pytest
from hypothesis import assume, given, settings

from llmner.projection import Canonical, canonicalize
from tests.strategies import texts


def whole_characters(canonical: Canonical) -> bool:
    return all(
        0 <= start < end for start, end in zip(canonical.starts, canonical.ends, strict=True)
    )


@settings(max_examples=500)
@given(texts)
def test_every_canonical_character_knows_its_source(text: str) -> None:
    canonical = canonicalize(text)
    assert len(canonical.text) == len(canonical.starts) == len(canonical.ends)
    assert whole_characters(canonical)
    assert canonical.starts == sorted(canonical.starts)
    assert all(end <= len(text) for end in canonical.ends)


@given(texts)
def test_folding_a_fold_changes_nothing(text: str) -> None:
    once = canonicalize(text).text
    assert canonicalize(once).text.replace("\x1f", "") == once.replace("\x1f", "")


@given(texts)
def test_white_space_does_not_count(text: str) -> None:
    # A mark that stands on a space would join the letter before it.
    assume(not any(unicodedata.category(char)[0] == "M" for char in text))
    assert (
        canonicalize(" \u3000".join(text.split(" "))).text
        == canonicalize(text.replace(" ", "")).text
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("7.2㎞", "7.2km"),
        ("7.2㎞", "7.2 KM"),
        ("1000ｍ", "1000m"),
        ("１２％", "12%"),
        ("㈜한빛", "(주)한빛"),
        ("20℃", "20°C"),
        ("３㎡", "3m2"),
        ("①", "1"),
        ("½", "1/2"),
        ("“왕”", '"왕"'),
        ("‘왕’", "'왕'"),
        ("2010–2012", "2010-2012"),
        ("서울·경기", "서울ㆍ경기"),
        ("ㅋㅋ", "ᄏᄏ"),
        ("ㅜㅜ", "ᅮᅮ"),
        ("한글", unicodedata.normalize("NFD", "한글")),
        ("café", unicodedata.normalize("NFD", "CAFÉ")),
        ("ｶﾞｿﾘﾝ", "ガソリン"),
        ("İstanbul", "istanbul"),
        ("Straße", "STRASSE"),
        ("손\u200b흥민", "손흥민"),
        ("손 흥 민", "손흥민"),
        ("10…", "10..."),
    ],
)
def test_the_same_to_a_reader(one: str, other: str) -> None:
    assert canonicalize(one).text == canonicalize(other).text


@pytest.mark.parametrize(
    ("one", "other"),
    [("10²", "102"), ("3½", "31/2"), ("5①", "51"), ("7.2", "7.3"), ("김", "박"), ("ㅋ", "ㅎ")],
)
def test_not_the_same(one: str, other: str) -> None:
    assert canonicalize(one).text != canonicalize(other).text


def test_offsets_lead_back_to_whole_characters() -> None:
    text = "거리 7.2㎞입니다"
    canonical = canonicalize(text)
    at = canonical.text.index("7.2km")
    assert canonical.source(at, at + 5) == (3, 7)
    assert canonical.whole(at, at + 5)
    assert not canonical.whole(at, at + 4)


def test_decomposed_text_keeps_its_own_offsets() -> None:
    text = unicodedata.normalize("NFD", "한글은")
    canonical = canonicalize(text)
    assert canonical.text == "한글은"
    assert canonical.source(0, 2) == (0, 6)
