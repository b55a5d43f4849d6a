"""Sentences made of tokens with tags: how tokens are joined to a text, and where spans lie in it.

Formats with one token a line, or with lists of tokens, share this.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Literal

from llmner.corpora._format import ReadOptions
from llmner.corpora._json import Row
from llmner.corpora._losses import NESTED
from llmner.errors import CorpusError, SpanError, TagError
from llmner.spans import Sentence, Span
from llmner.tagging import (
    OUTSIDE,
    Scheme,
    TagSpan,
    begin_tag,
    goes_on,
    inside_tag,
    spans_to_tags,
    split_tag,
    tags_to_spans,
)

__all__ = [
    "Block",
    "Joining",
    "finish",
    "guess_joining",
    "join",
    "rejoined",
    "token_spans",
    "tokenized",
    "tokens_and_tags",
]

Joining = Literal["spaced", "unspaced", "exact", "pieces", "marked"]
"""How tokens make a text.

``spaced`` puts a space between tokens. ``unspaced`` puts none, as Chinese and Japanese are written,
but for words in Latin letters. ``exact`` puts none at all: spaces are tokens of their own.
``pieces`` are word pieces: ``##`` continues a word. ``marked`` are pieces in which ``▁`` begins
one.
"""

_IDEOGRAPH = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
_SYLLABLE = re.compile("[\uac00-\ud7a3]")
_WORD = re.compile(r"[A-Za-z\u00c0-\u024f]+")
_FEW = 20
_PIECE = re.compile(r"##\S")
_TOKEN = re.compile(r"\S+")
_MARKED = re.compile(r"<([^<>]+):[A-Z][\w-]*>")


@dataclass(slots=True)
class Block:
    """The rows of one sentence.

    Attributes:
        lines: All its lines, for the file of bad rows.
        row: The row of JSON or of a table that it is, if it is one, in place of lines.
        tokens: Its tokens.
        tags: A tag for each token, in the usual spelling.
        numbers: The number of each token's line.
        glued: For each token, whether no space follows it; ``None`` if the file does not say.
        inner: Tags of nested entities, which are left out.
        deeper: What else rows have and a sentence cannot hold: kinds of losses, with examples.
        id: The sentence's id.
        text: The text that a comment gives.
        marked: The text with markup that a comment of KLUE's gives. It is only asked for spaces.
        fault: What is wrong with a row.
    """

    lines: list[str] = field(default_factory=list)
    row: Row | None = None
    tokens: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    glued: list[bool] | None = None
    inner: list[str] = field(default_factory=list)
    deeper: list[tuple[str, str]] = field(default_factory=list)
    id: str | None = None
    text: str | None = None
    marked: str | None = None
    fault: CorpusError | None = None

    @property
    def raw(self) -> str:
        """The sentence as the file has it."""
        return "\n".join(self.lines) if self.row is None else self.row.raw


def guess_joining(sentences: Iterable[Sequence[str]]) -> Joining:
    """How the tokens of a whole file make texts.

    >>> guess_joining([["我", "在", "北京"]]), guess_joining([["민준", "##은"], ["춘천", "##에"]])
    ('unspaced', 'pieces')
    """
    counts = _TokenCounts()
    for tokens in sentences:
        counts.add(tokens)
    return counts.joining()


class _TokenCounts:
    """Counts of kinds of tokens in a file."""

    def __init__(self) -> None:
        self.tokens = self.pieces = self.marks = self.ideographs = self.single = 0
        self.syllables = self.single_syllables = 0
        self.sentences = self.spaced_sentences = 0
        self.begins_with_piece = False

    def add(self, tokens: Sequence[str]) -> None:
        for token in tokens:
            self.tokens += 1
            self.single += len(token) == 1
            if _PIECE.match(token):
                self.pieces += 1
            elif token.startswith("▁"):
                self.marks += 1
            if _IDEOGRAPH.search(token):
                self.ideographs += 1
            elif _SYLLABLE.search(token):
                self.syllables += 1
                self.single_syllables += len(token) == 1
        if len(tokens) > 1:
            self.sentences += 1
            self.spaced_sentences += any(token.isspace() for token in tokens)
        if tokens and _PIECE.match(tokens[0]):
            self.begins_with_piece = True

    def joining(self) -> Joining:
        # A token of white space now and then is a line break, or a slip.
        if self.spaced_sentences and 2 * self.spaced_sentences >= self.sentences:
            return "exact"
        if self.marks > self.tokens / 4:
            return "marked"
        if self.pieces > self.tokens / 20 and not self.begins_with_piece:
            return "pieces"
        if self.ideographs > self.tokens / 3 and self.ideographs > 4 * self.syllables:
            return "unspaced"
        # Characters of any script. A few tokens of one character may be words.
        if self.tokens > _FEW and (
            self.single == self.tokens
            or (self.syllables > self.tokens / 3 and self.single_syllables > 0.9 * self.syllables)
        ):
            return "unspaced"
        return "spaced"


def _shown(token: str) -> str:
    """A word piece without the mark that it continues a word."""
    return token[2:] if _PIECE.match(token) else token


def join(
    tokens: Sequence[str], joining: Joining = "spaced", glued: Sequence[bool] | None = None
) -> tuple[str, list[tuple[int, int]]]:
    """The text of tokens, and the (start, end) of each token in it.

    Args:
        tokens: The tokens.
        joining: How they make a text.
        glued: For each token, whether no space follows it. This overrides ``joining``.

    >>> join(["Anna", "sings"])
    ('Anna sings', [(0, 4), (5, 10)])
    >>> join(["吴", "重"], "unspaced")
    ('吴重', [(0, 1), (1, 2)])
    """
    text = ""
    places = []
    previous = ""
    for number, token in enumerate(tokens):
        shown = token
        if glued is not None:
            space = number > 0 and not glued[number - 1]
            shown = _shown(token) if joining == "pieces" else token
        elif joining in ("spaced", "exact"):
            space = joining == "spaced"
        elif joining == "pieces":
            space = not _PIECE.match(token)
            shown = _shown(token)
        elif joining == "marked":
            space = token.startswith("▁")
            shown = token.lstrip("▁") if space else token
        else:
            space = bool(_WORD.fullmatch(previous) and _WORD.fullmatch(token)) and (
                len(previous) > 1 or len(token) > 1
            )
        if space and number:
            text += " "
        places.append((len(text), len(text) + len(shown)))
        text += shown
        previous = token
    return text, places


def _located(path: Path, block: Block, joining: Joining) -> tuple[str, list[tuple[int, int]]]:
    """The text of a block, and the place of each token in it."""
    if block.text is None:
        return join(block.tokens, joining, block.glued or _glued(block, joining))
    places: list[tuple[int, int]] = []
    end = 0
    for token, number in zip(block.tokens, block.numbers, strict=True):
        token = _shown(token) if joining == "pieces" else token
        start = block.text.find(token, end)
        if start < 0 or block.text[end:start].strip():
            raise CorpusError(
                f"token {token[:40]!r} is not the next one in the text",
                path=path,
                line=number,
                id=block.id,
                hint="correct the text or remove it",
            )
        end = start + len(token)
        places.append((start, end))
    return block.text, places


def _glued(block: Block, joining: Joining) -> list[bool] | None:
    """Which word pieces no space follows, as the marked text of a comment has it."""
    if joining != "pieces" or block.marked is None:
        return None
    plain = _MARKED.sub(r"\1", block.marked)
    glued, end = [], 0
    for token in block.tokens:
        piece = _shown(token)
        while plain[end : end + 1].isspace():
            end += 1
        if not plain.startswith(piece, end):
            return None
        end += len(piece)
        glued.append(not plain[end : end + 1].isspace())
    return glued


def _moved(spans: Iterable[TagSpan], places: Sequence[tuple[int, int]]) -> list[Span]:
    """Spans of tokens as spans of the text; one of empty tokens is an error.

    Raises:
        SpanError: A span has no characters.
    """
    moved = ((places[span.start][0], places[span.end - 1][1], span.label) for span in spans)
    return [Span(start, end, label) for start, end, label in moved]


def finish(
    path: Path, block: Block, scheme: Scheme, joining: Joining, options: ReadOptions
) -> Iterator[Sentence]:
    """The sentence of a block, or nothing if it has no rows or is bad and skipped.

    Raises:
        CorpusError: The block is bad, and bad ones are not skipped.
    """
    if not block.tokens and block.fault is None:
        return
    first = block.numbers[0] if block.numbers else None
    try:
        if block.fault is not None:
            raise block.fault
        spans, repairs = tags_to_spans(block.tags, scheme=scheme, strict=options.strict)
        text, places = _located(path, block, joining)
        sentence = options.sentence(path, first, block.id, text, _moved(spans, places))
        for kind, example in block.deeper:
            options.lost(kind, example, path, first, block.id)
        if block.inner:
            _tell_inner(path, block, scheme, text, places, options)
    except (CorpusError, SpanError, TagError) as error:
        options.bad(_fault(path, block, error), block.raw)
        return
    options.repaired(path, first or 0, repairs, block.id)
    if options.on_tags is not None and scheme == "iob2":
        options.on_tags(_character_tags(block.tags, places, len(text)))
    yield sentence


def _fault(path: Path, block: Block, error: CorpusError | SpanError | TagError) -> CorpusError:
    """What is wrong with a block, with its line."""
    if isinstance(error, CorpusError):
        return error
    if isinstance(error, TagError):
        line = None if error.line is None else block.numbers[error.line - 1]
        return CorpusError(error.problem, path=path, line=line, id=block.id, hint=error.hint)
    problem = f"an entity of empty tokens ({error.problem})"
    return CorpusError(problem, path=path, line=block.numbers[0], id=block.id)


def _tell_inner(
    path: Path,
    block: Block,
    scheme: Scheme,
    text: str,
    places: Sequence[tuple[int, int]],
    options: ReadOptions,
) -> None:
    """Count the nested entities of a block as lost."""
    for span in _moved(tags_to_spans(block.inner, scheme=scheme)[0], places):
        surface = text[span.start : span.end]
        options.lost(NESTED, f"{span.label} {surface!r}", path, block.numbers[0], block.id)


def _character_tags(
    tags: Sequence[str], places: Sequence[tuple[int, int]], length: int
) -> list[str]:
    """The tokens' tags, one per character; an entity goes on between its tokens."""
    chars = [OUTSIDE] * length
    previous = opening = OUTSIDE
    last = 0
    for (start, end), spelled in zip(places, tags, strict=True):
        # BMES writes M- inside.
        tag = inside_tag(spelled) if spelled.startswith("M-") else spelled
        inside = inside_tag(tag)
        if goes_on(previous, tag):
            chars[last:start] = [inside] * (start - last)
        if start < end:
            # A token without characters hands its beginning on.
            first = opening if goes_on(opening, tag) else tag
            chars[start:end] = [first, *[inside] * (end - start - 1)]
            opening = OUTSIDE
        elif tag.startswith("B-") or not goes_on(opening, tag):
            opening = tag
        last = end
        previous = tag
    return chars


