"""Subwords and characters: no tokenizer may move an entity by one."""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

tokenizers = pytest.importorskip("tokenizers", reason='needs pip install "llmner[baselines]"')

from llmner.baselines._alignment import owners, spans_of_tokens, token_tags  # noqa: E402
from llmner.corpora import read_corpus  # noqa: E402
from llmner.extraction.windows import continues  # noqa: E402
from llmner.spans import Sentence, Span  # noqa: E402
from tests.conftest import ROOT, shared  # noqa: E402

TEXTS = [
    s.text for name in ("sample.tsv", "sample-en.txt") for s in read_corpus(ROOT / "data" / name)
]
pieces = st.sampled_from(
    [
        *(
            "손흥민",
            "춘천",
            "에서",
            "7.2㎞",
            "서울대학교",
            "㈜한빛",
            "１２",
            "Zürich",
            "New York",
            "U.S.",
            "naïve",
        ),
        *(
            "👩‍👩‍👧",
            "🇰🇷",
            "😀",
            "é",
            "ﬁ",
            "가",
            "각",
            "​",
            "﻿",
            "\x07",
            "́",
            "李",
            "½",
            "ᄒ",
            "…",
            '"',
            "'",
        ),
        *(" ", "  ", "\t", "\u3000", "\u00a0", "\n"),
        unicodedata.normalize("NFD", "손흥민"),
        unicodedata.normalize("NFD", "Zürich"),
    ]
)
texts = st.lists(pieces, max_size=12).map("".join)


def _bert(normalizer: Any) -> Callable[[], Any]:
    def make() -> Any:
        from tokenizers import Tokenizer, models, pre_tokenizers, trainers

        held = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        held.normalizer = normalizer(tokenizers.normalizers)
        held.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        trainer = trainers.WordPieceTrainer(
            vocab_size=700, special_tokens=["[UNK]"], show_progress=False
        )
        held.train_from_iterator(TEXTS, trainer)
        return held

    return make


def _bytes(prefix: bool, trim: bool) -> Callable[[], Any]:
    def make() -> Any:
        from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers

        held = Tokenizer(models.BPE())
        held.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
        held.post_processor = processors.ByteLevel(trim_offsets=trim)
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(
            vocab_size=600, initial_alphabet=alphabet, show_progress=False
        )
        held.train_from_iterator(TEXTS, trainer)
        return held

    return make


def _sentencepiece(normalizer: Any) -> Callable[[], Any]:
    def make() -> Any:
        from tokenizers import Tokenizer, models, pre_tokenizers, trainers

        held = Tokenizer(models.Unigram())
        if normalizer is not None:
            held.normalizer = normalizer(tokenizers.normalizers)
        held.pre_tokenizer = pre_tokenizers.Metaspace()
        trainer = trainers.UnigramTrainer(
            vocab_size=900, special_tokens=["<unk>"], unk_token="<unk>", show_progress=False
        )
        held.train_from_iterator(TEXTS, trainer)
        return held

    return make


KINDS: dict[str, Callable[[], Any]] = {
    "bert, uncased": _bert(lambda n: n.BertNormalizer(lowercase=True, strip_accents=True)),
    "bert, cased": _bert(lambda n: n.BertNormalizer(lowercase=False, strip_accents=False)),
    "bert, nfc": _bert(lambda n: n.NFC()),
    "bert, nfd": _bert(lambda n: n.NFD()),
    "bytes": _bytes(False, False),
    "bytes, prefix and trim": _bytes(True, True),
    "sentencepiece": _sentencepiece(None),
    "sentencepiece, nfkc": _sentencepiece(lambda n: n.NFKC()),
}


@pytest.fixture(scope="module", params=sorted(KINDS))
def tokenizer(request: pytest.FixtureRequest) -> Any:
    return KINDS[request.param]()


def edges(text: str, offsets: list[tuple[int, int]]) -> list[int]:
    """Where one token's characters end and another's begin: where an entity can."""
    found, before = [], None
    for at, token in enumerate(owners(text, offsets)):
        if token is not None and token != before:
            found.append(at)
            before = token
    return found


def entities(text: str, offsets: list[tuple[int, int]], seed: int) -> tuple[Span, ...]:
    """Entities at random, each from the first character of a token to the last of one, without a
    gap's end.
    """
    rng = random.Random(seed)
    of = owners(text, offsets)
    starts = edges(text, offsets)
    spans: list[Span] = []
    number = 0
    while number < len(starts):
        size = rng.randint(1, 3)
        if rng.random() < 0.5:
            stop = starts[number + size] if number + size < len(starts) else len(text)
            end = max(at for at in range(starts[number], stop) if of[at] is not None) + 1
            spans.append(Span(starts[number], end, rng.choice("AB")))
        number += size
    return tuple(spans)


