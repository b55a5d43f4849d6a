"""Merge an adapter into its base model, for servers that are faster without an adapter."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from llmner.engines.adapters import RECIPE_FILE, Adapter, find_adapter
from llmner.engines.transformers_engine import TransformersGenerator
from llmner.files import whole_folder

__all__ = ["merge_adapter", "merged_folder"]


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
    base = model or source.model
    options: dict[str, Any] = {"trust_remote_code": trust_remote_code, "report": report}
    with merged_folder(base, source, output, recipe_from=source.folder, **options) as merging:
        merged, tokenizer, part = merging
        merged.save_pretrained(part)
        tokenizer.save_pretrained(part)
    return output


@contextmanager
def merged_folder(
    base: str | None,
    adapter: Adapter | None,
    output: Path,
    *,
    recipe_from: Path,
    trust_remote_code: bool = False,
    report: Callable[[str], None] | None = None,
) -> Iterator[tuple[Any, Any, Path]]:
    """A model in bfloat16 with an adapter in its weights, to be written into a folder.

    Args:
        base: The base model; by default the model in the box.
        adapter: The adapter; ``None`` for the base model alone.
        output: The folder. It must not exist, or must be empty, and appears when the block ends.
        recipe_from: A folder whose recipe is copied there, if it has one.
        trust_remote_code: Run Python code that comes with the base model.
        report: Called with a sentence before anything that takes long.

    Yields:
        The model, its tokenizer, and the folder to write into.

    Raises:
        InputError: The adapter is missing or broken, or the folder is not empty.
        MissingExtraError: The ``local`` extra is not installed.
        GenerationError: The base model cannot be loaded.
    """
    engine = TransformersGenerator(
        base,
        adapter=adapter,
        device="cpu",
        dtype="bfloat16",
        trust_remote_code=trust_remote_code,
        report=report,
    )
    with whole_folder(output) as part:
        model, tokenizer = engine.load()
        if report is not None:
            report(f"Writing {output}")
        yield model, tokenizer, part
        recipe = recipe_from / RECIPE_FILE
        if recipe.is_file():
            shutil.copyfile(recipe, part / RECIPE_FILE)
