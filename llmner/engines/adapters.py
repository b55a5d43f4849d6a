"""Adapters: where they lie, what model they belong to, and the recipe they were trained with.

An adapter answers only what it was trained to be asked, so its recipe travels with it. How it is
loaded on top of a model is the engine's.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from llmner._mishaps import Mishap, attempt, one_line
from llmner.engines._model_files import Tensor, check_finite, read_object, read_tensors, regular
from llmner.engines.embedded import EMBEDDED_MODEL, EMBEDDED_ON_HUB
from llmner.errors import GenerationError, InputError, MissingExtraError
from llmner.files import is_file
from llmner.recipes import Recipe

__all__ = [
    "ADAPTER_FILE",
    "CONFIG_FILE",
    "PACKAGED_ADAPTER",
    "RECIPE_FILE",
    "Adapter",
    "Lora",
    "check_adapter",
    "fetch",
    "find_adapter",
    "lora_settings",
    "weights",
]

PACKAGED_ADAPTER = "gemma-3-270m-klue-ner"
"""The adapter that comes with llmner: the embedded model, trained on KLUE-NER."""

ADAPTER_FILE = "adapter_model.safetensors"
CONFIG_FILE = "adapter_config.json"
RECIPE_FILE = "recipe.yaml"
_MEBIBYTE = 2**20
_CONFIG = "an adapter's configuration, as PEFT writes it"

_Rank = Annotated[int, Field(ge=1, le=1 << 16)]
_Factor = Annotated[float, Field(gt=-1e6, lt=1e6)]


class Lora(BaseModel):
    """What PEFT reads of a LoRA adapter's configuration, as far as it decides what is made of the
    weights.

    PEFT takes every value as it comes, and makes room for whatever rank is named before it reads
    the weights.

    Attributes:
        peft_type: The kind of adapter; other kinds than ``LORA`` have other settings.
        r: Its rank.
        rank_pattern: Ranks of modules that have another.
        target_parameters: Parameters that are adapted besides modules; their factors have other
            shapes.
    """

    model_config = ConfigDict(extra="ignore", strict=True, allow_inf_nan=False)

    peft_type: str = "LORA"
    r: _Rank = 8
    rank_pattern: dict[str, _Rank] | None = None
    lora_alpha: _Factor = 8
    alpha_pattern: dict[str, _Factor] | None = None
    lora_dropout: Annotated[float, Field(ge=0, le=1)] = 0.0
    target_modules: str | list[str] | None = None
    target_parameters: list[str] | None = None
    exclude_modules: str | list[str] | None = None
    modules_to_save: list[str] | None = None
    layers_to_transform: int | list[int] | None = None
    layers_pattern: str | list[str] | None = None
    bias: Literal["none", "all", "lora_only"] = "none"
    fan_in_fan_out: bool = False
    use_rslora: bool = False
    use_dora: bool = False
    inference_mode: bool = True

    @property
    def ranks(self) -> set[int]:
        """All ranks there are."""
        return {self.r, *(self.rank_pattern or {}).values()}


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
                f"the adapter has no {RECIPE_FILE}, so what it was trained to be asked is not "
                f"known",
                path=self.name,
                hint="name the recipe yourself",
            )
        return self.own_recipe


def find_adapter(
    name: str, report: Callable[[str], None] | None = None, *, model: str | None = None
) -> Adapter:
    """An adapter by name: :data:`PACKAGED_ADAPTER`, a folder, or ``USER/NAME`` on the Hub.

    From the Hub come its configuration, weights and recipe, and nothing else. Its weights are
    looked at when it is loaded (:func:`check_adapter`).

    Args:
        name: Which.
        report: Told in a sentence what is being waited for, and which recipe came from the Hub.
        model: The base model, where it is named by somebody else than the adapter.

    Raises:
        InputError: A folder without an adapter, or neither a folder nor a name on the Hub; a
            configuration that is none; a base model that only the machine has which it was trained
            on.
        RecipeError: Its recipe cannot be read.
        GenerationError: The Hub does not have it, or does not answer.
        MissingExtraError: huggingface_hub is not installed.
    """
    folder = _packaged() if name == PACKAGED_ADAPTER else Path(name)
    try:
        local = folder.is_dir()
    except (OSError, ValueError) as error:
        raise InputError(f"is no folder ({one_line(error, 80)})", path=one_line(name, 80)) from None
    if not local:
        if folder.is_absolute() or not _on_hub(name):
            raise InputError(
                "no such folder",
                path=one_line(name),
                hint="expected an adapter's folder, or USER/NAME on the Hub",
            )
        folder = _from_hub(name, report)
    path = folder / CONFIG_FILE
    if not (path.exists() or path.is_symlink()):
        raise InputError(f"holds no adapter: {CONFIG_FILE} is missing", path=name)
    config = read_object(path, _CONFIG)
    _settings(path, config)
    base = config.get("base_model_name_or_path")
    if (
        not isinstance(base, str | None)
        or base == ""
        or (base and one_line(base, len(base)) != base)
    ):
        raise InputError(
            "'base_model_name_or_path' is no name of a model",
            path=path,
            hint="expected USER/NAME or a folder",
        )
    if base and not local and model is None and not _on_hub(base) and not _plain(base):
        raise InputError(
            f"the base model is {one_line(base, 80)!r}, a path of the machine that it was trained "
            f"on",
            path=name,
            hint="name the model with --model",
        )
    recipe = folder / RECIPE_FILE
    own = None
    if recipe.exists() or recipe.is_symlink():
        regular(recipe, "the recipe that the adapter was trained with")
        own = Recipe.load(recipe)
    if own is not None and not local and report is not None:
        report(
            f"recipe {own.name} (from {name}, sha256 {own.hash}) decides what is asked, unless "
            f"another is named"
        )
    return Adapter(name, folder, EMBEDDED_MODEL if base == EMBEDDED_ON_HUB else base, own)


def check_adapter(adapter: Adapter) -> Lora:
    """Make sure that an adapter's files are whole and fit together, before a model is loaded for
    it.

    Whether they fit the model shows only there. Reads the weights, a tensor at a time.

    Args:
        adapter: As :func:`find_adapter` found it.

    Returns:
        Its settings.

    Raises:
        InputError: A file is missing or broken, weights are no numbers, or not of the rank that is
            named.
        MissingExtraError: The ``local`` extra is not installed.
    """
    settings = lora_settings(adapter)
    path = adapter.folder / ADAPTER_FILE
    tensors = read_tensors(path, "an adapter's weights as safetensors")
    if not tensors:
        raise InputError("holds no weights", path=path, hint="train the adapter again")
    if settings.peft_type == "LORA":
        _check_factors(path, tensors, settings)
    check_finite(path)
    return settings


def lora_settings(adapter: Adapter) -> Lora:
    """What an adapter's configuration says.

    Raises:
        InputError: It is none.
    """
    path = adapter.folder / CONFIG_FILE
    return _settings(path, read_object(path, _CONFIG))


def _settings(path: Path, config: Mapping[str, Any]) -> Lora:
    try:
        kind = config.get("peft_type", "LORA")
        return Lora.model_validate(config if kind == "LORA" else {"peft_type": kind})
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"][:2])
        raise InputError(
            f"{one_line(key, 80)!r} cannot be {one_line(repr(first['input']), 60)}",
            path=path,
            hint=one_line(first["msg"]).lower(),
        ) from None


def _check_factors(path: Path, tensors: Mapping[str, Tensor], settings: Lora) -> None:
    """Make sure that factors come in pairs, of a rank that the configuration names."""
    firsts = [name for name in tensors if ".lora_A" in name or ".lora_embedding_A" in name]
    if not firsts and not settings.modules_to_save:
        raise InputError(
            "holds no factors of LoRA", path=path, hint="expected tensors called ...lora_A.weight"
        )
    for name in firsts:
        shown = one_line(name, 120)
        other = tensors.get(name.replace("lora_A", "lora_B").replace("embedding_A", "embedding_B"))
        if other is None:
            raise InputError(
                f"{shown} has no second factor", path=path, hint="train the adapter again"
            )
        shape = tensors[name].shape
        if len(shape) < 2 or len(other.shape) != len(shape) or shape[0] != other.shape[1]:
            raise InputError(
                f"{shown} {list(shape)} and its second factor {list(other.shape)} do not fit "
                f"together",
                path=path,
                hint="expected [rank, in] and [out, rank]",
            )
        # Of experts all factors lie in one.
        if shape[0] not in settings.ranks and not settings.target_parameters:
            raise InputError(
                f"{shown} has rank {shape[0]}, and {CONFIG_FILE} says "
                f"{', '.join(map(str, settings.ranks))}",
                path=path,
                hint="the two files are not of one adapter",
            )


def _on_hub(name: str) -> bool:
    """Whether a name may be USER/NAME."""
    parts = name.split("/")
    return len(parts) == 2 and all(map(_plain, parts))


def _plain(name: str) -> bool:
    """Whether a name is one of the Hub's without a user, as ``gpt2``, or a part of one."""
    return bool(name) and "/" not in name and "\\" not in name and not name.startswith((".", "~"))


