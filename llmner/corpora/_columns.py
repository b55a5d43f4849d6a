"""Looking at files with one token a line: which column has the token, and which has its tag."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice, pairwise
from typing import NamedTuple

from llmner.corpora._blocks import Joining, guess_joining
from llmner.corpora._tag_reading import TagReading, read_tags
from llmner.tagging import OUTSIDE, labels_of, looks_like_tag, usual_tags

__all__ = [
    "KNOWN_LABELS",
    "TAG_NAMES",
    "TOKEN_NAMES",
    "Comment",
    "Layout",
    "columns_of",
    "comment_of",
    "guess_layout",
    "has_tag_column",
    "sample_lines",
]

_COMMENT = re.compile(r"#+ *(\w+) *= ?(.*)", re.DOTALL)
_KLUE_COMMENT = re.compile(r"## (\S+)\t(.*)")
_INDEX = re.compile(r"\d{1,9}(?:[-.]\d{1,9})?")
_LANGUAGE = re.compile(r"([a-z]{2,3}):\S")
# Columns of OntoNotes' files, as CoNLL-2011 and CoNLL-2012 have them.
_WORDS_2012, _NAMES_2012 = 3, 10
# Phrases of a sentence's structure, as CoNLL-2000 and CoNLL-2003 tag them.
_CHUNKS = frozenset("ADJP ADVP CONJP INTJ LST NP PP PRT SBAR UCP VP".split())
# Labels of well-known schemes. A finer label begins with one of these: PS_NAME, LOC-city.
KNOWN_LABELS = frozenset(
    "PS LC OG DT TI QT AF CV AM PT FD TR EV MT TM PER LOC ORG MISC DAT TIM NUM FLD AFW CVL EVT ANM "
    "PLT MAT TRM PERSON LOCATION ORGANIZATION NORP FAC GPE PRODUCT EVENT WORK_OF_ART LAW LANGUAGE "
    "DATE TIME PERCENT MONEY QUANTITY ORDINAL CARDINAL".split()
)
TOKEN_NAMES = frozenset("token tokens word words form text 단어 토큰 글자".split())
TAG_NAMES = frozenset(
    "tag tags ner ner_tag ner_tags ne ne_tag entity label labels iob bio 태그 개체명".split()
)
# Lines with more columns are no rows.
_MOST_COLUMNS = 200
# The first rows of a file, and later ones that have a tag, for files that begin without names.
_SAMPLE = 200
_LATER = 100
# Lines at the beginning that may be comments or empty.
_HEAD = 200
_MOST_LINES = 200_000
# Longer lines are no rows of a token and its tag.
_LONG = 1000
_TAGGED = re.compile(
    r"(?:.*[\t ])?(?:[BIESLUMW][-_:/][^\s]+|[^\s]+[-_:/][BIESLUMW])\s*|.*<[^<>]+:[A-Z][\w-]*>.*",
    re.IGNORECASE | re.DOTALL,
)
_FIRST_ROWS = 20
# A file whose tags are bare labels has at least this share of O.
_OUTSIDE_SHARE = 0.3
# A file with tags in a foreign spelling has at least so many rows.
_FEWEST = 3
_USUAL = re.compile(r"O|[BIESLUMW]-\S+|-|_|\*.*|\(.*")
# Rows of a table have one width, but for a few.
_EVEN_SHARE = 0.8


class Comment(NamedTuple):
    """What a comment says: a name and a value, both empty if it is only a remark."""

    name: str = ""
    value: str = ""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where things stand in the rows of a file.

    Attributes:
        token: The column of the token.
        tag: The column of the tag; -1 is the last one.
        width: The usual number of columns.
        inner: The column with the tags of nested entities.
        indexed: Whether the first column counts the tokens.
        header: Whether the first row has the names of the columns.
        language: Whether the tokens begin with the name of a language (``en:Anna``).
        names: Each tag of the first rows in its usual spelling; empty if no column has tags.
        reading: How the tags of the whole file are read.
        joining: How the tokens make a text.
        sure: Whether the first rows fit.
    """

    token: int = 0
    tag: int = -1
    width: int = 2
    inner: int | None = None
    indexed: bool = False
    header: bool = False
    language: bool = False
    names: Mapping[str, str] = field(default_factory=dict)
    reading: TagReading = field(default_factory=TagReading)
    joining: Joining = "spaced"
    sure: bool = True

    def is_row(self, columns: Sequence[str]) -> bool:
        """Whether these columns are a row: a token, and a tag where tags stand."""
        if len(columns) < 2 or not columns[min(self.token, len(columns) - 1)].strip():
            return False
        if self.indexed and not _INDEX.fullmatch(columns[0]):
            return False
        if self.tag >= len(columns):
            return False
        tag = columns[self.tag]
        return tag in self.names or tag in self.reading.names or looks_like_tag(tag)


