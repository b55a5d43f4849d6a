"""One model of a base model and an adapter, for servers that are faster without a separate
adapter.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from llmner.engines.adapters import RECIPE_FILE, Adapter, find_adapter
from llmner.engines.transformers_engine import TransformersGenerator
from llmner.errors import InputError

__all__ = ["merge_adapter"]


def merge_adapter(
    adapter: str | Adapter,
    output: Path,
    *,
    model: str | None = None,
    trust_remote_code: bool = False,
    report: Callable[[str], None] | None = None,
) -> Path:
    """Write a model whose weights, in bfloat16, have an adapter in them, with its tokenizer and
    recipe.

    The weights are those that the ``transformers`` engine answers with. Written whole or not at
    all.

    Args:
        adapter: A folder, ``USER/NAME`` on the Hub, the packaged one's name, or one that was found
            already.
        output: The folder to make; it must not be there yet, or be empty.
        model: The base model, where it is not the one that the adapter names.
        trust_remote_code: Run Python code that comes with the base model.
        report: Told in a sentence what is being waited for.

    Returns:
        The folder.

    Raises:
        InputError: No such adapter, a broken one, or a folder that holds something.
        MissingExtraError: The ``local`` extra is not installed.
        GenerationError: The base model cannot be loaded.
    """
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise InputError("is there already", path=output, hint="name a folder that is not")
    found = find_adapter(adapter, report, model=model) if isinstance(adapter, str) else adapter
    engine = TransformersGenerator(
        model or found.model,
        adapter=found,
        device="cpu",
        trust_remote_code=trust_remote_code,
        report=report,
    )
    merged, tokenizer = engine.load()
    # An engine on a processor without bfloat16 has made float32 of it: going back loses nothing.
    merged.bfloat16()
    if report is not None:
        report(f"Writing {output}")
    part = output.with_name(f"{output.name}.partial")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    merged.save_pretrained(part)
    tokenizer.save_pretrained(part)
    recipe = found.folder / RECIPE_FILE
    if recipe.is_file():
        shutil.copyfile(recipe, part / RECIPE_FILE)
    if output.exists():
        output.rmdir()
    part.rename(output)
    return output
