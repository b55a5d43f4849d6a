"""QLoRA of a 7.8B model on one GPU: sentences a second, and the memory of a full batch.

    python benchmarks/gpu_training.py [--steps 30] [--try "batch_size=16 gradient_accumulation=1"]

Needs a CUDA device, and no weights: the model has EXAONE 3.5 7.8B's shape and random numbers in 4
bits, and the tokenizer is trained on the corpus. The rows are KLUE's where it is at hand, and else
the sample's. Two shipped configurations learn from the same sentences in one run: ours (every
linear layer, loss on the answers, rows of like length together) and the blog's (queries, keys and
values, loss on all tokens, rows as they come). Then ours takes full batches of max_length tokens,
beside what ``llmner doctor`` estimates. ``--try`` measures ours with other settings, to choose by.
``--tiny`` walks through all of it on a CPU with a toy.

Writes the figures to ``results/gpu_training.json``, or ``--tiny`` wherever ``--output`` says.
"""

from __future__ import annotations

import argparse
import dataclasses
import gc
import random
import shlex
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from _report import KLUE, RESULTS, ROOT, write

CONFIGS = ROOT / "scripts" / "configs"
OURS, BLOG = CONFIGS / "exaone-3.5-7.8b-24gb.yaml", CONFIGS / "exaone-3.0-7.8b-blog.yaml"
PACKAGES = ("llmner", "accelerate", "bitsandbytes", "peft", "torch", "transformers", "trl")
WARM_UP = 3
"""Steps that are not timed: kernels are compiled in them."""


def configuration(path: Path, *options: str) -> Any:
    from llmner.training import parse_config

    return parse_config(["--config", str(path), *options])


def corpus() -> tuple[str, list[Any]]:
    """The sentences of KLUE's training file, or the sample's, and which they are."""
    from llmner.corpora import read_corpus

    path = KLUE / "klue-ner-v1.1_train_mini.tsv"
    if not path.exists():
        path = ROOT / "data" / "sample.tsv"
    sentences = list(read_corpus(path))
    random.Random(42).shuffle(sentences)
    return path.name, sentences


