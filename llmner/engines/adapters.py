"""Adapters: their files, the model they belong to, and the recipe they were trained with.

An adapter answers only the kind of question that it was trained on, so its recipe is stored with
it. Each engine loads adapters in its own way.
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
    """The settings of a LoRA adapter that decide how PEFT uses its weights.

    They are checked here because PEFT accepts any value, and allocates memory for the named rank
    before it reads the weights.

    >>> sorted(Lora(r=8, rank_pattern={"q_proj": 16}).ranks)
    [8, 16]

    Attributes:
        peft_type: The kind of adapter. Kinds other than ``LORA`` have other settings.
        r: The rank.
        rank_pattern: Ranks of modules whose rank differs.
        target_parameters: Parameters that are adapted besides modules. Their factors have other
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
        """All ranks of the adapter."""
        return {self.r, *(self.rank_pattern or {}).values()}


@dataclass(frozen=True, slots=True)
class Adapter:
    """An adapter whose files are on this machine.

    Attributes:
        name: The name it was found by, which signatures show.
        folder: The folder of its files.
        model: The model it belongs to, or ``None`` if it does not say.
        own_recipe: The recipe it was trained with, or ``None`` if it has none.
    """

    name: str
    folder: Path
    model: str | None
    own_recipe: Recipe | None

    @property
    def recipe(self) -> Recipe:
        """The recipe that the adapter was trained with.

        Raises:
            InputError: It has none.
        """
        if self.own_recipe is None:
            raise InputError(
                f"the adapter has no {RECIPE_FILE}, which says what questions it was trained on",
                path=self.name,
                hint="name a recipe",
            )
        return self.own_recipe


def find_adapter(
    name: str, report: Callable[[str], None] | None = None, *, model: str | None = None
) -> Adapter:
    """Find an adapter by name: :data:`PACKAGED_ADAPTER`, a folder, or ``USER/NAME`` on the Hub.

    Only its configuration, weights and recipe are fetched from the Hub. The weights are not read
    here, but by :func:`check_adapter`.

    >>> adapter = find_adapter("gemma-3-270m-klue-ner")
    >>> adapter.model, "PS" in adapter.recipe.schema_.codes
    ('gemma-3-270m', True)

    Args:
        name: The adapter's name.
        report: Called with a sentence before anything that takes long, and about a recipe from the
            Hub.
        model: The base model, if it should not be the one that the adapter names.

    Raises:
        InputError: The name is neither a folder nor a name on the Hub, the folder has no adapter,
            the configuration is broken, or the base model is a path of another machine.
        RecipeError: The recipe cannot be read.
        GenerationError: The Hub does not have it, or does not answer.
        MissingExtraError: huggingface_hub is not installed.
    """
    folder = _packaged() if name == PACKAGED_ADAPTER else Path(name)
    try:
        local = folder.is_dir()
    except (OSError, ValueError) as error:
        raise InputError(
            f"is not a folder ({one_line(error, 80)})", path=one_line(name, 80)
        ) from None
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
            "'base_model_name_or_path' is not the name of a model",
            path=path,
            hint="expected USER/NAME or a folder",
        )
    if base and not local and model is None and not _on_hub(base) and not _plain(base):
        raise InputError(
            f"the base model is {one_line(base, 80)!r}, a path of the machine that it was trained "
            "on",
            path=name,
            hint="name the model with --model",
        )
    recipe_file = folder / RECIPE_FILE
    recipe = None
    if recipe_file.exists() or recipe_file.is_symlink():
        regular(recipe_file, "the recipe that the adapter was trained with")
        recipe = Recipe.load(recipe_file)
    if recipe is not None and not local and report is not None:
        report(
            f"recipe {recipe.name} (from {name}, sha256 {recipe.hash}) decides what is asked, "
            "unless another is named"
        )
    return Adapter(name, folder, EMBEDDED_MODEL if base == EMBEDDED_ON_HUB else base, recipe)


