"""Makes the picture at the top of the README: a reply, and what becomes of each mention in it.

    python benchmarks/readme_picture.py

It is what ``llmner extract`` prints, as one SVG without scripts. It needs no model.
"""

from __future__ import annotations

import html
import io
import re
from collections.abc import Sequence
from pathlib import Path

from _report import ROOT
from rich.cells import cell_len
from rich.console import Console
from rich.terminal_theme import DEFAULT_TERMINAL_THEME
from rich.text import Text

from llmner import Recipe, project_reply
from llmner.reports.console import show_projection
from llmner.schema import LabelSchema

PICTURES = ROOT / "docs" / "images"
COLUMNS = 84

KOREAN = "손흥민은 7.2㎞를 달렸고, 손흥민의 팀은 춘천에서 이겼다."
KOREAN_REPLY = """네, 결과입니다.
```json
{"사람": ["손흥민", "손흥민"], "수량": ["7.2km"], "장소": ["춘천에서", "런던"],}
```"""
ENGLISH = "Ines ran 7.2km, and Ines won in Tallinn."
ENGLISH_REPLY = "PERSON: Ines, Ines\n**LENGTH**: 7.2 kilometers\nPLACE: Talinn, Paris"


def draw(
    console: Console, text: str, reply: str, schema: LabelSchema, labels: Sequence[str]
) -> None:
    console.print(Text("the model's reply", style="dim"))
    for line in reply.splitlines():
        console.print(Text(f"  {line}", style="dim italic"))
    console.print()
    show_projection(console, project_reply(text, reply, schema), labels, None)


def main(folder: Path = PICTURES) -> None:
    console = Console(
        record=True,
        width=COLUMNS,
        file=io.StringIO(),
        force_terminal=True,
        color_system="truecolor",
    )
    klue = Recipe.load("klue").schema_
    draw(console, KOREAN, KOREAN_REPLY, klue, klue.codes)
    english = LabelSchema.of("PERSON", "LENGTH", "PLACE")
    draw(console, ENGLISH, ENGLISH_REPLY, english, english.codes)
    # One id for the whole picture, so that it is the same at every call.
    svg = console.export_svg(title="llmner", theme=DEFAULT_TERMINAL_THEME, unique_id="llmner")
    # Fonts of another site would be asked for; a reader's own do.
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    (folder / "projection.svg").write_text(_TEXT.sub(spaced, svg), "utf-8")


# rich reckons every character as one cell; Korean ones take two.
_TEXT = re.compile(r'textLength="([\d.]+)"([^>]*)>([^<]*)<')


def spaced(match: re.Match[str]) -> str:
    length, between, escaped = match.groups()
    text = html.unescape(escaped)
    cell = float(length) / max(1, len(text))
    return f'textLength="{cell * cell_len(text):g}"{between}>{escaped}<'


if __name__ == "__main__":
    main()
