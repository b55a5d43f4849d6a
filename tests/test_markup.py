from __future__ import annotations

import time

import pytest
from hypothesis import given

from llmner.errors import MarkupError
from llmner.markup import parse_markup, render_markup
from llmner.spans import Sentence, Span
from tests.strategies import sentences, texts


@given(sentences())
def test_render_then_parse_is_the_identity(sentence: Sentence) -> None:
    marked = render_markup(sentence.text, sentence.spans)
    assert parse_markup(marked) == (sentence.text, sentence.spans)
    assert "\n" not in marked
    assert "\t" not in marked


@given(texts)
def test_lenient_parsing_never_raises_and_spans_fit(text: str) -> None:
    plain, spans = parse_markup(text, strict=False)
    Sentence(plain, spans)


def test_korean_sentence() -> None:
    marked = "<손흥민:PS>은 <춘천:LC>에서 태어났다."
    assert parse_markup(marked) == (
        "손흥민은 춘천에서 태어났다.",
        (Span(0, 3, "PS"), Span(5, 7, "LC")),
    )


def test_colons_in_a_surface_need_no_escape_when_read() -> None:
    assert parse_markup("<오후 3:00:TI>에")[1] == (Span(0, 7, "TI"),)


def test_a_bare_angle_bracket_is_refused_with_its_place() -> None:
    with pytest.raises(MarkupError, match="'<' at character 2 does not begin a"):
        parse_markup("1 < 2")
    assert parse_markup("1 < 2", strict=False) == ("1 < 2", ())


def test_a_label_that_markup_cannot_hold() -> None:
    with pytest.raises(MarkupError, match="cannot be written"):
        render_markup("가", [Span(0, 1, "a:b")])


@pytest.mark.parametrize("unit", ["<", "<:", "<a:", "a:", "\\", "<a>", "<a:b"])
def test_parsing_is_linear(unit: str) -> None:
    started = time.perf_counter()
    parse_markup("<" + unit * 200_000, strict=False)
    assert time.perf_counter() - started < 5
