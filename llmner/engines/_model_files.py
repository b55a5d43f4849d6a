"""Files of models and adapters, looked at before anything loads them; errors name the file.

Nothing here is run or unpickled: JSON is parsed, and of weights (safetensors) the header is read.
What a library then makes of a folder is its own; :func:`broken_file` finds out which file it
stumbled over.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmner._mishaps import one_line
from llmner.errors import InputError, MissingExtraError
from llmner.files import kind_of, read_json

__all__ = [
    "Tensor",
    "broken_file",
    "check_finite",
    "check_model_folder",
    "read_object",
    "read_tensors",
    "regular",
]

# Bytes of a JSON file; the largest tokenizers are a quarter of it.
_LONGEST_JSON = 128 << 20
_NO_FILE = {"missing": "is missing", "folder": "is a directory", "special": "is no regular file"}
_INDEX = "model.safetensors.index.json"
_WEIGHTS = "model.safetensors"
_FLOATS = ("F16", "BF16", "F32", "F64")
# What configurations call the number of layers.
_LAYERS = ("num_hidden_layers", "num_layers", "n_layer", "n_layers")


@dataclass(frozen=True, slots=True)
class Tensor:
    """What a file of weights says of one tensor.

    Attributes:
        dtype: As safetensors calls it: ``F32``, ``BF16``, ...
        shape: Its extents.
    """

    dtype: str
    shape: tuple[int, ...]


def regular(path: Path, expected: str) -> int:
    """The size of a regular file, in bytes. A pipe would keep its reader waiting for ever.

    Args:
        path: The file.
        expected: What it should have been, for errors.

    Raises:
        InputError: It is missing, a directory, a device or a pipe, or links that lead in a circle.
    """
    kind = kind_of(path)
    if kind != "file":
        raise InputError(_NO_FILE[kind], path=path, hint=f"expected {expected}")
    try:
        return path.stat().st_size
    except OSError as error:
        raise InputError(
            f"cannot be read ({error.strerror})", path=path, hint=f"expected {expected}"
        ) from None


def read_object(path: Path, expected: str) -> dict[str, Any]:
    """A JSON file that holds an object.

    Args:
        path: The file.
        expected: What it should have been, for errors.

    Raises:
        InputError: It holds none, or cannot be read.
    """
    hint = f"expected {expected}"
    if regular(path, expected) > _LONGEST_JSON:
        raise InputError(f"holds more than {_LONGEST_JSON >> 20} MiB", path=path, hint=hint)
    held = read_json(path, hint=hint)
    if not isinstance(held, dict):
        raise InputError(
            f"holds a {type(held).__name__} instead of an object", path=path, hint=hint
        )
    return held


def read_tensors(path: Path, expected: str = "weights as safetensors") -> dict[str, Tensor]:
    """Names, types and shapes of the tensors in a file; none of them is loaded.

    Args:
        path: The file.
        expected: What it should have been, for errors.

    Raises:
        InputError: It is missing, cut short, or no such file.
        MissingExtraError: safetensors is not installed.
    """
    regular(path, expected)
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError:
        raise MissingExtraError("local", "reading weights") from None
    found: dict[str, Tensor] = {}
    try:
        with safe_open(path, framework="numpy") as stream:
            for name in stream.keys():  # noqa: SIM118 - it is no mapping
                held = stream.get_slice(name)
                found[name] = Tensor(str(held.get_dtype()), tuple(held.get_shape()))
    except (SafetensorError, OSError) as error:
        problem = f"holds no safetensors, or is cut short ({one_line(error, 120)})"
        raise InputError(problem, path=path, hint=f"expected {expected}") from None
    return found


def check_finite(path: Path) -> None:
    """Make sure that all weights in a file are numbers. Reads it whole, a tensor at a time.

    Args:
        path: A file that :func:`read_tensors` has read.

    Raises:
        InputError: A tensor holds no floating-point numbers, or one that is NaN or infinite.
        MissingExtraError: torch is not installed.
    """
    try:
        from safetensors import safe_open
        from torch import isfinite
    except ImportError:
        raise MissingExtraError("local", "reading weights") from None
    for name, tensor in read_tensors(path).items():
        if tensor.dtype not in _FLOATS:
            raise InputError(
                f"{one_line(name, 120)} is of type {tensor.dtype}",
                path=path,
                hint=f"expected {', '.join(_FLOATS)}",
            )
    with safe_open(path, framework="pt") as stream:
        for name in stream.keys():  # noqa: SIM118 - it is no mapping
            if not bool(isfinite(stream.get_tensor(name)).all()):
                raise InputError(f"{one_line(name, 120)} holds NaN or infinite weights", path=path)


def check_model_folder(folder: Path) -> None:
    """Make sure that a local model's configuration and weights can be read, before a library tries
    to.

    Args:
        folder: It; a name that is no folder is the Hub's, and is not looked at.

    Raises:
        InputError: A file is missing, broken or none that is wanted there.
    """
    if not folder.is_dir():
        return
    config = read_object(folder / "config.json", "a model's configuration")
    index = folder / _INDEX
    if index.exists() or index.is_symlink():
        shards = _shards(index)
    elif (folder / _WEIGHTS).exists() or (folder / _WEIGHTS).is_symlink():
        shards = [folder / _WEIGHTS]
    else:
        # Weights in another format: their reader says what is wrong.
        return
    held = sum(len(read_tensors(shard)) for shard in shards)
    text = config.get("text_config")
    for part in (config, text if isinstance(text, dict) else {}):
        for key in _LAYERS:
            layers = part.get(key, 1)
            # Layers without weights would be made up, one after another.
            if isinstance(layers, int) and not 1 <= layers <= held:
                raise InputError(
                    f"says that there are {str(layers)[:20]} layers, and the weights are {held} "
                    f"tensors",
                    path=folder / "config.json",
                )


def _shards(index: Path) -> list[Path]:
    """The files that an index names: beside it, and nowhere else."""
    named: Mapping[str, Any] | None = read_object(index, "an index of safetensors").get(
        "weight_map"
    )
    names = (
        list(dict.fromkeys(named.values())) if isinstance(named, dict) and _all_names(named) else []
    )
    if not names:
        raise InputError("'weight_map' names no files", path=index, hint="expected {TENSOR: FILE}")
    for name in names:
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise InputError(
                f"names {one_line(name, 80)!r}, which is no file beside it",
                path=index,
                hint="expected a name",
            )
    return [index.with_name(name) for name in names]


def _all_names(named: Mapping[str, Any]) -> bool:
    return all(isinstance(name, str) for name in named.values())


def broken_file(folder: Path) -> InputError | None:
    """The first file of a folder that is no whole JSON or safetensors, after loading failed;
    ``None`` if none.

    Args:
        folder: It.
    """
    try:
        files = sorted(
            path for path in folder.iterdir() if path.suffix in (".json", ".safetensors")
        )
    except OSError:
        return None
    for path in files:
        try:
            if path.suffix == ".json":
                read_object(path, "a JSON object")
            else:
                read_tensors(path)
        except InputError as error:
            return error
    return None