def weights(*names: str | None) -> dict[str, str]:
    """What tells local folders of models and adapters from what lay there before, for signatures.

    A hash over names, sizes, beginnings and ends of their files of weights and configuration;
    nothing for names on the Hub. Reads two mebibytes a file at most.
    """
    folders = [Path(name) for name in names if name is not None and Path(name).is_dir()]
    digest = hashlib.sha256()
    for folder in folders:
        for path in sorted((*folder.glob("*.safetensors"), *folder.glob("*config.json"))):
            # What is no file, or cannot be read, is told by whoever loads it.
            if not is_file(path):
                continue
            try:
                with path.open("rb") as stream:
                    size = os.fstat(stream.fileno()).st_size
                    digest.update(f"{path.name} {size} ".encode("utf-8", "surrogateescape"))
                    digest.update(stream.read(_MEBIBYTE))
                    stream.seek(max(0, size - _MEBIBYTE))
                    digest.update(stream.read(_MEBIBYTE))
            except PermissionError as error:
                raise InputError(f"cannot be read ({error.strerror})", path=path) from None
    return {"weights": digest.hexdigest()[:12]} if folders else {}


def _packaged() -> Path:
    return Path(str(resources.files("llmner"))) / "models" / PACKAGED_ADAPTER


def _from_hub(name: str, report: Callable[[str], None] | None) -> Path:
    return fetch(name, (CONFIG_FILE, ADAPTER_FILE, RECIPE_FILE), report, what="an adapter")


def fetch(
    name: str, files: Sequence[str], report: Callable[[str], None] | None, *, what: str
) -> Path:
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
    except ImportError:
        raise MissingExtraError("hub", f"{what} from the Hub") from None
    if report is not None:
        report(f"Fetching {name} from the Hub")
    found = attempt(snapshot_download, name, allow_patterns=list(files))
    if isinstance(found, Mishap):
        # Its HTTP library's errors are not all its own.
        why = one_line((str(found.error).strip() or type(found.error).__name__).splitlines()[0])
        raise GenerationError(
            f"{name} is neither a folder nor to be had from the Hub: {why}"
        ) from found.error
    return Path(found)