@settings(
    max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(text=texts, seed=st.integers(0, 10_000))
def test_entities_at_the_edges_of_tokens_come_back_to_the_character(
    tokenizer: Any, text: str, seed: int
) -> None:
    offsets = tokenizer.encode(text).offsets
    spans = entities(text, offsets, seed)
    tags = token_tags(Sentence(text, spans), offsets)
    assert spans_of_tokens(text, offsets, tags) == spans


@settings(
    max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(text=texts, data=st.data())
def test_whatever_a_model_says_spans_are_whole(
    tokenizer: Any, text: str, data: st.DataObject
) -> None:
    offsets = tokenizer.encode(text).offsets
    said = st.sampled_from(["O", "B-A", "I-A", "B-B", "I-B"])
    tags = data.draw(st.lists(said, min_size=len(offsets), max_size=len(offsets)))
    spans = spans_of_tokens(text, offsets, tags, [0.5] * len(tags))
    of, starts = owners(text, offsets), set(edges(text, offsets))
    for span in spans:
        assert span.score == 0.5
        assert span.start in starts
        after = next((at for at in range(span.end, len(text)) if of[at] is not None), None)
        assert after is None or after in starts
        assert not text[span.end - 1].isspace()
    Sentence(text, spans)


@settings(
    max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(text=texts)
def test_every_visible_character_is_of_a_token(tokenizer: Any, text: str) -> None:
    encoded = tokenizer.encode(text)
    of = owners(text, encoded.offsets)
    for at, char in enumerate(text):
        if char.isalnum() and not continues(char):
            assert of[at] is not None, (char, encoded.tokens, encoded.offsets)
        assert not (char.isspace() and of[at] is not None)


def test_marks_and_jamo_that_no_token_covers_stay_with_their_letter() -> None:
    text = unicodedata.normalize("NFD", "é각 x")
    assert owners(text, [(0, 1), (2, 3), (6, 7)]) == [0, 0, 1, 1, 1, None, 2]


def test_an_entity_inside_a_token_is_lost_and_nothing_else() -> None:
    text = "가나다 라"
    sentence = Sentence(text, (Span(1, 3, "A"), Span(4, 5, "B")))
    tags = token_tags(sentence, [(0, 3), (4, 5)])
    assert tags == ["O", "B-B"]
    assert spans_of_tokens(text, [(0, 3), (4, 5)], tags) == (Span(4, 5, "B"),)


@settings(
    max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(text=texts)
def test_owners_are_the_first_tokens_that_cover(tokenizer: Any, text: str) -> None:
    offsets = tokenizer.encode(text).offsets
    of = owners(text, offsets)
    for at, char in enumerate(text):
        covering = [n for n, (start, end) in enumerate(offsets) if start <= at < end]
        if char.isspace():
            assert of[at] is None
        elif covering:
            assert of[at] == covering[0]
        else:
            assert of[at] is None or (continues(char) and of[at] == of[at - 1])


def characters() -> Any:
    """A tokenizer of which every character is a token: it can tell all entities apart."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers

    held = Tokenizer(models.WordLevel({"?": 0}, unk_token="?"))
    held.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    return held


@pytest.mark.slow
@pytest.mark.parametrize("version", ["v1", "v1.1"])
def test_all_entities_of_klue_come_back_where_characters_are_tokens(version: str) -> None:
    held = characters()
    entities = edged = 0
    for sentence in read_corpus(shared(f"klue-ner/klue-ner-{version}_dev.tsv")):
        text = sentence.text
        offsets = held.encode(text).offsets
        assert offsets == [(at, at + 1) for at in range(len(text))]
        expected = []
        for span in sentence.spans:
            inside = [at for at in range(span.start, span.end) if not text[at].isspace()]
            expected.append(Span(inside[0], inside[-1] + 1, span.label))
            entities += 1
            edged += expected[-1] != span
        assert spans_of_tokens(text, offsets, token_tags(sentence, offsets)) == tuple(expected)
    # The corpus has a few that begin or end at a space, which nobody should learn.
    assert 0 < edged < 0.002 * entities


@pytest.mark.slow
def test_no_sentence_of_klue_moves_by_one(tokenizer: Any) -> None:
    checked = 0
    for sentence in read_corpus(shared("klue-ner/klue-ner-v1_dev.tsv")):
        offsets = tokenizer.encode(sentence.text).offsets
        starts = {*edges(sentence.text, offsets)}
        of = owners(sentence.text, offsets)
        found = set(spans_of_tokens(sentence.text, offsets, token_tags(sentence, offsets)))
        for span in sentence.spans:
            after = next(
                (at for at in range(span.end, len(sentence.text)) if of[at] is not None), None
            )
            if span.start in starts and (after is None or after in starts):
                assert span in found
                checked += 1
    assert checked > 5000
