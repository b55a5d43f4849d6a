"""Formats by name, ours and those of other packages, and which one a file is in by looking at
it.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from importlib import import_module
from os import PathLike
from pathlib import Path
from pkgutil import iter_modules

from llmner._plugins import load_plugin, plugins
from llmner.corpora._format import BadRow, CorpusFormat, ReadOptions, ReadStats
from llmner.corpora.gmb import GMB_CSV, names_columns
from llmner.corpora.hub import is_saved_dataset, read_hub
from llmner.corpora.text import TEXT
from llmner.errors import CorpusError, InputError, UnknownNameError
from llmner.files import kind_of, open_lines, regular_file, told_of, whole_file
from llmner.spans import Sentence

__all__ = [
    "CORPUS_FORMATS",
    "corpus_formats",
    "format_names",
    "guess_format",
    "is_file_name",
    "read_corpus",
    "write_corpus",
]

# A file's first lines are shown to the formats in this order. Modules that are not named here come
# after these, by name.
_ORDER = ("klue", "jsonl", "gmb", "conll", "markup", "text")


def _own_formats() -> Iterator[CorpusFormat]:
    """The ``FORMATS`` of every module beside this one that has them."""
    names = [
        module.name
        for module in iter_modules([str(Path(__file__).parent)])
        if not module.name.startswith("_")
    ]
    names.sort(key=lambda name: (_ORDER.index(name) if name in _ORDER else len(_ORDER), name))
    for name in names:
        yield from getattr(import_module(f"{__package__}.{name}"), "FORMATS", ())


CORPUS_FORMATS: dict[str, CorpusFormat] = {format.name: format for format in _own_formats()}
"""This package's own formats by name, in the order in which :func:`guess_format` tries them."""

_GROUP = "llmner.corpora"


def corpus_formats() -> dict[str, CorpusFormat]:
    """All formats that are installed: ours, then those that other packages bring by the entry point
    ``llmner.corpora``, each a :class:`CorpusFormat`.

    >>> list(corpus_formats())[:2]
    ['klue-tsv', 'spans']
    """
    others = plugins(_GROUP, CORPUS_FORMATS)
    return CORPUS_FORMATS | {name: load_plugin(point) for name, point in others.items()}


def format_names() -> list[str]:
    """Names of all formats that are installed; no other package's is imported.

    >>> format_names()[:2]
    ['klue-tsv', 'spans']
    """
    return [*CORPUS_FORMATS, *plugins(_GROUP, CORPUS_FORMATS)]


_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")


def _format(name: str) -> CorpusFormat:
    if name in CORPUS_FORMATS:
        return CORPUS_FORMATS[name]
    others = plugins(_GROUP, CORPUS_FORMATS)
    if name not in others:
        raise UnknownNameError(
            f"unknown corpus format {name!r}", hint=f"expected one of {', '.join(format_names())}"
        )
    format: CorpusFormat = load_plugin(others[name])
    return format


def guess_format(path: str | PathLike[str]) -> str:
    """The name of the format a file is in, judged by its first 200 lines, never by its first row
    alone.

    A ``.txt`` file in none of the labelled formats is plain text, one sentence a line; a document
    is never guessed.

    Raises:
        CorpusError: The file cannot be read, is empty, or looks like none of the formats.
    """
    path = Path(path)
    if names_columns(path):
        return GMB_CSV.name
    lines = [line for _, line in itertools.islice(open_lines(path), 200)]
    if not any(line.strip() for line in lines):
        raise CorpusError("holds no sentence", path=path, hint="the file is empty")
    for name, format in CORPUS_FORMATS.items():
        if format.looks_like(lines):
            return name
    # Those of other packages are imported only where none of ours will do.
    for name, point in plugins(_GROUP, CORPUS_FORMATS).items():
        if load_plugin(point).looks_like(lines):
            return name
    if path.suffix == ".txt":
        return TEXT.name
    raise CorpusError(
        "looks like none of the corpus formats",
        path=path,
        hint=f"name one: {', '.join(format_names())}",
    )


