"""All formats by name, guessing a file's format, and reading and writing corpora."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from importlib import import_module
from os import PathLike
from pathlib import Path
from typing import Any

from llmner._plugins import load_plugin, own_modules, plugins
from llmner._shown import expected_one_of
from llmner.corpora._columns import sample_lines
from llmner.corpora._format import ODD_VALUES, BadRow, CorpusFormat, ReadOptions, ReadStats
from llmner.corpora._held_out import split_sentences
from llmner.corpora._json import json_rows, sample_rows
from llmner.corpora._losses import Losses
from llmner.corpora.gmb import GMB_CSV, names_columns
from llmner.corpora.hub import is_saved_dataset, read_hub
from llmner.corpora.jsonl import SPANS_JSONL
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

# A file's first lines or rows are shown to the formats in this order. Modules that are not named
# here come after these, by name.
_ORDER = (
    *("klue", "jsonl", "spacy_jsonl", "label_studio", "argilla", "langextract", "gliner"),
    *("tokens", "doccano"),
    *(
        "records",
        "gmb",
        "pubtator",
        "table",
        "klp",
        "kote",
        "mams",
        "naver",
        "hipe",
        "conllu",
        "conll",
        "markup",
        "brat",
    ),
    "docbin",
    "text",
)


def _own_formats() -> Iterator[CorpusFormat]:
    """The ``FORMATS`` of every module beside this one that has them."""
    for name in own_modules([str(Path(__file__).parent)], _ORDER):
        yield from getattr(import_module(f"{__package__}.{name}"), "FORMATS", ())


CORPUS_FORMATS: dict[str, CorpusFormat] = {format.name: format for format in _own_formats()}
"""This package's own formats by name, in the order in which :func:`guess_format` tries them."""

_GROUP = "llmner.corpora"


def corpus_formats() -> dict[str, CorpusFormat]:
    """All installed formats by name.

    llmner's own formats come first, then those of other packages, which bring a
    :class:`CorpusFormat` as an entry point in the group ``llmner.corpora``.

    Raises:
        InputError: A format of another package cannot be imported.

    >>> list(corpus_formats())[:2]
    ['klue-tsv', 'spans']
    """
    others = plugins(_GROUP, CORPUS_FORMATS)
    return CORPUS_FORMATS | {name: load_plugin(point) for name, point in others.items()}


def format_names() -> list[str]:
    """Names of all installed formats; formats of other packages are not imported.

    >>> format_names()[:2]
    ['klue-tsv', 'spans']
    """
    return [*CORPUS_FORMATS, *plugins(_GROUP, CORPUS_FORMATS)]


_JSON_SUFFIXES = (".json", ".jsonl", ".ndjson")
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")


def _format(name: str) -> CorpusFormat:
    if name in CORPUS_FORMATS:
        return CORPUS_FORMATS[name]
    others = plugins(_GROUP, CORPUS_FORMATS)
    if name not in others:
        raise UnknownNameError(
            f"unknown corpus format {name!r}", hint=expected_one_of(name, format_names())
        )
    format: CorpusFormat = load_plugin(others[name])
    return format


def guess_format(path: str | PathLike[str]) -> str:
    """Guess the format of a file from its first rows, and from later ones that look labelled.

    A ``.txt`` file that is in none of the labelled formats is plain text, one sentence per line.
    So is what comes from a pipe.
    The format ``document`` is never guessed.

    Raises:
        CorpusError: The file cannot be read, is empty, or is in no known format.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "corpus"
    ...     _ = path.write_text("<Anna:PER> sings\\n")
    ...     guess_format(path)
    'markup'
    """
    path = Path(path)
    for name, format in CORPUS_FORMATS.items():
        if format.suffixes and _has_suffix(path, format):
            return name
    if names_columns(path):
        return GMB_CSV.name
    lines = sample_lines(line for _, line in open_lines(path))
    if not any(line.strip() for line in lines):
        raise CorpusError("holds no sentence", path=path, hint="the file is empty")
    begins = next(line for line in lines if line.strip()).lstrip()[0]
    rows = sample_rows(path) if begins in "{[" else []
    for name, format in CORPUS_FORMATS.items():
        if _fits(format, lines, rows):
            return name
    # Formats of other packages are imported only if none of llmner's own fits.
    for name, point in plugins(_GROUP, CORPUS_FORMATS).items():
        if _fits(load_plugin(point), lines, rows):
            return name
    if path.suffix == ".txt" and not rows:
        return TEXT.name
    if rows or begins == "{" or path.suffix in _JSON_SUFFIXES:
        return _unknown_json(path, rows)
    raise CorpusError(
        "is in no known corpus format",
        path=path,
        hint=f"name its format, one of {', '.join(format_names())}",
    )


