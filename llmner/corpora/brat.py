"""brat's standoff files: a text (``.txt``) and its annotations (``.ann``) side by side.

A pair of files is one document, and one sentence here, so offsets are the document's own. A folder
of pairs is a corpus, and so it is written: a pair a sentence, named by its id. A single ``.ann`` is
written with all sentences as lines of one document. Attributes of spans are brat's
(``A1<TAB>polarity T1 positive``); one without a value is true.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from llmner.corpora._format import CorpusFormat, ReadOptions, bare, encode
from llmner.corpora._losses import DISCONTINUOUS, IDS, OTHERS, RELATIONS, SENTENCES, Losses
from llmner.errors import CorpusError, InputError, SpanError
from llmner.files import check_output, open_lines, whole_file
from llmner.spans import Sentence, Span

__all__ = ["BRAT", "FORMATS"]

_SUFFIX = ".ann"
_ATTRIBUTE = re.compile(r"A\d+\t(?P<name>\S+) (?P<span>T\d+)(?: (?P<value>\S+))?\s*")
_PLACES = re.compile(r"(\S+) (\d{1,9} \d{1,9}(?:;\d{1,9} \d{1,9})*)")
_KINDS = {"R": RELATIONS, "*": RELATIONS, "E": RELATIONS}
# Attributes, modifications, normalisations and notes.
_REMARKS = ("A", "M", "N", "#")
# In letters, which may be three bytes each; file systems take 255 bytes.
_LONGEST_NAME = 80
_UNSAFE = re.compile(r"[^\w.-]+")


def _read(path: Path, options: ReadOptions) -> Iterator[Sentence]:
    if path.is_dir():
        files = sorted(path.rglob(f"*{_SUFFIX}"))
        names = [file.relative_to(path).with_suffix("").as_posix() for file in files]
        for file, name in zip(files, names, strict=True):
            yield from _document(file, name, options)
        return
    yield from _document(path.with_suffix(_SUFFIX), path.stem, options)


def _document(path: Path, id: str, options: ReadOptions) -> Iterator[Sentence]:
    text_path = path.with_suffix(".txt")
    if not path.exists():
        raise CorpusError("no such file", path=path)
    spans: dict[str, Span] = {}
    lines: list[str] = []
    remarks: list[tuple[int, str]] = []
    try:
        if not text_path.is_file():
            raise CorpusError(
                "the text of these annotations is missing",
                path=path,
                hint=f"put {text_path.name} beside it",
            )
        # Offsets count the file as it is, with its carriage returns.
        text = _whole_text(text_path)
        for number, line in open_lines(path):
            if line.strip():
                lines.append(line)
                if line.startswith("A"):
                    # It may stand before the span that it is about.
                    remarks.append((number, line))
                    continue
                for span in _spans(path, number, line, id, text, options):
                    key = line.partition("\t")[0]
                    spans[f"{key} {number}" if key in spans else key] = span
        for number, line in remarks:
            if not _add_attribute(line, spans):
                options.lost(OTHERS, line[:60], path, number, id)
        kept = options.flat(path, None, id, text, list(spans.values()))
        sentence = options.sentence(path, None, id, text, kept)
    except CorpusError as error:
        options.bad(error, "\n".join(lines))
        return
    yield sentence


def _add_attribute(line: str, spans: dict[str, Span]) -> bool:
    """Give a span the attribute of a line; ``False`` if the line is about something else."""
    match = _ATTRIBUTE.fullmatch(line)
    span = None if match is None else spans.get(match["span"])
    if match is None or span is None:
        return False
    value: str | bool = match["value"] or True
    attributes = {**span.attributes, match["name"]: value}
    spans[match["span"]] = replace(span, attributes=attributes)
    return True


def _whole_text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError:
        return "\n".join(line for _, line in open_lines(path))
    except OSError as error:
        raise CorpusError(f"cannot be read ({error.strerror})", path=path) from None


def _spans(
    path: Path, number: int, line: str, id: str, text: str, options: ReadOptions
) -> list[Span]:
    """The span that a line names, if it names one."""
    kind, _, rest = line.partition("\t")
    if not kind.startswith("T"):
        known = kind[:1] in _KINDS or kind[:1] in _REMARKS
        if not known:
            raise CorpusError(f"{line[:40]!r} is no annotation", path=path, line=number, id=id)
        options.lost(_KINDS.get(kind[:1], OTHERS), line[:60], path, number, id)
        return []
    place, tab, surface = rest.partition("\t")
    match = _PLACES.fullmatch(place)
    if match is None:
        raise CorpusError(
            f"{line[:40]!r} has no place",
            path=path,
            line=number,
            id=id,
            hint="expected T1<TAB>LABEL START END<TAB>surface",
        )
    pieces = [tuple(map(int, pair.split())) for pair in match[2].split(";")]
    start, end = pieces[0][0], pieces[-1][1]
    if len(pieces) > 1:
        options.lost(DISCONTINUOUS, f"{match[1]} {match[2]} {surface!r}", path, number, id)
        return []
    said = text[start:end]
    if tab and said.split() != surface.split():
        raise CorpusError(
            f"[{start}, {end}) {match[1]} should be {surface[:40]!r}, "
            f"but {said[:40]!r} stands there",
            path=path,
            line=number,
            id=id,
            hint="the text was changed, or its line ends were",
        )
    try:
        return [Span(start, end, match[1])]
    except SpanError as error:
        raise CorpusError(error.problem, path=path, line=number, id=id, hint=error.hint) from None


def _annotations(sentences: Iterable[tuple[int, Sentence]]) -> str:
    lines: list[str] = []
    attributes: list[str] = []
    for offset, sentence in sentences:
        for span in sentence.spans:
            if re.search(r"\s", span.label):
                raise CorpusError(
                    "a label with white space cannot be written as brat", id=sentence.id
                )
            surface = " ".join(sentence.surface(span).split("\n"))
            place = f"{span.start + offset} {span.end + offset}"
            names = len(lines) + 1
            lines.append(f"T{names}\t{span.label} {place}\t{surface}\n")
            for name, value in _holdable(span.attributes).items():
                said = "" if value is True else f" {value}"
                attributes.append(f"A{len(attributes) + 1}\t{name} T{names}{said}\n")
    return "".join([*lines, *attributes])


def _holdable(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes that brat can hold: words, and what is true."""
    return {
        name: value
        for name, value in attributes.items()
        if not re.search(r"\s", name)
        and (value is True or (isinstance(value, str) and re.fullmatch(r"\S+", value)))
    }