def columns_of(line: str) -> list[str]:
    r"""The columns of a row: separated by tabs if it has one, otherwise by white space.

    >>> columns_of("Anna\tB-PER"), columns_of("Anna  B-PER")
    (['Anna', 'B-PER'], ['Anna', 'B-PER'])
    """
    if "\t" not in line:
        return line.split()
    first, *rest = line.rstrip("\t ").split("\t")
    return [first.strip(" ") or first, *(column.strip(" ") for column in rest)]


def comment_of(line: str, layout: Layout) -> Comment | None:
    """The comment that a line is, or ``None`` if it is a row.

    A line that begins with ``#`` or ``;`` is a row if it has a token and a tag as the rows of its
    file have; so ``#`` may be a token. A line such as ``# text = ...`` is always a comment.

    >>> comment_of("# a remark", Layout()), comment_of("# O", Layout())
    (Comment(name='', value=''), None)
    """
    if not line.startswith(("#", ";", "//")):
        return None
    columns = columns_of(line)
    named = _COMMENT.fullmatch(line)
    if named is not None and (re.search(r"\s", columns[0]) or "\t" not in line):
        if line[1:2] in (" ", "#") or not _fits(columns, layout):
            return Comment(named[1], named[2])
        return None
    if _fits(columns, layout):
        return None
    klue = _KLUE_COMMENT.match(line)
    return Comment("klue", f"{klue[1]}\t{klue[2]}") if klue else Comment()


def _fits(columns: Sequence[str], layout: Layout) -> bool:
    return (
        len(columns) == layout.width and not re.search(r"\s", columns[0]) and layout.is_row(columns)
    )


def guess_layout(
    lines: Callable[[], Iterable[str]], *, predicted: bool = False, fixed: Layout | None = None
) -> Layout:
    """The layout of a file.

    The first 200 rows, and later ones with tags, decide where things stand; all rows, how tags are
    spelled and meant.

    Args:
        lines: Gives the file's lines from the beginning; called more than once.
        predicted: Whether a tagger gave the tags.
        fixed: Where things stand, if that is known.

    >>> layout = guess_layout(lambda: ["1 Anna PER_B", "2 sings O"])
    >>> layout.token, layout.reading.usual(["PER_B"])
    (1, ['B-PER'])
    """
    layout = fixed or _places(sample_lines(lines()))

    def blocks() -> Iterator[list[list[str]]]:
        return _row_blocks(lines(), layout)

    joining = guess_joining([row[layout.token] for row in rows] for rows in blocks())
    reading = read_tags(
        lambda: ([row[layout.tag] for row in rows] for rows in blocks()),
        bare=bool(layout.names),
        predicted=predicted,
    )
    return replace(layout, reading=reading, joining=joining)


def has_tag_column(lines: Sequence[str]) -> bool:
    """Whether the lines that show what a file is surely have a token and a tag each.

    >>> has_tag_column(["Anna B-PER", "sings O"]), has_tag_column(["Send e-mail"])
    (True, False)
    """
    return _places(lines).sure


def sample_lines(lines: Iterable[str]) -> list[str]:
    """The lines that show what a file is: the first ones, and later ones that have a tag or markup.

    >>> len(sample_lines(f"word{n} O" for n in range(1000)))
    200
    """
    sample: list[str] = []
    rows = later = head = 0
    for line in islice(lines, _MOST_LINES):
        is_row = bool(line.strip()) and not line.startswith(("#", ";", "//"))
        if rows < _SAMPLE:
            rows += is_row
            head += not is_row
            if is_row or head <= _HEAD:
                sample.append(line)
        elif is_row and len(line) < _LONG and _TAGGED.fullmatch(line):
            sample.append(line)
            later += 1
            if later >= _LATER:
                break
    return sample


