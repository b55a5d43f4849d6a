"""Measures the score of a perfect model: gold is rendered as replies, read and projected back.

    python benchmarks/round_trip.py

It runs on all of KLUE dev. For each reply format: characters per reply, micro F1, and microseconds
per sentence for reading and projecting. Two simple ways of placing mentions are measured on the
same replies: the first ``find()``, and longer mentions first, each at its first free place. Gold
scored against gold shows the upper limit of the scorer.
"""

from __future__ import annotations

import time
from collections import Counter

from _peers import first_find, longest_first
from _report import klue, write

from llmner.corpora import read_corpus
from llmner.projection import project_reply
from llmner.recipes import Recipe
from llmner.replies import REPLY_FORMATS, read_reply, render_reply
from llmner.scoring import score
from llmner.spans import Sentence, Span


def micro_f1(gold: list[set[Span]], predicted: list[set[Span]]) -> float:
    right = sum(len(a & b) for a, b in zip(gold, predicted, strict=True))
    return 2 * right / (sum(map(len, gold)) + sum(map(len, predicted)))


def main() -> None:
    schema = Recipe.load("klue").schema_
    figures: dict[str, object] = {}
    for version in ("v1", "v1.1"):
        corpus = list(read_corpus(klue(f"klue-ner-{version}_dev.tsv")))
        gold = [set(sentence.spans) for sentence in corpus]
        rows: dict[str, object] = {}
        for format in REPLY_FORMATS:
            replies = [render_reply(sentence, format, schema) for sentence in corpus]
            started = time.perf_counter()
            projections = [
                project_reply(sentence.text, reply, schema, format)
                for sentence, reply in zip(corpus, replies, strict=True)
            ]
            seconds = time.perf_counter() - started
            outcomes = Counter(
                outcome.kind for projection in projections for outcome in projection.outcomes
            )
            read = [read_reply(reply, schema, format).mentions for reply in replies]
            rows[format] = {
                "characters_a_reply": round(sum(map(len, replies)) / len(replies), 1),
                "micro_f1": round(micro_f1(gold, [set(p.spans) for p in projections]), 6),
                "first_find_micro_f1": round(_simple(gold, corpus, read, first_find), 6),
                "longest_first_micro_f1": round(_simple(gold, corpus, read, longest_first), 6),
                "microseconds_a_sentence": round(seconds / len(corpus) * 1e6, 1),
                "outcomes": dict(outcomes),
            }
        spans = [sentence.spans for sentence in corpus]
        perfect = score(spans, spans, texts=[sentence.text for sentence in corpus])
        assert perfect.klue is not None
        figures[f"klue-ner-{version} dev"] = {
            "sentences": len(corpus),
            "entities": sum(map(len, gold)),
            "formats": rows,
            "gold_against_gold": {
                "micro_f1": perfect.micro.f1,
                "strict_f1": perfect.strict.f1,
                "klue_entity_f1": perfect.klue.entity_f1,
                "klue_char_f1": perfect.klue.char_f1,
                "klue_strict_entities_without_spaces": perfect.klue.gold_entities,
            },
        }
    write("round_trip", "python benchmarks/round_trip.py", figures)


def _simple(gold, corpus: list[Sentence], read, place) -> float:  # type: ignore[no-untyped-def]
    return micro_f1(
        gold, [place(sentence.text, m) for sentence, m in zip(corpus, read, strict=True)]
    )


if __name__ == "__main__":
    main()
