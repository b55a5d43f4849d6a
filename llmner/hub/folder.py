"""Reading a trained adapter's folder: base model, recipe, settings, record and evaluations.

The files may come from anyone, so everything is checked. Paths of the machine that the adapter was
trained on are shortened to their last part.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llmner._yaml import load_yaml
from llmner.engines.adapters import ADAPTER_FILE, CONFIG_FILE, RECIPE_FILE
from llmner.engines.embedded import EMBEDDED_MODEL, EMBEDDED_ON_HUB
from llmner.errors import InputError
from llmner.hub.licences import last_part
from llmner.recipes import Recipe
from llmner.reports import FIGURES
from llmner.scoring import signature_line

__all__ = [
    "ADAPTER_FILE",
    "CARD_FILE",
    "CONFIG_FILE",
    "CURVES_FILE",
    "EVALUATION_FILE",
    "RECIPE_FILE",
    "RECORD_FILE",
    "TRAINING_FILE",
    "AdapterFolder",
    "Base",
    "Scored",
    "evaluation_files",
    "is_regular",
    "on_hub",
    "read_folder",
    "without_file_names",
    "without_paths",
]

TRAINING_FILE = "training.yaml"
RECORD_FILE = "training.json"
CURVES_FILE = "curves.png"
CARD_FILE = "README.md"
EVALUATION_FILE = re.compile(r"evaluation-[\w.-]+\.json")
"""The names of evaluations in an adapter's folder."""

_QUOTED = {
    "micro.f1": "micro F1 (seqeval)",
    **{name: FIGURES[name][0] for name in ("strict.f1", "klue.entity_f1", "klue.char_f1")},
}
_ABSOLUTE = re.compile(r"(?:/|~|\\\\|[A-Za-z]:[\\/]|file://)")
_SNAPSHOT = re.compile(r"models--([\w.-]+?)--([\w.-]+)[\\/]snapshots[\\/]")
_KLUE = re.compile(r"(?<![a-z])klue(?![a-z])")


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
class Scored:
    """One evaluation of an adapter.

    Attributes:
        file: The name of its file, beside the adapter.
        content: The file's content, without sentences and paths.
        figures: (title, value, lower and upper bound of its 95 % interval or ``None``) by the
            figure's name; fractions, 0 to 1.
        corpus: The corpus's name.
        klue: ``v1`` or ``v1.1`` for a corpus of KLUE, else ``None``.
        split: ``validation`` or ``train`` if the corpus's name says so, else ``None``.
        revision: The hash of the scored texts and gold spans.
        sentences: The number of scored sentences.
        entities: The number of gold entities in them.
        ours: Whether an adapter answered; ``False`` for the base model alone, ``None`` if the file
            does not say.
        adapter: The adapter's name, if it is recorded.
        signature: The signature, on one line.
    """

    file: str
    content: dict[str, Any]
    figures: dict[str, tuple[str, float, tuple[float, float] | None]]
    corpus: str
    klue: str | None
    split: str | None
    revision: str
    sentences: int
    entities: int
    ours: bool | None
    adapter: str | None
    signature: str


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
        return bool(_KLUE.search(str(self.training.get("train", "")).lower()))


def is_regular(path: Path) -> bool:
    """Whether a path is a regular file, and not a link to one."""
    return path.is_file() and not path.is_symlink()


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
    config = _mapping(folder / CONFIG_FILE, json.loads)
    training = _optional(folder / TRAINING_FILE, load_yaml)
    record = _optional(folder / RECORD_FILE, json.loads)
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
        tuple(_evaluations(folder, evaluations)),
        tuple(remarks),
    )


