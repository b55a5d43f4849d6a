"""Compares projection with other aligners: accuracy, time, and how the time grows with the text.

    make bench-projection
    python benchmarks/projection.py    # with the dependency group ``peers`` installed
    python benchmarks/projection.py --kinds

The workloads are perfect replies, noise and real replies, in Korean and in four other corpora.
One more is the claims of ``data/cases``, row by row and kind by kind: our own rows of the kinds
that models get wrong, in five languages, with controls. Projection was written with these kinds in
view. ``--kinds`` runs it alone, and writes ``results/projection_kinds.json``.

Every aligner gets the same texts and the same (label, surface) pairs. Micro precision, recall and
F1 are over (start, end, label). Times are microseconds per sentence on one thread, without the
parsing of replies. The figures go to ``results/projection.json``, the growth to
``results/projection.png``.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from _cases import OWN, Row, judge, markdown, read_rows
from _noise import Case, gold_by_type, gold_in_order, noisy
from _peers import Aligner, aligners
from _report import RESULTS, ROOT, klue, write
from rich.console import Console
from rich.progress import track
from rich.table import Table

from llmner.corpora import read_corpus
from llmner.projection import project
from llmner.recipes import Recipe
from llmner.replies import read_reply
from llmner.schema import LabelSchema
from llmner.spans import Mention, Sentence, Span

OURS = "llmner"
SEEDS = (20, 21, 22, 23, 24)
SAMPLES = {
    "English": "sample-en.txt",
    "Japanese": "sample-ja.txt",
    "Chinese": "sample-zh.txt",
    "mixed scripts": "sample-mixed.txt",
}
RECORDED = Path(
    os.environ.get("LLMNER_RECORDED", ROOT.parent / "shared" / "data" / "recorded-replies")
)
Workload = tuple[str, LabelSchema, list[Case]]


def workloads(limit: int | None) -> Iterable[Workload]:
    """Name, labels and cases of each workload."""
    schema = Recipe.load("klue").schema_
    corpus = list(read_corpus(klue("klue-ner-v1_dev.tsv")))[:limit]
    yield "KLUE dev v1, gold by type", schema, [gold_by_type(s, schema.codes) for s in corpus]
    yield "KLUE dev v1, gold in order", schema, [gold_in_order(s) for s in corpus]
    yield "KLUE dev v1, noise", schema, noisy(corpus, schema.codes, SEEDS[0])
    replies = sorted(RECORDED.glob("*.jsonl"))
    if replies:
        yield "400 recorded replies", schema, [_recorded(row, schema) for row in _rows(replies[0])]
    for name, file in SAMPLES.items():
        sentences = list(read_corpus(ROOT / "data" / file, "markup"))
        labels = LabelSchema.of(*sorted({span.label for s in sentences for span in s.spans}))
        yield f"{name}, gold by type", labels, [gold_by_type(s, labels.codes) for s in sentences]
        many = [case for seed in SEEDS for case in noisy(sentences, labels.codes, seed)]
        yield f"{name}, noise", labels, many


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _recorded(row: dict[str, Any], schema: LabelSchema) -> Case:
    read = read_reply(row["reply"], schema)
    mentions = [Mention(schema.resolve(m.label) or m.label, m.text) for m in read.mentions]
    gold = frozenset(Span(start, end, label) for start, end, label in row["gold"])
    return Case(row["text"], tuple(mentions), gold, read.order, dict.fromkeys(gold, ""))


def measure(cases: Sequence[Case], align: Callable[[Case], set[Span]]) -> dict[str, Any]:
    """Precision, recall, F1, mean and median time of a sentence, and recall by kind of change."""
    seconds: list[float] = []
    right = predicted = 0
    totals: Counter[str] = Counter()
    hits: Counter[str] = Counter()
    for case in cases:
        started = time.perf_counter()
        spans = align(case)
        seconds.append(time.perf_counter() - started)
        right += len(spans & case.expected)
        predicted += len(spans)
        for span in case.expected:
            totals[case.done[span] or "untouched"] += 1
            hits[case.done[span] or "untouched"] += span in spans
    expected = sum(len(case.expected) for case in cases)
    return {
        "precision": round(right / max(1, predicted), 5),
        "recall": round(right / max(1, expected), 5),
        "f1": round(2 * right / max(1, predicted + expected), 5),
        "mean_microseconds": round(statistics.mean(seconds) * 1e6, 1),
        "median_microseconds": round(statistics.median(seconds) * 1e6, 1),
        "recall_by_perturbation": {
            name: f"{hits[name]}/{count}" for name, count in totals.most_common()
        },
    }


def compare(peers: dict[str, Aligner], limit: int | None) -> dict[str, Any]:
    """Measure every aligner on every workload."""
    results: dict[str, Any] = {}
    for name, schema, cases in workloads(limit):

        def ours(case: Case, schema: LabelSchema = schema) -> set[Span]:
            return set(project(case.text, case.mentions, schema, order=case.order).spans)

        rows = {OURS: measure(cases, ours)}
        for peer, align in track(peers.items(), name, transient=True):

            def theirs(case: Case, align: Aligner = align) -> set[Span]:
                return align(case.text, case.mentions)

            rows[peer] = measure(cases, theirs)
            if not name.endswith("noise"):
                del rows[peer]["recall_by_perturbation"]
        if not name.endswith("noise"):
            del rows[OURS]["recall_by_perturbation"]
        entities = sum(len(case.expected) for case in cases)
        results[name] = {"sentences": len(cases), "entities": entities, "aligners": rows}
    return results


def compare_kinds(peers: Mapping[str, Aligner], rows: Sequence[Row]) -> dict[str, Any]:
    """Measure every aligner on rows of claims."""

    def ours(row: Row) -> Collection[Span]:
        return project(row.text, row.mentions, row.schema).spans

    judge(rows[:20], ours)  # What happens once, such as compiling patterns, is in no row's time.
    measured = {OURS: judge(rows, ours)}
    for peer, align in peers.items():

        def theirs(row: Row, align: Aligner = align) -> set[Span]:
            return align(row.text, row.mentions)

        measured[peer] = judge(rows, theirs)
    return {"rows": len(rows), "aligners": measured}


def _text_of(size: int, sentences: Sequence[Sentence]) -> str:
    """A text of ``size`` characters, made of the sentences."""
    pieces: list[str] = []
    length = 0
    while length < size:
        piece = sentences[len(pieces) % len(sentences)].text
        pieces.append(piece)
        length += len(piece) + 1
    return "\n".join(pieces)[:size]


def growth(peers: dict[str, Aligner]) -> dict[str, Any]:
    """Seconds by size of the text: with ten mentions that are not in it, and with a thousand."""
    corpus = list(read_corpus(klue("klue-ner-v1_dev.tsv")))
    invented = [
        Mention("PS", name)
        for name in (
            "쿠르바노프스키 알리셰르",
            "제갈나래빛",
            "하늘땅별컴퍼니",
            "Zyxwood Holdings",
            "은하수마을박물관",
            "뷔르템베르크하우스",
            "3,141,592번",
            "새벽별어린이합창단",
            "퐁텐블로궁전",
            "옥토버페스티발",
        )
    ]
    sizes = (500, 1000, 2000, 5000, 10_000, 20_000)
    ten: dict[str, dict[str, float]] = {}
    slow: set[str] = set()
    for name, align in {OURS: _default, **peers}.items():
        for size in sizes:
            if name in slow:
                continue
            text = _text_of(size, corpus)
            best = float("inf")
            for _ in range(5 if name == OURS else 1):
                started = time.perf_counter()
                align(text, invented)
                best = min(best, time.perf_counter() - started)
            ten.setdefault(name, {})[str(size)] = round(best, 6)
            if best > 20:
                slow.add(name)
    real = [Mention(span.label, s.surface(span)) for s in corpus[:400] for span in s.spans][:500]
    nowhere = [
        Mention("PS", f"{chr(0xAC00 + 37 * n % 11172)}{chr(0xAC00 + 911 * n % 11172)}동{n}호")
        for n in range(500)
    ]
    thousand = {}
    for size in (10_000, 100_000, 300_000, 1_000_000):
        text = _text_of(size, corpus)
        started = time.perf_counter()
        project(text, [*real, *nowhere])
        thousand[str(size)] = round(time.perf_counter() - started, 4)
    return {
        "ten_invented_mentions_seconds_by_characters": ten,
        "a_thousand_mentions_seconds_by_characters": thousand,
    }


def _default(text: str, mentions: Sequence[Mention]) -> set[Span]:
    return set(project(text, mentions).spans)


def draw(figures: dict[str, Any]) -> None:
    """Draw time against size, with logarithmic axes."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4.5))
    for name, times in figures["ten_invented_mentions_seconds_by_characters"].items():
        axes.plot(
            [int(size) for size in times],
            list(times.values()),
            marker="o",
            label=name,
            linewidth=3 if name == OURS else 1,
        )
    axes.set(xscale="log", yscale="log", xlabel="characters of text", ylabel="seconds")
    axes.set_title("Ten mentions that are not in the text")
    axes.grid(True, which="both", alpha=0.2)
    axes.legend(fontsize=8)
    figure.tight_layout()
    RESULTS.mkdir(parents=True, exist_ok=True)
    figure.savefig(RESULTS / "projection.png", dpi=120, metadata={"Software": None})


