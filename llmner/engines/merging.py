"""Merge an adapter into its base model, for servers that are faster without an adapter."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from llmner.engines.adapters import RECIPE_FILE, Adapter, find_adapter
from llmner.engines.transformers_engine import TransformersGenerator
from llmner.files import whole_folder

__all__ = ["merge_adapter"]


def merge_adapter(
    adapter: str | Adapter,
    output: Path,
    *,
    model: str | None = None,
    trust_remote_code: bool = False,
    report: Callable[[str], None] | None = None,
) -> Path:
    """Write a model with an adapter merged into its weights, its tokenizer and its recipe.

    The weights are in bfloat16. The folder appears complete or not at all.

    >>> merge_adapter("gemma-3-270m-klue-ner", Path("merged"))  # doctest: +SKIP
    PosixPath('merged')

    Args:
        adapter: A folder, ``USER/NAME`` on the Hub, the packaged adapter's name, or an adapter that
            was found already.
        output: The folder to write. It must not exist, or must be empty.
        model: The base model, if it is not the one that the adapter names.
        trust_remote_code: Run Python code that comes with the base model.
        report: Called with a sentence before anything that takes long.

    Returns:
        The folder.

    Raises:
        InputError: The adapter is missing or broken, or the folder is not empty.
        MissingExtraError: The ``local`` extra is not installed.
        GenerationError: The base model cannot be loaded.
    """
    source = find_adapter(adapter, report, model=model) if isinstance(adapter, str) else adapter
    with whole_folder(output) as part:
        engine = TransformersGenerator(
            model or source.model,
            adapter=source,
            device="cpu",
            dtype="bfloat16",
            trust_remote_code=trust_remote_code,
            report=report,
        )
        merged, tokenizer = engine.load()
        if report is not None:
            report(f"Writing {output}")
        merged.save_pretrained(part)
        tokenizer.save_pretrained(part)
        recipe = source.folder / RECIPE_FILE
        if recipe.is_file():
            shutil.copyfile(recipe, part / RECIPE_FILE)
    return output
