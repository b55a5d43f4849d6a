"""``tagged``: the sentence with its mentions marked, ``<손흥민:PS>은 <춘천:LC>에서``.

Such a reply keeps every offset. ``llmner.markup`` defines the markup and its escapes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from llmner.errors import MarkupError
from llmner.markup import escape, escape_outside, parse_markup, render_markup
from llmner.replies._drafts import is_json
from llmner.replies._lines import SQUARE_MARKUP
from llmner.replies._mentions import MentionCollector, is_label, is_nothing
from llmner.replies._places import label_after, places_of
from llmner.replies._source import SourceText, fold, has_words_between
from llmner.replies._types import Place, Reading, Unwrapped
from llmner.replies.formats._format import ReplyFormat
from llmner.replies.formats._grammar import alternatives, quoted
from llmner.schema import LabelSchema
from llmner.spans import Mention, Sentence

__all__ = ["FORMAT"]

_XML = re.compile(r"<([^<>/\s][^<>/]{0,60})>([^<>]+)</([^<>/]{1,60})>")
# <PER: Abena>, [PER Tom], {{라온|PS}}
_LABEL_FIRST = re.compile(
    r"<([^<>:\n]{1,40}):[ \t]+([^<>\n]{1,200})>|\[([^\[\]\s:]{1,40})[ \t]([^\[\]\n]{1,200})\]"
    r"|\{\{([^{}|\n]{1,200})\|([^{}|\n]{1,40})\}\}"
)
_ONLY_BRACKETS = re.compile(r"(?:\s*+[\[<(][^\[\]<>()\n]++[\])>][ \t,;]*+)++\s*")
_LINK = re.compile(r"\[([^\[\]\n]+)\]\(([^()\n]{1,60})\)")
_BRACKETED = re.compile(
    r"(?P<mark>\*\*|__|`)?"
    r"(?P<name>(?:[A-ZÀ-Þ][\w.'’-]{0,40}\s){0,4}"
    r"(?:[一-鿿々]{1,20}|[ァ-ヶー]{1,30}|[^\s()\[\]<>,，、。（）一-鿿]{1,60}?))"
    r"(?(mark)(?P=mark))\s?[(\[（/](?P<label>[^()\[\]（）\s]{1,40})[)\]）]?"
)
_has_bracket = re.compile(r"[^\s]\s?[(\[（/]").search
# Words that begin a sentence before a name.
_BEFORE_A_NAME = re.compile(
    r"^(?:In|On|At|The|For|From|And|But|Im|Am|Der|Die|Das|Den|Dem|Bei|Von|Vom|Und)\s"
)


def _write(sentence: Sentence, schema: LabelSchema | None) -> str:
    return render_markup(sentence.text, sentence.spans)


def _read_exact(reply: str, schema: LabelSchema) -> Reading | None:
    try:
        text, spans = parse_markup(reply)
    except MarkupError:
        return None
    mentions = tuple(
        Mention(span.label, text[span.start : span.end], start=span.start) for span in spans
    )
    return Reading("tagged", mentions, text=text)


def _read_sure(reply: str, schema: LabelSchema) -> Reading | None:
    """Read a marked sentence on one line, whatever else it looks like: ``[1] <손흥민:PS>은`` is no
    list, and ``<손흥민, 토트넘:PS>`` no table.
    """
    if "\n" in reply or "```" in reply or "<|" in reply or is_json(reply):
        return None
    reading = _read_exact(reply, schema)
    return reading if reading is not None and reading.mentions else None


def _read(unwrapped: Unwrapped) -> Reading | None:
    schema, asked = unwrapped.schema, unwrapped.asked == "tagged"
    for part in reversed(unwrapped.parts) if asked else unwrapped.parts:
        if not asked and _ONLY_BRACKETS.fullmatch(part) is not None:
            # Lines of mentions, and no running text.
            continue
        collector = MentionCollector(schema, unwrapped.budget, unwrapped.source)
        plain = _read_marked(part, schema, collector)
        if not collector.mentions:
            plain = _read_in_brackets(part, collector, asked=asked)
        if asked and collector.mentions:
            difference = _difference(plain, collector.source)
            return collector.reading("tagged", [difference] if difference else [], text=plain)
        labelled = schema is None or any(
            schema.resolve(mention.label) for mention in collector.mentions
        )
        # If it was not asked for, markup counts in running text only: "[손흥민:PS]" alone on its
        # line is a reply in ``lines``.
        places = [(mention.start or 0, mention.text) for mention in collector.mentions]
        if places and labelled and has_words_between(plain, places):
            return collector.reading("tagged", text=plain)
    return None


def _read_last(unwrapped: Unwrapped) -> Reading | None:
    """Read the bare sentence, which says that it has no entity."""
    if len(unwrapped.parts) != 1 or is_nothing(unwrapped.text):
        return None
    plain = _read_marked(
        unwrapped.parts[0], unwrapped.schema, MentionCollector(unwrapped.schema, unwrapped.budget)
    )
    difference = _difference(plain, unwrapped.source)
    if difference == "other-text":
        # A refusal, a summary, another sentence: it says nothing of this one.
        return None
    return Reading("tagged", (), (difference,) if difference else (), text=plain)


def _difference(plain: str, source: SourceText | None) -> str:
    """How a plain sentence differs from the text, as a repair: it stops short, or is another."""
    folded = "" if source is None else fold(plain)
    if source is None or folded == source.folded:
        return ""
    # A reply may be cut off in the middle of a mention.
    whole = fold(plain.rpartition("<")[0])
    cut = any(part and source.folded.startswith(part) for part in (folded, whole))
    return "truncated" if cut else "other-text"


def _read_in_brackets(text: str, collector: MentionCollector, *, asked: bool) -> str:
    """Read labels in brackets behind names in the running text, 민준(PS)은; the plain sentence.

    If it was not asked for, only of a reply that repeats the text.
    """
    schema, source = collector.schema, collector.source
    if _has_bracket(text) is None:
        return text
    collector.budget.spend(1 + len(text) // 4)
    names = [match for match in _BRACKETED.finditer(text) if is_label(match["label"], schema)]
    if not names or not (asked or source is not None):
        return text
    plain: list[str] = []
    starts: list[int] = []
    surfaces: list[str] = []
    length = position = 0
    for match in names:
        before = text[position : match.start()] + match["name"]
        plain.append(before)
        length += len(before)
        name = _BEFORE_A_NAME.sub("", match["name"])
        starts.append(length - len(name))
        surfaces.append(name)
        position = match.end()
    whole = "".join([*plain, text[position:]])
    repeats = source is not None and source.folded in fold(whole)
    if not repeats and not (asked and source is None):
        return text
    collector.repairs["other-markup"] = None
    for match, name, start in zip(names, surfaces, starts, strict=True):
        collector.add(match["label"], name, start=start)
    return whole


def _read_marked(text: str, schema: LabelSchema | None, collector: MentionCollector) -> str:
    """Read the mentions of a marked sentence, with their offsets; returns the plain sentence.

    Only the lines from the first to the last one with a mention are read, so that prose around the
    sentence does not become part of it. XML-like tags and Markdown links with a known label are
    read too.
    """
    rewritten = text
    if "</" in text:
        rewritten = _XML.sub(
            lambda m: (
                f"<{m[2]}:{m[1].strip()}>" if m[1] == m[3] and is_label(m[1], schema) else m[0]
            ),
            rewritten,
        )
    if "](" in text:
        rewritten = _LINK.sub(
            lambda m: f"<{m[1]}:{m[2].strip()}>" if is_label(m[2], schema) else m[0], rewritten
        )
    if "[" in text or "［" in text:
        rewritten = SQUARE_MARKUP.sub(
            lambda m: f"<{m[1]}:{m[2].strip()}>" if is_label(m[2], schema) else m[0], rewritten
        )
    if ("[" in rewritten or ": " in rewritten or "{{" in rewritten) and "\\" not in rewritten:
        rewritten = _LABEL_FIRST.sub(lambda m: _surface_first(m, schema), rewritten)
    if rewritten != text:
        collector.repairs["other-markup"] = None
    if "<" not in rewritten and "\\" not in rewritten:
        # Nothing is marked, and nothing escaped.
        collector.shapes["tagged"] = None
        return rewritten.strip("\n")
    lines = rewritten.strip("\n").split("\n")
    parsed = [parse_markup(line, strict=False) for line in lines]
    marked = [number for number, (_, spans) in enumerate(parsed) if spans]
    if marked:
        if marked[0] > 0 or marked[-1] < len(lines) - 1:
            collector.repairs["prose"] = None
        parsed = parsed[marked[0] : marked[-1] + 1]
    plain: list[str] = []
    length = 0
    for line, spans in parsed:
        for span in spans:
            collector.add(span.label, line[span.start : span.end], start=length + span.start)
        plain.append(line)
        length += len(line) + 1
    collector.shapes["tagged"] = None
    return "\n".join(plain)


def _surface_first(match: re.Match[str], schema: LabelSchema | None) -> str:
    """A mention in our markup, of one with its label first or in other brackets."""
    groups = [group for group in match.groups() if group is not None]
    label, surface = groups if "|" not in match[0] else groups[::-1]
    if not is_label(label, schema) or is_label(surface.strip(), schema):
        return match[0]
    return f"<{surface.strip()}:{label.strip()}>"


def _places(reply: str, mentions: Sequence[Mention]) -> list[Place | None]:
    return places_of(reply, mentions, lambda surface: ("<", escape(surface), ":"), label_after)


def _grammar(text: str, schema: LabelSchema) -> str:
    """The grammar: the sentence, where a mention may begin or end at any character.

    ``out_N`` is the rest of the reply from character N on, outside a mention; ``in_N`` is the rest
    inside a mention.
    """
    length = len(text)
    rules = ["reply: out_0"]
    for index, char in enumerate(text):
        outside, inside = quoted(escape_outside(char)), quoted(escape(char))
        rules.append(f'out_{index}: {outside} out_{index + 1} | "<" in_{index}')
        mention_end = f'":" label ">" out_{index + 1}'
        rules.append(
            f"in_{index}: {inside} (in_{index + 1} | {mention_end})"
            if index + 1 < length
            else f"in_{index}: {inside} {mention_end}"
        )
    rules.append(f'out_{length}: ""')
    rules.append(f"label: {alternatives(schema.codes)}")
    return "\n".join(rules) + "\n"


FORMAT = ReplyFormat(
    name="tagged",
    order="text",
    write=_write,
    read_exact=_read_exact,
    read=_read,
    places=_places,
    grammar=_grammar,
    read_sure=_read_sure,
    read_last=_read_last,
    repeats_text=True,
)
