"""Saving a run as JSON and reading it again, so that its figures can be computed anew."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llmner.corpora.jsonl import row_text_and_id, span_of_row, text_label_of_row
from llmner.errors import CorpusError, InputError, SpanError, TagError
from llmner.extraction.runs import partial_path, run_record
from llmner.files import dump_json, kind_of, read_json, too_deep, whole_file
from llmner.scoring._evaluate import Evaluation
from llmner.scoring._predictions import Prediction, reply_of
from llmner.spans import Sentence, TextLabel

__all__ = ["check_replaceable_run", "read_run", "write_run"]


def write_run(evaluation: Evaluation, path: Path) -> None:
    """Save a run as JSON for :func:`read_run`: its figures, its signature and every sentence.

    Raises:
        InputError: The file cannot be written.

    >>> import tempfile
    >>> from llmner.scoring import evaluate
    >>> evaluation = evaluate([Sentence("a")], [Prediction("a", ())], resamples=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_run(evaluation, Path(folder) / "run.json")
    ...     gold, predictions, signature = read_run(Path(folder) / "run.json")
    >>> gold[0].text, predictions[0].spans
    ('a', ())
    """
    with whole_file(path) as stream:
        stream.write(dump_json(evaluation.to_run()) + b"\n")


def check_replaceable_run(path: Path, description: Mapping[str, Any]) -> None:
    """Make sure that a saved run, if there is one, was made as the next one will be.

    A run that was begun in its place, and then interrupted, goes on.

    Args:
        path: Where the next run is to be saved.
        description: What decides the answers of the next one, as ``Extractor.describe`` has it.

    Raises:
        InputError: Another model, recipe or policy made it.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "run.json"
    ...     _ = path.write_text('{"signature": {"model": "a", "engine": "vllm"}, "rows": []}')
    ...     check_replaceable_run(path, {"model": "a"})
    ...     check_replaceable_run(path, {"model": "b"})  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    llmner.errors.InputError: ...run.json: was made with another model; name another output, ...
    """
    try:
        run = read_json(path) if kind_of(path) == "file" else None
    except InputError:
        return
    old = run.get("signature") if isinstance(run, dict) else None
    if isinstance(old, dict):
        new = json.loads(dump_json(description))
        others = sorted(key for key in new if old.get(key) != new[key])
        begun = run_record(partial_path(path)) or {}
        if others and any(begun.get(key) != new[key] for key in new):
            raise InputError(
                f"was made with another {', '.join(others)}",
                path=path,
                hint="name another output, or replace this one with --restart",
            )


def read_run(path: Path) -> tuple[list[Sentence], list[Prediction], dict[str, Any]]:
    """Read a run that :func:`write_run` saved.

    Returns:
        Its gold sentences, its predictions and its signature.

    Raises:
        CorpusError: The file is not a saved run.
    """
    run = read_json(path, hint="expected what evaluate --output writes")
    rows = run.get("rows") if isinstance(run, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise CorpusError(
            "holds no rows",
            path=path,
            hint="expected what evaluate --output writes (--json leaves rows out)",
        )
    gold, predictions = [], []
    for number, row in enumerate(rows, 1):
        text, id = row_text_and_id(path, number, row)
        sides = []
        for key in ("gold", "spans"):
            spans = row.get(key)
            if not isinstance(spans, list):
                raise CorpusError(f"row {number}: {key!r} is not a list", path=path, id=id)
            sides.append(tuple(span_of_row(path, number, id, span) for span in spans))
        tags = row.get("tags")
        if tags is not None and not (
            isinstance(tags, list) and all(isinstance(tag, str) for tag in tags)
        ):
            raise CorpusError(f"row {number}: 'tags' is not a list of strings", path=path, id=id)
        try:
            gold_labels, labels = (
                _text_labels(row, key, path, number, id) for key in ("gold_labels", "labels")
            )
            gold.append(Sentence(text, sides[0], id, gold_labels))
            reply = reply_of(row, path, number)
            read = None if tags is None else tuple(tags)
            predictions.append(Prediction(text, sides[1], id, *reply, read, labels))
        except (SpanError, TagError) as error:
            raise CorpusError(
                error.problem, path=path, line=number, id=id, hint=error.hint
            ) from None
    signature = run.get("signature")
    if too_deep(signature):
        raise CorpusError("the signature is nested too deeply", path=path)
    return gold, predictions, signature if isinstance(signature, dict) else {}


def _text_labels(
    row: dict[str, Any], key: str, path: Path, number: int, id: str | None
) -> tuple[TextLabel, ...]:
    """The labels of a whole text in a row of a saved run.

    Raises:
        CorpusError: They are not what a saved run has.
    """
    labels = row.get(key, [])
    if not isinstance(labels, list):
        raise CorpusError(f"row {number}: {key!r} is not a list", path=path, id=id)
    return tuple(text_label_of_row(path, number, id, label) for label in labels)
