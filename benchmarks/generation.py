"""Measures how many sentences per second an engine answers, one by one and in batches.

    make bench-generation
    python benchmarks/generation.py --engine vllm --one 64 --many 5000 --batch 256

The packaged model answers sentences of KLUE dev v1.1, free and grounded. The first ``--one`` of
them are asked in a call each, as the project did from which llmner started. The first ``--many``
are asked in one call. The engine is warmed up. The commands are the same on a GPU.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from _report import klue, vllm_package, write

from llmner.corpora import read_corpus
from llmner.engines import Generator, Reply, create_generator
from llmner.engines.adapters import PACKAGED_ADAPTER, find_adapter
from llmner.extraction import Extractor
from llmner.projection import project_reply
from llmner.recipes import Recipe
from llmner.recipes.chat import Prompt
from llmner.spans import Sentence


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", choices=("transformers", "vllm"), default="transformers")
    parser.add_argument("--one", type=int, default=24, help="sentences asked one at a time")
    parser.add_argument("--many", type=int, default=192, help="sentences asked together")
    parser.add_argument("--batch", type=int, default=128, help="sentences answered at a time")
    parser.add_argument(
        "--eager", action="store_true", help="vllm: compile nothing; on a CPU it takes minutes"
    )
    parser.add_argument(
        "--model", help="a merged model; by default the embedded one with its adapter"
    )
    arguments = parser.parse_args()
    adapter = find_adapter(PACKAGED_ADAPTER)
    options: dict[str, Any] = {"max_new_tokens": 128}
    options |= {"model": arguments.model} if arguments.model else {"adapter": adapter}
    options |= (
        {"batch_size": arguments.batch}
        if arguments.engine == "transformers"
        else {
            "max_num_seqs": arguments.batch,
            "max_model_len": 2048,
            "options": {"enforce_eager": arguments.eager},
        }
    )
    generator = create_generator(arguments.engine, **options)
    sentences = list(read_corpus(klue("klue-ner-v1.1_dev.tsv")))[
        : max(arguments.one, arguments.many)
    ]
    results: dict[str, Any] = {
        "engine": arguments.engine,
        "batch": arguments.batch,
        "merged": bool(arguments.model),
    }
    for way in ("free", "grounded"):
        extractor = Extractor(adapter.recipe, generator, grounded=way == "grounded")
        prompts = [extractor._prompt(sentence) for sentence in sentences]
        generator.generate(prompts[-8:])
        results[way] = measured(
            generator, adapter.recipe, prompts, sentences, arguments.one, arguments.many
        )
    engine = vllm_package() if arguments.engine == "vllm" else "peft"
    command = " ".join(["python benchmarks/generation.py", *sys.argv[1:]])
    write(
        f"generation_{arguments.engine}",
        command,
        results,
        ("llmner", "torch", "transformers", engine),
    )


def measured(
    generator: Generator,
    recipe: Recipe,
    prompts: list[Prompt],
    sentences: list[Sentence],
    one: int,
    many: int,
) -> dict[str, Any]:
    started = time.perf_counter()
    for prompt in prompts[:one]:
        generator.generate([prompt])
    alone = (time.perf_counter() - started) / one
    started = time.perf_counter()
    replies = generator.generate(prompts[:many])
    together = (time.perf_counter() - started) / many
    return {
        "one_at_a_time": {"sentences": one, "sentences_a_second": round(1 / alone, 3)},
        "together": {"sentences": many, "sentences_a_second": round(1 / together, 3)},
        "times_as_fast": round(alone / together, 2),
        "characters_a_sentence": round(sum(len(s.text) for s in sentences[:many]) / many, 1),
        "answer_tokens_a_sentence": round(
            sum(reply.completion_tokens or 0 for reply in replies) / many, 1
        ),
        "outcomes": outcomes(recipe, sentences, replies),
    }


def outcomes(
    recipe: Recipe, sentences: Sequence[Sentence], replies: Sequence[Reply]
) -> dict[str, int]:
    """What became of the mentions in replies, and how many replies could not be read."""
    counts: Counter[str] = Counter()
    for sentence, reply in zip(sentences, replies, strict=False):
        found = project_reply(sentence.text, reply.text, recipe.schema_, recipe.reply_format)
        counts.update(outcome.kind for outcome in found.outcomes)
        assert found.reply is not None
        counts["unreadable replies"] += found.reply.status in ("unreadable", "truncated")
    return dict(counts)


if __name__ == "__main__":
    main()
