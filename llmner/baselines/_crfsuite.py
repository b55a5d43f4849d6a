"""A file of CRFsuite's, looked at before CRFsuite opens it: its C code goes wherever the file's
offsets say.

The layout is that of ``crf1d_model.c`` and ``cqdb.c`` (CRFsuite 0.12): a header, a list of
features, two hash tables from strings to numbers (tags, attributes), and for each tag and attribute
the numbers of its features.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from llmner.errors import InputError

__all__ = ["check_crfsuite"]

# Magic, size, type, version, numbers of features, labels and attributes, five offsets.
_HEADER = struct.Struct("<4sI4sIIIIIIIII")
_CHUNK = struct.Struct("<4sII")
_TABLE = struct.Struct("<4sIIIII")
_BYTE_ORDER = 0x62445371
_FEATURE = np.dtype([("type", "<u4"), ("source", "<u4"), ("target", "<u4"), ("weight", "<f8")])
_BUCKETS = 256
_Numbers = NDArray[np.int64]


class _BrokenError(Exception):
    """The file says something that it does not hold."""


def check_crfsuite(path: Path) -> None:
    """Make sure that a file is a whole model: all that CRFsuite will follow leads to where it
    should.

    Linear in the size of the file.

    Args:
        path: A regular file.

    Raises:
        InputError: It is not.
    """
    try:
        _check(np.fromfile(path, np.uint8))
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", path=path) from None
    except _BrokenError as error:
        raise InputError(
            f"is no model of CRFsuite, or cut short ({error})", path=path, hint="train it again"
        ) from None


def _check(raw: NDArray[np.uint8]) -> None:
    if len(raw) < _HEADER.size:
        raise _BrokenError("no header")
    magic, length, kind, _, _, labels, attributes, *offsets = _HEADER.unpack(
        raw[: _HEADER.size].tobytes()
    )
    if magic != b"lCRF" or kind != b"FOMC" or length != len(raw):
        raise _BrokenError("another header")
    at_features, at_labels, at_attributes, at_label_refs, at_attribute_refs = offsets
    features = _features(raw, at_features, labels, attributes)
    _strings(raw, at_labels, labels)
    _strings(raw, at_attributes, attributes)
    _references(raw, at_label_refs, b"LFRF", labels, features)
    _references(raw, at_attribute_refs, b"AFRF", attributes, features)


def _chunk(raw: NDArray[np.uint8], at: int, magic: bytes) -> int:
    """How many entries a chunk has."""
    if at < _HEADER.size or at + _CHUNK.size > len(raw):
        raise _BrokenError("a chunk that is not there")
    found, _, count = _CHUNK.unpack(raw[at : at + _CHUNK.size].tobytes())
    if found != magic:
        raise _BrokenError("another chunk")
    return int(count)


def _features(raw: NDArray[np.uint8], at: int, labels: int, attributes: int) -> int:
    """How many features there are, each between tags and attributes that there are."""
    count = _chunk(raw, at, b"FEAT")
    at += _CHUNK.size
    if count * _FEATURE.itemsize > len(raw) - at:
        raise _BrokenError("more features than bytes")
    held = np.frombuffer(raw.tobytes(), _FEATURE, count, at)
    sources = np.where(held["type"] == 0, attributes, labels)
    right = (held["type"] <= 1) & (held["source"] < sources) & (held["target"] < labels)
    if not bool((right & np.isfinite(held["weight"])).all()):
        raise _BrokenError("a feature of what is not there")
    return count


def _numbers(raw: NDArray[np.uint8], places: _Numbers) -> _Numbers:
    """The number at each place, which need not be a multiple of four."""
    if len(places) and (int(places.min()) < 0 or int(places.max()) + 4 > len(raw)):
        raise _BrokenError("an offset out of the file")
    wide = raw[places[:, None] + np.arange(4)]
    return np.ascontiguousarray(wide).view("<u4").ravel().astype(np.int64)


def _row(raw: NDArray[np.uint8], at: int, count: int) -> _Numbers:
    """Numbers that stand one after another."""
    if count * 4 > len(raw) - at or at < 0:
        raise _BrokenError("more numbers than bytes")
    return _numbers(raw, at + 4 * np.arange(count, dtype=np.int64))


def _references(raw: NDArray[np.uint8], at: int, magic: bytes, wanted: int, features: int) -> None:
    """Make sure that tags or attributes have lists of features that there are."""
    count = _chunk(raw, at, magic)
    if count < wanted:
        raise _BrokenError("too few lists of features")
    starts = _row(raw, at + _CHUNK.size, count)[:wanted]
    sizes = _numbers(raw, starts)
    if bool((sizes > features).any()) or bool((starts + 4 + 4 * sizes > len(raw)).any()):
        raise _BrokenError("a list of features that is cut short")
    # Overlapping lists could make a small file take for ever.
    if int(sizes.sum()) * 4 > len(raw):
        raise _BrokenError("lists of features that overlap")
    first = np.repeat(np.cumsum(sizes) - sizes, sizes)
    places = np.repeat(starts + 4, sizes) + 4 * (
        np.arange(int(sizes.sum()), dtype=np.int64) - first
    )
    if bool((_numbers(raw, places) >= features).any()):
        raise _BrokenError("a feature that is not there")


def _strings(raw: NDArray[np.uint8], at: int, count: int) -> None:
    """Make sure that a hash table leads to whole strings, and back."""
    if at < _HEADER.size or at + _TABLE.size + 8 * _BUCKETS > len(raw):
        raise _BrokenError("a table that is not there")
    magic, size, _, order, known, back = _TABLE.unpack(raw[at : at + _TABLE.size].tobytes())
    if magic != b"CQDB" or order != _BYTE_ORDER or size > len(raw) - at or known != count:
        raise _BrokenError("another table")
    held = raw[at : at + size]
    tables = _row(held, _TABLE.size, 2 * _BUCKETS).reshape(-1, 2)
    # A table that is empty is nowhere, and no other is.
    if bool(((tables[:, 0] == 0) != (tables[:, 1] == 0)).any()):
        raise _BrokenError("a table of nothing")
    entries = []
    for start, buckets in tables[tables[:, 1] > 0].tolist():
        offsets = _row(held, start, 2 * buckets).reshape(-1, 2)[:, 1]
        # Looking for what is not there ends at an empty place.
        if bool((offsets != 0).all()):
            raise _BrokenError("a table without an end")
        entries.append(offsets[offsets != 0])
    named = np.concatenate([*entries, _row(held, back, count)])
    numbers, lengths = _numbers(held, named), _numbers(held, named + 4)
    ends = named + 8 + lengths
    if bool((numbers >= count).any()) or bool((lengths < 1).any()) or bool((ends > size).any()):
        raise _BrokenError("a string that is not there")
    if bool((held[ends - 1] != 0).any()):
        raise _BrokenError("a string without an end")
    data = held.tobytes()
    try:
        for start, end in zip((named + 8).tolist(), ends.tolist(), strict=True):
            data[start:end].decode("utf-8")
    except UnicodeDecodeError:
        raise _BrokenError("a string that is not UTF-8") from None
