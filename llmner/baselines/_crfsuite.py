"""Checks a model file of CRFsuite before CRFsuite opens it.

CRFsuite's C code follows the offsets in the file without checking them. The layout is that of
``crf1d_model.c`` and ``cqdb.c`` (CRFsuite 0.12): a header, a list of features, two hash tables from
strings to numbers (tags and attributes), and the feature numbers of each tag and attribute.
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
    """The file is not a whole model."""


def check_crfsuite(path: Path) -> None:
    """Check that a file is a whole model, and that its offsets and numbers are in range.

    Takes time linear in the size of the file.

    Args:
        path: A regular file.

    Raises:
        InputError: The file cannot be read, or is broken.
    """
    try:
        _check(np.fromfile(path, np.uint8))
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", path=path) from None
    except _BrokenError as error:
        raise InputError(
            f"is not a CRFsuite model, or is cut short ({error})",
            path=path,
            hint="train it again",
        ) from None


def _check(raw: NDArray[np.uint8]) -> None:
    if len(raw) < _HEADER.size:
        raise _BrokenError("it has no header")
    magic, length, kind, _, _, labels, attributes, *offsets = _HEADER.unpack(
        raw[: _HEADER.size].tobytes()
    )
    if magic != b"lCRF" or kind != b"FOMC" or length != len(raw):
        raise _BrokenError("wrong header")
    feature_offset, label_offset, attribute_offset, label_refs, attribute_refs = offsets
    features = _check_features(raw, feature_offset, labels, attributes)
    _check_strings(raw, label_offset, labels)
    _check_strings(raw, attribute_offset, attributes)
    _check_references(raw, label_refs, b"LFRF", labels, features)
    _check_references(raw, attribute_refs, b"AFRF", attributes, features)


def _chunk_size(raw: NDArray[np.uint8], offset: int, magic: bytes) -> int:
    """The number of entries of the chunk at an offset."""
    if offset < _HEADER.size or offset + _CHUNK.size > len(raw):
        raise _BrokenError("a chunk is missing")
    name, _, count = _CHUNK.unpack(raw[offset : offset + _CHUNK.size].tobytes())
    if name != magic:
        raise _BrokenError("a chunk has the wrong name")
    return int(count)


def _check_features(raw: NDArray[np.uint8], offset: int, labels: int, attributes: int) -> int:
    """Check that features refer to existing tags and attributes; returns their number."""
    count = _chunk_size(raw, offset, b"FEAT")
    offset += _CHUNK.size
    if count * _FEATURE.itemsize > len(raw) - offset:
        raise _BrokenError("the list of features is cut short")
    features = np.frombuffer(raw.tobytes(), _FEATURE, count, offset)
    sources = np.where(features["type"] == 0, attributes, labels)
    valid = (features["type"] <= 1) & (features["source"] < sources) & (features["target"] < labels)
    if not bool((valid & np.isfinite(features["weight"])).all()):
        raise _BrokenError("a feature is invalid")
    return count


def _numbers(raw: NDArray[np.uint8], offsets: _Numbers) -> _Numbers:
    """The 32-bit numbers at offsets, which need not be multiples of four."""
    if len(offsets) and (int(offsets.min()) < 0 or int(offsets.max()) + 4 > len(raw)):
        raise _BrokenError("an offset is outside the file")
    quadruples = raw[offsets[:, None] + np.arange(4)]
    return np.ascontiguousarray(quadruples).view("<u4").ravel().astype(np.int64)


def _number_list(raw: NDArray[np.uint8], offset: int, count: int) -> _Numbers:
    """A list of 32-bit numbers that begins at an offset."""
    if count * 4 > len(raw) - offset or offset < 0:
        raise _BrokenError("a list of numbers is cut short")
    return _numbers(raw, offset + 4 * np.arange(count, dtype=np.int64))


def _check_references(
    raw: NDArray[np.uint8], offset: int, magic: bytes, owners: int, features: int
) -> None:
    """Check the lists of feature numbers that tags or attributes (``owners`` in number) have."""
    count = _chunk_size(raw, offset, magic)
    if count < owners:
        raise _BrokenError("lists of features are missing")
    starts = _number_list(raw, offset + _CHUNK.size, count)[:owners]
    sizes = _numbers(raw, starts)
    if bool((sizes > features).any()) or bool((starts + 4 + 4 * sizes > len(raw)).any()):
        raise _BrokenError("a list of features is cut short")
    # With overlapping lists, reading a small file could take very long.
    if int(sizes.sum()) * 4 > len(raw):
        raise _BrokenError("lists of features overlap")
    first = np.repeat(np.cumsum(sizes) - sizes, sizes)
    offsets = np.repeat(starts + 4, sizes) + 4 * (
        np.arange(int(sizes.sum()), dtype=np.int64) - first
    )
    if bool((_numbers(raw, offsets) >= features).any()):
        raise _BrokenError("a list of features has an invalid number")


def _check_strings(raw: NDArray[np.uint8], offset: int, count: int) -> None:
    """Check a hash table from strings to numbers, and its list of strings by number."""
    if offset < _HEADER.size or offset + _TABLE.size + 8 * _BUCKETS > len(raw):
        raise _BrokenError("a table is missing")
    magic, size, _, order, entry_count, backlinks = _TABLE.unpack(
        raw[offset : offset + _TABLE.size].tobytes()
    )
    if magic != b"CQDB" or order != _BYTE_ORDER or size > len(raw) - offset or entry_count != count:
        raise _BrokenError("a table has a wrong header")
    database = raw[offset : offset + size]
    # (offset, number of buckets) of each table.
    tables = _number_list(database, _TABLE.size, 2 * _BUCKETS).reshape(-1, 2)
    # A table has offset 0 exactly if it is empty.
    if bool(((tables[:, 0] == 0) != (tables[:, 1] == 0)).any()):
        raise _BrokenError("a table is invalid")
    entries = []
    for start, buckets in tables[tables[:, 1] > 0].tolist():
        offsets = _number_list(database, start, 2 * buckets).reshape(-1, 2)[:, 1]
        # The search for a string stops at an empty bucket; without one it would never stop.
        if bool((offsets != 0).all()):
            raise _BrokenError("a table has no empty bucket")
        entries.append(offsets[offsets != 0])
    records = np.concatenate([*entries, _number_list(database, backlinks, count)])
    numbers, lengths = _numbers(database, records), _numbers(database, records + 4)
    ends = records + 8 + lengths
    if bool((numbers >= count).any()) or bool((lengths < 1).any()) or bool((ends > size).any()):
        raise _BrokenError("a string is cut short")
    if bool((database[ends - 1] != 0).any()):
        raise _BrokenError("a string has no end")
    data = database.tobytes()
    try:
        for start, end in zip((records + 8).tolist(), ends.tolist(), strict=True):
            data[start:end].decode("utf-8")
    except UnicodeDecodeError:
        raise _BrokenError("a string is not UTF-8") from None