def check_adapter(adapter: Adapter) -> Lora:
    """Make sure that an adapter's files are complete and fit together.

    This is done before a model is loaded; whether the adapter fits the model shows only then. Reads
    the weights, a tensor at a time.

    >>> check_adapter(find_adapter("gemma-3-270m-klue-ner")).bias
    'none'

    Args:
        adapter: An adapter that :func:`find_adapter` found.

    Returns:
        Its settings.

    Raises:
        InputError: A file is missing or broken, or the weights are not finite or of another rank
            than the configuration names.
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
    """The settings in an adapter's configuration.

    >>> lora_settings(find_adapter("gemma-3-270m-klue-ner")).peft_type
    'LORA'

    Raises:
        InputError: The configuration is broken.
    """
    path = adapter.folder / CONFIG_FILE
    return _settings(path, read_object(path, _CONFIG))


def _settings(path: Path, config: Mapping[str, Any]) -> Lora:
    try:
        kind = config.get("peft_type", "LORA")
        return Lora.model_validate(config if kind == "LORA" else {"peft_type": kind})
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(str(part) for part in problem["loc"][:2])
        raise InputError(
            f"{one_line(key, 80)!r} cannot be {one_line(repr(problem['input']), 60)}",
            path=path,
            hint=one_line(problem["msg"]).lower(),
        ) from None


def _check_factors(path: Path, tensors: Mapping[str, Tensor], settings: Lora) -> None:
    """Make sure that factors come in pairs and have a rank that the configuration names."""
    firsts = [name for name in tensors if ".lora_A" in name or ".lora_embedding_A" in name]
    if not firsts and not settings.modules_to_save:
        raise InputError(
            "holds no LoRA factors", path=path, hint="expected tensors called ...lora_A.weight"
        )
    for name in firsts:
        shown = one_line(name, 120)
        second = tensors.get(name.replace("lora_A", "lora_B").replace("embedding_A", "embedding_B"))
        if second is None:
            raise InputError(
                f"{shown} has no second factor", path=path, hint="train the adapter again"
            )
        shape = tensors[name].shape
        if len(shape) < 2 or len(second.shape) != len(shape) or shape[0] != second.shape[1]:
            raise InputError(
                f"{shown} {list(shape)} and its second factor {list(second.shape)} do not fit "
                "together",
                path=path,
                hint="expected [rank, in] and [out, rank]",
            )
        # Factors of adapted parameters, such as experts, are stacked in one tensor.
        if shape[0] not in settings.ranks and not settings.target_parameters:
            raise InputError(
                f"{shown} has rank {shape[0]}, and {CONFIG_FILE} says "
                f"{', '.join(map(str, settings.ranks))}",
                path=path,
                hint="the two files are not of the same adapter",
            )


def _on_hub(name: str) -> bool:
    """Whether a name has the form USER/NAME."""
    parts = name.split("/")
    return len(parts) == 2 and all(map(_plain, parts))


def _plain(name: str) -> bool:
    """Whether a name can be one part of a name on the Hub, or a whole one such as ``gpt2``."""
    return bool(name) and "/" not in name and "\\" not in name and not name.startswith((".", "~"))


def weights(*names: str | None) -> dict[str, str]:
    """A hash of the files in local folders, for signatures: a folder's files may be replaced.

    It covers names, sizes, beginnings and ends of the files of weights and configuration. Reads at
    most two mebibytes of each file.

    >>> weights("USER/NAME", None)
    {}

    Args:
        *names: Names of models and adapters. Those that are not folders are left out.

    Returns:
        The hash as ``weights``, or nothing if no name is a folder.
    """
    folders = [Path(name) for name in names if name is not None and Path(name).is_dir()]
    digest = hashlib.sha256()
    for folder in folders:
        for path in sorted((*folder.glob("*.safetensors"), *folder.glob("*config.json"))):
            # Whoever loads the folder reports what is not a file.
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
    """Fetch some files of a repository on the Hub into a local folder.

    >>> fetch("USER/NAME", ["config.json"], print, what="a model")  # doctest: +SKIP
    Fetching USER/NAME from the Hub

    Args:
        name: ``USER/NAME``.
        files: Names of the files, or patterns for them.
        report: Called with a sentence before anything that takes long.
        what: What is fetched, for errors.

    Returns:
        The folder.

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
    folder = attempt(snapshot_download, name, allow_patterns=list(files))
    if isinstance(folder, Mishap):
        # Errors of its HTTP library may be of any type.
        error = folder.error
        reason = one_line((str(error).strip() or type(error).__name__).splitlines()[0])
        raise GenerationError(
            f"{name} is neither a folder nor available on the Hub: {reason}"
        ) from error
    return Path(folder)