def tokens_and_tags(
    sentence: Sentence, *, characters: bool = False
) -> tuple[list[tuple[int, int]], list[str]]:
    """The places of a sentence's tokens, and an IOB2 tag for each.

    Tokens are separated by white space and by the edges of spans, and have no white space.

    Args:
        sentence: The sentence.
        characters: Whether every character is a token.

    >>> tokens_and_tags(Sentence("춘천에 갔다", (Span(0, 2, "LC"),)))
    ([(0, 2), (2, 3), (4, 6)], ['B-LC', 'O', 'O'])
    """
    edges = {0, len(sentence.text)}
    edges.update(edge for span in sentence.spans for edge in (span.start, span.end))
    marks = spans_to_tags(sentence.spans, len(sentence.text))
    places, tags = [], []
    pattern = re.compile(r"\S") if characters else _TOKEN
    for start, end in pairwise(sorted(edges)):
        # If a span begins with a space, its first token gets the B- tag.
        opening = split_tag(marks[start])[0] == "B"
        for token in pattern.finditer(sentence.text, start, end):
            tag = marks[token.start()]
            if tag != OUTSIDE:
                tag = begin_tag(tag) if opening else inside_tag(tag)
                opening = False
            places.append(token.span())
            tags.append(tag)
    return places, tags


