"""The noise suite that projection is measured on: it is what it says, and projection passes it."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

import pytest

from llmner.corpora import read_corpus
from llmner.projection import project
from llmner.recipes import Recipe
from llmner.schema import LabelSchema
from llmner.spans import Sentence

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))

from _damaged import damaged_replies  # noqa: E402
from _noise import OPERATIONS, Case, gold_by_type, gold_in_order, noisy  # noqa: E402
from _peers import first_find, longest_first  # noqa: E402


def f1(cases: list[Case], schema: LabelSchema) -> float:
    right = predicted = 0
    for case in cases:
        spans = set(project(case.text, case.mentions, schema, order=case.order).spans)
        right += len(spans & case.expected)
        predicted += len(spans)
    return 2 * right / (predicted + sum(len(case.expected) for case in cases))


@pytest.fixture(scope="module")
def sample() -> list[Sentence]:
    return list(read_corpus(ROOT / "data" / "sample.tsv"))


def test_the_same_seed_gives_the_same_cases(sample: list[Sentence], schema: LabelSchema) -> None:
    assert noisy(sample, schema.codes, 3) == noisy(sample, schema.codes, 3)
    assert noisy(sample, schema.codes, 3) != noisy(sample, schema.codes, 4)


def test_what_is_expected_are_spans_of_the_text(
    sample: list[Sentence], schema: LabelSchema
) -> None:
    done: Counter[str] = Counter()
    for seed in range(20):
        for sentence, case in zip(sample, noisy(sample, schema.codes, seed), strict=True):
            Sentence(case.text, tuple(sorted(case.expected)))
            assert set(case.done) == case.expected
            starts = {span.start for span in sentence.spans}
            assert {span.start for span in case.expected} <= starts
            done.update(case.done.values())
    assert set(done) == {"", *OPERATIONS}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_noise_is_undone(sample: list[Sentence], schema: LabelSchema, seed: int) -> None:
    cases = noisy(sample, schema.codes, seed)
    assert f1(cases, schema) >= 0.98


def test_noise_on_real_sentences_is_undone(klue_train: Path, schema: LabelSchema) -> None:
    cases = noisy(list(read_corpus(klue_train)), schema.codes, 20)
    assert f1(cases, schema) >= 0.99


@pytest.mark.parametrize("language", ["en", "ja", "zh", "mixed"])
def test_other_languages(language: str) -> None:
    sentences = list(read_corpus(ROOT / "data" / f"sample-{language}.txt", "markup"))
    schema = LabelSchema.of(*sorted({span.label for s in sentences for span in s.spans}))
    gold = [gold_by_type(sentence, schema.codes) for sentence in sentences]
    simple = [longest_first(case.text, case.mentions) for case in gold]
    right = sum(len(spans & case.expected) for spans, case in zip(simple, gold, strict=True))
    entities = sum(len(case.expected) for case in gold)
    assert f1(gold, schema) >= max(0.97, right / entities)
    assert f1([gold_in_order(sentence) for sentence in sentences], schema) >= 0.985
    assert f1(noisy(sentences, schema.codes, 20), schema) >= 0.95


def test_the_simple_ways_do_what_they_say(sample: list[Sentence]) -> None:
    sentence = Sentence("서울대학교는 서울에", ())
    case = gold_in_order(sample[0])
    assert first_find(sentence.text, case.mentions) == set()
    assert all(isinstance(span.start, int) for span in longest_first(case.text, case.mentions))


def test_the_sample_replies_are_what_the_script_writes() -> None:
    sentences = list(read_corpus(ROOT / "data" / "sample.tsv"))
    replies = damaged_replies(sentences, Recipe.load("klue").schema_.codes)
    rows = [
        json.loads(line)
        for line in (ROOT / "data" / "sample-replies.jsonl").read_text("utf-8").splitlines()
    ]
    assert rows == [
        {"id": s.id, "text": s.text, "reply": reply}
        for s, reply in zip(sentences, replies, strict=True)
    ]
