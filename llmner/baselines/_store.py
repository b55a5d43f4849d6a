"""The folder of a baseline: the files of its model, and a record of its training."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from llmner._mishaps import one_line
from llmner._versions import versions
from llmner.baselines._fine_tuning import LOGS
from llmner.baselines._kinds import KINDS
from llmner.baselines._tag_names import tag_names
from llmner.baselines._types import RECORD_FILE, Baseline, Trained
from llmner.engines._model_files import read_object, regular
from llmner.engines.adapters import fetch
from llmner.errors import InputError
from llmner.files import dump_json, kind_of, too_deep, whole_file
from llmner.tagging import labels_of

__all__ = [
    "RECORD_FILE",
    "clear",
    "find_baseline",
    "fingerprint",
    "load_baseline",
    "read_baseline_record",
    "save_baseline",
    "save_exported",
    "size_on_disk",
]

_EXPECTED = "what llmner train-baseline wrote"
# The types of a record's fields, if it has them.
_SHAPES = {
    **dict.fromkeys(("config", "files", "corpus", "versions", "tags"), dict),
    **dict.fromkeys(("labels", "epochs"), list),
}
_CONFIG = "config.json"
_WEIGHTS = "model*.safetensors"
# What classifiers of transformers have besides the files of our own encoders.
_FOREIGN_FILES = (
    _WEIGHTS,
    "model.safetensors.index.json",
    "vocab.json",
    "merges.txt",
    "added_tokens.json",
    *("sentencepiece.bpe.model", "spiece.model", "spm.model", "tokenizer.model"),
)
# transformers reads tensors from these, and nothing that could run.
_PICKLED = ("pytorch_model*.bin", "pytorch_model.bin.index.json")
_ALL_FILES = sorted({name for kind in KINDS.values() for name in kind.files})


def save_baseline(trained: Trained, folder: Path, **facts: Any) -> None:
    """Write a trained baseline and its record into a folder.

    Args:
        trained: The result of the training.
        folder: The folder; made if it does not exist.
        **facts: More fields of the record: corpus, configuration, counts of tags.
    """
    folder.mkdir(parents=True, exist_ok=True)
    trained.baseline.save(folder)
    record = {
        "kind": trained.baseline.kind,
        "labels": trained.baseline.labels,
        **facts,
        **trained.to_dict(),
        "files": {path.name: _digest(path) for path in _files(folder, trained.baseline.kind)},
        "versions": versions("python-crfsuite", "sklearn-crfsuite"),
    }
    with whole_file(folder / RECORD_FILE) as stream:
        stream.write(dump_json(record, indent=2) + b"\n")


def save_exported(folder: Path, record: Mapping[str, Any], **facts: Any) -> None:
    """Write the record of an exported baseline, whose files are in the folder already.

    Args:
        folder: The folder.
        record: The record of the baseline that was exported.
        **facts: More fields of the record.
    """
    kept = {key: value for key, value in record.items() if key not in ("foreign", "files")}
    files = {path.name: _digest(path) for path in _files(folder, str(record["kind"]))}
    with whole_file(folder / RECORD_FILE) as stream:
        stream.write(dump_json({**kept, **facts, "files": files}, indent=2) + b"\n")


def read_baseline_record(folder: Path) -> dict[str, Any]:
    """Read ``baseline.json``, or what stands for it in a folder that ``save_pretrained`` wrote.

    Raises:
        InputError: The folder contains no baseline, or the record is malformed.
    """
    path = folder / RECORD_FILE
    if kind_of(path) == "missing" and not path.is_symlink():
        if kind_of(folder / _CONFIG) == "missing":
            raise InputError(
                f"holds no {RECORD_FILE}",
                path=folder,
                hint=f"expected {_EXPECTED}, or a classifier of transformers",
            )
        return _foreign_record(folder)
    record = read_object(path, _EXPECTED)
    # "kind" may be of any type, so it is looked up in a list: hashing it could fail.
    if record.get("kind") not in list(KINDS) or too_deep(record):
        raise InputError(
            "'kind' is not a kind of baseline",
            path=path,
            hint=f"expected one of {', '.join(KINDS)}",
        )
    record = {key: value for key, value in record.items() if value is not None}
    for key, shape in _SHAPES.items():
        if not isinstance(record.get(key, shape()), shape):
            raise InputError(f"{key!r} is malformed", path=path, hint="train it again")
    if not all(isinstance(label, str) for label in record.get("labels", ())):
        raise InputError("'labels' are not all strings", path=path, hint="train it again")
    if not all(isinstance(digest, str) for digest in record.get("files", {}).values()):
        raise InputError("'files' is malformed", path=path, hint="train it again")
    return record


def _foreign_record(folder: Path) -> dict[str, Any]:
    """The record of a classifier of tokens or texts that llmner did not train.

    Raises:
        InputError: The model is something else, or its classes have no names.
    """
    path = folder / _CONFIG
    config = read_object(path, "a model's configuration")
    architectures, names = config.get("architectures"), config.get("id2label")
    kinds = list(map(str, architectures)) if isinstance(architectures, list) else []
    about_texts = any("SequenceClassification" in kind for kind in kinds)
    if kinds and not about_texts and not any("TokenClassification" in kind for kind in kinds):
        raise InputError(
            f"is a {one_line(kinds[0], 80)}, which classifies neither tokens nor texts",
            path=folder,
            hint="train-baseline encoder --model makes a tagger of it",
        )
    expected = '{"0": "negative", ...}' if about_texts else '{"0": "O", "1": "B-PER", ...}'
    if not isinstance(names, dict) or not names:
        raise InputError(
            "does not name the classes of its model",
            path=path,
            hint=f'expected them as {{"id2label": {expected}}}',
        )
    given = [one_line(name, 80) for name in names.values()]
    if about_texts:
        if len(given) < 2 or config.get("problem_type") == "regression":
            raise InputError(
                "gives a number, and no labels", path=folder, hint="expected a classifier"
            )
        return {"kind": "encoder-classifier", "labels": given, "foreign": True}
    try:
        tags, _ = tag_names(given)
    except InputError as error:
        raise error.located(path=path) from None
    return {"kind": "encoder", "labels": list(labels_of(tags)), "foreign": True}


def find_baseline(name: str, report: Callable[[str], None] | None = None) -> Path:
    """Find the folder of a baseline, and download it from the Hub if necessary.

    A baseline is what :func:`train_baseline` made, or any classifier of tokens or texts of
    transformers.

    Args:
        name: A folder, or else ``USER/NAME`` on the Hub.
        report: Called with a sentence about what is being waited for.

    Returns:
        The folder; for a baseline on the Hub, its folder in the cache.

    Raises:
        InputError: There is no such folder, and the name is not one on the Hub.
        GenerationError: The Hub does not have it, or does not answer.
        MissingExtraError: huggingface_hub is not installed.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     find_baseline(folder) == Path(folder)
    True
    """
    folder = Path(name)
    if kind_of(folder) != "missing":
        return folder
    if folder.is_absolute() or name.count("/") != 1 or name.startswith((".", "~")):
        hint = "expected what llmner train-baseline wrote, or USER/NAME on the Hub"
        raise InputError("no such folder", path=name, hint=hint)
    found = fetch(name, (RECORD_FILE, *_ALL_FILES, *_FOREIGN_FILES), report, what="a baseline")
    if not any(found.glob(_WEIGHTS)) and kind_of(found / RECORD_FILE) == "missing":
        # A second copy of the weights would be fetched for nothing.
        found = fetch(name, _PICKLED, None, what="a baseline")
    return found


def clear(folder: Path) -> None:
    """Remove a baseline of any kind from its folder, and the logs of its training."""
    for name in (RECORD_FILE, *_ALL_FILES):
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / LOGS, ignore_errors=True)


def _files(folder: Path, kind: str | None = None) -> list[Path]:
    """The model's files that exist."""
    record = {"kind": kind} if kind else read_baseline_record(folder)
    if record.get("foreign"):
        patterns = (*KINDS[record["kind"]].files, *_FOREIGN_FILES, *_PICKLED)
        return sorted({path for each in patterns for path in folder.glob(each) if path.is_file()})
    return [path for name in KINDS[record["kind"]].files if (path := folder / name).is_file()]


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _check_files(folder: Path, record: Mapping[str, Any]) -> None:
    """Check that the model's files are the trained ones, as far as the record has their hashes.

    Raises:
        InputError: A file is missing or differs.
    """
    for name, digest in record.get("files", {}).items():
        if name not in KINDS[record["kind"]].files:
            raise InputError(
                f"{one_line(name, 80)!r} is not a file of this kind of baseline",
                path=folder / RECORD_FILE,
                hint="train it again",
            )
        path = folder / name
        regular(path, _EXPECTED)
        try:
            actual = _digest(path)
        except OSError as error:
            raise InputError(f"cannot be read ({error.strerror})", path=path) from None
        if actual != digest:
            raise InputError(
                "cannot be loaded: it is not the file that was trained (its SHA-256 differs)",
                path=path,
                hint="copy it again, or train it again",
            )