def _is_folder(path: Path) -> bool:
    try:
        return kind_of(path) == "folder"
    except InputError:
        return False


def _has_suffix(path: Path, format: CorpusFormat) -> bool:
    if _is_folder(path):
        # Only formats of several files are read from a folder.
        is_whole = format.write_path is not None
        return is_whole and any(child.suffix in format.suffixes for child in path.iterdir())
    return path.suffix.lower() in format.suffixes


def _fits(format: CorpusFormat, lines: list[str], rows: list[Any]) -> bool:
    if format.looks_like_rows is not None and rows:
        try:
            if format.looks_like_rows(rows):
                return True
        except ODD_VALUES:
            # Values of types that the format does not have.
            return False
    return format.looks_like is not None and format.looks_like(lines)


def _unknown_json(path: Path, rows: list[Any]) -> str:
    """The format of a JSON file that no format fits: spans, whose errors say what is wrong.

    Raises:
        CorpusError: It is JSON, but with other keys than any format has.
    """
    # Raises an error that names the line where the JSON itself is wrong.
    for row in json_rows(path):
        if row.fault is not None:
            return SPANS_JSONL.name
        break
    objects = [row for row in rows if isinstance(row, dict)]
    if not objects or len(objects) < len(rows):
        return SPANS_JSONL.name
    keys = list(dict.fromkeys(str(key) for row in objects for key in row))
    broken = any(not isinstance(row.get("text", ""), str) for row in objects)
    if broken or "spans" in keys:
        # Its errors say what is wrong with a row.
        return SPANS_JSONL.name
    raise CorpusError(
        f"is JSON in no known corpus format; its keys are {', '.join(keys[:8])[:120]}",
        path=path,
        hint='name its format, or write {"id", "text", "spans"}',
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
    predicted: bool = False,
) -> Iterator[Sentence]:
    """Read the sentences of a corpus, one at a time.

    Args:
        path_or_name: A file, a folder saved by ``datasets``, or, if there is no such file, the name
            of a data set on the Hub (``"klue/ner"``).
        format: A name in :func:`corpus_formats`, or ``"hub"``; ``None`` guesses it from the file.
        split: The split of a data set. Of a file ``"train"`` (four fifths) or ``"test"``, drawn at
            random; ``"test:0.9:7"`` names the share of the train part, and the seed.
        strict: Raise an error for an ``I-X`` that continues nothing. By default it begins a span,
            and is counted in ``stats.repairs``.
        labels: The only labels allowed; ``None`` allows all.
        on_bad: Called with every bad row, which is then skipped. By default the first one raises.
        stats: Counters, updated as sentences are read.
        on_tags: Called with the tags of each sentence of a file in IOB2, one per character, before
            the sentence is returned.
        predicted: Whether a tagger gave the tags. Tags without any ``B-`` are then broken IOB2, not
            IOB1.

    Raises:
        CorpusError: The file is missing, empty, a directory or not in UTF-8, or one of its rows is
            bad: malformed, spans out of range or overlapping, a label that is not allowed. The
            error names the file and the line.
        UnknownNameError: There is no such format.
        MissingExtraError: It is a data set on the Hub, and ``datasets`` is not installed.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "songs.txt"
    ...     _ = path.write_text("<Anna:PER> sings\\n")
    ...     [(sentence.text, sentence.spans[0].label) for sentence in read_corpus(path)]
    [('Anna sings', 'PER')]
    """
    stats = stats if stats is not None else ReadStats()
    options = ReadOptions(strict, labels, on_bad, stats, on_tags, split, predicted)
    name = str(path_or_name)
    path = Path(path_or_name)
    if format == "hub" or is_saved_dataset(path) or (format is None and _names_dataset(name)):
        return _counted(read_hub(name, split, options), name, stats)
    if format is not None:
        _format(format)  # Raises now if the name is unknown, not at the first sentence.
    return _counted(_read_file(path, format, options), name, stats)