def _row_blocks(lines: Iterable[str], layout: Layout) -> Iterator[list[list[str]]]:
    """The rows of each sentence, without comments and without what is no row."""
    rows: list[list[str]] = []
    for line in lines:
        if not line.strip():
            yield rows
            rows = []
        elif comment_of(line, layout) is None and layout.is_row(columns := columns_of(line)):
            rows.append(columns)
    yield rows


def _places(lines: Sequence[str]) -> Layout:
    """Where things stand, from the first lines."""
    plain = [line for line in lines if not line.startswith(("#", ";", "//", "-DOCSTART-"))]
    candidates = [columns_of(line) for line in plain if line.strip()]
    if not candidates:
        # Everything looks like a comment: the lines may be rows whose tokens begin with #.
        rows = [line for line in lines if line.strip() and not _COMMENT.fullmatch(line)]
        candidates = [columns_of(line) for line in rows]
    candidates = [columns for columns in candidates if len(columns) <= _MOST_COLUMNS]
    widths = Counter(len(columns) for columns in candidates)
    if not widths:
        return Layout(sure=False)
    if _is_conll2012(candidates):
        names = usual_tags(row[_NAMES_2012] for row in candidates) or {}
        return Layout(_WORDS_2012, _NAMES_2012, len(candidates[0]), names=names)
    width = max(widths, key=lambda n: (widths[n], n))
    header = _header(candidates[0]) if len(candidates) > 1 else None
    body = candidates[1:] if header else candidates
    even = [row for row in body if len(row) == width]
    if width < 2 or not even:
        return Layout(sure=False)
    indexed = width > 2 and _counts(even)
    token = int(indexed)
    if header and len(header) == width:
        token = next((n for n, name in enumerate(header) if name in TOKEN_NAMES), token)
    if width == 2 and not header and list(tagged := _tag_columns(even, [0, 1])) == [0]:
        sure = _all_tags(body[:_FIRST_ROWS], 0) and _names_entities(lines, even, tagged[0])
        return Layout(1, 0, width, sure=sure)
    places = [n for n in range(width) if n != token and not (indexed and n == 0)]
    tag, inner, names = _tag_column(even, places, header, indexed=indexed)
    if tag is None:
        return Layout(token, -1, width, indexed=indexed, header=bool(header), sure=False)
    # Rows of other widths are read from the end, if that is where the tag stands.
    place = -1 if tag == width - 1 else tag
    sure = (
        len(even) >= _EVEN_SHARE * len(body)
        and _names_entities(lines, even, names)
        and all(
            len(row) >= 2 and bool(row[0].strip()) and row[max(place, -len(row))] in names
            for row in body[:_FIRST_ROWS]
            if place < len(row)
        )
    )
    language = (
        token == 0 and len({_language(row[0]) for row in even}) == 1 and bool(_language(even[0][0]))
    )
    return Layout(token, place, width, inner, indexed, bool(header), language, names, sure=sure)


def _is_conll2012(rows: Sequence[Sequence[str]]) -> bool:
    """Whether rows are OntoNotes' (document, part, number, word, ...), of any number of columns."""
    return (
        all(len(row) > _NAMES_2012 and row[1].isdecimal() and row[2].isdecimal() for row in rows)
        and usual_tags({"*"} | {row[_NAMES_2012] for row in rows}) is not None
    )


def _names_entities(
    lines: Sequence[str], rows: Sequence[Sequence[str]], names: Mapping[str, str]
) -> bool:
    """Whether the tags of the first lines cannot be words of a text.

    Labels begin with a letter, unlike those of vitamin B-12 and the form I-94. Lines of nothing but
    ``O`` are rows if they are parted by tabs, or if comments say so.
    """
    labels = labels_of(tag for tag in names.values() if "-" in tag and not tag.endswith("-"))
    if labels and all(label[0].isdigit() for label in labels):
        return False
    if labels and not all(map(_USUAL.fullmatch, names)):
        return _is_surely_tagged(names, len(rows)) and len(rows) >= len(lines) - _blank(lines)
    if labels and len(rows) < _FEWEST and OUTSIDE not in names.values():
        # One line such as "an E-Bike" is a text.
        return all(label.isupper() or label.upper() in KNOWN_LABELS for label in labels)
    if labels:
        return True
    return any("\t" in line or line.startswith("# ") for line in lines) and len(rows) > 0


