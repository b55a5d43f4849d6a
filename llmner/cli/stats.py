"""``llmner stats``: statistics of corpora, and comparisons of pairs of them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from llmner.cli._common import (
    FromOption,
    JsonOption,
    SplitOption,
    StrictOption,
    counted,
    guarded,
    progress,
    tell_reading,
)

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from llmner.corpora import CorpusComparison, CorpusStats


@guarded
def stats(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...", help="Corpus files, saved data sets, or klue/ner on the Hub."
        ),
    ],
    from_: FromOption = None,
    split: SplitOption = None,
    strict: StrictOption = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the test of label frequencies.")] = 42,
    json: JsonOption = False,
) -> None:
    """Show figures of each FILE, and hold every later file against every earlier one (train, then
    dev).
    """
    from llmner.cli._results import print_json
    from llmner.corpora import ReadStats, compare_corpora, corpus_stats, is_file_name, read_corpus
    from llmner.reports.console import console

    corpora = []
    # If there are data sets among the files, --split applies to them only.
    plain = [is_file_name(str(file)) for file in files]
    for file, is_plain in zip(files, plain, strict=True):
        read_stats = ReadStats()
        file_split = None if is_plain and not all(plain) else split
        sentences = read_corpus(file, from_, file_split, strict=strict, stats=read_stats)
        with progress("reading") as step:
            corpora.append(corpus_stats(counted(sentences, step)))
        tell_reading(read_stats)
    pairs = [
        (earlier, later, compare_corpora(corpora[earlier], corpora[later], seed=seed))
        for earlier, later in combinations(range(len(files)), 2)
    ]
    if json:
        report = {
            "files": [
                {"file": file, **figures.to_dict()}
                for file, figures in zip(files, corpora, strict=True)
            ],
            "pairs": [
                {"earlier": files[earlier], "later": files[later], **pair.to_dict()}
                for earlier, later, pair in pairs
            ],
        }
        print_json(report)
        return
    out = console()
    names = _names(files)
    out.print(_summary(names, corpora))
    for name, figures in zip(names, corpora, strict=True):
        if figures.labels:
            out.print()
            out.print(_labels(name, figures))
    for earlier, later, pair in pairs:
        _show_pair(out, names[earlier], names[later], pair)


def _names(files: Sequence[str]) -> list[str]:
    """The files' base names; the whole path where two base names are equal."""
    bases = [Path(file).name for file in files]
    return [
        base if bases.count(base) == 1 else file for file, base in zip(files, bases, strict=True)
    ]


def _summary(names: Sequence[str], corpora: Sequence[CorpusStats]) -> Table:
    from llmner.reports.console import plain_table

    table = plain_table("", *names)
    columns = [_figures(figures) for figures in corpora]
    for title in columns[0]:
        table.add_row(title, *(column[title] for column in columns))
    return table


def _figures(figures: CorpusStats) -> dict[str, str]:
    lengths = figures.lengths
    return {
        "sentences": f"{figures.sentences:,}",
        "  without an entity": f"{figures.without_entity:,}",
        "  duplicates": f"{figures.duplicates:,}",
        "  not in NFKC": f"{figures.not_nfkc:,}",
        "  with a repeated (label, surface)": f"{figures.repeats:,}",
        "characters, least": f"{lengths.min:,}",
        "  median": f"{lengths.median:,.1f}",
        "  mean": f"{lengths.mean:,.1f}",
        "  95th percentile": f"{lengths.p95:,}",
        "  most": f"{lengths.max:,}",
        "entities": f"{figures.entities:,}",
        "  a sentence": f"{figures.entities / figures.sentences:.2f}",
        "  that a first find() misplaces": f"{figures.misplaced:,}",
        "  adjacent pairs of one label": f"{figures.adjacent:,}",
        "  with white space at an edge": f"{figures.edge_spaces:,}",
        "  beginning with white space": f"{figures.leading_spaces:,}",
    }


def _labels(name: str, figures: CorpusStats) -> Table:
    from rich.text import Text

    from llmner.reports.console import plain_table, printable

    table = plain_table(name, "entities", "share", "mean length", "surfaces")
    for row in figures.labels:
        table.add_row(
            Text(printable(row.label)),
            f"{row.entities:,}",
            f"{row.share:.1%}",
            f"{row.mean_length:.2f}",
            f"{row.surfaces:,}",
        )
    return table


def _show_pair(out: Console, earlier: str, later: str, pair: CorpusComparison) -> None:
    from rich.text import Text

    from llmner.reports.console import printable

    out.print()
    out.print(Text(f"  {printable(later)} against {printable(earlier)}", style="bold"))
    overlap = pair.overlap
    out.print(
        f"  sentences in both: {overlap.exact:,}; "
        f"after NFKC and without white space: {overlap.folded:,}"
    )
    for example in overlap.examples:
        ids = [place.id or f"sentence {place.number}" for place in (example.earlier, example.later)]
        kind = "equal" if example.exact else "alike"
        out.print(Text(printable(f"    {kind}  {ids[0]}  {ids[1]}"), style="dim"))
        text = printable(example.later.text).replace("\n", " ")
        out.print(Text(f"      {text}"), no_wrap=True, overflow="ellipsis")
    if pair.unseen_share is not None:
        out.print(
            f"  unseen entities: {pair.unseen:,} of {pair.entities:,} ({pair.unseen_share:.1%}) "
            "have a (label, surface) that the earlier file lacks"
        )
    if pair.labels:
        out.print(_shifts(pair))
    if pair.test is not None:
        test = pair.test
        out.print(
            f"  chi-squared {test.statistic:.2f}, Cramer's V {test.cramers_v:.3f}, p {test.p:.4f} "
            f"({test.permutations:,} permutations of whole sentences, seed {test.seed})"
        )


def _shifts(pair: CorpusComparison) -> Table:
    from rich.text import Text

    from llmner.reports.console import plain_table, printable

    def formatted(value: float | None, form: str) -> str:
        return "-" if value is None else format(value, form)

    table = plain_table("label", "earlier", "later", "points", "unseen")
    for row in pair.labels:
        table.add_row(
            Text(printable(row.label)),
            formatted(row.earlier_share, ".1%"),
            formatted(row.later_share, ".1%"),
            formatted(row.points, "+.1f"),
            formatted(row.unseen / row.later if row.later else None, ".1%"),
        )
    return table
