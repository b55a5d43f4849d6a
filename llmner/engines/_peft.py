"""Adapters merged into the weights of a model that ``transformers`` has loaded, with PEFT."""

from __future__ import annotations

import logging
import warnings
from typing import Any

from llmner._mishaps import Mishap, attempt, one_line
from llmner.engines._lora import add_plain_lora, is_plain_lora
from llmner.engines._model_files import read_tensors
from llmner.engines.adapters import ADAPTER_FILE, CONFIG_FILE, Adapter
from llmner.errors import GenerationError, InputError, MissingExtraError

__all__ = ["check_settings", "merge_into"]


def check_settings(adapter: Adapter) -> None:
    """Make sure that PEFT reads an adapter's configuration, before a model is loaded for it.

    A plain adapter needs no PEFT.

    Raises:
        MissingExtraError: The ``local`` extra is not installed.
        InputError: PEFT does not read it.
    """
    if is_plain_lora(adapter):
        return
    # It warns of a kernel that is not needed.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    try:
        from peft import PeftConfig
    except ImportError:
        raise MissingExtraError("local", "loading an adapter") from None
    with warnings.catch_warnings():
        # PEFT warns of unknown settings; if they matter, loading the weights fails.
        warnings.simplefilter("ignore")
        config = attempt(PeftConfig.from_pretrained, str(adapter.folder))
    if isinstance(config, Mishap):
        raise InputError(
            f"PEFT cannot read it ({config})",
            path=adapter.folder / CONFIG_FILE,
            hint="expected what the installed version of PEFT writes",
        )


def merge_into(model: Any, adapter: Adapter) -> Any:
    """The model with the adapter merged into its weights, or beside them if these are quantised.

    Merged, the adapter would be rounded to what 4 bits can tell apart.

    Raises:
        MissingExtraError: The ``local`` extra is not installed.
        GenerationError: The adapter does not belong to this model.
    """
    quantised = bool(getattr(model, "is_quantized", False))
    if not quantised and is_plain_lora(adapter) and add_plain_lora(model, adapter):
        return model
    try:
        from peft import PeftModel, get_peft_model_state_dict
    except ImportError:
        raise MissingExtraError("local", "loading an adapter") from None

    def merge() -> Any:
        with warnings.catch_warnings():
            # PEFT uses a name that transformers has deprecated; users can do nothing about it.
            warnings.filterwarnings("ignore", ".*gradient_checkpointing.*", FutureWarning)
            # PEFT only warns and goes on without the missing weights.
            warnings.filterwarnings("error", "Found missing adapter keys")
            adapted = PeftModel.from_pretrained(model, str(adapter.folder))
            # PEFT silently drops weights of modules that the configuration does not name.
            used = get_peft_model_state_dict(adapted, save_embedding_layers=False)
            for name in read_tensors(adapter.folder / ADAPTER_FILE):
                if "lora_" in name and name not in used:
                    raise ValueError(f"the configuration leaves out {one_line(name, 120)}")
            # Merged weights cost nothing; separate factors slow down every answer.
            return adapted if quantised else adapted.merge_and_unload()

    merged = attempt(merge)
    if isinstance(merged, Mishap):
        raise GenerationError(
            f"{adapter.name} does not belong to this model, or is broken: {merged}"
        ) from merged.error
    return merged
