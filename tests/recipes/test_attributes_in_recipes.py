"""Recipes with attributes and with labels of whole texts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from llmner.errors import InputError, RecipeError
from llmner.recipes import Recipe
from llmner.recipes.chat import chat_row
from llmner.spans import Sentence, Span, TextLabel

DRUG: dict[str, Any] = {
    "name": "drugs",
    "labels": [
        {
            "code": "DRUG",
            "attributes": {
                "form": {"name": "제형", "values": [{"code": "tab", "name": "정제"}, "syrup"]},
                "dose": "text",
            },
        }
    ],
    "reply_format": "json-list",
    "system": "{% for label in labels %}{{ label.code }}:{% for a in label.attributes %} {{ a.key }}"
    "={{ a['values'] | map(attribute='code') | join('|') }}{% endfor %}{% endfor %}",
    "examples": [
        {"text": "<아스피린:DRUG> 두 알", "attributes": [{"form": "tab"}]},
        "오늘은 쉬었다.",
    ],
}
ASPECTS: dict[str, Any] = {
    "name": "aspects",
    "text_labels": [
        {"code": "배송", "evidence": True, "attributes": {"sentiment": [-1, 0, 1]}},
        {"code": "가격"},
    ],
    "reply_format": "json-list",
    "system": "{{ labels | map(attribute='code') | join(', ') }}",
    "examples": [
        {
            "text": "이틀 늦게 왔어요",
            "labels": [
                {"label": "배송", "attributes": {"sentiment": -1}, "evidence": ["늦게"]},
                "가격",
            ],
        }
    ],
}


def loaded(folder: Path, fields: dict[str, Any]) -> Recipe:
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(fields, allow_unicode=True, sort_keys=False), encoding="utf-8")
    return Recipe.load(path)


def test_attributes_are_asked_for_shown_and_written(tmp_path: Path) -> None:
    recipe = loaded(tmp_path, DRUG)
    assert recipe.system_prompt == "DRUG: form=tab|syrup dose="
    ((question, answer), (_, empty)) = recipe.turns
    assert question == "아스피린 두 알"
    assert json.loads(answer) == [{"label": "DRUG", "text": "아스피린", "form": "tab"}]
    assert empty == "[]"
    span = Span(0, 4, "DRUG", attributes={"dose": "5 mg", "other": 1})
    row: Any = chat_row(recipe, Sentence("타이레놀", (span,)))
    assert json.loads(row["messages"][-1]["content"]) == [
        {"label": "DRUG", "text": "타이레놀", "dose": "5 mg"}
    ]


def test_labels_of_whole_texts_are_asked_for_shown_and_written(tmp_path: Path) -> None:
    recipe = loaded(tmp_path, ASPECTS)
    assert recipe.system_prompt == "배송, 가격"
    ((_, answer),) = recipe.turns
    assert json.loads(answer) == [
        {"label": "배송", "sentiment": -1, "evidence": ["늦게"]},
        {"label": "가격"},
    ]
    row: Any = chat_row(recipe, Sentence("비싸요", labels=(TextLabel("가격"),)))
    assert row["messages"][-1]["content"] == '[{"label": "가격"}]'


@pytest.mark.parametrize("fields", [DRUG, ASPECTS])
def test_a_recipe_is_written_as_it_is_read(tmp_path: Path, fields: dict[str, Any]) -> None:
    recipe = loaded(tmp_path, fields)
    again = loaded(tmp_path, yaml.safe_load(recipe.to_yaml()))
    assert again == recipe
    assert again.hash == recipe.hash
    extended = loaded(tmp_path, yaml.safe_load(recipe.to_yaml()) | {"description": "more"})
    assert extended.hash != recipe.hash


@pytest.mark.parametrize(
    ("fields", "changes", "message"),
    [
        (DRUG, {"reply_format": "tagged"}, "no room for the labels' attributes; use json-list"),
        (DRUG, {"reply_format": "labels"}, "is not for labels of spans"),
        (DRUG, {"text_labels": [{"code": "A"}]}, "for spans or for labels of whole texts"),
        (DRUG, {"labels": []}, "give at least one label"),
        (
            DRUG,
            {"examples": [{"text": "<a:DRUG>", "attributes": [{"form": "pill"}]}]},
            r"examples\[0\]: 'pill' is no value of DRUG.form",
        ),
        (
            DRUG,
            {"examples": [{"text": "<a:DRUG>", "attributes": [{"color": "red"}]}]},
            r"examples\[0\]: DRUG has no attribute 'color'",
        ),
        (
            DRUG,
            {"examples": [{"text": "<a:DRUG>", "attributes": [{}, {}]}]},
            r"examples\[0\]: 2 attributes for 1 mentions",
        ),
        (ASPECTS, {"reply_format": "tagged"}, "is not for labels of whole texts"),
        (
            ASPECTS,
            {
                "text_labels": [{"code": "a", "attributes": ["why"]}],
                "reply_format": "labels",
                "examples": [],
            },
            "has no room for any text as why; use json-list",
        ),
        (ASPECTS, {"examples": [{"text": "a", "labels": ["품질"]}]}, "not among the text_labels"),
        (
            ASPECTS,
            {"examples": [{"text": "a", "labels": [{"label": "배송", "evidence": ["b"]}]}]},
            "the evidence 'b' is not in the text",
        ),
    ],
)
def test_what_cannot_be_asked_is_told(
    tmp_path: Path, fields: dict[str, Any], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(RecipeError, match=message):
        loaded(tmp_path, fields | changes)


def test_another_format_without_room_is_told() -> None:
    with pytest.raises(RecipeError, match="mams-terms: reply_format: tagged has no room"):
        Recipe.load("mams-terms").with_reply_format("tagged")
    assert Recipe.load("mams-aspects").with_reply_format("json-list").reply_format


def test_hashes_of_recipes_without_attributes_stay() -> None:
    # Adapters keep the hash of the recipe that they were trained with.
    hashes = {name: Recipe.load(name).hash for name in ("klue", "klue-sft", "gmb")}
    assert hashes == {"klue": "65e92e8ef459", "klue-sft": "55d33c48e6a6", "gmb": "ff893ce41df3"}


def test_what_a_recipe_has_not_is_no_training_row(tmp_path: Path) -> None:
    drugs, aspects = loaded(tmp_path, DRUG), loaded(tmp_path, ASPECTS)
    span = Span(0, 4, "DRUG", attributes={"form": "pill"})
    with pytest.raises(InputError, match=r"'pill' is no value of DRUG.form in recipe drugs"):
        chat_row(drugs, Sentence("타이레놀", (span,), "7"))
    with pytest.raises(InputError, match="label '품질' is not among the labels of recipe aspects"):
        chat_row(aspects, Sentence("좋아요", labels=(TextLabel("품질"),)))
    chat_row(aspects, Sentence("좋아요", labels=(TextLabel("가격", {"more": 1}),)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"labels": [{"code": "A", "attributes": {"x": {"typo": 1}}}]},
            r"'labels.0.attributes.x.typo'; (did you mean 'type'|expected one of name)",
        ),
        (
            {"labels": [{"code": "A", "attributes": {"x": {"values": [{"cod": "a"}]}}}]},
            r"values.0.cod'; did you mean 'code'",
        ),
        ({"labels": [{"code": "A", "nam": "a"}]}, r"'labels.0.nam'; did you mean 'name'"),
        ({"completion": {"inputs": ""}}, r"'completion.inputs'; did you mean 'input'"),
        ({"exampels": []}, r"'exampels'; did you mean 'examples'"),
    ],
)
def test_a_misspelt_key_is_told_with_the_keys_of_its_place(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(RecipeError, match=message):
        loaded(tmp_path, DRUG | {"examples": []} | changes)
