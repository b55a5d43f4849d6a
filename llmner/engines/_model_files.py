"""Check the files of models and adapters before anything loads them; errors name the file.

Nothing is executed or unpickled: JSON is parsed, and of weights (safetensors) only the header is
read. If a library fails to load a folder, :func:`broken_file` finds out which file is broken.
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

# Most bytes of a JSON file; those of the largest tokenizers have a quarter of it.
_LONGEST_JSON = 128 << 20
_NO_FILE = {"missing": "is missing", "folder": "is a directory", "special": "is no regular file"}
_INDEX = "model.safetensors.index.json"
_WEIGHTS = "model.safetensors"
_FLOATS = ("F16", "BF16", "F32", "F64")
# Names of the number of layers in configurations.
_LAYERS = ("num_hidden_layers", "num_layers", "n_layer", "n_layers")


@dataclass(frozen=True, slots=True)
class Tensor:
    """The type and shape of one tensor in a file of weights.

    Attributes:
        dtype: As in safetensors: ``F32``, ``BF16``, ...
        shape: Its size in each dimension.
    """

    dtype: str
    shape: tuple[int, ...]


def regular(path: Path, expected: str) -> int:
    """The size of a regular file, in bytes. Reading a pipe could wait for ever.

    Args:
        path: The file.
        expected: What it should be, for errors.

    Raises:
        InputError: The path is missing, a directory, a device, a pipe, or a link to itself.
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
    """Read a JSON object from a file.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "config.json"
    ...     _ = path.write_text('{"model_type": "llama"}')
    ...     read_object(path, "a model's configuration")
    {'model_type': 'llama'}

    Args:
        path: The file.
        expected: What it should be, for errors.

    Raises:
        InputError: The file holds no JSON object, or cannot be read.
    """
    hint = f"expected {expected}"
    if regular(path, expected) > _LONGEST_JSON:
        raise InputError(f"is larger than {_LONGEST_JSON >> 20} MiB", path=path, hint=hint)
    value = read_json(path, hint=hint)
    if not isinstance(value, dict):
        raise InputError(
            f"holds a {type(value).__name__} instead of an object", path=path, hint=hint
        )
    return value


def read_tensors(path: Path, expected: str = "weights as safetensors") -> dict[str, Tensor]:
    """Names, types and shapes of the tensors in a file. None of them is loaded.

    Args:
        path: The file.
        expected: What it should be, for errors.

    Raises:
        InputError: The file is missing, cut short, or not safetensors.
        MissingExtraError: safetensors is not installed.
    """
    regular(path, expected)
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError:
        raise MissingExtraError("local", "reading weights") from None
    tensors: dict[str, Tensor] = {}
    try:
        with safe_open(path, framework="numpy") as stream:
            for name in stream.keys():  # noqa: SIM118 - it is no mapping
                tensor = stream.get_slice(name)
                tensors[name] = Tensor(str(tensor.get_dtype()), tuple(tensor.get_shape()))
    except (SafetensorError, OSError) as error:
        problem = f"is not a safetensors file, or is cut short ({one_line(error, 120)})"
        raise InputError(problem, path=path, hint=f"expected {expected}") from None
    return tensors


def check_finite(path: Path) -> None:
    """Make sure that all weights in a file are finite. Reads all of it, a tensor at a time.

    Args:
        path: A file that :func:`read_tensors` has read.

    Raises:
        InputError: A tensor is not of a floating-point type, or has NaN or infinite numbers.
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
                f"{one_line(name, 120)} has the type {tensor.dtype}",
                path=path,
                hint=f"expected {', '.join(_FLOATS)}",
            )
    with safe_open(path, framework="pt") as stream:
        for name in stream.keys():  # noqa: SIM118 - it is no mapping
            if not bool(isfinite(stream.get_tensor(name)).all()):
                raise InputError(f"{one_line(name, 120)} holds NaN or infinite weights", path=path)


def check_model_folder(folder: Path) -> None:
    """Make sure that a local model's configuration and weights can be read.

    Args:
        folder: The model's folder. A name that is not a folder belongs to the Hub and is skipped.

    Raises:
        InputError: A file is missing, broken, or should not be there.
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
        # Weights in another format: whoever loads them says what is wrong.
        return
    tensors = sum(len(read_tensors(shard)) for shard in shards)
    text = config.get("text_config")
    for part in (config, text if isinstance(text, dict) else {}):
        for key in _LAYERS:
            layers = part.get(key, 1)
            # Layers without weights would be initialised at random, one after another.
            if isinstance(layers, int) and not 1 <= layers <= tensors:
                raise InputError(
                    f"names {str(layers)[:20]} layers, but the weights have only {tensors} tensors",
                    path=folder / "config.json",
                )


def _shards(index: Path) -> list[Path]:
    """The files that an index names. They must be in the same folder."""
    weight_map = read_object(index, "an index of safetensors").get("weight_map")
    if not isinstance(weight_map, dict) or not _are_files(weight_map):
        raise InputError("'weight_map' names no files", path=index, hint="expected {TENSOR: FILE}")
    names = list(dict.fromkeys(weight_map.values()))
    for name in names:
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise InputError(
                f"names {one_line(name, 80)!r}, which is not a file in the same folder",
                path=index,
                hint="expected the name of a safetensors file",
            )
    return [index.with_name(name) for name in names]


def _are_files(weight_map: Mapping[str, Any]) -> bool:
    return bool(weight_map) and all(isinstance(name, str) for name in weight_map.values())


def broken_file(folder: Path) -> InputError | None:
    """The error of a folder's first broken file, after loading the folder failed.

    Args:
        folder: A folder with JSON and safetensors files.

    Returns:
        What is wrong with the file, or ``None`` if every file can be read.
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
