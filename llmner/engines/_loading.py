"""Models of ``transformers`` and their tokenizers, loaded so that an error names the file that is
broken.

What a model is for is its caller's to know: language models (``transformers_engine``) and taggers
(``baselines.encoder``) are loaded alike.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from llmner._mishaps import Mishap, attempt, one_line
from llmner.engines._model_files import broken_file, check_model_folder
from llmner.errors import GenerationError, InputError

__all__ = ["load_pretrained"]


def load_pretrained(
    kind: Any,
    name: str,
    path: str,
    *,
    trust_remote_code: bool = False,
    new_layers: bool = False,
    **options: Any,
) -> tuple[Any, Any]:
    """A model of a kind, and its tokenizer. ``transformers`` must be installed.

    Args:
        kind: ``AutoModelForCausalLM`` or another of its siblings.
        name: What the model is called, for errors.
        path: Its name on the Hub, or its folder.
        trust_remote_code: Run Python code that comes with the model.
        new_layers: Whether weights may be lacking, which are then drawn at random.
        **options: Passed on to ``from_pretrained``.

    Raises:
        GenerationError: It cannot be loaded; of a local one the file that is broken is named.
    """
    from transformers import AutoConfig, AutoTokenizer

    try:
        check_model_folder(Path(path))
    except InputError as error:
        raise GenerationError(f"{name} cannot be loaded: {error}") from None
    # Each file by itself, so that an error names it: the tokenizer's reader reads the configuration
    # too.
    config = attempt(AutoConfig.from_pretrained, path, trust_remote_code=trust_remote_code)
    if isinstance(config, Mishap):
        raise _not_loaded(name, "config.json", config) from config.error
    tokenizer = attempt(AutoTokenizer.from_pretrained, path, trust_remote_code=trust_remote_code)
    if isinstance(tokenizer, Mishap):
        raise _not_loaded(
            name, "tokenizer.json or tokenizer_config.json", tokenizer
        ) from tokenizer.error
    found = attempt(
        kind.from_pretrained,
        path,
        trust_remote_code=trust_remote_code,
        output_loading_info=True,
        **options,
    )
    if isinstance(found, Mishap):
        raise _not_loaded(name, "config.json or the weights", found) from found.error
    model, known = found
    lacking = sorted(known["missing_keys"])
    if lacking and not new_layers:
        raise GenerationError(
            f"{name} cannot be loaded: its weights lack {one_line(lacking[0], 120)} "
            f"({len(lacking)} in all)"
        )
    return model, tokenizer


def _not_loaded(name: str, files: str, mishap: Mishap) -> GenerationError:
    """Why a model could not be loaded, in one line.

    Args:
        name: Which. Of a folder the file is named that is broken, if one is.
        files: What was being read, else.
        mishap: What reading it raised.
    """
    if not Path(name).is_dir():
        # Libraries' messages go on for paragraphs.
        return GenerationError(f"{name} cannot be loaded: {mishap.message.partition('. ')[0]}")
    broken = broken_file(Path(name))
    if broken is not None:
        return GenerationError(f"{name} cannot be loaded: {broken}")
    why = mishap.message
    if "ignore_mismatched_sizes" in why:
        why = "the weights have other shapes than the configuration says"
    return GenerationError(f"{name} cannot be loaded: {files}: {why}")