def read_corpus(
    path_or_name: str | PathLike[str],
    format: str | None = None,
    split: str | None = None,
    *,
    strict: bool = False,
    labels: Collection[str] | None = None,
    on_bad: Callable[[BadRow], None] | None = None,
    stats: ReadStats | None = None,
    on_tags: Callable[[list[str]], None] | None = None,
) -> Iterator[Sentence]:
    """Sentences of a corpus, streamed.

    Args:
        path_or_name: A file, a folder saved by ``datasets``, or a data set on the Hub
            (``"klue/ner"``) where no such file exists.
        format: A name in :func:`corpus_formats`, or ``"hub"``; ``None`` looks at the file.
        split: Which split of a data set; of a ``gmb-csv`` file ``"train"`` (four fifths) or
            ``"test"``, drawn by a seed (``"test:7"``; 42 by default).
        strict: An ``I-X`` that continues nothing is an error. By default it is read as the
            beginning of a span and counted in ``stats.repairs``.
        labels: The only labels allowed.
        on_bad: Called with every bad row, which is skipped; by default the first one raises.
        stats: Filled in as sentences are given out.
        on_tags: Called with the tags of each sentence of a KLUE or CoNLL file in IOB2 as they stand
            there, one a character, before the sentence is given out.

    Raises:
        CorpusError: With file and line: missing file, directory, wrong encoding, no sentence at
            all, a broken row, spans out of range or overlapping, a label that is not allowed.
        UnknownNameError: No such format.
        MissingExtraError: A Hub data set, and ``datasets`` is not installed.
    """
    stats = stats if stats is not None else ReadStats()
    options = ReadOptions(strict, labels, on_bad, stats, on_tags, split)
    given = str(path_or_name)
    path = Path(path_or_name)
    if format == "hub" or is_saved_dataset(path) or (format is None and _names_dataset(given)):
        return _counted(read_hub(given, split, options), given, stats)
    if format is not None:
        _format(format)
    return _counted(_read_file(path, format, options), given, stats)


def is_file_name(given: str) -> bool:
    """Whether a corpus's name is that of a file, a pipe or standard input, and of no data set."""
    try:
        return given == "-" or kind_of(Path(given)) in ("file", "special")
    except InputError:
        return True


def _names_dataset(given: str) -> bool:
    return (
        _HUB_NAME.fullmatch(given) is not None
        and not Path(given).suffix
        and not os.path.exists(given)
    )


def _read_file(path: Path, format: str | None, options: ReadOptions) -> Iterator[Sentence]:
    with regular_file(path) as real:
        if real != path and options.on_bad is not None:
            told = options.on_bad
            options.on_bad = lambda bad: told(BadRow(told_of(bad.error, real, path), bad.raw))
        try:
            chosen = _format(format or guess_format(real))
            if options.split is not None and not chosen.splits:
                raise InputError(
                    f"a {chosen.name} file has no splits",
                    path=path,
                    hint="leave out the split, or name its file",
                )
            yield from chosen.read(real, options)
        except InputError as error:
            raise told_of(error, real, path) from None


def _counted(sentences: Iterator[Sentence], name: str, stats: ReadStats) -> Iterator[Sentence]:
    for sentence in sentences:
        stats.sentences += 1
        stats.spans += len(sentence.spans)
        yield sentence
    if not stats.sentences and not stats.skipped:
        raise CorpusError("holds no sentence", path=name, hint="the file is empty")


def write_corpus(sentences: Iterable[Sentence], path: str | PathLike[str], format: str) -> int:
    """Write a corpus in one piece or not at all; gives the number of sentences. Memory stays flat.

    Raises:
        UnknownNameError: No such format.
        InputError: The file cannot be written, or a text cannot be written in this format.
    """
    chosen = _format(format)
    count = 0
    with whole_file(Path(path)) as stream:
        stream.write(chosen.header)
        for sentence in sentences:
            chosen.write(sentence, stream)
            count += 1
    return count