def load_baseline(
    folder: Path, *, device: str = "auto", trust_remote_code: bool = False
) -> Baseline:
    """Load a trained tagger from its folder.

    Args:
        folder: The folder.
        device: For encoders: ``"auto"`` (CUDA if available), ``"cpu"``, ``"cuda:0"``, ...
        trust_remote_code: For encoders: run Python code that comes with the model.

    Raises:
        InputError: The folder contains no baseline, or a file is broken.
        MissingExtraError: The ``baselines`` extra is not installed.

    >>> tagger = load_baseline(Path("build/crf"))  # doctest: +SKIP
    >>> tagger.tag(["Anna sings"])  # doctest: +SKIP
    [(Span(start=0, end=4, label='PER', score=0.97),)]
    """
    record = read_baseline_record(folder)
    _check_files(folder, record)
    tagger = KINDS[record["kind"]].tagger
    return tagger.load(folder, record, device=device, trust_remote_code=trust_remote_code)


def size_on_disk(folder: Path) -> int:
    """The bytes of the model's files."""
    return sum(path.stat().st_size for path in _files(folder))


def fingerprint(folder: Path) -> str:
    """A hash of the model's files, 12 hexadecimal digits."""
    digest = hashlib.sha256()
    for path in _files(folder):
        digest.update(path.name.encode())
        with path.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:12]