def is_file_name(given: str) -> bool:
    """Whether a corpus's name is a file, a pipe or standard input, and not a data set.

    >>> is_file_name("-"), is_file_name("klue/ner")
    (True, False)
    """
    try:
        return given == "-" or kind_of(Path(given)) in ("file", "special")
    except InputError:
        return True


def _names_dataset(name: str) -> bool:
    return (
        _HUB_NAME.fullmatch(name) is not None and not Path(name).suffix and not os.path.exists(name)
    )


def _read_file(path: Path, format: str | None, options: ReadOptions) -> Iterator[Sentence]:
    with regular_file(path) as real:
        if real != path and options.on_bad is not None:
            on_bad = options.on_bad
            options.on_bad = lambda bad: on_bad(BadRow(told_of(bad.error, real, path), bad.raw))
        try:
            chosen = _format(format or guess_format(real))
            if options.split is None or chosen.splits:
                yield from chosen.read(real, options)
            else:
                yield from split_sentences(list(chosen.read(real, options)), options.split)
        except InputError as error:
            raise told_of(error, real, path) from None


def _counted(sentences: Iterator[Sentence], name: str, stats: ReadStats) -> Iterator[Sentence]:
    for sentence in sentences:
        stats.sentences += 1
        stats.spans += len(sentence.spans)
        stats.labels += len(sentence.labels)
        yield sentence
    if not stats.sentences and not stats.skipped:
        raise CorpusError("holds no sentence", path=name, hint="the file is empty")


def write_corpus(
    sentences: Iterable[Sentence],
    path: str | PathLike[str],
    format: str,
    *,
    losses: Losses | None = None,
) -> int:
    """Write a corpus and return the number of sentences.

    Sentences are written one at a time. If anything fails, an existing file stays as it was.

    Args:
        sentences: The sentences.
        path: The file to write; ``-`` is standard output.
        format: A name in :func:`corpus_formats`.
        losses: Counts what the format cannot hold. With ``Losses(strict=True)`` that is an error.

    Raises:
        UnknownNameError: There is no such format.
        InputError: The file cannot be written, or a sentence cannot be written in this format.

    >>> from llmner.spans import Span
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "songs.txt"
    ...     write_corpus([Sentence("Anna sings", (Span(0, 4, "PER"),))], path, "markup")
    ...     path.read_text()
    1
    '<Anna:PER> sings\\n'
    """
    chosen = _format(format)
    count = 0

    def counted() -> Iterator[Sentence]:
        nonlocal count
        for sentence in sentences:
            if losses is not None and chosen.kept is not None:
                losses.compare(sentence, chosen.kept(sentence))
            count += 1
            yield sentence

    if not chosen.writable:
        raise UnknownNameError(
            f"the format {format} can only be read, not written",
            hint=f"expected one of {', '.join(_writable())}",
        )
    if chosen.write_path is not None:
        chosen.write_path(counted(), Path(path), losses)
        return count
    with whole_file(Path(path)) as stream:
        if chosen.write_whole is not None:
            chosen.write_whole(counted(), stream)
            return count
        assert chosen.write is not None
        stream.write(chosen.header)
        for sentence in counted():
            if count > 1:
                stream.write(chosen.between)
            chosen.write(sentence, stream)
        stream.write(chosen.footer)
    return count


def _writable() -> Iterator[str]:
    for name, format in CORPUS_FORMATS.items():
        if format.writable:
            yield name
    yield from plugins(_GROUP, CORPUS_FORMATS)
