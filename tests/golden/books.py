"""What the product answers today, written down: one book a subject, one line an answer.

``tests/golden/NAME.jsonl`` has the lines. Right or wrong, they are what a change that means to
change nothing must leave alone. A change that means to changes them with it: ``make golden`` writes
them again, and what git shows then is what users will see. Only public doors are used here, and no
answers of a model, which differ by processor. Texts whose licence keeps them out of this repository
stand as ids, offsets and hashes.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import json
import math
import random
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import typer.main
from typer.testing import CliRunner

import llmner
from llmner import (
    Extractor,
    LabelSchema,
    Mention,
    Projection,
    Recipe,
    Sentence,
    project,
    project_reply,
)
from llmner.cli import app
from llmner.corpora import read_corpus
from llmner.errors import InputError
from llmner.replies import REPLY_FORMATS, read_reply, render_reply
from tests.golden.engine import Scripted

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

from _damaged import damaged_replies
from _noise import noisy

__all__ = ["BOOKS", "FOLDER", "NEEDS", "written"]

FOLDER = Path(__file__).parent
ROOT = FOLDER.parent.parent
DATA = ROOT / "data"
SHARED = ROOT.parent / "shared"
CASES = SHARED / "cases"
KLUE = SHARED / "data" / "klue-ner" / "klue-ner-v1_dev.tsv"
REPLIES = SHARED / "data" / "recorded-replies" / "gemini-2.5-flash_klue-v1-dev_0000-0399.jsonl"

_SAMPLES = ("sample.tsv", "sample-en.txt", "sample-ja.txt", "sample-zh.txt", "sample-mixed.txt")
# What differs with the day, the machine and the version, and says nothing of the answers.
_PASSING = {"llmner", "versions", "seconds", "machine", "python"}

# Items of a list that are shown.
_SOME = 8

Line = dict[str, Any]


def written(value: Any) -> str:
    """A line as it stands in a book."""
    return json.dumps(_settled(value), ensure_ascii=False)


def _settled(value: Any) -> Any:
    """Without what passes, and with no more digits than any processor agrees on."""
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else str(value)
    if isinstance(value, dict):
        return {key: "*" if key in _PASSING else _settled(part) for key, part in value.items()}
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, list | tuple):
        return [_settled(part) for part in value]
    return value


def _hash(value: Any) -> str:
    return hashlib.sha256(written(value).encode("utf-8", "surrogatepass")).hexdigest()[:10]


def _answer(projection: Projection) -> Line:
    """Spans and outcomes, briefly."""
    line: Line = {
        "spans": [[span.start, span.end, span.label] for span in projection.spans],
        "outcomes": [
            [
                outcome.mention.label,
                outcome.mention.text,
                outcome.kind,
                None
                if outcome.span is None
                else [outcome.span.start, outcome.span.end, outcome.span.label],
                outcome.similarity,
                outcome.reason,
                [[span.start, span.end, span.label] for span in outcome.repeats],
            ]
            for outcome in projection.outcomes
        ],
    }
    read = projection.reply
    if read is not None:
        line |= {
            "status": read.status,
            "repairs": read.repairs,
            "format": read.format,
            "order": read.order,
        }
    return line


def _closed(projection: Projection) -> Line:
    """The same of a text that may not be quoted: offsets, kinds and a hash of all."""
    whole = _answer(projection)
    kinds = [outcome.kind for outcome in projection.outcomes]
    return {
        "spans": whole["spans"],
        "kinds": kinds,
        "status": whole.get("status"),
        "hash": _hash(whole),
    }


def _samples() -> Iterator[tuple[str, LabelSchema, list[Sentence]]]:
    for name in _SAMPLES:
        sentences = list(read_corpus(DATA / name, "markup" if name.endswith(".txt") else None))
        labels = sorted({span.label for sentence in sentences for span in sentence.spans})
        schema = Recipe.load("klue").schema_ if name == "sample.tsv" else LabelSchema.of(*labels)
        yield name, schema, sentences


def _jsonl(path: Path) -> list[Line]:
    return [json.loads(line) for line in path.read_text("utf-8").split("\n") if line.strip()]


# Projection


def cases(scratch: Path) -> Iterator[Line]:
    """What people reported elsewhere: replies and claims."""
    schemas = {
        "one": LabelSchema.of("PERSON"),
        "klue": Recipe.load("klue").schema_,
        "en": Recipe.load(str(CASES / "labels-en.yaml")).schema_,
    }
    for row in _jsonl(CASES / "replies.jsonl"):
        schema = schemas[row["labels"]]
        answers = project_reply(row["text"], row["reply"], schema, row.get("format", "auto"))
        yield {"id": row["id"], **_answer(answers)}
    for row in _jsonl(CASES / "claims.jsonl"):
        mentions = [Mention(mention["label"], mention["text"]) for mention in row["mentions"]]
        yield {"id": row["id"], **_answer(project(row["text"], mentions, schemas[row["labels"]]))}


def noise(scratch: Path) -> Iterator[Line]:
    """What models do to names, on our own sentences in five languages; every policy on some."""
    policies: list[dict[str, Any]] = [
        {},
        {"particles": "keep"},
        {"fuzzy": None},
        {"repeats": "all"},
    ]
    for name, schema, sentences in _samples():
        for seed in (20, 21):
            for number, case in enumerate(noisy(sentences, schema.codes, seed)):
                policy = policies[number % len(policies)] if seed == 21 else {}
                answers = project(case.text, case.mentions, schema, order=case.order, **policy)
                yield {"case": f"{name} {seed} {number}", **policy, **_answer(answers)}


def replies(scratch: Path) -> Iterator[Line]:
    """Every reply format, rendered and damaged, read and projected."""
    for name, schema, sentences in _samples():
        damaged = damaged_replies(sentences, schema.codes) if name == "sample.tsv" else []
        for number, reply in enumerate(damaged):
            text = sentences[number].text
            yield {
                "reply": f"{name} damaged {number}",
                **_answer(project_reply(text, reply, schema)),
            }
        for format in REPLY_FORMATS:
            rng = random.Random(5)
            for number, sentence in enumerate(sentences[:8]):
                whole = render_reply(sentence, format, schema)
                for reply in (
                    whole,
                    whole[: rng.randint(0, len(whole))],
                    f"네.\n```\n{whole}\n```\n이상입니다.",
                ):
                    answers = project_reply(sentence.text, reply, schema, format)
                    yield {"reply": f"{name} {format} {number}", **_answer(answers)}


def klue_replies(scratch: Path) -> Iterator[Line]:
    """400 replies of a real model."""
    schema = Recipe.load("klue").schema_
    for row in _jsonl(REPLIES):
        answers = project_reply(row["text"], row["reply"], schema, "json-by-type")
        auto = project_reply(row["text"], row["reply"], schema, repeats="all", particles="keep")
        yield {"id": row["klue_id"], **_closed(answers), "otherwise": _hash(_answer(auto))}


def klue_noise(scratch: Path) -> Iterator[Line]:
    """The noise suite on 1,000 real sentences."""
    schema = Recipe.load("klue").schema_
    sentences = list(read_corpus(KLUE))[:1000]
    damaged = damaged_replies(sentences, schema.codes)
    for sentence, case, reply in zip(
        sentences, noisy(sentences, schema.codes), damaged, strict=True
    ):
        answers = project(case.text, case.mentions, schema, order=case.order)
        read = project_reply(sentence.text, reply, schema, "json-list")
        yield {"id": sentence.id, **_closed(answers), "damaged": _hash(_answer(read))}


# Extraction


def rows(scratch: Path) -> Iterator[Line]:
    """Rows of extractions: whole texts, windows, votes, scores, replies that fail."""
    recipe = Recipe.load("klue")
    sentences = list(read_corpus(DATA / "sample.tsv"))
    long = Sentence("\n".join(sentence.text for sentence in sentences[:12]), (), "long")
    ways: list[tuple[str, dict[str, Any], Sequence[Sentence]]] = [
        ("plain", {}, sentences[:30]),
        ("windows", {"window": 90, "overlap": 30}, [long]),
        ("votes", {"samples": 3}, sentences[:20]),
        ("votes in windows", {"samples": 3, "window": 120, "overlap": 40}, [long]),
        ("sure", {"min_score": 0.8}, sentences[:20]),
        ("kept apart", {"particles": "keep", "repeats": "all", "fuzzy": 0.9}, sentences[:20]),
    ]
    for name, options, asked in ways:
        extractor = Extractor(recipe, Scripted(sentences, recipe), **options)
        yield {"way": name, "describe": extractor.describe()}
        for extraction in extractor.extract(asked):
            yield {"way": name, **extraction.row()}
    for format in REPLY_FORMATS:
        other = recipe.with_reply_format(format)
        extractor = Extractor(other, Scripted(sentences, other), grounded=True)
        for extraction in extractor.extract(sentences[:3]):
            yield {"way": f"grounded {format}", **extraction.row()}


# Recipes


def recipes(scratch: Path) -> Iterator[Line]:
    """Recipes as they are asked: hashes, messages, grammars and schemas."""
    from llmner.engines.grammars import reply_grammar, reply_schema
    from llmner.recipes.chat import build_prompt

    sentences = list(read_corpus(DATA / "sample.tsv"))[:2]
    for path in sorted((ROOT / "prompts").glob("*.yaml")):
        recipe = Recipe.load(path.stem)
        yield {"recipe": recipe.name, "hash": recipe.hash, "format": recipe.reply_format}
        for sentence in sentences:
            yield {"recipe": recipe.name, "messages": build_prompt(recipe, sentence).messages}
    recipe = Recipe.load("klue")
    for format in REPLY_FORMATS:
        yield {
            "format": format,
            "grammar": reply_grammar(sentences[0].text, format, recipe.schema_),
        }
        try:
            yield {"format": format, "schema": reply_schema(format, recipe.schema_)}
        except InputError as error:
            yield {"format": format, "refused": str(error)}
        for sentence in sentences:
            yield {"format": format, "rendered": render_reply(sentence, format, recipe.schema_)}
            read = read_reply(
                render_reply(sentence, format, recipe.schema_), recipe.schema_, format
            )
            yield {"format": format, "read": [[m.label, m.text, m.start] for m in read.mentions]}


# Commands


def commands(scratch: Path) -> Iterator[Line]:
    """What commands print for programs, and the files that they write."""
    for path in filter(Path.is_file, DATA.iterdir()):
        shutil.copy(path, scratch / path.name)
    recorded = [
        {
            "id": sentence.id,
            "text": sentence.text,
            "reply": render_reply(sentence, "json-by-type", Recipe.load("klue").schema_),
        }
        for sentence in read_corpus(DATA / "sample.tsv")
    ]
    (scratch / "recorded.jsonl").write_text(
        "".join(written(row) + "\n" for row in recorded), "utf-8"
    )
    short = scratch / "short.jsonl"
    short.write_text(
        "".join(written(row) + "\n" for row in _jsonl(DATA / "sample-replies.jsonl")[:20]), "utf-8"
    )
    run = ("--engine", "recorded", "--replies", "sample-replies.jsonl")
    for arguments in (
        ("extract", "-i", "sample.tsv", "-o", "rows.jsonl", *run),
        (
            "extract",
            "-i",
            "sample.tsv",
            "-o",
            "right.jsonl",
            "--engine",
            "recorded",
            "--replies",
            "recorded.jsonl",
        ),
        ("extract", "-i", "sample.tsv", "--json", "--min-score", "0.9", *run),
        ("project", "-i", "short.jsonl", "-o", "-"),
        (
            "project",
            "-i",
            "short.jsonl",
            "-o",
            "-",
            "--any-label",
            "--particles",
            "keep",
            "--fuzzy",
            "1",
        ),
        (
            "project",
            "-i",
            "short.jsonl",
            "-o",
            "-",
            "--reply-format",
            "json-list",
            "--repeats",
            "all",
        ),
        ("stats", "sample.tsv", "--json"),
        ("stats", "sample-gmb.csv", "--json"),
        ("stats", "sample.tsv", "right.jsonl", "--json"),
        (
            "evaluate",
            "--gold",
            "sample.tsv",
            "--predicted",
            "rows.jsonl",
            "--json",
            "--output",
            "run.json",
        ),
        (
            "evaluate",
            "--gold",
            "sample.tsv",
            "--predicted",
            "right.jsonl",
            "--json",
            "--output",
            "right.json",
        ),
        (
            "evaluate",
            "--gold",
            "sample.tsv",
            "--replies",
            "sample-replies.jsonl",
            "--json",
            "--limit",
            "30",
        ),
        (
            "evaluate",
            "--gold",
            "sample.tsv",
            "--predicted",
            "rows.jsonl",
            "--predicted",
            "right.jsonl",
            "--json",
        ),
        (
            "evaluate",
            "--gold",
            "sample.tsv",
            "--predicted",
            "rows.jsonl",
            "--report",
            "report.md",
            "--resamples",
            "0",
        ),
        ("compare", "run.json", "right.json", "--json"),
        (
            "compare",
            "rows.jsonl",
            "right.jsonl",
            "--gold",
            "sample.tsv",
            "--json",
            "--shuffles",
            "100",
        ),
        ("compare", "run.json", "right.json", "--show", "3"),
        (
            "calibrate",
            "--gold",
            "sample.tsv",
            "--predicted",
            "rows.jsonl",
            "-o",
            "calibration.json",
        ),
        *(
            ("convert", "sample.tsv", "-", "--to", format)
            for format in ("klue-tsv", "spans", "gmb-csv", "conll", "markup", "text")
        ),
        ("convert", "sample-gmb.csv", "-", "--to", "spans"),
        ("convert", "sample-en.txt", "-", "--to", "conll"),
        (
            "convert",
            "sample.tsv",
            "-",
            "--to",
            "chat",
            "--recipe",
            "klue-strict",
            "--reply-format",
            "tagged",
        ),
        ("convert", "sample.tsv", "-", "--to", "chat", "--prompt-completion"),
        # What is refused, and how.
        ("extract",),
        ("extract", "서울", "--engine", "none-such"),
        ("extract", "서울", "--recipe", "none-such"),
        ("extract", "서울", "--window", "0"),
        ("extract", "서울", "--window", "10", "--overlap", "10"),
        ("project", "-i", "missing.jsonl", "-o", "-"),
        ("project", "-i", "short.jsonl", "-o", "-", "--reply-format", "yaml"),
        ("convert", "sample.tsv", "-", "--to", "none-such"),
        ("evaluate", "--gold", "sample.tsv"),
        ("evaluate", "--gold", "sample-en.txt", "--predicted", "rows.jsonl"),
        ("stats", "README.md"),
    ):
        yield from _command(scratch, arguments)


def _command(scratch: Path, arguments: tuple[str, ...]) -> Iterator[Line]:
    with contextlib.chdir(scratch):
        done = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "100", "NO_COLOR": "1"})
    yield {"command": " ".join(arguments), "exit": done.exit_code}
    yield from _text("printed", done.stdout.replace(str(scratch), ""))
    if done.stderr:
        yield {"told": _timeless(done.stderr.replace(str(scratch), ""))}
    for at, argument in enumerate(arguments[:-1]):
        path = scratch / arguments[at + 1]
        if argument in ("-o", "--output", "--report") and path.is_file():
            yield from _text(f"wrote {path.name}", path.read_text("utf-8"))


def _text(name: str, text: str) -> Iterator[Line]:
    """JSON a key a line; other text its first lines. Of long lists some, and a hash of all."""
    try:
        value = json.loads(text)
    except ValueError:
        value = text.splitlines()
        with contextlib.suppress(ValueError):
            value = [json.loads(line) for line in value]
    parts = value.items() if isinstance(value, dict) else [("", value)]
    for key, part in parts:
        if isinstance(part, list) and len(part) > _SOME:
            yield {name: key, "length": len(part), "hash": _hash(part)}
            yield from (
                {name: key, "item": number, "is": item} for number, item in enumerate(part[:_SOME])
            )
        else:
            yield {name: key, "is": part}


def _timeless(text: str) -> str:
    return re.sub(r"\d+\.\d+ s(econds)?\b", "* s", text)


def doors(scratch: Path) -> Iterator[Line]:
    """Public names with their parameters, and the commands' options."""
    for name in sorted(llmner.__all__):
        yield {"name": name, **_door(getattr(llmner, name))}
    for name, command in sorted(_commands().items()):
        # In the order of their names: help shows them in groups.
        for parameter in sorted(command.params, key=lambda parameter: str(parameter.name)):
            kind = parameter.param_type_name
            yield {
                "command": name,
                kind: list(parameter.opts) + list(parameter.secondary_opts),
                "required": parameter.required,
                "default": None if callable(parameter.default) else parameter.default,
                "multiple": getattr(parameter, "multiple", False),
            }


