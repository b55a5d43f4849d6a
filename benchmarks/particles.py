"""Which particles a gold entity may end in, counted on the labelled KLUE train sentences.

    python benchmarks/particles.py

Behind two rules of the projection: particles that no name ends in are trimmed from a mention even where it
stands in the text as it is; the others only where it does not. An entity counts if two syllables or more
stand before the particle, as the rule asks.
"""

from __future__ import annotations

from _report import klue, write

from llmner.corpora import read_corpus
from llmner.projection._candidates import _NEVER_IN_A_NAME, _PARTICLES


def main() -> None:
    surfaces = [
        sentence.surface(span)
        for sentence in read_corpus(klue("klue-ner-v1.1_train_mini.tsv"))
        for span in sentence.spans
    ]
    counts = {
        particle: sum(s.endswith(particle) and len(s) >= len(particle) + 2 for s in surfaces)
        for particle in _PARTICLES
    }
    figures = {
        "entities": len(surfaces),
        "never_in_a_name": {particle: counts[particle] for particle in sorted(_NEVER_IN_A_NAME)},
        "others": {p: counts[p] for p in sorted(_PARTICLES) if p not in _NEVER_IN_A_NAME and counts[p]},
    }
    write("particles", "python benchmarks/particles.py", figures)


if __name__ == "__main__":
    main()