def without_paths(value: Any) -> Any:
    """A value from JSON with every absolute path in it shortened to its last part.

    >>> without_paths({"model": "/home/me/models/gemma", "epochs": 3})
    {'model': 'gemma', 'epochs': 3}
    """
    if isinstance(value, dict):
        return {key: without_paths(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_paths(item) for item in value]
    if isinstance(value, str) and _ABSOLUTE.match(value):
        return last_part(value)
    return value


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


def _evaluations(folder: Path, others: Iterable[Path]) -> Iterable[Scored]:
    return [_scored(path, name) for name, path in evaluation_files(folder, others).items()]


def evaluation_files(folder: Path, others: Iterable[Path]) -> dict[str, Path]:
    """The evaluations in a folder and further ones, each under the name it is uploaded as.

    Args:
        folder: The adapter's folder.
        others: Further files.

    Raises:
        InputError: Two files would have the same name.
    """
    files: dict[str, Path] = {}
    inside = (
        path
        for path in folder.iterdir()
        if EVALUATION_FILE.fullmatch(path.name) and is_regular(path)
    )
    for path in [*sorted(inside), *others]:
        name = path.name
        if not EVALUATION_FILE.fullmatch(name):
            name = "evaluation-" + re.sub(r"[^\w.-]+", "-", path.stem) + ".json"
        first = files.setdefault(name, path)
        if first != path and first.resolve() != path.resolve():
            raise InputError(
                f"would be called {name} like {first}", path=path, hint="rename one of them"
            )
    return files


def without_file_names(config: Mapping[str, Any]) -> dict[str, Any]:
    """A tokenizer's or model's configuration without this machine's folders.

    Only fields whose names end in ``_path``, ``_file`` or ``_dir`` are changed.

    >>> without_file_names({"tokenizer_file": "/home/me/t.json", "bos_token": "/s"})
    {'tokenizer_file': 't.json', 'bos_token': '/s'}
    """
    return {
        key: without_paths(value) if key.endswith(("_path", "_file", "_dir")) else value
        for key, value in config.items()
    }


def _scored(path: Path, name: str) -> Scored:
    content = without_paths(_mapping(path, json.loads))
    # A run from evaluate --output contains every sentence. They must not be published.
    content.pop("rows", None)
    if "runs" in content:
        raise InputError(
            "contains several runs", path=path, hint="evaluate the adapter alone, with --json"
        )
    signature = content.get("signature")
    if not isinstance(signature, dict):
        raise InputError(
            "not an evaluation", path=path, hint="expected the output of llmner evaluate --json"
        )
    figures = {}
    for figure, title in _QUOTED.items():
        group, _, key = figure.partition(".")
        values = content.get(group)
        value = values.get(key) if isinstance(values, dict) else None
        if value is not None:
            figures[figure] = (
                title,
                _fraction(path, figure, value),
                _interval(path, figure, content),
            )
    if "micro.f1" not in figures:
        raise InputError(
            "has no micro F1", path=path, hint="expected the output of llmner evaluate --json"
        )
    corpus, scored = (signature.get(key) for key in ("corpus", "scored"))
    if not isinstance(corpus, dict) or not {"name", "sha256"} <= corpus.keys():
        raise InputError("does not name its corpus", path=path, hint="evaluate with --json again")
    corpus_name = str(corpus["name"])
    split = re.search(r"(?<![a-z])(dev|valid(?:ation)?|train)(?![a-z])", corpus_name.lower())
    revision = str((scored if isinstance(scored, dict) else corpus).get("sha256"))
    adapter = signature.get("adapter")
    return Scored(
        name,
        content,
        figures,
        corpus_name,
        None
        if not _KLUE.search(corpus_name.lower())
        else "v1.1"
        if corpus.get("nfkc") is True
        else "v1",
        None if split is None else "train" if split[1] == "train" else "validation",
        revision,
        _count(path, "sentences", content),
        _count(path, "gold_spans", content),
        None if "adapter" not in signature else adapter is not None,
        None if adapter is None else str(adapter),
        signature_line(signature),
    )


def _fraction(path: Path, name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise InputError(f"{name} must be a number from 0 to 1, got {value!r}", path=path)
    return float(value)


def _interval(path: Path, name: str, content: dict[str, Any]) -> tuple[float, float] | None:
    intervals = content.get("intervals")
    bounds = intervals.get(name) if isinstance(intervals, dict) else None
    if bounds is None:
        return None
    if not isinstance(bounds, list) or len(bounds) != 2:
        raise InputError(f"the interval of {name} must be two numbers, got {bounds!r}", path=path)
    return _fraction(path, name, bounds[0]), _fraction(path, name, bounds[1])


def _count(path: Path, name: str, content: dict[str, Any]) -> int:
    value = content.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InputError(f"{name} must be a count, got {value!r}", path=path)
    return value


def _optional(path: Path, parse: Callable[[str], Any]) -> dict[str, Any]:
    return _mapping(path, parse) if is_regular(path) else {}


def _mapping(path: Path, parse: Callable[[str], Any]) -> dict[str, Any]:
    """Read a JSON or YAML file that must contain one object.

    Raises:
        InputError: It cannot be read, or contains something else.
    """
    kind = "YAML" if parse is load_yaml else "JSON"
    try:
        value = parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError("no such file", path=path) from None
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", path=path) from None
    except InputError as error:
        raise InputError(error.problem, path=path, line=error.line) from None
    except (ValueError, RecursionError):
        raise InputError(f"not {kind}", path=path) from None
    if not isinstance(value, dict):
        raise InputError(f"expected an object, got a {type(value).__name__}", path=path)
    if not all(isinstance(key, str) for key in value):
        raise InputError("has keys that are not strings", path=path)
    return value
