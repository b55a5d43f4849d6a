"""Grounded grammars accept every reply that gold deserves, and nothing whose mentions are not in
the text.
"""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmner.engines.grammars import GROUNDED_FORMATS, reply_grammar
from llmner.errors import InputError
from llmner.recipes import Recipe
from llmner.replies import REPLY_FORMATS, read_reply, render_reply
from llmner.spans import Sentence, Span

llguidance = pytest.importorskip("llguidance", reason='needs pip install "llmner[local]"')

SCHEMA = Recipe.load("klue").schema_
BYTES = llguidance.LLTokenizer("byte")
FORMATS = sorted(GROUNDED_FORMATS)


def matcher(text: str, format: str) -> object:
    made = llguidance.LLMatcher(
        BYTES, llguidance.LLMatcher.grammar_from_lark(reply_grammar(text, format, SCHEMA))
    )
    assert not made.is_error(), made.get_error()
    return made


def accepts(text: str, format: str, reply: str) -> bool:
    made = matcher(text, format)
    tokens = BYTES.tokenize_str(reply)
    return bool(made.try_consume_tokens(tokens) == len(tokens) and made.is_accepting())


def drawn(text: str, format: str, seed: int, longest: int = 400) -> str | None:
    """A reply drawn at random, byte by byte, from what the grammar allows; ``None`` where it
    does not end.
    """
    made, dice = matcher(text, format), random.Random(seed)
    tokens: list[int] = []
    while not made.is_stopped() and len(tokens) < longest:
        mask = made.compute_bitmask()
        allowed = [n for n in range(256) if mask[n // 8] >> (n % 8) & 1]
        if made.is_accepting() and (not allowed or dice.random() < 0.2):
            break
        tokens.append(dice.choice(allowed))
        assert made.consume_token(tokens[-1])
    return bytes(tokens).decode() if made.is_accepting() else None


@st.composite
def sentences(draw: st.DrawFn) -> Sentence:
    alphabet = st.sampled_from("손흥민7.㎞ ,'\"\\<>:\n\t[]{}|-/^$*👍🏽e\u0301가")
    text = draw(st.text(alphabet, min_size=1, max_size=24))
    spans, at = [], 0
    while at < len(text):
        end = draw(st.integers(at, len(text)))
        if end > at and text[at] not in " \n\t" and text[end - 1] not in " \n\t":
            spans.append(Span(at, end, draw(st.sampled_from(SCHEMA.codes))))
        at = max(end, at + 1)
    return Sentence(text, tuple(spans))


@pytest.mark.parametrize("format", FORMATS)
@given(sentence=sentences())
def test_what_gold_deserves_can_be_answered(format: str, sentence: Sentence) -> None:
    assert accepts(sentence.text, format, render_reply(sentence, format, SCHEMA))
    assert accepts(sentence.text, format, render_reply(Sentence(sentence.text), format, SCHEMA))


@pytest.mark.parametrize("format", FORMATS)
@given(sentence=sentences(), seed=st.integers(0, 2**20))
def test_whatever_can_be_answered_is_read_and_stands_in_the_text(
    format: str, sentence: Sentence, seed: int
) -> None:
    reply = drawn(sentence.text, format, seed)
    if reply is None:
        return
    read = read_reply(reply, SCHEMA, format)
    # A surface, or a whole sentence, like "-" is read as a word for nothing wherever it comes from.
    allowed = {"none-word", "format"} if "none-word" in read.repairs else set()
    if format == "tagged" and reply.strip() in ("[]", "{}"):
        # Such a sentence, said again, is JSON without a mention too.
        allowed = {"format"}
    assert set(read.repairs) <= allowed, (reply, read)
    for mention in read.mentions:
        assert mention.label in SCHEMA.codes
        assert mention.text in sentence.text


@pytest.mark.parametrize("format", FORMATS)
def test_another_surface_another_label_and_prose_are_impossible(format: str) -> None:
    sentence = Sentence("손흥민은 7.2㎞를 달렸다.", (Span(0, 3, "PS"), Span(5, 9, "QT")))
    reply = render_reply(sentence, format, SCHEMA)
    assert accepts(sentence.text, format, reply)
    for wrong in (
        reply.replace("손흥민", "손홍민"),
        reply.replace("㎞", "km"),
        reply.replace("PS", "XX"),
        f"네, {reply}",
    ):
        assert not accepts(sentence.text, format, wrong)


def test_every_reply_format_can_be_grounded() -> None:
    assert set(GROUNDED_FORMATS) == set(REPLY_FORMATS)
    with pytest.raises(InputError, match="replies in yaml cannot be grounded"):
        reply_grammar("a", "yaml", SCHEMA)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("text", ["", "   "])
def test_nothing_to_name_leaves_one_reply(format: str, text: str) -> None:
    reply = render_reply(Sentence(text), format, SCHEMA)
    assert accepts(text, format, reply)
    assert drawn(text, format, 1) == reply
