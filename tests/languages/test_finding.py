"""Which languages a text needs, and several of them as one."""

from __future__ import annotations

import doctest
import importlib
from itertools import chain

import pytest
from hypothesis import given

from llmner.languages import (
    EVERY_LANGUAGE,
    KINDS,
    LANGUAGES,
    Language,
    Reason,
    find_language,
    find_languages,
    merge,
    scripts_of,
)
from llmner.recipes import Recipe
from llmner.schema import LabelSchema
from tests.strategies import texts


@pytest.mark.parametrize(
    ("text", "code", "codes"),
    [
        ("손흥민은", None, "ko"),
        ("손흥민은spurs에서", None, "ko en de"),
        # Names in Korean texts are written with ideographs too.
        ("東京", None, "ko ja zh"),
        ("アリスさん", None, "ja"),
        ("", None, ""),
        ("1,000", "und", ""),
        # What a recipe names comes first, and the letters still count.
        ("손흥민은", "en-US", "en ko"),
        ("東京", "zh-Hant", "zh ko ja"),
        ("spurs", "tlh", "en de"),
    ],
)
def test_languages_of_a_text(text: str, code: str | None, codes: str) -> None:
    languages = find_languages(text, code)
    assert " ".join(language.code for language in languages[:-1]) == codes
    assert languages[-1].code == "und"
    assert find_language(text, code) is find_language(text, code)


@given(texts)
def test_every_letter_of_a_script_is_seen(text: str) -> None:
    scripts = scripts_of(text)
    kinds = {KINDS[char] for char in text}
    assert ("kana" in scripts) == ("k" in kinds)
    assert "han" in scripts or "c" not in kinds
    assert "hangul" in scripts or not any("가" <= char <= "힣" for char in text)


def test_a_language_without_scripts_is_used_only_where_it_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dutch = Language(code="nl")
    monkeypatch.setattr("llmner.languages.LANGUAGES", (*LANGUAGES, dutch))
    assert dutch in find_languages("spurs!", "nl-BE")
    assert dutch not in find_languages("spurs!", "nl_")


def test_a_recipe_says_its_language_to_projection(klue: Recipe) -> None:
    assert klue.schema_.language == klue.language == "ko"
    assert LabelSchema.of("PS").language is None


def test_several_languages_as_one_ask_each() -> None:
    said = Language(
        code="x",
        particles=frozenset({"x"}),
        names_before_title=lambda surface: [(surface[:1], Reason("title", surface[1:]))],
        name_length=lambda surface, after: 2,
        tail_cost=lambda last, text, end: None,
        called=("a", "b"),
        units={"km": ("verst",)},
    )
    other = Language(
        code="y",
        particles=frozenset({"y"}),
        names_before_title=lambda surface: [
            (surface[:1], Reason("title", "again")),
            (surface[:2], Reason("title", surface[2:])),
        ],
        name_length=lambda surface, after: 1,
        tail_cost=lambda last, text, end: 0.5,
        called=("b", "c"),
        units={"km": ("mile",), "m": ("yard",)},
    )
    both = merge((said, other, Language(code="z")))
    assert both.code == "x+y+z"
    assert both.particles == {"x", "y"}
    assert list(both.names_before_title("abc")) == [("a", ("title", "bc")), ("ab", ("title", "c"))]
    assert both.name_length("abc", "") == 1
    assert both.tail_cost("a", "abc", 1) == 0.5
    assert both.called == ("a", "b", "c")
    assert both.units == {"km": ("verst", "mile"), "m": ("yard",)}
    # What nobody has a rule for stays as it is.
    assert list(both.split_particles("abc")) == list(both.other_forms("abc", "abc")) == []
    assert both.lone_cost("a", 0, 0.0) is None


def test_labels_mean_one_thing_in_every_language() -> None:
    words = list(chain.from_iterable(EVERY_LANGUAGE.label_words.values()))
    assert len(words) == len(set(words))


@pytest.mark.parametrize("module", ["", "._language", "._scripts"])
def test_examples(module: str) -> None:
    assert doctest.testmod(importlib.import_module(f"llmner.languages{module}")).failed == 0
