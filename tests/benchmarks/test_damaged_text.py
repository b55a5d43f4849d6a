"""Damaged text keeps its labels where they belong."""

from __future__ import annotations

import random
import sys
import unicodedata

import pytest

from llmner.spans import Sentence, Span
from tests.conftest import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))

import damaged_text

SENTENCE = Sentence("손 흥민은 춘천 에 갔다", (Span(0, 4, "PS"), Span(6, 8, "LC")), "1")


def surfaces(sentence: Sentence) -> list[str]:
    return [sentence.text[span.start : span.end] for span in sentence.spans]


def test_labels_move_along() -> None:
    rng = random.Random(1)
    assert surfaces(damaged_text.without_spaces(SENTENCE, rng)) == ["손흥민", "춘천"]
    decomposed = damaged_text.decomposed(SENTENCE, rng)
    assert decomposed.text == unicodedata.normalize("NFD", SENTENCE.text)
    assert [unicodedata.normalize("NFC", own) for own in surfaces(decomposed)] == [
        "손 흥민",
        "춘천",
    ]


def test_typing_errors_are_few_seeded_and_in_syllables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(damaged_text, "_RATE", 1.0)
    once, again = (damaged_text.mistyped(SENTENCE, random.Random(3)) for _ in range(2))
    assert once == again
    assert list(once.spans) == list(SENTENCE.spans)
    for before, after in zip(SENTENCE.text, once.text, strict=True):
        if before == " ":
            assert after == " "
        else:
            assert after != before
            assert unicodedata.normalize("NFD", after)[0] == unicodedata.normalize("NFD", before)[0]
