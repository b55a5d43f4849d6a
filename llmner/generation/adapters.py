"""Adapters: where they lie, what model they belong to, and the recipe they were trained with.

An adapter answers only what it was trained to be asked, so its recipe travels with it. How it is loaded on top
of a model is the engine's.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from llmner.errors import GenerationError, InputError, MissingExtraError
from llmner.generation.embedded import EMBEDDED_MODEL, EMBEDDED_ON_HUB
from llmner.recipes import Recipe

__all__ = [
    "ADAPTER_FILE",
    "CONFIG_FILE",
    "PACKAGED_ADAPTER",
    "RECIPE_FILE",
    "Adapter",
    "fetch",
    "find_adapter",
    "weights",
]

PACKAGED_ADAPTER = "gemma-3-270m-klue-ner"
"""The adapter that comes with llmner: the embedded model, trained on KLUE-NER."""

ADAPTER_FILE = "adapter_model.safetensors"
CONFIG_FILE = "adapter_config.json"
RECIPE_FILE = "recipe.yaml"
_MEBIBYTE = 2**20


@dataclass(frozen=True, slots=True)
class Adapter:
    """An adapter that is at hand.

    Attributes:
        name: As it was asked for; signatures have it.
        folder: Where its files lie.
        model: The model it belongs to, or ``None`` where it does not say.
        own_recipe: The recipe it was trained with, or ``None`` where it has none.
    """

    name: str
    folder: Path
    model: str | None
    own_recipe: Recipe | None

    @property
    def recipe(self) -> Recipe:
        """The recipe it was trained with.

        Raises:
            InputError: It has none.
        """
        if self.own_recipe is None:
            raise InputError(
                f"the adapter has no {RECIPE_FILE}, so what it was trained to be asked is not known",
                path=self.name,
                hint="name the recipe yourself",
            )
        return self.own_recipe


def find_adapter(name: str, report: Callable[[str], None] | None = None) -> Adapter:
    """An adapter by name: :data:`PACKAGED_ADAPTER`, a folder, or ``USER/NAME`` on the Hub.

    From the Hub come its configuration, weights and recipe, and nothing else.

    Args:
        name: Which.
        report: Told in a sentence what is being waited for.

    Raises:
        InputError: A folder without an adapter, or neither a folder nor a name on the Hub.
        RecipeError: Its recipe cannot be read.
        GenerationError: The Hub does not have it, or does not answer.
        MissingExtraError: huggingface_hub is not installed.
    """
    folder = _packaged() if name == PACKAGED_ADAPTER else Path(name)
    if not folder.is_dir():
        if folder.is_absolute() or name.count("/") != 1 or name.startswith((".", "~")):
            raise InputError(
                "no such folder", path=name, hint="expected an adapter's folder, or USER/NAME on the Hub"
            )
        folder = _from_hub(name, report)
    try:
        config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"holds no adapter: {CONFIG_FILE} is missing", path=name) from None
    except (OSError, ValueError):
        raise InputError(f"{CONFIG_FILE} cannot be read", path=name) from None
    model = config.get("base_model_name_or_path") if isinstance(config, dict) else None
    recipe = folder / RECIPE_FILE
    return Adapter(
        name,
        folder,
        EMBEDDED_MODEL if model == EMBEDDED_ON_HUB else model,
        Recipe.load(recipe) if recipe.is_file() else None,
    )


def weights(*names: str | None) -> dict[str, str]:
    """What tells local folders of models and adapters from what lay there before, for signatures.

    A hash over names, sizes, beginnings and ends of their files of weights and configuration; nothing for names
    on the Hub. Reads two mebibytes a file at most.
    """
    folders = [Path(name) for name in names if name is not None and Path(name).is_dir()]
    digest = hashlib.sha256()
    for folder in folders:
        for path in sorted((*folder.glob("*.safetensors"), *folder.glob("*config.json"))):
            size = path.stat().st_size
            digest.update(f"{path.name} {size} ".encode())
            with path.open("rb") as stream:
                digest.update(stream.read(_MEBIBYTE))
                stream.seek(max(0, size - _MEBIBYTE))
                digest.update(stream.read(_MEBIBYTE))
    return {"weights": digest.hexdigest()[:12]} if folders else {}


def _packaged() -> Path:
    return Path(str(resources.files("llmner"))) / "models" / PACKAGED_ADAPTER


def _from_hub(name: str, report: Callable[[str], None] | None) -> Path:
    return fetch(name, (CONFIG_FILE, ADAPTER_FILE, RECIPE_FILE), report, what="an adapter")


def fetch(name: str, files: Sequence[str], report: Callable[[str], None] | None, *, what: str) -> Path:
    """A folder with some files of a repository on the Hub.

    Args:
        name: ``USER/NAME``.
        files: Names of the files, or patterns of them.
        report: Told in a sentence what is being waited for.
        what: What it is, for errors.

    Raises:
        GenerationError: The Hub does not have it, or does not answer.
        MissingExtraError: huggingface_hub is not installed.
    """
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
    except ImportError:
        raise MissingExtraError("hub", f"{what} from the Hub") from None
    if report is not None:
        report(f"Fetching {name} from the Hub")
    try:
        return Path(snapshot_download(name, allow_patterns=list(files)))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        why = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise GenerationError(f"{name} is neither a folder nor to be had from the Hub: {why}") from error
