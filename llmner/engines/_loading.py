"""Load models of ``transformers`` and their tokenizers; errors name the file that is broken.

Language models (``_language_model``) and taggers (``baselines.encoder``) are loaded in this way.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from llmner._mishaps import Mishap, attempt, one_line
from llmner.engines._model_files import broken_file, check_model_folder
from llmner.engines.adapters import fetch
from llmner.errors import GenerationError, InputError

__all__ = ["check_available", "check_folder", "collections_paused", "load_pretrained"]


@contextmanager
def collections_paused() -> Iterator[None]:
    """Collect no garbage meanwhile.

    Loading makes a million objects that stay, most of them words of a tokenizer. Python would look
    through all of them again and again, for nearly half of the time.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def check_available(name: str) -> None:
    """Make sure that a model is a folder, or on the Hub, before libraries try for minutes.

    What is in the Hub's cache needs no network.

    Args:
        name: A folder, or a name on the Hub.

    Raises:
        GenerationError: It is neither, or the Hub does not answer.
        MissingExtraError: huggingface_hub is not installed.
    """
    if not check_folder(name):
        # This asks once; loading a model would ask again and again.
        fetch(name, ["config.json"], None, what="a model")


def check_folder(name: str) -> bool:
    """Whether a model is a folder; ``False`` for what may be a name on the Hub.

    Raises:
        GenerationError: It can only be a folder, and there is none.
    """
    folder = Path(name)
    if attempt(folder.is_dir) is True:
        return True
    if folder.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1:
        raise GenerationError(f"{one_line(name)} cannot be loaded: no such folder")
    return False


@collections_paused()
def load_pretrained(
    kind: Any,
    name: str,
    path: str,
    *,
    trust_remote_code: bool = False,
    new_layers: bool = False,
    **options: Any,
) -> tuple[Any, Any]:
    """Load a model and its tokenizer. ``transformers`` must be installed.

    Args:
        kind: ``AutoModelForCausalLM`` or a class like it.
        name: The model's name, for errors.
        path: Its name on the Hub, or its folder.
        trust_remote_code: Run Python code that comes with the model.
        new_layers: Whether weights may be missing, which are then initialised at random.
        **options: Passed on to ``from_pretrained``.

    Raises:
        GenerationError: The model cannot be loaded. If it is a folder, the broken file is named.
    """
    from transformers import AutoConfig, AutoTokenizer

    try:
        check_model_folder(Path(path))
    except InputError as error:
        raise GenerationError(f"{name} cannot be loaded: {error}") from None
    # Each file is read by itself, so that an error can name it: loading the tokenizer reads the
    # configuration too.
    config = attempt(AutoConfig.from_pretrained, path, trust_remote_code=trust_remote_code)
    if isinstance(config, Mishap):
        raise _not_loaded(name, "config.json", config) from config.error
    tokenizer = attempt(AutoTokenizer.from_pretrained, path, trust_remote_code=trust_remote_code)
    if isinstance(tokenizer, Mishap):
        raise _not_loaded(
            name, "tokenizer.json or tokenizer_config.json", tokenizer
        ) from tokenizer.error
    loaded = attempt(
        kind.from_pretrained,
        path,
        trust_remote_code=trust_remote_code,
        output_loading_info=True,
        **options,
    )
    if isinstance(loaded, Mishap):
        raise _not_loaded(name, "config.json or the weights", loaded) from loaded.error
    model, loading_info = loaded
    missing = sorted(loading_info["missing_keys"])
    if missing and not new_layers:
        raise GenerationError(
            f"{name} cannot be loaded: its weights lack {one_line(missing[0], 120)} "
            f"({len(missing)} in all)"
        )
    return model, tokenizer


def _not_loaded(name: str, files: str, mishap: Mishap) -> GenerationError:
    """Why a model could not be loaded, in one line.

    Args:
        name: The model. If it is a folder, the broken file is named.
        files: What was being read, in case no file is broken by itself.
        mishap: What was raised.
    """
    if not Path(name).is_dir():
        # Messages of libraries may be several paragraphs long.
        return GenerationError(f"{name} cannot be loaded: {mishap.message.partition('. ')[0]}")
    broken = broken_file(Path(name))
    if broken is not None:
        return GenerationError(f"{name} cannot be loaded: {broken}")
    reason = mishap.message
    if "ignore_mismatched_sizes" in reason:
        reason = "the shapes of the weights are not those of the configuration"
    return GenerationError(f"{name} cannot be loaded: {files}: {reason}")
