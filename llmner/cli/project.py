"""``llmner project``: turn recorded replies of any LLM into exact spans, without a model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from llmner.asking import AskOptions
from llmner.asking.building import load_recipe
from llmner.cli._asking import with_ask_options
from llmner.cli._common import (
    BadRows,
    SkipBadOption,
    guarded,
    note,
    prints_to_terminal,
    progress,
)


@guarded
@with_ask_options(
    names=("recipe", "labels", "particles", "fuzzy", "repeats"),
    help={
        "recipe": "A built-in recipe (klue, klue-strict, gmb) or a YAML file; by default klue.",
        "labels": "The labels, in place of a recipe: PERSON,PLACE. Repeatable.",
    },
)
def project(
    input: Annotated[
        Path,
        typer.Option("--input", "-i", help='JSON Lines of {"id", "text", "reply"}; - for stdin.'),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="Spans JSONL to write; - for stdout, the default.",
            show_default=False,
        ),
    ] = Path("-"),
    options: AskOptions = AskOptions(),
    any_label: Annotated[
        bool,
        typer.Option(
            "--any-label", help="Take labels as replies have them; the recipe is not used."
        ),
    ] = False,
    reply_format: Annotated[
        str,
        typer.Option(
            help="json-by-type, json-list, tagged, lines, pairs, labels, or auto to "
            "look at each reply."
        ),
    ] = "auto",
    skip_bad: SkipBadOption = False,
) -> None:
    """Project replies that any LLM gave onto their texts, with an outcome for every mention."""
    from collections import Counter

    from llmner._mishaps import Mishap, attempt
    from llmner.cli._results import check_outputs
    from llmner.corpora import BadRow
    from llmner.corpora.jsonl import row_text_and_id
    from llmner.errors import CorpusError, InputError, LlmnerError, UnknownNameError
    from llmner.extraction.extractor import nothing
    from llmner.extraction.rows import projection_row
    from llmner.files import dump_json, open_lines, parse_row, whole_file
    from llmner.projection import Projection, project_reply
    from llmner.replies import LABEL_FORMATS, REPLY_FORMATS

    if str(output) != "-":
        check_outputs(None, output, [input])
    formats = dict.fromkeys(("auto", *REPLY_FORMATS, *LABEL_FORMATS))
    if reply_format not in formats:
        raise UnknownNameError(
            f"unknown reply format {reply_format!r}", hint=f"expected {', '.join(formats)}"
        )
    if any_label and options.recipe.labels is not None:
        raise InputError("--any-label and --labels exclude each other", hint="give one of them")
    schema = None if any_label else load_recipe(options.recipe).schema_
    policy = options.projection.policy()
    bad = BadRows(None if str(output) == "-" else output, skip=skip_bad)
    outcomes: Counter[str] = Counter()
    statuses: Counter[str] = Counter()
    failures: list[str] = []

    def rows() -> Iterator[dict[str, Any]]:
        for number, line in open_lines(input):
            if not line.strip():
                continue
            try:
                row = parse_row(input, number, line)
                text, id = row_text_and_id(input, number, row)
                reply = row.get("reply")
                if not isinstance(reply, str):
                    raise CorpusError(
                        "no 'reply'" if "reply" not in row else "'reply' is not a string",
                        path=input,
                        line=number,
                        id=id,
                        hint='expected {"id", "text", "reply"}',
                    )
            except CorpusError as error:
                if bad.collect is None:
                    raise
                bad.collect(BadRow(error, line))
                continue

            def project_row(
                id: str | None, text: str, reply: str
            ) -> tuple[Projection, dict[str, Any]]:
                projection = project_reply(text, reply, schema, reply_format, **policy)
                return projection, projection_row(id, projection, reply)

            result = attempt(project_row, id, text, reply)
            if isinstance(result, Mishap):
                failures.append(str(result))
                yield projection_row(id, nothing(text), reply, error=str(result))
                continue
            projection, output_row = result
            assert projection.reply is not None
            outcomes.update(outcome.kind for outcome in projection.outcomes)
            statuses[projection.reply.status] += 1
            yield output_row

    count = 0
    with (
        progress(
            "projecting", one="reply", many="replies", shown=not prints_to_terminal(output)
        ) as step,
        whole_file(output) as stream,
    ):
        for row in rows():
            stream.write(dump_json(row) + b"\n")
            count += 1
            step(1)
        if not count and not bad.rows:
            raise CorpusError("has no replies", path=input, hint="the file is empty")
    bad.close()
    note(f"{count} replies: {_listed(statuses)}; mentions: {_listed(outcomes)}")
    if outcomes and not outcomes.keys() - {"unknown_label"}:
        note("warning: no mention has a label of the recipe; is it the right --recipe?")
    elif count and not outcomes and not failures:
        note("warning: no reply names an entity; is it the right --reply-format?")
    if failures and len(failures) == count:
        raise LlmnerError(f"no reply could be projected (first: {failures[0]})")
    if failures:
        note(
            f"warning: {len(failures)} of {count} replies could not be projected "
            f"(first: {failures[0]})"
        )


def _listed(counts: Any) -> str:
    return ", ".join(f"{name} {number}" for name, number in counts.most_common()) or "none"
