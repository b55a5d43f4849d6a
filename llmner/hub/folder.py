"""What a trained adapter's folder says: base model, recipe, settings, record, and how it scored.

Everything is read as what others may have written. Nothing here is uploaded or worded; paths of the
machine it was trained on are cut down to their last part on the way in.
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
"""Names under which evaluations lie beside an adapter."""

_QUOTED = {
    "micro.f1": "micro F1 (seqeval)",
    **{name: FIGURES[name][0] for name in ("strict.f1", "klue.entity_f1", "klue.char_f1")},
}
_ABSOLUTE = re.compile(r"(?:/|~|\\\\|[A-Za-z]:[\\/]|file://)")
_SNAPSHOT = re.compile(r"models--([\w.-]+?)--([\w.-]+)[\\/]snapshots[\\/]")
_KLUE = re.compile(r"(?<![a-z])klue(?![a-z])")


@dataclass(frozen=True, slots=True)
class Base:
    """The model an adapter belongs to.

    Attributes:
        name: On the Hub (``google/gemma-3-270m``), or the last part of the folder it was loaded
            from.
        on_hub: Whether ``name`` is one on the Hub.
        embedded: Whether training started from llmner's embedded copy, which is quantised.
        also: Every other name the folder has for it; with paths.
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
        content: What the file says, without sentences and paths.
        figures: (title, value, lower and upper bound of its 95 % interval or ``None``) by the
            figure's name; fractions, 0 to 1.
        corpus: What the corpus was called.
        klue: ``v1`` or ``v1.1`` where the corpus was KLUE's, else ``None``.
        split: ``validation`` or ``train`` where the corpus's name says so.
        revision: Hash of the scored texts and gold spans.
        sentences: Sentences that were scored.
        entities: Gold entities in them.
        ours: Whether an adapter answered (``False``: the base model alone), or ``None``: not
            recorded.
        adapter: What the adapter was called, where that is recorded.
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
        told: In a sentence each, what was put right or looks odd.
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
        """Whether it was trained on KLUE, as far as the corpus's name says."""
        return bool(_KLUE.search(str(self.training.get("train", "")).lower()))


def is_regular(path: Path) -> bool:
    """Whether there is a plain file, and no link to one."""
    return path.is_file() and not path.is_symlink()


def read_folder(
    folder: Path, *, recipe: str | None = None, evaluations: Sequence[Path] = ()
) -> AdapterFolder:
    """Read a trained adapter's folder; only ``adapter_config.json`` must be there.

    Args:
        folder: The folder.
        recipe: A built-in recipe's name or a YAML path, for a folder without ``recipe.yaml``.
        evaluations: Outputs of ``llmner evaluate --json`` besides ``evaluation-*.json`` in the
            folder.

    Raises:
        InputError: No adapter, a file that cannot be read, or figures that are none.
        RecipeError: A broken recipe.
    """
    if not folder.is_dir():
        raise InputError(
            "no such folder", path=folder, hint="give the output folder of llmner train"
        )
    if not is_regular(folder / CONFIG_FILE):
        raise InputError(f"holds no adapter: {CONFIG_FILE} is missing", path=folder)
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
    """The same value, with every string in it that is an absolute path cut down to its last
    part.
    """
    if isinstance(value, dict):
        return {key: without_paths(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_paths(item) for item in value]
    if isinstance(value, str) and _ABSOLUTE.match(value):
        return last_part(value)
    return value


def _base(folder: Path, config: dict[str, Any], *records: dict[str, Any]) -> Base:
    """The base model by the name others know it by."""
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
    # What PEFT wrote comes first; a run's own configuration helps where that is a folder.
    public = next((hub_name for name in names if (hub_name := on_hub(name)) is not None), None)
    if embedded and public is None:
        public = EMBEDDED_ON_HUB
    return Base(public or last_part(names[0]), public is not None, embedded, tuple(names))


def on_hub(name: str) -> str | None:
    """The name on the Hub, of a name or of a snapshot in the Hub's cache; ``None`` for other
    folders.
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
            f"its {RECIPE_FILE} is another recipe than {name}",
            path=folder,
            hint="leave --recipe out: the folder's own is what the adapter was trained with",
        )
    return recipe


def _evaluations(folder: Path, others: Iterable[Path]) -> Iterable[Scored]:
    return [_scored(path, name) for name, path in evaluation_files(folder, others).items()]


def evaluation_files(folder: Path, others: Iterable[Path]) -> dict[str, Path]:
    """The evaluations in a folder, then those given, each once and under a name of its own.

    Raises:
        InputError: Two would be called alike.
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
                f"would be called {name}, as {first} is", path=path, hint="rename one of them"
            )
    return files


def without_file_names(config: Mapping[str, Any]) -> dict[str, Any]:
    """A tokenizer's or model's configuration without folders of this machine (other paths stay)."""
    return {
        key: without_paths(value) if key.endswith(("_path", "_file", "_dir")) else value
        for key, value in config.items()
    }


def _scored(path: Path, name: str) -> Scored:
    content = without_paths(_mapping(path, json.loads))
    # A run that evaluate --output kept has every sentence; they are not ours to publish.
    content.pop("rows", None)
    if "runs" in content:
        raise InputError(
            "holds several runs", path=path, hint="evaluate the adapter alone, with --json"
        )
    signature = content.get("signature")
    if not isinstance(signature, dict):
        raise InputError(
            "holds no evaluation", path=path, hint="expected what llmner evaluate --json prints"
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
            "has no micro F1", path=path, hint="expected what llmner evaluate --json prints"
        )
    corpus, scored = (signature.get(key) for key in ("corpus", "scored"))
    if not isinstance(corpus, dict) or not {"name", "sha256"} <= corpus.keys():
        raise InputError(
            "does not say of which corpus it is", path=path, hint="evaluate with --json again"
        )
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
        raise InputError(f"{name} is {value!r}, no number from 0 to 1", path=path)
    return float(value)


def _interval(path: Path, name: str, content: dict[str, Any]) -> tuple[float, float] | None:
    intervals = content.get("intervals")
    bounds = intervals.get(name) if isinstance(intervals, dict) else None
    if bounds is None:
        return None
    if not isinstance(bounds, list) or len(bounds) != 2:
        raise InputError(f"the interval of {name} is {bounds!r}, no pair of numbers", path=path)
    return _fraction(path, name, bounds[0]), _fraction(path, name, bounds[1])


def _count(path: Path, name: str, content: dict[str, Any]) -> int:
    value = content.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InputError(f"{name} is {value!r}, no count", path=path)
    return value


def _optional(path: Path, parse: Callable[[str], Any]) -> dict[str, Any]:
    return _mapping(path, parse) if is_regular(path) else {}


def _mapping(path: Path, parse: Callable[[str], Any]) -> dict[str, Any]:
    """A JSON or YAML file that holds one object.

    Raises:
        InputError: It cannot be read, or holds something else.
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
        raise InputError(f"a {type(value).__name__} where an object should be", path=path)
    if not all(isinstance(key, str) for key in value):
        raise InputError("has keys that are no text", path=path)
    return value