def _commands() -> dict[str, Any]:
    group: Any = typer.main.get_command(app)
    return dict(group.commands)


def _door(value: Any) -> Line:
    try:
        names = [
            str(p).partition(":")[0].partition("=")[0].strip()
            for p in inspect.signature(value).parameters.values()
        ]
    except (TypeError, ValueError):
        names = []
    return {"parameters": names}


# HTTP


def http(scratch: Path) -> Iterator[Line]:
    """The server's description of itself, and its answers."""
    from tests.serving.fakes import Model, running, service

    with running(service(Model())) as address, httpx.Client(base_url=address, timeout=60) as client:
        text = "손흥민은 춘천에서 태어났다. 3,000명이 왔다."
        for path, body in (
            ("/infer", {"text": text}),
            ("/v1/extract", {"texts": [text, "서울"]}),
            ("/v1/extract", {"texts": [text], "window": 10, "overlap": 2}),
            (
                "/v1/project",
                {"text": text, "reply": '{"PS": ["손흥민 선수"], "LC": ["춘천에서", "런던"]}'},
            ),
            ("/v1/project", {"text": text, "mentions": [{"label": "PS", "text": "손흥민은"}]}),
            ("/v1/project", {"text": text}),
            ("/v1/project", {"text": text, "reply": "{}", "format": "yaml"}),
            ("/infer", {"text": 1}),
        ):
            answer = client.post(path, json=body)
            yield {
                "post": path,
                "body": body,
                "status": answer.status_code,
                "answer": answer.json(),
            }
        for path in ("/v1/recipes", "/healthz", "/readyz"):
            answer = client.get(path)
            yield {"get": path, "status": answer.status_code, "answer": answer.json()}
        described = client.get("/openapi.json").json()
        for path, methods in sorted(described["paths"].items()):
            for method, operation in sorted(methods.items()):
                yield {"path": path, "method": method, "describes": operation}
        for name, schema in sorted(described["components"]["schemas"].items()):
            yield {"schema": name, "describes": schema}


BOOKS: dict[str, Callable[[Path], Iterator[Line]]] = {
    book.__name__: book
    for book in (
        cases,
        noise,
        replies,
        klue_replies,
        klue_noise,
        rows,
        recipes,
        commands,
        doors,
        http,
    )
}
"""Each book's name, and what writes its lines, given an empty folder."""

NEEDS: dict[str, Path] = {"cases": CASES, "klue_replies": REPLIES, "klue_noise": KLUE}
"""Data that a book is written from and that does not come with this repository."""
