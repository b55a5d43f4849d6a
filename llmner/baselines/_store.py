"""A baseline's folder: its model, and ``baseline.json``, which says what it is and how it came
about.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from llmner._mishaps import one_line
from llmner._versions import versions
from llmner.baselines._kinds import KINDS
from llmner.baselines._types import RECORD_FILE, Baseline, Trained
from llmner.engines._model_files import read_object, regular
from llmner.engines.adapters import fetch
from llmner.errors import InputError
from llmner.files import dump_json, kind_of, too_deep, whole_file

__all__ = [
    "RECORD_FILE",
    "clear",
    "find_baseline",
    "fingerprint",
    "load_baseline",
    "read_baseline_record",
    "save_baseline",
    "size_on_disk",
]

_WRITTEN = "what llmner train-baseline wrote"
# What a record is made of, where it has it.
_SHAPES = {
    **dict.fromkeys(("config", "files", "corpus", "versions", "tags"), dict),
    **dict.fromkeys(("labels", "epochs"), list),
}
_ALL_FILES = sorted({name for kind in KINDS.values() for name in kind.files})


def save_baseline(trained: Trained, folder: Path, **known: Any) -> None:
    """Write a trained baseline and its record into a folder.

    Args:
        trained: What training came to.
        folder: Where to; made if it is not there.
        **known: What else is known of the run: corpus, configuration, counts of tags.
    """
    folder.mkdir(parents=True, exist_ok=True)
    trained.baseline.save(folder)
    record = {
        "kind": trained.baseline.kind,
        "labels": trained.baseline.labels,
        **known,
        **trained.to_dict(),
        "files": {path.name: _digest(path) for path in _files(folder, trained.baseline.kind)},
        "versions": versions("python-crfsuite", "sklearn-crfsuite"),
    }
    with whole_file(folder / RECORD_FILE) as stream:
        stream.write(dump_json(record, indent=2) + b"\n")


def read_baseline_record(folder: Path) -> dict[str, Any]:
    """What ``baseline.json`` says.

    Raises:
        InputError: The folder holds no baseline, or a record that says something else than ours.
    """
    path = folder / RECORD_FILE
    if kind_of(path) == "missing" and not path.is_symlink():
        raise InputError(f"holds no {RECORD_FILE}", path=folder, hint=f"expected {_WRITTEN}")
    record = read_object(path, _WRITTEN)
    if record.get("kind") not in list(KINDS) or too_deep(record):
        raise InputError(
            "names no kind of baseline", path=path, hint=f"expected one of {', '.join(KINDS)}"
        )
    record = {key: value for key, value in record.items() if value is not None}
    for key, shape in _SHAPES.items():
        if not isinstance(record.get(key, shape()), shape):
            raise InputError(f"{key!r} is broken", path=path, hint="train it again")
    if not all(isinstance(label, str) for label in record.get("labels", ())):
        raise InputError("'labels' are not all strings", path=path, hint="train it again")
    if not all(isinstance(held, str) for held in record.get("files", {}).values()):
        raise InputError("'files' is broken", path=path, hint="train it again")
    return record


def find_baseline(name: str, report: Callable[[str], None] | None = None) -> Path:
    """The folder of a baseline: the one that is called so, else that of ``USER/NAME`` on the Hub.

    Args:
        name: Which.
        report: Told in a sentence what is being waited for.

    Raises:
        InputError: No such folder, nor a name on the Hub.
        GenerationError: The Hub does not have it, or does not answer.
        MissingExtraError: huggingface_hub is not installed.
    """
    folder = Path(name)
    if kind_of(folder) != "missing":
        return folder
    if folder.is_absolute() or name.count("/") != 1 or name.startswith((".", "~")):
        hint = "expected what llmner train-baseline wrote, or USER/NAME on the Hub"
        raise InputError("no such folder", path=name, hint=hint)
    return fetch(name, (RECORD_FILE, *_ALL_FILES), report, what="a baseline")


def clear(folder: Path) -> None:
    """Remove a baseline, of whatever kind, from its folder."""
    for name in (RECORD_FILE, *_ALL_FILES):
        (folder / name).unlink(missing_ok=True)


def _files(folder: Path, kind: str | None = None) -> list[Path]:
    """The model's files that are there."""
    kind = kind or str(read_baseline_record(folder)["kind"])
    return [path for name in KINDS[kind].files if (path := folder / name).is_file()]


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _check_files(folder: Path, record: Mapping[str, Any]) -> None:
    """Make sure that the model's files are those that were trained, as far as the record knows
    them.

    Raises:
        InputError: One is missing, or another.
    """
    for name, digest in record.get("files", {}).items():
        if name not in KINDS[record["kind"]].files:
            raise InputError(
                f"{one_line(name, 80)!r} is no file of this kind",
                path=folder / RECORD_FILE,
                hint="train it again",
            )
        path = folder / name
        regular(path, _WRITTEN)
        try:
            found = _digest(path)
        except OSError as error:
            raise InputError(f"cannot be read ({error.strerror})", path=path) from None
        if found != digest:
            raise InputError(
                "cannot be loaded: it is not the file that was trained (its SHA-256 differs)",
                path=path,
                hint="copy it again, or train it again",
            )


def load_baseline(
    folder: Path, *, device: str = "auto", trust_remote_code: bool = False
) -> Baseline:
    """The tagger that ``llmner train-baseline`` left in a folder.

    Args:
        folder: The folder.
        device: For encoders: ``"auto"`` (CUDA where there is one), ``"cpu"``, ``"cuda:0"``, ...
        trust_remote_code: For encoders: run Python code that comes with the model.

    Raises:
        InputError: It holds none, or a file is broken.
        MissingExtraError: The ``baselines`` extra is not installed.
    """
    record = read_baseline_record(folder)
    _check_files(folder, record)
    tagger = KINDS[record["kind"]].tagger
    return tagger.load(folder, record, device=device, trust_remote_code=trust_remote_code)


def size_on_disk(folder: Path) -> int:
    """Bytes of the files that tagging needs."""
    return sum(path.stat().st_size for path in _files(folder))


def fingerprint(folder: Path) -> str:
    """A hash of the files that decide what a baseline answers, 12 hexadecimal digits."""
    digest = hashlib.sha256()
    for path in _files(folder):
        digest.update(path.name.encode())
        with path.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:12]