def show(results: dict[str, Any]) -> None:
    """Print a table of F1 and a table of times."""
    out = Console(width=170)
    for title, key in (
        ("micro F1 × 100", "f1"),
        ("median microseconds a sentence", "median_microseconds"),
    ):
        table = Table("workload", title=title)
        names = list(next(iter(results.values()))["aligners"])
        for name in names:
            table.add_column(name, justify="right")
        for workload, row in results.items():
            values = [row["aligners"][name][key] for name in names]
            table.add_row(
                workload, *(f"{v * 100:.2f}" if key == "f1" else f"{v:,.0f}" for v in values)
            )
        out.print(table)


def _kept(name: str) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return report["figures"]


def tables() -> str:
    """The results in ``results/projection.json``, as the two tables of docs/projection.md."""
    kept = _kept("projection")["workloads"]
    names = list(next(iter(kept.values()))["aligners"])
    lines = []
    for key in ("f1", "median_microseconds"):
        lines += [f"| | {' | '.join(names)} |", f"|---|{'---|' * len(names)}"]
        for workload, row in kept.items():
            values = [row["aligners"][name][key] for name in names]
            cells = [f"{v * 100:.2f}" if key == "f1" else f"{v:.0f}" for v in values]
            lines.append(f"| {workload} | {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--limit", type=int, help="use only the first sentences of KLUE, and write nothing"
    )
    parser.add_argument(
        "--tables", action="store_true", help="only print the results of the last run, as Markdown"
    )
    parser.add_argument("--kinds", action="store_true", help="only the claims of data/cases")
    arguments = parser.parse_args()
    if arguments.tables:
        print(markdown(_kept("projection_kinds")["aligners"]) if arguments.kinds else tables())
        return
    limit = arguments.limit
    peers = aligners()
    if not arguments.kinds:
        results = compare(peers, limit)
        show(results)
        if limit is None:
            figures = {"workloads": results, "growth": growth(peers)}
            draw(figures["growth"])
            write("projection", "make bench-projection", figures, packages=PACKAGES)
    kinds = compare_kinds(peers, read_rows(OWN / "claims.jsonl"))
    print(markdown(kinds["aligners"]))
    if limit is None:
        command = "python benchmarks/projection.py --kinds"
        write("projection_kinds", command, kinds, packages=PACKAGES)


PACKAGES = ("llmner", "rapidfuzz", "langextract", "annotations4all", "fuzzysearch", "spacy-llm")

if __name__ == "__main__":
    main()
