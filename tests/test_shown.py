"""What people read: no control character, no megabyte."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmner._shown import shortened, visible
from llmner.errors import CorpusError, GenerationError, HubError, InputError, SpanError
from llmner.files import dump_json

# Surrogates, controls and format characters among them.
ANY = st.text(st.characters())
BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


def steers(text: str) -> list[str]:
    """Characters of a text that a terminal obeys."""
    return [
        char
        for char in text
        if unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") or char in BIDI
    ]


@given(ANY)
def test_what_is_shown_steers_no_terminal_and_is_stable(text: str) -> None:
    shown = visible(text)
    assert steers(shown) == []
    assert visible(shown) == shown
    assert shown.encode().decode() == shown
    assert [char for char in visible(text, lines=True) if char != "\n"] == [
        char for line in text.split("\n") for char in visible(line)
    ]


def test_controls_are_written_as_python_writes_them_and_writing_stays() -> None:
    assert (
        visible("\x1b[31m\x07\x9b\u202e\ud800\r\n\t\x00")
        == r"\x1b[31m\x07\x9b\u202e\ud800\r\n\t\x00"
    )
    assert visible("a\nb", lines=True) == "a\nb"
    kept = "손흥민\u3000は\u00a0👨‍👩‍👧 न्‍ [bold]"
    assert visible(kept) == kept


@given(ANY, st.integers(min_value=3, max_value=40))
def test_a_shortened_text_keeps_both_ends(text: str, most: int) -> None:
    short = shortened(text, most)
    assert len(short) == min(len(text), most)
    assert short == text or (text.startswith(short.split("…")[0]) and "…" in short)


@pytest.mark.parametrize("kind", [InputError, CorpusError, SpanError])
@given(problem=ANY, path=ANY, id=ANY, hint=ANY)
def test_messages_are_one_short_line_without_controls(
    kind: type[InputError], problem: str, path: str, id: str, hint: str
) -> None:
    for error in (
        kind(problem, path=path, line=3, id=id, hint=hint),
        kind(problem * 9000, path=path * 9000, id=id * 9000, hint=hint * 9000).located(line=3),
        GenerationError(problem * 9000),
        HubError(hint * 9000),
    ):
        assert steers(str(error)) == []
        assert len(str(error)) <= 1800


def test_a_long_message_says_where_what_and_how_to_mend_it() -> None:
    error = CorpusError(
        f"unknown label {'가' * 10**6!r}",
        path="/tmp/" + "a" * 5000 + "/x.jsonl",
        line=7,
        id="b" * 5000,
    )
    told = str(error)
    assert told.startswith("/tmp/aaa")
    assert "/x.jsonl:7 (id 'bbb" in told
    assert "unknown label '가가" in told
    assert len(told) < 1100
    assert error.id == "b" * 5000


@given(
    st.recursive(
        ANY | st.integers() | st.none(), lambda held: st.lists(held) | st.dictionaries(ANY, held)
    )
)
def test_json_is_what_it_was_and_steers_no_terminal(value: object) -> None:
    for indent in (None, 2):
        written = dump_json(value, indent=indent).decode()
        assert json.loads(written) == value
        assert [
            char
            for char in steers(written.replace("\n", "") if indent else written)
            if char < "\u2028" or char > "\u2029"
        ] == []
