"""Every way to break a folder of files: generated from a good one, not listed by hand."""

from __future__ import annotations

import copy
import json
import os
import shutil
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from llmner.errors import LlmnerError

Break = Callable[[Path], object]

# One of each JSON type, and numbers that no machine has room for.
VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 10**9, 10**30, 1.5, float("nan"), "", "x\x1b[31m\n", [], [1], ["../../etc/passwd"], {}, {"a": {"b": []}},
)  # fmt: skip


def breaks(
    folder: Path, *, depth: int = 3, most: int = 6, one_in: int = 1
) -> Iterator[tuple[str, Break]]:
    """Names and doings of what breaks a copy of ``folder``, each of which may leave it working.

    Args:
        folder: A good one.
        depth: How deep into JSON files values are replaced.
        most: Entries of an object or list that are looked at.
        one_in: Of the values that stand in for one of a JSON file, one in so many is tried, another
            one each time.
    """
    files = sorted(path.name for path in folder.iterdir() if path.is_file())
    for name in files:
        size = (folder / name).stat().st_size
        for share in (0.0, 0.01, 0.5, 0.9, 1.0):
            cut = min(int(size * share), size - 1)
            yield (
                f"{name}-cut-{share}",
                lambda at, name=name, cut=cut: os.truncate(at / name, max(cut, 0)),
            )
        yield f"{name}-missing", lambda at, name=name: (at / name).unlink()
        yield f"{name}-directory", lambda at, name=name: _directory(at / name)
        yield f"{name}-loop", lambda at, name=name: _loop(at / name)
        yield f"{name}-nowhere", lambda at, name=name: _link(at / name, at / "nowhere")
        yield f"{name}-pipe", lambda at, name=name: _pipe(at / name)
        yield f"{name}-zeros", lambda at, name=name, size=size: (at / name).write_bytes(bytes(size))
        yield f"{name}-bytes", lambda at, name=name: (at / name).write_bytes(b"\xff\xfe\x00" * 99)
        yield f"{name}-deep", lambda at, name=name: (at / name).write_bytes(b'{"a":' * 10**5)
        yield f"{name}-more", lambda at, name=name: _append(at / name)
        for other in files:
            if other != name:
                yield (
                    f"{name}-is-{other}",
                    lambda at, name=name, other=other: _swap(at / name, at / other),
                )
        if name.endswith(".json"):
            whole = json.loads((folder / name).read_text("utf-8"))
            for at_all, place in enumerate(places(whole, depth, most)):
                for number, value in enumerate(VALUES):
                    if (at_all + number) % one_in:
                        continue
                    at_key = ".".join(map(str, place))
                    yield (
                        f"{name}-{at_key}-{number}",
                        lambda at, name=name, whole=whole, place=place, value=value: (
                            at / name
                        ).write_text(json.dumps(put(whole, place, value)), "utf-8"),
                    )
        if name.endswith(".safetensors"):
            for kind, header in _HEADERS.items():
                yield (
                    f"{name}-header-{kind}",
                    lambda at, name=name, header=header: header(at / name),
                )


def outcomes(
    good: Path,
    place: Path,
    work: Callable[[Path], Any],
    *,
    one_in: int = 1,
    skip: str | None = None,
) -> Iterator[tuple[str, Any]]:
    """What comes of each way to break a folder: a result, or one of llmner's own errors.

    Args:
        good: A good folder; copies of it are broken.
        place: Where the copies lie.
        work: What is done with one.
        one_in: As of :func:`breaks`.
        skip: The end of the names of breaks that are left out.
    """
    for name, spoil in breaks(good, one_in=one_in):
        if skip is not None and name.endswith(skip):
            continue
        broken = place / "broken"
        shutil.rmtree(broken, ignore_errors=True)
        shutil.copytree(good, broken)
        spoil(broken)
        try:
            result = work(broken)
        except LlmnerError as error:
            result = error
        yield name, result


def _directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _loop(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def _link(path: Path, target: Path) -> None:
    path.unlink()
    path.symlink_to(target)


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _append(path: Path) -> None:
    with path.open("ab") as stream:
        stream.write(b"\x00more")


def _swap(path: Path, other: Path) -> None:
    path.write_bytes(other.read_bytes())


def places(
    value: Any, depth: int = sys.maxsize, most: int | None = None, at: tuple[Any, ...] = ()
) -> Iterator[tuple[Any, ...]]:
    """The way to every value in JSON: keys and numbers; so deep, and so many of each but the
    outermost.
    """
    yield at
    if depth and isinstance(value, dict | list):
        items = list(value.items() if isinstance(value, dict) else enumerate(value))
        for key, held in items if not at else items[:most]:
            yield from places(held, depth - 1, most, (*at, key))


def put(whole: Any, at: tuple[Any, ...], value: Any) -> Any:
    """A copy of JSON with another value in a place."""
    if not at:
        return value
    changed = copy.deepcopy(whole)
    held = changed
    for key in at[:-1]:
        held = held[key]
    held[at[-1]] = value
    return changed


def _header(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    """Write a file of weights again with another header."""

    def rewrite(path: Path) -> None:
        raw = path.read_bytes()
        (length,) = struct.unpack("<Q", raw[:8])
        header = json.loads(raw[8 : 8 + length])
        changed = change(header)
        text = json.dumps(header if changed is None else changed).encode()
        path.write_bytes(struct.pack("<Q", len(text)) + text + raw[8 + length :])

    return rewrite


def _first(header: dict[str, Any]) -> dict[str, Any]:
    return next(held for name, held in sorted(header.items()) if name != "__metadata__")


def _length(size: int) -> Callable[[Path], None]:
    def rewrite(path: Path) -> None:
        path.write_bytes(struct.pack("<Q", size) + path.read_bytes()[8:])

    return rewrite


def _nan(path: Path) -> None:
    """The last weights of the file are no numbers, whatever their type."""
    raw = bytearray(path.read_bytes())
    raw[-4:] = b"\xff\xff\xff\x7f"
    path.write_bytes(bytes(raw))


def _renamed(header: dict[str, Any]) -> dict[str, Any]:
    return {
        (name if name == "__metadata__" else f"other.{name}"): held for name, held in header.items()
    }


def _lacking(header: dict[str, Any]) -> dict[str, Any]:
    return {name: held for name, held in header.items() if held is not _first(header)}


_HEADERS: dict[str, Callable[[Path], None]] = {
    "exabytes": _length(2**60),
    "all": _length(2**64 - 1),
    "none": _length(0),
    "empty": _header(lambda header: {}),
    "list": _header(lambda header: []),
    "deep": _header(lambda header: {"a": json.loads("[" * 500 + "]" * 500)}),
    "renamed": _header(_renamed),
    "lacking": _header(_lacking),
    "shape": _header(lambda header: _first(header).update(shape=[1, 2, 3])),
    "shape-huge": _header(lambda header: _first(header).update(shape=[2**62, 2**62])),
    "shape-negative": _header(lambda header: _first(header).update(shape=[-1, -1])),
    "shape-turned": _header(
        lambda header: _first(header).update(shape=_first(header)["shape"][::-1])
    ),
    "shape-flat": _header(
        lambda header: _first(header).update(shape=[_size(_first(header)["shape"])])
    ),
    "dtype": _header(lambda header: _first(header).update(dtype="I32")),
    "dtype-none": _header(lambda header: _first(header).update(dtype="X99")),
    "offsets": _header(lambda header: _first(header).update(data_offsets=[2**40, 2**41])),
    "nan": _nan,
}


def _size(shape: list[int]) -> int:
    size = 1
    for extent in shape:
        size *= extent
    return size
