"""Patterns said over and over, and whether a function's time grows faster than what it is given.

A pattern is a prefix, a unit and a suffix; ``prefix + unit * n + suffix`` is what someone may send.
Its parts are drawn from the tokens that readers look for, or cut out of real replies. Times are
compared within one run and looked at again before anything is said, so a busy machine does not make
a finding.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from llmner.projection import canonical_surface, project, project_reply
from llmner.recipes import Recipe
from llmner.replies import REPLY_FORMATS, find_places, read_reply
from llmner.schema import Label, LabelSchema
from llmner.spans import Mention
from tests.costs import seconds

__all__ = [
    "FORMATS",
    "RUNS",
    "SCHEMA",
    "TEXT",
    "TOKENS",
    "Growth",
    "Pattern",
    "growth",
    "look",
    "patterns",
]

_SHARED = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
_REPLIES = _SHARED / "recorded-replies" / "gemini-2.5-flash_klue-v1-dev_0000-0399.jsonl"

TOKENS = (
    *"{}[]()<>\"'`“”‘’「」：:,;，、|=/\\*#-–—·.~_@%&+?!\n\t\r 0",
    *("``", "```", "```json\n", "~~~", "//", "/*", "*/", "->", "=>", "**", "##", "# ", "- ", "* ", "1. ", "(1) ", "｛", "］", "（"),
    *("<think>", "</think>", "<|im_end|>", "</s>", "<PS>", "</PS>", ":PS>", "<손", "[PS]", "(PS)", "\\u0041", "\\n", '\\"', "\\\\", "\\ud83d"),
    *("PS", "LC", "OG", "PS:", "PS\t", "\tPS", "PS | ", "B-PS", "사람", "person", "label", '"label"', '"text"', '"type":', '"entities":'),
    *('"PS"', "'PS'", '"x"', '"x', 'x"', '["x"]', '{"PS":', '{"PS": ["x"]}', '["x}', '["a" b]', "[/*]", '{"text": "x", "label": "PS"}', "[]", "{}"),
    *("null", "None", "true", "없음", "개체명", "개체명이 없", "해당 없음", "no entities", "n/a", "nan", "-1.5e9"),
    *("a(", "PS(", 'a("', " PS=[", "<PS>", "</PS>", "<a>", "<b/>", "<a x=", "\tB-PS\n", "\tI-PS\n", "/I-PS ", "text: ", "label: PS\n"),
    *("text,", "label\n", "| PS ", "<tr>", "<td>", "<|channel|>", "<|message|>", "thinking:", "answer:", '"arguments":', '"name":"x",', '"x: '),
    *("Mr ", " Co", " ,", "A.", "A.B. ", "AB ", "the ", "die ", "ü", "ue", "&amp;", "&#38;", "주식회사", "에서는", "#aB", "한서진", "GmbH"),
    *("손흥민", "춘천", "손", "민준 씨", "에서", "은", "2019년", "1,000", "3.5", "12", "㎞", "⑩", "½", "ᄒ", "ᅡ", "ᆫ", "é", "\u0301", "\u0315\u0300"),
    *("\u200b", "\ufeff", "\u3000", "\u2028", "\x00", "\x1f", "\ud800", "😀", "İ", "ß", "ﬁ", "aa", "ab", "Mr. ", "x" * 30, " " * 30, "가" * 30),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Pattern:
    """What is said: ``prefix``, ``unit`` so often, ``suffix``."""

    prefix: str
    unit: str
    suffix: str

    def of(self, size: int) -> str:
        """The pattern with about ``size`` characters in its units."""
        return self.prefix + self.unit * max(1, size // len(self.unit)) + self.suffix


@dataclass(frozen=True, slots=True)
class Growth:
    """Seconds of processor time at three sizes, each four times the one before; a line has
    ratios of 4.
    """

    seconds: tuple[float, float, float]

    def __str__(self) -> str:
        small, middle, large = (f"{1000 * value:.1f}" for value in self.seconds)
        return f"{small} -> {middle} -> {large} ms"


def patterns(seed: int, replies: Sequence[str] = ()) -> Callable[[], Pattern]:
    """A source of patterns: half from tokens alone, half with pieces of ``replies``."""
    draw = random.Random(seed)

    def some(most: int, least: int = 0) -> str:
        if replies and draw.random() < 0.25:
            reply = draw.choice(replies)
            start = draw.randrange(max(1, len(reply)))
            return reply[start : start + draw.randint(1, 40)]
        return "".join(draw.choice(TOKENS) for _ in range(draw.randint(least, most)))

    def one() -> Pattern:
        return Pattern(some(3), some(4, least=1) or "x", some(3))

    return one


def growth(
    run: Callable[[str], object],
    of: Callable[[int], str],
    *,
    size: int = 1_500,
    worth: float = 0.012,
    ratio: float = 8.0,
) -> Growth | None:
    """How the time of ``run`` grows, if it grows too fast; ``None`` if it is as good as linear.

    Args:
        run: What is given the text.
        of: Makes a text of about so many characters, as :meth:`Pattern.of` does.
        size: Characters of the smallest size.
        worth: Seconds below which nobody minds.
        ratio: What one size may take of the one before, which is a quarter as long.
    """

    def timed(length: int) -> float:
        text = of(length)
        return seconds(lambda: run(text), times=1)

    middle = timed(4 * size)
    if middle < worth:
        return None
    small = min(timed(size), timed(size))
    middle = min(middle, timed(4 * size))
    # The very small sizes are all overhead: what counts is how it goes on.
    if middle < worth or middle < ratio * 0.6 * small:
        return None
    large = timed(16 * size)
    if large < ratio * middle:
        return None
    small, middle, large = (
        min(old, timed(n * size)) for n, old in ((1, small), (4, middle), (16, large))
    )
    return Growth((small, middle, large)) if large >= ratio * middle else None


SCHEMA = Recipe.load("klue").schema_
TEXT = "손흥민은 2019년 3월 춘천에서 1,000명과 12㎞를 달렸다. Mr. Kim said so to ab aa (EU)."
CLAIMS = [
    Mention(label, text)
    for label, text in zip(
        ("PS", "LC", "PS", "DT", "QT", "OG", "PS", "QT"),
        ("손흥민", "춘천", "aa", "2019년", "1,000명", "한국은행 총재", "민준 씨", "12킬로미터"),
        strict=True,
    )
]
FORMATS = ["auto", *REPLY_FORMATS]


def real_replies() -> list[str]:
    path = _REPLIES
    lines = path.read_text(encoding="utf-8").split("\n") if path.exists() else []
    return [str(json.loads(line)["reply"]) for line in lines if line]


def read(text: str, schema: LabelSchema | None, format: str) -> None:
    reply = read_reply(text, schema, format)
    find_places(text, reply.mentions, reply.format)


def label_set(text: str) -> None:
    LabelSchema(labels=(Label(code="PS", aliases=(text,)),))


RUNS: dict[str, Callable[[str, LabelSchema | None, str], object]] = {
    "reply read": read,
    "reply projected": lambda text, schema, format: project_reply(TEXT, text, schema, format),
    "mention": lambda text, schema, format: project(TEXT, [Mention("PS", text), Mention("LC", text[:9])], schema),
    "mention, all repeats": lambda text, schema, format: project(TEXT, [Mention("QT", text)], schema, repeats="all"),
    "text": lambda text, schema, format: project(text, CLAIMS, schema),
    "text and mentions of it": lambda text, schema, format: project(
        text, [Mention("PS", text[:60]), Mention("LC", text[7:30]), Mention("QT", text[-40:])], schema, repeats="all"
    ),
    "text said again": lambda text, schema, format: project_reply(text[:4000], text[:4000], schema, "tagged"),
    "label of a mention": lambda text, schema, format: project(TEXT, [Mention(text, "손흥민")], schema),
    "alias of a label": lambda text, schema, format: label_set(text),
    "canonical form": lambda text, schema, format: canonical_surface(text),
}  # fmt: skip


def look(name: str, seconds: float, seed: int) -> tuple[int, str | None]:
    """How many patterns were tried on one of :data:`RUNS`, and the first finding, if there is
    one.
    """
    draw, choose = patterns(seed, real_replies()), random.Random(seed)
    run, over = RUNS[name], time.monotonic() + seconds
    count = 0
    while count < 20 or time.monotonic() < over:
        pattern, schema, format = (
            draw(),
            choose.choice((SCHEMA, SCHEMA, None)),
            choose.choice(FORMATS),
        )
        told = f"{name}, seed {seed}: {pattern} as {format}, schema {schema is not None}"
        try:
            grown = growth(partial(run, schema=schema, format=format), pattern.of)
        except Exception as error:
            return count, f"{told} raised {error!r}"
        if grown is not None:
            return count, f"{told}: {grown}"
        count += 1
    return count, None