def _blank(lines: Sequence[str]) -> int:
    """Lines that are no rows: empty ones, comments, and what begins a document."""
    return sum(not line.strip() or line.startswith(("#", ";", "-DOCSTART-")) for line in lines) + 1


def _is_surely_tagged(names: Mapping[str, str], rows: int) -> bool:
    """Whether tags in a foreign spelling cannot be words: some are outside, and labels are words.

    Few texts have ``O`` or ``-`` where tags stand; quizzes and blood groups have, and short labels.
    """
    if rows < _FEWEST or OUTSIDE not in names.values():
        return False
    labels = labels_of(tag for tag in names.values() if "-" in tag and not tag.endswith("-"))
    return all(
        label.upper() in KNOWN_LABELS or (len(label) > 2 and label[0].isalpha()) for label in labels
    )


def _language(token: str) -> str:
    match = _LANGUAGE.match(token)
    return match[1] if match else ""


def _header(columns: Sequence[str]) -> list[str] | None:
    names = [column.strip().lower() for column in columns]
    if set(names) & TOKEN_NAMES and set(names) & TAG_NAMES:
        return names
    return None


def _counts(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first column counts tokens, beginning anew now and then."""
    if not all(_INDEX.fullmatch(row[0]) for row in rows):
        return False
    if all(_INDEX.fullmatch(row[1]) for row in rows):
        return False
    numbers = [int(re.split("[-.]", row[0])[0]) for row in rows]
    steps = sum(
        after in (before, before + 1) or after in (0, 1) for before, after in pairwise(numbers)
    )
    return steps >= 0.9 * (len(numbers) - 1)


def _all_tags(rows: Sequence[Sequence[str]], column: int) -> bool:
    return all(len(row) > 1 and looks_like_tag(row[column]) for row in rows)


def _tag_columns(
    rows: Sequence[Sequence[str]], columns: Sequence[int], *, bare: bool = False
) -> dict[int, dict[str, str]]:
    """The columns that hold tags, with the usual spelling of each tag."""
    found = {}
    for column in columns:
        names = usual_tags((row[column] for row in rows), bare=bare)
        if names is not None:
            found[column] = names
    return found


def _tag_column(
    rows: Sequence[Sequence[str]],
    places: Sequence[int],
    header: Sequence[str] | None,
    *,
    indexed: bool,
) -> tuple[int | None, int | None, dict[str, str]]:
    """The column of the tags, that of nested entities, and the spelling of the tags."""
    tagged = _tag_columns(rows, places)
    if header is not None:
        named = [n for n in tagged if n < len(header) and header[n] in TAG_NAMES]
        tagged = {n: tagged[n] for n in named} or tagged
    if len(tagged) > 1:
        # Chunks are no entities, and a column of nothing but O says less than another.
        others = {
            n: names
            for n, names in tagged.items()
            if not _CHUNKS.issuperset(labels_of(names.values()))
        }
        tagged = others or tagged
    brackets = {n: names for n, names in tagged.items() if "*" in names}
    if len(brackets) > 1:
        # Roles of verbs stand in brackets, too.
        tagged = {
            n: names
            for n, names in brackets.items()
            if KNOWN_LABELS.issuperset(labels_of(tag for tag in names.values() if "-" in tag))
        }
    if tagged:
        columns = list(tagged)
        if indexed and len(columns) > 1:
            return columns[0], columns[1], tagged[columns[0]]
        return columns[-1], None, tagged[columns[-1]]
    if not places:
        return None, None, {}
    last = places[-1]
    bare = _tag_columns(rows, [last], bare=True)
    outside = sum(row[last] in ("O", "o") for row in rows)
    if bare and outside >= _OUTSIDE_SHARE * len(rows):
        return last, None, bare[last]
    return None, None, {}
