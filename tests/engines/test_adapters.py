"""Adapters: found by folder or name, with their model and recipe."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llmner.engines.adapters import find_adapter, weights
from llmner.engines.embedded import EMBEDDED_MODEL
from llmner.errors import GenerationError, InputError, RecipeError
from llmner.extraction import Extractor
from llmner.recipes import Recipe

pytest.importorskip("huggingface_hub", reason='needs pip install "llmner[local]"')


def adapter(
    folder: Path, base: object = "google/gemma-3-270m", recipe: str | None = "klue-mini"
) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": base}))
    if recipe is not None:
        (folder / "recipe.yaml").write_text(Recipe.load(recipe).to_yaml(), encoding="utf-8")
    return folder


def test_a_folder_knows_its_model_and_recipe(tmp_path: Path) -> None:
    found = find_adapter(str(adapter(tmp_path / "a")))
    assert found.recipe == Recipe.load("klue-mini")
    # The embedded copy, not a download that asks for a licence click.
    assert found.model == EMBEDDED_MODEL
    assert find_adapter(str(adapter(tmp_path / "a", "LGAI-EXAONE/EXAONE-4.0-1.2B"))).model == (
        "LGAI-EXAONE/EXAONE-4.0-1.2B"
    )


def test_an_adapter_without_a_recipe_says_that_it_is_needed(tmp_path: Path) -> None:
    folder = str(adapter(tmp_path / "a", recipe=None))
    assert find_adapter(folder).own_recipe is None
    with pytest.raises(InputError, match=r"the adapter has no recipe\.yaml"):
        Extractor.from_adapter(folder)


def test_what_is_no_adapter_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match=r"holds no adapter: adapter_config\.json is missing"):
        find_adapter(str(tmp_path))
    with pytest.raises(
        InputError, match=r"no such folder; expected an adapter's folder, or USER/NAME"
    ):
        find_adapter(str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match="no such folder"):
        find_adapter("mistyped")
    (tmp_path / "adapter_config.json").write_text("{")
    with pytest.raises(
        InputError, match=r"adapter_config\.json: not JSON .*; expected an adapter's"
    ):
        find_adapter(str(tmp_path))
    broken = adapter(tmp_path / "b")
    (broken / "recipe.yaml").write_text("name: x\n", encoding="utf-8")
    with pytest.raises(RecipeError, match=r"b/recipe\.yaml"):
        find_adapter(str(broken))


def test_a_hub_that_cannot_be_reached_is_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import huggingface_hub

    def offline(*args: object, **kwargs: object) -> str:
        raise huggingface_hub.errors.LocalEntryNotFoundError("offline\nand more lines")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", offline)
    with pytest.raises(GenerationError, match=r"^user/name is neither a folder nor .*: offline$"):
        find_adapter("user/name")


def test_weights_that_change_under_a_name_are_told_apart(tmp_path: Path) -> None:
    assert weights("gemma-3-270m", None, "USER/NAME") == {}
    file = tmp_path / "adapter_model.safetensors"
    file.write_bytes(b"a" * 100)
    before = weights("gemma-3-270m", str(tmp_path))
    assert before == weights("gemma-3-270m", str(tmp_path))
    file.write_bytes(b"a" * 99 + b"b")
    assert weights("gemma-3-270m", str(tmp_path)) != before