def token_spans(places: Sequence[tuple[int, int]], tags: Sequence[str]) -> tuple[Span, ...]:
    """The spans of tokens at these places."""
    return tuple(_moved(tags_to_spans(tags)[0], places))


def rejoined(
    sentence: Sentence, joining: Joining | None = "spaced", *, characters: bool = False
) -> Sentence:
    """A sentence as a file without its text has it: its tokens joined again.

    Args:
        sentence: The sentence.
        joining: How tokens make a text; ``None`` guesses it.
        characters: Whether every character is a token.

    >>> rejoined(Sentence("Anna  sings", (Span(0, 4, "PER"),))).text
    'Anna sings'
    """
    places, tags = tokens_and_tags(sentence, characters=characters)
    tokens = [sentence.text[start:end] for start, end in places]
    text, moved = join(tokens, guess_joining([tokens]) if joining is None else joining)
    return Sentence(text, token_spans(moved, tags))


def tokenized(sentence: Sentence) -> Sentence:
    """A sentence as tokens and a text keep it: spans have no white space at their edges.

    >>> tokenized(Sentence("Anna sings", (Span(0, 5, "PER", 0.9),))).spans
    (Span(start=0, end=4, label='PER', score=None),)
    """
    places, tags = tokens_and_tags(sentence)
    return Sentence(sentence.text, token_spans(places, tags), (sentence.id or "").strip() or None)
