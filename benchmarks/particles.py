"""Counts the particles and titles at the ends of names, and after them, on KLUE's train sentences.

    python benchmarks/particles.py

The projection's rules for particles and titles are based on these counts. For each particle: how
many gold entities end in it, with two syllables or more before it, and how many are followed by it
at the end of a word. For each title: how often it follows a person's name, and how often it is part
of the entity. Finally: what the rules trim from gold entities if a reply names each of them
exactly. Each of those is an error.
"""

from __future__ import annotations

import re
from collections import Counter

from _report import klue, write

from llmner.corpora import read_corpus
from llmner.languages.korean import NEVER_IN_A_NAME, PARTICLES
from llmner.projection import project
from llmner.recipes import Recipe
from llmner.spans import Mention, Sentence

TITLES = (
    "씨 님 군 양 모 대통령 의원 감독 후보 대표 판사 회장 위원장 교수 선수 장관 총리 박사 셰프 "
    "위원 작가 "
    "총장 실장 지사 의장 기자 변호사 당선인"
).split()


def main() -> None:
    corpus = list(read_corpus(klue("klue-ner-v1.1_train_mini.tsv")))
    schema = Recipe.load("klue").schema_
    surfaces = [sentence.surface(span) for sentence in corpus for span in sentence.spans]
    ends = {p: sum(s.endswith(p) and len(s) >= len(p) + 2 for s in surfaces) for p in PARTICLES}
    followed: Counter[str] = Counter()
    outside: Counter[str] = Counter()
    inside: Counter[str] = Counter()
    lost: Counter[str] = Counter()
    for sentence in corpus:
        for span in sentence.spans:
            tail = re.match(r"[가-힣]*", sentence.text[span.end :])
            if tail is not None and tail[0] in PARTICLES:
                followed[tail[0]] += 1
            if span.label == "PS":
                _count_titles(sentence, span.end, sentence.surface(span), outside, inside)
        lost.update(_lost(sentence, schema))
    figures = {
        "entities": len(surfaces),
        "never_in_a_name": {p: ends[p] for p in sorted(NEVER_IN_A_NAME)},
        "others": {
            p: {"entities that end so": ends[p], "entities followed by it": followed[p]}
            for p in sorted(PARTICLES)
            if p not in NEVER_IN_A_NAME and (ends[p] or followed[p])
        },
        "titles": {t: {"after the name": outside[t], "inside it": inside[t]} for t in TITLES},
        "taken_off_gold": dict(lost.most_common()),
    }
    write("particles", "python benchmarks/particles.py", figures)


def _count_titles(
    sentence: Sentence, end: int, surface: str, outside: Counter[str], inside: Counter[str]
) -> None:
    after = sentence.text[end:].lstrip(" ")
    for title in TITLES:
        if after.startswith(title):
            outside[title] += 1
        if (
            len(surface) > len(title)
            and surface.endswith(title)
            and (len(title) > 1 or surface[-2] == " ")
        ):
            inside[title] += 1


def _lost(sentence: Sentence, schema: object) -> list[str]:
    mentions = [Mention(span.label, sentence.surface(span)) for span in sentence.spans]
    projection = project(sentence.text, mentions, schema)  # type: ignore[arg-type]
    return [o.reason for o in projection.outcomes if o.kind == "trimmed"]


if __name__ == "__main__":
    main()
