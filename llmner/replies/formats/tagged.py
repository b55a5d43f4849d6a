"""``tagged``: the sentence again, with its mentions marked: ``<손흥민:PS>은 <춘천:LC>에서``.

Such a reply keeps every offset. The markup and its escapes are ``llmner.markup``'s.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from llmner.errors import MarkupError
from llmner.markup import escape, escape_outside, parse_markup, render_markup
from llmner.replies._drafts import is_json, looks_json
from llmner.replies._interpret import Found, is_label, is_nothing
from llmner.replies._lines import SQUARE_MARKUP
from llmner.replies._places import behind, places_of
from llmner.replies._types import Place, Reading, Unwrapped
from llmner.replies.formats._format import ReplyFormat
from llmner.replies.formats._grammar import alternatives, quoted
from llmner.schema import LabelSchema
from llmner.spans import Mention, Sentence

__all__ = ["FORMAT"]

_XML = re.compile(r"<([^<>/\s][^<>/]{0,60})>([^<>]+)</([^<>/]{1,60})>")
_LINK = re.compile(r"\[([^\[\]\n]+)\]\(([^()\n]{1,60})\)")
_LETTER = re.compile(r"[^\W\d_]")


def _write(sentence: Sentence, schema: LabelSchema | None) -> str:
    return render_markup(sentence.text, sentence.spans)


def _read_exact(reply: str, schema: LabelSchema) -> Reading | None:
    try:
        text, spans = parse_markup(reply)
    except MarkupError:
        return None
    mentions = tuple(Mention(s.label, text[s.start : s.end], start=s.start) for s in spans)
    return Reading("tagged", mentions, text=text)


def _read_sure(reply: str, schema: LabelSchema) -> Reading | None:
    """A sentence may begin as JSON does: "[1] 손흥민은", marked, is no list."""
    if not looks_json(reply) or is_json(reply):
        return None
    reading = _read_exact(reply, schema)
    return reading if reading is not None and reading.mentions else None


def _read(unwrapped: Unwrapped) -> Reading | None:
    schema, asked = unwrapped.schema, unwrapped.asked == "tagged"
    for part in reversed(unwrapped.parts) if asked else unwrapped.parts:
        found = Found(schema, unwrapped.budget)
        plain = _read_marked(part, schema, found)
        if asked and found.mentions:
            return found.reading("tagged", text=plain)
        labelled = schema is None or any(
            schema.resolve(mention.label) for mention in found.mentions
        )
        # Unasked, markup counts only in running text; "[손흥민:PS]" alone on its line is a line.
        if found.mentions and labelled and _LETTER.search(_between(plain, found)):
            return found.reading("tagged", text=plain)
    return None


def _read_last(unwrapped: Unwrapped) -> Reading | None:
    """The sentence as it was, without a mention: the format's way of saying that there is none."""
    if len(unwrapped.parts) != 1 or is_nothing(unwrapped.text):
        return None
    plain = _read_marked(
        unwrapped.parts[0], unwrapped.schema, Found(unwrapped.schema, unwrapped.budget)
    )
    return Reading("tagged", (), text=plain)


def _read_marked(text: str, schema: LabelSchema | None, found: Found) -> str:
    """Mentions of a sentence with markup, each with its place in the plain sentence, which is
    returned.

    Only the lines from the first to the last one with a mention count, so prose around the sentence
    is not taken for part of it. XML-like tags and Markdown links with a known label are read too.
    """
    rewritten = _XML.sub(
        lambda m: f"<{m[2]}:{m[1].strip()}>" if m[1] == m[3] and is_label(m[1], schema) else m[0],
        text,
    )
    rewritten = _LINK.sub(
        lambda m: f"<{m[1]}:{m[2].strip()}>" if is_label(m[2], schema) else m[0], rewritten
    )
    rewritten = SQUARE_MARKUP.sub(
        lambda m: f"<{m[1]}:{m[2].strip()}>" if is_label(m[2], schema) else m[0], rewritten
    )
    if rewritten != text:
        found.repairs["other-markup"] = None
    lines = rewritten.strip("\n").split("\n")
    parsed = [parse_markup(line, strict=False) for line in lines]
    marked = [number for number, (_, spans) in enumerate(parsed) if spans]
    if marked:
        if marked[0] > 0 or marked[-1] < len(lines) - 1:
            found.repairs["prose"] = None
        parsed = parsed[marked[0] : marked[-1] + 1]
    plain: list[str] = []
    length = 0
    for line, spans in parsed:
        for span in spans:
            found.add(span.label, line[span.start : span.end], start=length + span.start)
        plain.append(line)
        length += len(line) + 1
    found.shapes["tagged"] = None
    return "\n".join(plain)


def _between(plain: str, found: Found) -> str:
    """What stands outside the mentions of a tagged sentence."""
    parts, at = [], 0
    for mention in found.mentions:
        start = mention.start or 0
        parts.append(plain[at:start])
        at = start + len(mention.text)
    return "".join([*parts, plain[at:]])


def _places(reply: str, mentions: Sequence[Mention]) -> list[Place | None]:
    return places_of(reply, mentions, lambda surface: ("<", escape(surface), ":"), behind)


def _grammar(text: str, codes: tuple[str, ...]) -> str:
    """The sentence itself; before each character a mention may begin, and after it one may end."""
    last = len(text)
    rules = ["reply: out_0"]
    for at, char in enumerate(text):
        own, inside = quoted(escape_outside(char)), quoted(escape(char))
        rules.append(f'out_{at}: {own} out_{at + 1} | "<" in_{at}')
        ends = f'":" label ">" out_{at + 1}'
        rules.append(
            f"in_{at}: {inside} (in_{at + 1} | {ends})"
            if at + 1 < last
            else f"in_{at}: {inside} {ends}"
        )
    rules.append(f'out_{last}: ""')
    rules.append(f"label: {alternatives(codes)}")
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
