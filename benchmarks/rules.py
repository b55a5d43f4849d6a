"""Rules of projection that pull against each other: what each way costs.

    make bench-rules        (or: python benchmarks/rules.py)

A rule that keeps mentions from places that are other things also keeps misspelt or cut mentions
from their own. Each rule below is switched to the other way, and the noise suite and the cases of
``data/cases`` are run with both. What is measured is written to ``results/rules.json``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any
from unittest.mock import patch

from _cases import OWN, read_rows
from _noise import noisy
from _report import ROOT, klue, write
from rich.console import Console
from rich.table import Table

from llmner.corpora import read_corpus
from llmner.projection import _similar, _surroundings, project
from llmner.projection._candidates import Finder
from llmner.recipes import Recipe
from llmner.schema import LabelSchema

Way = Callable[[], AbstractContextManager[Any]]


def _no_short_fuzzy() -> AbstractContextManager[Any]:
    near = Finder._near

    def longer(self: Finder, mention: str, *rest: Any) -> Any:
        return near(self, mention, *rest) if len(mention) > 3 else []

    return patch.object(Finder, "_near", longer)


def _strict_words() -> AbstractContextManager[Any]:
    same = _similar._same_word

    def strict(said: str, word: str) -> bool:
        short = max(len(said), len(word)) <= 6 and said.isascii() and said.isalpha()
        return said == word if short else same(said, word)

    return patch.object(_similar, "_same_word", strict)


def _every_particle() -> AbstractContextManager[Any]:
    return patch.object(Finder, "_may_end_a_name", lambda self, particle: True)


WAYS: dict[str, Way] = {
    "as it is": nullcontext,
    "no fuzzy match of three letters": _no_short_fuzzy,
    "Latin words of up to six letters must be equal": _strict_words,
    "no place in a word that has one letter more": lambda: patch.object(
        _surroundings, "_lacks_a_letter", lambda *place: False
    ),
    "no person inside a word, whatever particle is off": _every_particle,
}


def measures() -> Iterator[tuple[str, Callable[[], float]]]:
    """Name and measurement: micro F1 of the noise suites, and the share of right cases."""
    klue_schema = Recipe.load("klue").schema_
    corpus = list(read_corpus(klue("klue-ner-v1_dev.tsv")))
    yield "KLUE noise F1", lambda: _noise_f1(corpus, klue_schema, (20,))
    english = list(read_corpus(ROOT / "data" / "sample-en.txt", "markup"))
    schema = LabelSchema.of(*sorted({span.label for s in english for span in s.spans}))
    yield "English noise F1", lambda: _noise_f1(english, schema, (20, 21, 22, 23, 24))
    yield "cases right", _cases


def _noise_f1(corpus: Any, schema: LabelSchema, seeds: tuple[int, ...]) -> float:
    right = total = 0
    for seed in seeds:
        for case in noisy(corpus, schema.codes, seed):
            spans = set(project(case.text, case.mentions, schema, order=case.order).spans)
            right += len(spans & case.expected)
            total += len(spans) + len(case.expected)
    return round(2 * right / total, 5)


def _cases() -> float:
    rows = read_rows(OWN / "claims.jsonl")
    found = [frozenset(project(row.text, row.mentions, row.schema).spans) for row in rows]
    right = sum(spans in row.accepted for spans, row in zip(found, rows, strict=True))
    return round(right / len(rows), 5)


def main() -> None:
    figures: dict[str, dict[str, float]] = {}
    tasks = list(measures())
    for name, way in WAYS.items():
        with way():
            figures[name] = {measure: run() for measure, run in tasks}
    table = Table("rule", *[name for name, _ in tasks])
    for name, row in figures.items():
        table.add_row(name, *(f"{value * 100:.2f}" for value in row.values()))
    Console(width=120).print(table)
    write("rules", "make bench-rules", figures, packages=("llmner", "rapidfuzz"))


if __name__ == "__main__":
    main()
