"""Measures QLoRA of a 7.8B model on one GPU: sentences per second, and memory of full batches.

    python benchmarks/gpu_training.py [--steps 30] [--try "batch_size=16 gradient_accumulation=1"]

It needs a CUDA device, but no weights. The model has the shape of EXAONE 3.5 7.8B and random
weights in 4 bits, and the tokenizer is trained on the corpus. The corpus is KLUE, or the sample if
KLUE is not there.

Two shipped configurations are trained on the same sentences. Both batch rows of similar length.
Ours adapts every linear layer and has its loss on the answers; the blog's adapts queries, keys and
values, and has its loss on all tokens. Then ours is trained on full
batches of max_length tokens, and its memory is compared with the estimate of ``llmner doctor``.
``--try`` also measures ours with other settings. ``--tiny`` runs all of it on a CPU with a tiny
model.

The figures go to ``results/gpu_training.json``; with ``--tiny`` to the folder ``--output``.
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
"""First steps, which are not timed, since kernels are compiled in them."""


def configuration(path: Path, *options: str) -> Any:
    from llmner.training import parse_config

    return parse_config(["--config", str(path), *options])


def corpus() -> tuple[str, list[Any]]:
    """The name of the corpus, and its sentences: KLUE's training file, or else the sample."""
    from llmner.corpora import read_corpus

    path = KLUE / "klue-ner-v1.1_train_mini.tsv"
    if not path.exists():
        path = ROOT / "data" / "sample.tsv"
    sentences = list(read_corpus(path))
    random.Random(42).shuffle(sentences)
    return path.name, sentences


class Bench:
    """Measures configurations on one model shape. Each measurement makes a model of its own."""

    def __init__(self, shape: Any, device: str) -> None:
        from _quantised import train_tokenizer

        self.shape, self.device = shape, device
        self.corpus, self.sentences = corpus()
        self.tokenizer = train_tokenizer(sentence.text for sentence in self.sentences)

    def rows(self, config: Any, count: int) -> list[Any]:
        """Token rows of the first ``count`` sentences, which are repeated if there are too few."""
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
        """Train for one epoch on the rows, with the project's own trainer.

        Returns:
            Seconds and counts of the steps after the first three, and the peak memory in GiB.
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
            result = counted.figures()
        if cuda:
            result["highest_gib"] = {
                "allocated": round(torch.cuda.max_memory_allocated() / 2**30, 2),
                "reserved": round(torch.cuda.max_memory_reserved() / 2**30, 2),
            }
        result["adapter_parameters"] = coverage.trained
        del trainer, counted, model
        gc.collect()
        if cuda:
            torch.cuda.empty_cache()
        return result

    def speed(self, config: Any, steps: int) -> dict[str, Any]:
        """Measure sentences per second over ``steps`` optimiser steps."""
        config = alone(config)
        rows = self.rows(config, (steps + WARM_UP) * config.batch_rows())
        return {"settings": settings(config), **self.train(config, rows)}

    def full(self, config: Any, batch_size: int) -> dict[str, Any]:
        """Measure the memory of batches whose rows have max_length tokens, all with a loss."""
        from llmner.training._memory import estimate
        from llmner.training._rows import TokenRow

        config = dataclasses.replace(
            alone(config),
            optim=dataclasses.replace(config.optim, batch_size=batch_size, gradient_accumulation=1),
        )
        length = config.data.max_length
        # One row is a token shorter, so that there is padding and a mask, which takes more memory.
        rows = [
            TokenRow([7] * size, [7] * size)
            for size in ([length] * (batch_size - 1) + [length - 1]) * 4
        ]
        result = self.train(config, rows)
        estimated = estimate(config, self.shape, device="cpu" if self.device == "cpu" else "cuda")
        return {
            "rows": batch_size,
            "tokens_a_row": length,
            "highest_gib": result.get("highest_gib"),
            "estimated_gib": {
                "allocated": round((estimated.training - estimated.overhead) / 2**30, 2),
                "with_overhead": round(estimated.training / 2**30, 2),
            },
        }


class Counted:
    """Counts what a trainer is trained on, and times its steps."""

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
        # Packed rows follow each other in one row, each with positions from 0.
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
        """Figures of the steps after the warm-up, or of the last step if there are too few."""
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
    """The configuration for one epoch without evaluations."""
    return dataclasses.replace(
        config,
        data=dataclasses.replace(config.data, held_out=0),
        optim=dataclasses.replace(config.optim, epochs=1, max_steps=None),
        evaluation=dataclasses.replace(config.evaluation, patience=None, eval_steps=None),
    )


def settings(config: Any) -> dict[str, Any]:
    """The settings that the speed depends on."""
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
    """Lengths of the rows, which a step's time depends on."""
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
    """Measure everything.

    Args:
        shape: The model's shape.
        device: "cuda:0" or "cpu".
        steps: Optimiser steps that are timed in each run.
        tried: Other settings of our configuration, each as ``"name=value name=value"``.
        options: Further options of every configuration.
    """
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
        "--tiny", action="store_true", help="a tiny model on the CPU; its figures mean nothing"
    )
    parser.add_argument("--output", type=Path, help="with --tiny: folder for the figures")
    arguments = parser.parse_args()
    try:
        import torch

        from llmner.training._memory import shape_of
    except ImportError as error:
        sys.exit(f'{error.name} is missing; pip install ".[train]"')
    options: list[str] = []
    if arguments.tiny:
        if arguments.output is None:
            parser.error("--tiny needs --output, since its figures are no results")
        sizes = {
            "layers": 2,
            "width": 64,
            "intermediate": 128,
            "heads": 4,
            "kv_heads": 2,
            "head_dim": 16,
        }
        shape = dataclasses.replace(shape_of("EXAONE-3.5-7.8B"), vocabulary=4096, **sizes)
        # Paged optimisers need CUDA.
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
    figures = measure(shape, device, arguments.steps, arguments.tried, options)
    command = shlex.join(["python", "benchmarks/gpu_training.py", *sys.argv[1:]])
    folder = arguments.output if arguments.tiny else RESULTS
    write(
        "gpu_training",
        command,
        {"device": where, "tiny": arguments.tiny, **figures},
        PACKAGES,
        folder=folder,
    )


if __name__ == "__main__":
    main()