class Bench:
    """The model's shape, the tokenizer and the sentences; each measurement makes its own model."""

    def __init__(self, shape: Any, device: str) -> None:
        from _quantised import train_tokenizer

        self.shape, self.device = shape, device
        self.corpus, self.sentences = corpus()
        self.tokenizer = train_tokenizer(sentence.text for sentence in self.sentences)

    def rows(self, config: Any, count: int) -> list[Any]:
        """Token rows of the first so many sentences, again from the start where there are too
        few.
        """
        from llmner.recipes import Recipe
        from llmner.training._rows import build_rows

        times = -(-count // len(self.sentences))
        sentences = (self.sentences * times)[:count]
        recipe = Recipe.load(config.data.recipe)
        end = [self.tokenizer.eos_token_id]
        data = config.data
        return build_rows(
            sentences, recipe, self.tokenizer, end, max_length=data.max_length, loss_on=data.loss_on
        )[0]

    def train(self, config: Any, rows: Sequence[Any]) -> dict[str, Any]:
        """Train one epoch of the rows, with the project's own trainer.

        Returns:
            Seconds and counts of the steps after the first three, and the highest memory in GiB.
        """
        import torch
        from _quantised import random_model

        from llmner.recipes import Recipe
        from llmner.training._model import check_coverage
        from llmner.training._prepared import Prepared
        from llmner.training._run import trainer_builder

        cuda = self.device != "cpu"
        model = random_model(self.shape, self.device, self.tokenizer.eos_token_id)
        with tempfile.TemporaryDirectory() as folder:
            trainer = trainer_builder()(
                config,
                Prepared(Recipe.load(config.data.recipe), model, self.tokenizer, tuple(rows)),
                logs=Path(folder) / "logs",
                checkpoints=Path(folder) / "checkpoints",
            )
            trainer.args.save_strategy = "no"
            coverage = check_coverage(trainer.model, config.lora)
            counted = Counted(trainer, cuda)
            if cuda:
                torch.cuda.empty_cache()
                torch.cuda.reset_peak_memory_stats()
            trainer.train()
            found = counted.figures()
        if cuda:
            found["highest_gib"] = {
                "allocated": round(torch.cuda.max_memory_allocated() / 2**30, 2),
                "reserved": round(torch.cuda.max_memory_reserved() / 2**30, 2),
            }
        found["adapter_parameters"] = coverage.trained
        del trainer, counted, model
        gc.collect()
        if cuda:
            torch.cuda.empty_cache()
        return found

    def speed(self, config: Any, steps: int) -> dict[str, Any]:
        """Sentences a second over so many optimiser steps."""
        config = alone(config)
        rows = self.rows(config, (steps + WARM_UP) * config.batch_rows())
        return {"settings": settings(config), **self.train(config, rows)}

    def full(self, config: Any, batch_size: int) -> dict[str, Any]:
        """The memory of batches in which every row has max_length tokens, and all of an answer are
        learnt.
        """
        from llmner.training._memory import estimate
        from llmner.training._rows import TokenRow

        config = dataclasses.replace(
            alone(config),
            optim=dataclasses.replace(config.optim, batch_size=batch_size, gradient_accumulation=1),
        )
        length = config.data.max_length
        # One row is a token shorter: padding brings a mask, which costs more than none.
        rows = [
            TokenRow([7] * size, [7] * size)
            for size in ([length] * (batch_size - 1) + [length - 1]) * 4
        ]
        found = self.train(config, rows)
        estimated = estimate(config, self.shape, device="cpu" if self.device == "cpu" else "cuda")
        return {
            "rows": batch_size,
            "tokens_a_row": length,
            "highest_gib": found.get("highest_gib"),
            "estimated_gib": {
                "allocated": round((estimated.training - estimated.overhead) / 2**30, 2),
                "with_overhead": round(estimated.training / 2**30, 2),
            },
        }


class Counted:
    """Counts what a trainer learns from, and the time its steps take."""

    def __init__(self, trainer: Any, cuda: bool) -> None:
        from transformers import TrainerCallback

        self._cuda = cuda
        self._ends: list[float] = []
        self._seen = {"sentences": 0, "tokens": 0, "padded_tokens": 0}
        self._steps: list[dict[str, int]] = []
        step = trainer.training_step

        def training_step(model: Any, inputs: Any, *args: Any, **options: Any) -> Any:
            self._count(inputs)
            return step(model, inputs, *args, **options)

        trainer.training_step = training_step
        counted = self

        class Ends(TrainerCallback):
            def on_step_end(self, args: Any, state: Any, control: Any, **options: Any) -> None:
                counted._end()

        trainer.add_callback(Ends())

    def _count(self, inputs: Any) -> None:
        ids, mask = inputs["input_ids"], inputs.get("attention_mask")
        # Packed rows are laid end to end, each counting its positions from 0.
        packed = (inputs["position_ids"] == 0).sum().item() if mask is None else 0
        self._seen["sentences"] += packed or ids.shape[0]
        self._seen["tokens"] += ids.numel() if mask is None else int(mask.sum())
        self._seen["padded_tokens"] += ids.numel()

    def _end(self) -> None:
        if self._cuda:
            import torch

            torch.cuda.synchronize()
        self._ends.append(time.perf_counter())
        self._steps.append(dict(self._seen))

    def figures(self) -> dict[str, Any]:
        """Of the steps after warming up; of the last where there are too few."""
        first = max(0, min(WARM_UP, len(self._ends) - 1) - 1)
        seconds = self._ends[-1] - self._ends[first]
        seen = {key: value - self._steps[first][key] for key, value in self._steps[-1].items()}
        speeds = {
            f"{key}_a_second": round(count / seconds, 2) if seconds else None
            for key, count in seen.items()
        }
        return {
            "steps": len(self._ends) - 1 - first,
            "seconds": round(seconds, 3),
            **seen,
            **speeds,
        }


def alone(config: Any) -> Any:
    """The configuration without evaluations, for one epoch."""
    return dataclasses.replace(
        config,
        data=dataclasses.replace(config.data, held_out=0),
        optim=dataclasses.replace(config.optim, epochs=1, max_steps=None),
        evaluation=dataclasses.replace(config.evaluation, patience=None, eval_steps=None),
    )


def settings(config: Any) -> dict[str, Any]:
    """What the speed depends on."""
    names = (
        "quantization",
        "attention",
        "gradient_checkpointing",
        "lora_rank",
        "lora_dropout",
        "lora_targets",
        "loss_on",
        "max_length",
        "batch_size",
        "gradient_accumulation",
        "batching",
        "optimizer",
    )
    flat = config.flat()
    return {name: flat[name] for name in names}


def statistics(bench: Bench, config: Any) -> dict[str, Any]:
    """How long the rows are, which is what a step's time depends on."""
    rows = bench.rows(config, len(bench.sentences))
    lengths = sorted(len(row.input_ids) for row in rows)
    words = sum(len(sentence.text.split()) for sentence in bench.sentences)
    texts = [sentence.text for sentence in bench.sentences]
    tokens = sum(len(ids) for ids in bench.tokenizer(texts, add_special_tokens=False)["input_ids"])
    return {
        "corpus": bench.corpus,
        "sentences": len(rows),
        "tokenizer": f"byte-level BPE of {len(bench.tokenizer)} words, trained on these sentences",
        "tokens_a_word": round(tokens / words, 2),
        "tokens_a_row": {
            "mean": round(mean(lengths), 1),
            "median": lengths[len(lengths) // 2],
            "p95": lengths[int(len(lengths) * 0.95)],
            "longest": lengths[-1],
        },
        "learnt_tokens_a_row": round(
            mean(sum(label != -100 for label in row.labels) for row in rows), 1
        ),
    }


def measure(
    shape: Any, device: str, steps: int, tried: Sequence[str], options: Sequence[str]
) -> dict[str, Any]:
    """All figures."""
    bench = Bench(shape, device)
    ours, blog = configuration(OURS, *options), configuration(BLOG, *options)
    runs = {"ours": bench.speed(ours, steps), "blog": bench.speed(blog, steps)}
    for text in tried:
        changed = configuration(OURS, *options, *(f"--{pair}" for pair in text.split()))
        runs[f"ours with {text}"] = bench.speed(changed, steps)
    key = "sentences_a_second"
    return {
        "model": {
            **dataclasses.asdict(shape),
            "parameters": shape.parameters.total,
            "weights": "random, nf4",
        },
        "data": statistics(bench, ours),
        "runs": runs,
        "times_the_blogs_sentences_a_second": {
            name: round(run[key] / runs["blog"][key], 2)
            for name, run in runs.items()
            if name != "blog"
        },
        "full_batches": [bench.full(ours, rows) for rows in sorted({4, ours.optim.batch_size})],
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--steps", type=int, default=30, help="optimiser steps that are timed in each run"
    )
    parser.add_argument(
        "--try", dest="tried", action="append", default=[], help="ours with other settings"
    )
    parser.add_argument(
        "--tiny", action="store_true", help="a toy on the CPU; its figures mean nothing"
    )
    parser.add_argument("--output", type=Path, help="with --tiny: folder for the figures")
    asked = parser.parse_args()
    try:
        import torch

        from llmner.training._memory import shape_of
    except ImportError as error:
        sys.exit(f'{error.name} is missing; pip install ".[train]"')
    options: list[str] = []
    if asked.tiny:
        if asked.output is None:
            parser.error("--tiny needs --output: a toy's figures are no results")
        sizes = {
            "layers": 2,
            "width": 64,
            "intermediate": 128,
            "heads": 4,
            "kv_heads": 2,
            "head_dim": 16,
        }
        shape = dataclasses.replace(shape_of("EXAONE-3.5-7.8B"), vocabulary=4096, **sizes)
        # Paging an optimiser's state is CUDA's.
        options = ["--max_length=320", "--optimizer=adamw_8bit"]
        device, where = "cpu", "cpu"
    elif not torch.cuda.is_available():
        sys.exit("gpu_training needs a CUDA device; --tiny --output FOLDER tries it out on a CPU")
    else:
        shape, device = shape_of(configuration(OURS).model.model), "cuda:0"
        properties = torch.cuda.get_device_properties(0)
        where = (
            f"{properties.name}, {properties.total_memory / 2**30:.1f} GiB, "
            f"CUDA {torch.version.cuda}"
        )
    found = measure(shape, device, asked.steps, asked.tried, options)
    command = shlex.join(["python", "benchmarks/gpu_training.py", *sys.argv[1:]])
    folder = asked.output if asked.tiny else RESULTS
    write(
        "gpu_training",
        command,
        {"device": where, "tiny": asked.tiny, **found},
        PACKAGES,
        folder=folder,
    )


if __name__ == "__main__":
    main()
