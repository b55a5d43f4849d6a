"""Reading a trained adapter's folder: base model, recipe, settings, record and evaluations.

The files may come from anyone, so everything is checked. Paths of the machine that the adapter was
trained on are shortened to their last part.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llmner._yaml import load_yaml
from llmner.engines.adapters import ADAPTER_FILE, CONFIG_FILE, RECIPE_FILE
from llmner.engines.embedded import EMBEDDED_MODEL, EMBEDDED_ON_HUB
from llmner.errors import InputError
from llmner.hub._evaluations import (
    KLUE_NAME,
    Scored,
    read_evaluations,
)
from llmner.hub._files import (
    is_regular,
    read_mapping,
    read_optional,
    without_paths,
)
from llmner.hub.licences import exaone_on_hub, last_part
from llmner.recipes import Recipe

__all__ = [
    "ADAPTER_FILE",
    "CARD_FILE",
    "CONFIG_FILE",
    "CURVES_FILE",
    "RECIPE_FILE",
    "RECORD_FILE",
    "TRAINING_FILE",
    "AdapterFolder",
    "Base",
    "on_hub",
    "read_folder",
]

TRAINING_FILE = "training.yaml"
RECORD_FILE = "training.json"
CURVES_FILE = "curves.png"
CARD_FILE = "README.md"

_SNAPSHOT = re.compile(r"models--([\w.-]+?)--([\w.-]+)[\\/]snapshots[\\/]")


@dataclass(frozen=True, slots=True)
class Base:
    """The base model of an adapter.

    Attributes:
        name: Its name on the Hub (``google/gemma-3-270m``), or the last part of the path it was
            loaded from.
        on_hub: Whether ``name`` is a name on the Hub.
        embedded: Whether training started from llmner's embedded copy, which is quantised.
        also: Every name that the folder's files have for it, paths included.
    """

    name: str
    on_hub: bool
    embedded: bool
    also: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AdapterFolder:
    """A trained adapter's folder, read.

    Attributes:
        path: The folder.
        config: ``adapter_config.json`` with the base model's public name.
        base: The base model.
        recipe: The recipe, or ``None``.
        training: ``training.yaml``; empty where there is none.
        record: ``training.json``; empty where there is none.
        evaluations: How it scored.
        told: Sentences about what was corrected or looks odd.
    """

    path: Path
    config: dict[str, Any]
    base: Base
    recipe: Recipe | None
    training: dict[str, Any]
    record: dict[str, Any]
    evaluations: tuple[Scored, ...]
    told: tuple[str, ...] = field(default=())

    @property
    def on_klue(self) -> bool:
        """Whether it was trained on KLUE, judging by the corpus's name."""
        return bool(KLUE_NAME.search(str(self.training.get("train", "")).lower()))


def read_folder(
    folder: Path, *, recipe: str | None = None, evaluations: Sequence[Path] = ()
) -> AdapterFolder:
    """Read a trained adapter's folder. Only ``adapter_config.json`` must be there.

    Args:
        folder: The folder.
        recipe: A built-in recipe's name or a YAML path, for a folder without ``recipe.yaml``.
        evaluations: Outputs of ``llmner evaluate --json`` besides ``evaluation-*.json`` in the
            folder.

    Raises:
        InputError: There is no adapter, a file cannot be read, or a figure is not valid.
        RecipeError: The recipe is broken.
    """
    if not folder.is_dir():
        raise InputError(
            "no such folder", path=folder, hint="give the output folder of llmner train"
        )
    if not is_regular(folder / CONFIG_FILE):
        raise InputError(f"not an adapter: {CONFIG_FILE} is missing", path=folder)
    remarks: list[str] = []
    config = read_mapping(folder / CONFIG_FILE, json.loads)
    training = read_optional(folder / TRAINING_FILE, load_yaml)
    record = read_optional(folder / RECORD_FILE, json.loads)
    base = _base(folder, config, training, record)
    original = config.get("base_model_name_or_path")
    if original != base.name:
        remarks.append(f"{CONFIG_FILE} names {base.name} as the base model, no longer {original!r}")
        config["base_model_name_or_path"] = base.name
    loaded = _recipe(folder, recipe, training, remarks)
    if loaded is not None and record.get("recipe_hash") not in (None, loaded.hash):
        remarks.append(
            f"the recipe's hash is {loaded.hash}, and {RECORD_FILE} says {record['recipe_hash']}"
        )
    return AdapterFolder(
        folder,
        without_paths(config),
        base,
        loaded,
        without_paths(training),
        without_paths(record),
        tuple(read_evaluations(folder, evaluations)),
        tuple(remarks),
    )


def _base(folder: Path, config: dict[str, Any], *records: dict[str, Any]) -> Base:
    """The base model with its public name, from the names that the folder's files have for it."""
    candidates = [
        config.get("base_model_name_or_path"),
        *(record.get("model") for record in records),
    ]
    names = list(
        dict.fromkeys(name for name in candidates if isinstance(name, str) and name.strip())
    )
    if not names:
        raise InputError(
            "names no base model",
            path=folder / CONFIG_FILE,
            hint="add it as base_model_name_or_path",
        )
    embedded = any(
        last_part(name) == name == EMBEDDED_MODEL
        or last_part(name).startswith(f"{EMBEDDED_MODEL}-bf16-")
        for name in names
    )
    # The name that PEFT wrote comes first. If it is a folder, the training record may know better.
    public = next((hub_name for name in names if (hub_name := on_hub(name)) is not None), None)
    if embedded and public is None:
        public = EMBEDDED_ON_HUB
    # The name of a copy in Llama's layout, often a relative folder, says what it is a copy of.
    if public is None or "-llama" in public:
        public = next(filter(None, map(exaone_on_hub, names)), public)
    return Base(public or last_part(names[0]), public is not None, embedded, tuple(names))


def on_hub(name: str) -> str | None:
    """A model's name on the Hub; ``None`` for a local folder.

    Args:
        name: A name on the Hub, or a path; a snapshot in the Hub's cache has its name in its path.

    >>> on_hub("/cache/models--google--gemma-3-270m/snapshots/9b0cfec")
    'google/gemma-3-270m'
    """
    if cached := _SNAPSHOT.search(name):
        return f"{cached[1]}/{cached[2]}"
    if re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", name, re.ASCII) and not Path(name).exists():
        return name
    return None


def _recipe(
    folder: Path, name: str | None, training: dict[str, Any], remarks: list[str]
) -> Recipe | None:
    folder_recipe = Recipe.load(folder / RECIPE_FILE) if is_regular(folder / RECIPE_FILE) else None
    if name is None:
        return folder_recipe
    recipe = Recipe.load(name)
    reply_format = training.get("reply_format")
    if isinstance(reply_format, str) and reply_format != recipe.reply_format:
        recipe = recipe.with_reply_format(reply_format)
        remarks.append(
            f"the recipe asks for {reply_format}, as {TRAINING_FILE} says the adapter was trained"
        )
    if folder_recipe is not None and folder_recipe != recipe:
        raise InputError(
            f"its {RECIPE_FILE} differs from the recipe {name}",
            path=folder,
            hint="leave --recipe out: the folder's own is what the adapter was trained with",
        )
    return recipe
