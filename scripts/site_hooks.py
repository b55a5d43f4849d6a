"""What the site has besides the pages of ``docs/``: the README, pictures, and references.

``mkdocs build`` calls these functions; ``make site`` runs it.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Literal

import click
from mkdocs.structure.files import File, Files
from pydantic import BaseModel, ConfigDict, Field
from typer.main import get_command

from llmner.serving._schemas import LabelOutcomeRow, OutcomeRow, SpanRow, Status, TextLabelRow

ROOT = Path(__file__).resolve().parent.parent
# Pages of the repository that are pages of the site under another name.
_PAGES = {"README.md": "index.md", "README.ko.md": "ko.md", "CONTRIBUTING.md": "contributing.md"}
_LINK = re.compile(r"(!?\[(?:[^\[\]]|\[[^\[\]]*\])*\])\(([^)\s]+)\)")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages and pictures that lie elsewhere, or nowhere."""
    for name, page in (("README.md", "index.md"), ("README.ko.md", "ko.md")):
        text = (ROOT / name).read_text("utf-8")
        files.append(File.generated(config, page, content=text))
    for picture in (ROOT / "benchmarks" / "results").glob("*.png"):
        content = picture.read_bytes()
        files.append(File.generated(config, f"results/{picture.name}", content=content))
    files.append(File.generated(config, "reference/commands.md", content=commands()))
    for name, schema in schemas().items():
        content = json.dumps(schema, ensure_ascii=False, indent=2) + "\n"
        files.append(File.generated(config, f"reference/{name}.schema.json", content=content))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Lead links of a page to pages of the site; what is not in it is left as words."""
    folder = "" if page.file.src_uri in _PAGES.values() else "docs/"

    def led(match: re.Match[str]) -> str:
        words, link = match.groups()
        target, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", link) or not target:
            return match[0]
        path = (ROOT / folder / Path(page.file.src_uri).parent / target).resolve()
        if folder == "":
            path = (ROOT / target).resolve()
        inside = path.relative_to(ROOT).as_posix()
        found = place(inside, page.file.src_uri)
        if found is None:
            return words.removeprefix("!")[1:-1]
        return f"{words}({found}{'#' + anchor if anchor else ''})"

    # What stands in fences is no link.
    parts = re.split(r"(^```.*?^```$)", markdown, flags=re.DOTALL | re.MULTILINE)
    return "".join(part if part.startswith("```") else _LINK.sub(led, part) for part in parts)


def place(path: str, page: str) -> str | None:
    """Where a file of the repository is on the site, as seen from a page; ``None`` if nowhere.

    >>> place("docs/start.md", "index.md"), place("benchmarks/results/a.png", "reference/x.md")
    ('start.md', '../results/a.png')
    """
    if path in _PAGES:
        found = _PAGES[path]
    elif path.startswith("docs/"):
        found = path.removeprefix("docs/")
    elif path.startswith("benchmarks/results/") and path.endswith(".png"):
        found = path.removeprefix("benchmarks/")
    else:
        return None
    return "../" * page.count("/") + found


def commands() -> str:
    """The page of all commands, with their options, as ``--help`` has them."""
    from llmner.cli import app

    lines = ["# Commands", "", "What `llmner COMMAND --help` prints, for all commands.", ""]
    root = get_command(app)
    assert isinstance(root, click.Group) or hasattr(root, "commands")
    for name, command in sorted(root.commands.items()):
        lines += section(f"llmner {name}", command)
    return "\n".join(lines)


def section(title: str, command: Any) -> list[str]:
    """The lines about a command, and about those beneath it."""
    lines = [f"## {title}", "", (command.help or "").replace("\f", "").strip(), ""]
    if hasattr(command, "commands"):
        for name, own in sorted(command.commands.items()):
            lines += [
                f"#{line}" if line.startswith("## ") else line
                for line in section(f"{title} {name}", own)
            ]
        return lines
    shown = [own for own in command.params if not getattr(own, "hidden", False)]
    if shown:
        lines += ["| option | | default |", "|---|---|---|"]
    for own in shown:
        words = (getattr(own, "help", None) or "").replace("|", "\\|").replace("\n", " ")
        name = own.name.upper() if own.param_type_name == "argument" else ", ".join(own.opts)
        default = (
            ""
            if (own.default is None or own.default is False or own.default == ())
            or callable(own.default)
            else f"`{own.default}`"
        )
        lines.append(f"| `{name}` | {words} | {default} |")
    return [*lines, ""]


class Window(BaseModel):
    """The answer about one stretch of a long text."""

    model_config = ConfigDict(extra="forbid")

    start: int
    end: int
    reply: str
    finish_reason: Literal["stop", "length", "error"]
    status: Status
    repairs: list[str]
    error: str | None = None
    samples: list[str] | None = None


class Row(BaseModel):
    """A row of extract or project: a text, its spans, and where they come from."""

    model_config = ConfigDict(extra="forbid")

    id: str | None
    text: str
    spans: list[SpanRow]
    labels: list[TextLabelRow] | None = Field(None, description="Labels of the whole text.")
    label_outcomes: list[LabelOutcomeRow] | None = None
    outcomes: list[OutcomeRow] | None = Field(None, description="One for each mention.")
    reply: str | None = Field(None, description="The raw reply.")
    status: Status | None = Field(None, description="How the reply was read.")
    repairs: list[str] | None = None
    finish_reason: Literal["stop", "length", "error"] | None = None
    error: str | None = Field(None, description="Why there is no answer.")
    samples: list[str] | None = Field(None, description="All replies, if several were sampled.")
    windows: list[Window] | None = Field(None, description="Of a long text.")
    review: list[SpanRow] | None = Field(
        None, description="Spans that a guaranteed precision leaves to people."
    )


def schemas() -> dict[str, dict[str, Any]]:
    """The formats that are published: recipes, and rows of spans."""
    from llmner.recipes import Recipe

    dialect = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return {
        "recipe": dialect | _with_short_forms(Recipe.model_json_schema()),
        "row": dialect | Row.model_json_schema(),
    }


def _with_short_forms(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of recipes, with the short ways to write labels, examples and attributes."""
    text, parts, fields = {"type": "string"}, schema["$defs"], schema["properties"]
    for name in ("Example", "ExampleLabel"):
        parts[name] = {"anyOf": [text, parts[name]]}
    scalar = {"type": ["string", "number"]}
    parts["AttributeValue"] = {"anyOf": [scalar, parts["AttributeValue"]]}
    parts["Attribute"] = {"anyOf": [text, {"type": "array"}, parts["Attribute"]]}
    for name in ("labels", "text_labels"):
        item = fields[name]["items"]
        listed = {**fields[name], "items": {"anyOf": [text, item]}}
        named = {"type": "object", "additionalProperties": {"type": ["string", "object", "null"]}}
        fields[name] = {"anyOf": [text, listed, named]}
    fields["extends"] = {**text, "description": "A recipe that this one changes."}
    # What is asked has a usual form where it is not given.
    schema["required"] = [name for name in schema["required"] if name == "name"]
    return schema