def _write(sentences: Iterable[Sentence], path: Path, losses: Losses | None) -> None:
    if str(path) == "-":
        raise InputError(
            "brat's files cannot be written to standard output", hint="give a folder or a .ann file"
        )
    if path.suffix == _SUFFIX:
        _write_document(list(sentences), path, losses)
        return
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise InputError("is there already", path=path, hint="give a new folder, or a .ann file")
    if not path.parent.is_dir():
        raise InputError("its folder does not exist", path=path)
    part = Path(tempfile.mkdtemp(prefix=".llmner-brat-", dir=path.parent))
    try:
        names: set[str] = set()
        for number, sentence in enumerate(sentences, 1):
            name = _name(sentence, number)
            if name in names:
                raise CorpusError(
                    f"two sentences would be written to {name}.txt",
                    id=sentence.id,
                    hint="give the sentences different ids",
                )
            names.add(name)
            _pair(part / name, sentence.text, _annotations([(0, sentence)]), sentence)
        part.chmod(0o755)
        if path.is_dir():
            path.rmdir()
        part.rename(path)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


def _name(sentence: Sentence, number: int) -> str:
    if sentence.id is None:
        return f"{number:05d}"
    return _UNSAFE.sub("_", sentence.id).strip(".")[:_LONGEST_NAME] or f"{number:05d}"


def _pair(stem: Path, text: str, annotations: str, sentence: Sentence) -> None:
    stem.with_name(f"{stem.name}.txt").write_bytes(encode(sentence, text))
    stem.with_name(f"{stem.name}.ann").write_bytes(encode(sentence, annotations))


def _write_document(sentences: list[Sentence], path: Path, losses: Losses | None) -> None:
    check_output(path)
    if losses is not None:
        for sentence in sentences:
            if sentence.id is not None and (len(sentences) > 1 or sentence.id != path.stem):
                losses.add(IDS, sentence.id)
        for sentence in sentences[1:]:
            losses.add(SENTENCES, f"before {sentence.text[:40]!r}", id=sentence.id)
    placed: list[tuple[int, Sentence]] = []
    offset = 0
    for sentence in sentences:
        placed.append((offset, sentence))
        offset += len(sentence.text) + 1
    text = b"\n".join(encode(sentence, sentence.text) for sentence in sentences)
    text_path = path.with_suffix(".txt")
    if text_path.exists() and text_path.read_bytes() != text:
        raise InputError("is there already, with another text", path=text_path, hint="rename it")
    annotations = encode(sentences[0] if sentences else Sentence("x"), _annotations(placed))
    with whole_file(text_path) as stream:
        stream.write(text)
    with whole_file(path) as stream:
        stream.write(annotations)


def _kept(sentence: Sentence) -> Sentence:
    plain = bare(sentence, attributes=True)
    spans = tuple(replace(s, attributes=_holdable(s.attributes)) for s in plain.spans)
    plain = replace(plain, spans=spans)
    safe = sentence.id is not None and _name(sentence, 1) == sentence.id
    return plain if safe or sentence.id is None else replace(plain, id=None)


BRAT = CorpusFormat("brat", _read, None, None, suffixes=(_SUFFIX,), write_path=_write, kept=_kept)
FORMATS = (BRAT,)
