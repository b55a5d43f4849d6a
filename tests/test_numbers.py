"""True and false are no numbers, wherever a number is read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import pytest

from llmner._numbers import is_number, is_whole
from llmner.baselines import CrfConfig, load_models_config
from llmner.baselines.bilstm import BilstmCrfConfig
from llmner.baselines.encoder import EncoderConfig
from llmner.comparison.models import _asking
from llmner.corpora import read_corpus
from llmner.errors import CorpusError, InputError
from llmner.projection import Policy
from llmner.scoring import read_predictions


def test_what_is_a_number() -> None:
    assert [value for value in (1, 0.5, True, "1", None, float("nan"), float("inf"), 10**400) if is_number(value)] == [
        1, 0.5, 10**400,
    ]  # fmt: skip
    assert [value for value in (1, 1.0, False, -3) if is_whole(value)] == [1, -3]


@pytest.mark.parametrize("value", [True, False, float("nan"), "0.5", 1.1])
def test_a_policy_has_a_similarity_or_none(value: Any) -> None:
    with pytest.raises(InputError, match="is no similarity"):
        Policy(fuzzy=value)


GOOD: dict[str, Any] = {
    "text": "손흥민은",
    "spans": [{"start": 0, "end": 3, "label": "PS", "score": 0.5}],
    "outcomes": [
        {
            "label": "PS", "text": "손흥민", "kind": "exact", "start": 0, "end": 3, "similarity": 1,
            "repeats": [{"start": 3, "end": 4, "label": "PS", "score": 0.5}],
        }
    ],
    "status": "ok",
}  # fmt: skip


def broken(*path: str | int, value: Any) -> dict[str, Any]:
    row: Any = json.loads(json.dumps(GOOD))
    held = row
    for key in path[:-1]:
        held = held[key]
    held[path[-1]] = value
    return dict(row)


NUMBERS = [
    ("spans", 0, "start"), ("spans", 0, "end"), ("spans", 0, "score"), ("outcomes", 0, "start"),
    ("outcomes", 0, "end"), ("outcomes", 0, "similarity"), ("outcomes", 0, "repeats", 0, "start"),
    ("outcomes", 0, "repeats", 0, "end"), ("outcomes", 0, "repeats", 0, "score"),
]  # fmt: skip


@pytest.mark.parametrize("place", NUMBERS)
@pytest.mark.parametrize("value", [True, False, "1", [1], 1.5, float("inf"), int("9" * 400)])
def test_rows_have_numbers_where_numbers_belong(
    tmp_path: Path, place: tuple[str | int, ...], value: object
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(GOOD), encoding="utf-8")
    assert len(read_predictions(path)[0].outcomes) == 1
    path.write_text(json.dumps(broken(*place, value=value)), encoding="utf-8")
    with pytest.raises(CorpusError, match=r"rows\.jsonl:1") as told:
        read_predictions(path)
    assert len(str(told.value)) < 400


def test_a_row_of_a_corpus_takes_no_bool_for_an_offset(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(
        '{"text": "가나", "spans": [{"start": false, "end": true, "label": "PS"}]}',
        encoding="utf-8",
    )
    with pytest.raises(CorpusError, match="a span's 'start' is False; expected a whole number"):
        list(read_corpus(path))
    path.write_text('{"id": true, "text": "가나"}', encoding="utf-8")
    with pytest.raises(CorpusError, match="'id' is not a string"):
        list(read_corpus(path))


@pytest.mark.parametrize("kind", [CrfConfig, BilstmCrfConfig, EncoderConfig])
def test_no_field_of_a_configuration_but_a_switch_takes_a_bool(kind: Any) -> None:
    switches = {
        name
        for name, field in kind.model_fields.items()
        if bool in (field.annotation, *get_args(field.annotation))
    }
    for name in kind.model_fields:
        if name in switches:
            assert getattr(kind(**{name: True}), name) is True
        else:
            with pytest.raises(ValueError, match="expected a number, got true"):
                kind(**{name: True})


@pytest.mark.parametrize(
    ("yaml", "told"),
    [
        ("held_out: true", "held_out: expected a number, got true"),
        ("seed: false", "seed: expected a number, got false"),
        ("limit: true", "limit: expected a number, got true"),
        ("resamples: true", "resamples: expected a number, got true"),
        (
            "published: [{name: x, source: y, figures: {f1: true}}]",
            r"published.0.figures.f1: expected a number, got true",
        ),
        (f"seed: {'9' * 5000}", "not YAML"),
        ("seed: 2026-13-45", "not YAML"),
        (f"seed: {'[' * 5000}", "nested too deeply"),
        ("seed: \x07", "not YAML"),
    ],
)
def test_a_comparison_has_numbers_where_numbers_belong(
    tmp_path: Path, yaml: str, told: str
) -> None:
    path = tmp_path / "models.yaml"
    path.write_text(
        f"gold: {{path: x}}\nmodels: [{{name: a, predicted: b}}]\n{yaml}\n", encoding="utf-8"
    )
    with pytest.raises(InputError, match=told):
        load_models_config(path)


@pytest.mark.parametrize("engine", ["openai", "transformers"])
@pytest.mark.parametrize(
    "option", ["max_new_tokens", "batch_size", "temperature", "concurrency", "seed"]
)
def test_options_of_engines_take_no_bool_for_a_number(
    tmp_path: Path, engine: str, option: str
) -> None:
    path = tmp_path / "models.yaml"
    path.write_text(
        f"gold: {{path: x}}\nmodels: "
        f"[{{name: a, engine: {engine}, options: {{{option}: true}}}}]\n",
        encoding="utf-8",
    )
    entry = load_models_config(path).models[0]
    with pytest.raises(InputError, match=f"a: options.{option}: true is no value that it can have"):
        _asking(entry, lambda _: None)
