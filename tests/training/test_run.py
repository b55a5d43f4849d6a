"""Whole runs on a tiny model: what is left behind, the same losses again, and going on after
``kill -9``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from llmner.corpora import read_corpus, write_corpus
from llmner.engines import create_generator
from llmner.engines._processor import Arithmetic
from llmner.errors import InputError
from llmner.extraction import Extractor
from llmner.recipes import Recipe
from llmner.spans import Sentence, Span, TextLabel
from llmner.training import TrainingConfig, example_row, parse_config, train
from tests.conftest import ROOT
from tests.killing import killed_once_there
from tests.tiny import EXAONE, tiny_model

pytest.importorskip("trl", reason='needs pip install "llmner[train]"')
pytest.importorskip("bitsandbytes", reason='needs pip install "llmner[train]"')
from llmner._checkpoints import last_checkpoint
from llmner.training._trainer import _figures


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("model"), EXAONE)


def options(model: Path, output: Path, **changed: object) -> list[str]:
    given = {
        "model": model,
        "output": output,
        "train": ROOT / "data" / "sample.tsv",
        "train_limit": 30,
        "held_out": 6,
        "recipe": "klue-mini",
        "learning_rate": 0.01,
        "epochs": 2,
        "batch_size": 4,
        "log_steps": 1,
        "eval_sentences": 3,
        "max_new_tokens": 8,
        **changed,
    }
    return [f"--{key}={value}" for key, value in given.items()]


def configured(model: Path, output: Path, **changed: object) -> TrainingConfig:
    return parse_config(options(model, output, **changed))


def losses(folder: Path) -> list[float]:
    last = last_checkpoint(folder / "checkpoints")
    assert last is not None
    state = json.loads((last / "trainer_state.json").read_text(encoding="utf-8"))
    return [entry["loss"] for entry in state["log_history"] if "loss" in entry]


@pytest.fixture(scope="module")
def done(model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    folder = tmp_path_factory.mktemp("run") / "adapter"
    return folder, train(configured(model, folder))


def test_a_run_leaves_what_is_needed_to_use_and_repeat_it(
    done: tuple[Path, Any], model: Path
) -> None:
    folder, result = done
    assert {path.name for path in folder.iterdir()} >= {
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
        "curves.png",
        "recipe.yaml",
        "tokenizer.json",
        "training.json",
        "training.yaml",
    }
    assert Recipe.load(folder / "recipe.yaml") == Recipe.load("klue-mini")
    said = yaml.safe_load((folder / "training.yaml").read_text(encoding="utf-8"))
    assert said == configured(model, folder).flat()
    assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")
    record = json.loads((folder / "training.json").read_text(encoding="utf-8"))
    assert record["sentences"] == {"train": 24, "held_out": 6, "answered": 3, "over_long": 0}
    assert record["parameters"]["modules"] == 14
    assert [row["epoch"] for row in record["epochs"]] == [1, 2]
    assert any((folder / "runs").iterdir())
    assert result.coverage.modules == 14


def test_the_table_has_losses_and_figures_of_every_epoch(done: tuple[Path, Any]) -> None:
    rows = done[1].epochs
    assert [(row.epoch, row.step) for row in rows] == [(1, 6), (2, 12)]
    for row in rows:
        assert row.eval_loss > 0
        assert 0 <= row.f1 <= 1
        assert row.seconds > 0
    # It learns: that is the one thing a training loop must do.
    assert rows[1].train_loss < rows[0].train_loss - 0.05
    assert rows[1].eval_loss < rows[0].eval_loss


def test_the_adapter_is_saved_in_bfloat16_and_changes_the_answers(
    done: tuple[Path, Any], model: Path
) -> None:
    from safetensors import safe_open

    folder = done[0]
    with safe_open(folder / "adapter_model.safetensors", framework="pt") as stream:
        kinds = {str(stream.get_tensor(name).dtype) for name in stream.keys()}  # noqa: SIM118
    assert kinds == {"torch.bfloat16"}
    sentences = list(read_corpus(ROOT / "data" / "sample.tsv"))[:3]

    def answers(adapter: str | None) -> list[str]:
        engine = create_generator(
            "transformers", model=str(model), adapter=adapter, max_new_tokens=8
        )
        return [
            e.reply.text for e in Extractor(Recipe.load("klue-mini"), engine).extract(sentences)
        ]

    assert answers(str(folder)) != answers(None)


def test_a_processor_without_bfloat16_trains_in_float32(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    kinds: set[torch.dtype] = set()
    linear = torch.nn.functional.linear

    def watched(given: torch.Tensor, *rest: torch.Tensor | None) -> torch.Tensor:
        kinds.add(given.dtype)
        return linear(given, *rest)

    monkeypatch.setattr(torch.nn.functional, "linear", watched)
    both = {torch.bfloat16, torch.float32}
    for fast, asked, kind in (
        ("float32", "auto", {torch.float32}),
        ("bfloat16", "auto", both),
        ("bfloat16", "float32", {torch.float32}),
        ("float32", "bfloat16", both),
    ):
        monkeypatch.setattr(
            "llmner.engines._processor.cpu_arithmetic", lambda fast=fast: Arithmetic(fast, "")
        )
        kinds.clear()
        folder = tmp_path / fast / asked
        train(configured(model, folder, max_steps=2, dtype=asked))
        assert kinds == kind
        assert (folder / "adapter_model.safetensors").exists()


def test_the_same_seed_gives_the_same_losses_and_another_one_others(
    done: tuple[Path, Any], model: Path, tmp_path: Path
) -> None:
    train(configured(model, tmp_path / "again"))
    train(configured(model, tmp_path / "other", seed=7))
    assert losses(tmp_path / "again") == losses(done[0])
    assert losses(tmp_path / "other") != losses(done[0])


def test_a_finished_folder_is_not_trained_over(done: tuple[Path, Any], model: Path) -> None:
    with pytest.raises(
        InputError, match=r"holds a finished adapter; name another --output, or --restart"
    ):
        train(configured(model, done[0]))


def test_another_configuration_does_not_go_on_with_an_interrupted_run(
    model: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "training.yaml").write_text(
        yaml.safe_dump(configured(model, folder).flat()), encoding="utf-8"
    )
    checkpoint = folder / "checkpoints" / "checkpoint-5"
    checkpoint.mkdir(parents=True)
    (checkpoint / "trainer_state.json").write_text("{}")
    with pytest.raises(
        InputError, match=r"another lora_rank, seed; finish it as it was begun, or .*--restart"
    ):
        train(configured(model, folder, lora_rank=3, seed=1))


def test_half_written_checkpoints_are_passed_over(tmp_path: Path) -> None:
    for step, state in ((5, "{}"), (10, '{"global_st'), (15, None)):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        if state is not None:
            (folder / "trainer_state.json").write_text(state)
    assert last_checkpoint(tmp_path) == tmp_path / "checkpoint-5"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-5"]
    assert last_checkpoint(tmp_path / "nothing") is None


@pytest.mark.slow
def test_a_killed_run_goes_on_and_ends_as_an_uninterrupted_one(
    done: tuple[Path, Any], model: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "killed"
    command = [sys.executable, "-m", "llmner", "train", *options(model, folder)]
    first = folder / "checkpoints" / "checkpoint-6" / "trainer_state.json"
    killed_once_there(command, first)
    assert not (folder / "training.json").exists()
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert "Resuming from checkpoint-6" in again.stderr
    assert losses(folder) == pytest.approx(losses(done[0]), abs=2e-4)
    rows = json.loads((folder / "training.json").read_text(encoding="utf-8"))["epochs"]
    assert [row["epoch"] for row in rows] == [1, 2]


def test_evaluations_in_steps_stop_early_and_keep_the_best(model: Path, tmp_path: Path) -> None:
    # At such a rate nothing is learnt: no evaluation is better than the first, so patience ends
    # the run.
    config = configured(
        model, tmp_path / "run", eval_steps=2, patience=2, epochs=9, learning_rate=1e-30
    )
    result = train(config)
    assert result.best is not None
    assert result.best["step"] == 2
    assert result.epochs[-1].step == 6


@pytest.mark.slow
def test_where_no_answer_is_right_the_lowest_loss_is_kept_and_it_is_told(
    model: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "llmner", "train", *options(model, tmp_path / "run")]
    # An answer of one token names nothing.
    command += ["--max-new-tokens", "1", "--eval-steps", "3"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "no entity of a held-out sentence was right" in done.stderr
    record = json.loads((tmp_path / "run" / "training.json").read_text(encoding="utf-8"))
    last = last_checkpoint(tmp_path / "run" / "checkpoints")
    assert last is not None
    state = json.loads((last / "trainer_state.json").read_text(encoding="utf-8"))
    evaluated = {
        entry["step"]: entry["eval_loss"] for entry in state["log_history"] if "eval_loss" in entry
    }
    assert len(evaluated) > 2
    assert record["best"]["loss"] == min(evaluated.values())
    assert state["best_global_step"] == min(evaluated, key=lambda step: evaluated[step])


def test_a_validation_file_is_evaluated_in_place_of_held_out_sentences(
    model: Path, tmp_path: Path
) -> None:
    write_corpus(
        list(read_corpus(ROOT / "data" / "sample.tsv"))[30:40], tmp_path / "dev.jsonl", "spans"
    )
    config = configured(
        model, tmp_path / "run", held_out=0.5, validation=str(tmp_path / "dev.jsonl"), epochs=1
    )
    result = train(config)
    assert (result.held_out, result.best is None) == (10, False)
    everything = train(configured(model, tmp_path / "all", held_out=0, epochs=1))
    assert result.sentences == everything.sentences


@pytest.mark.slow
def test_a_run_that_is_killed_within_an_epoch_goes_on_from_there(
    model: Path, tmp_path: Path
) -> None:
    changed = {"batch_size": 1, "save_steps": 2, "epochs": 1, "held_out": 0}
    command = [
        *(sys.executable, "-m", "llmner", "train"),
        *options(model, tmp_path / "run", **changed),
    ]
    second = tmp_path / "run" / "checkpoints" / "checkpoint-2" / "trainer_state.json"
    killed_once_there(command, second)
    last = last_checkpoint(tmp_path / "run" / "checkpoints")
    assert last is not None
    assert int(last.name.rpartition("-")[2]) < 30
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert f"Resuming from {last.name}" in again.stderr
    train(configured(model, tmp_path / "whole", **changed))
    assert losses(tmp_path / "run") == pytest.approx(losses(tmp_path / "whole"), abs=2e-4)


def test_without_held_out_sentences_there_is_a_loss_alone(model: Path, tmp_path: Path) -> None:
    result = train(configured(model, tmp_path / "run", held_out=0, epochs=1))
    assert result.best is None
    assert [(row.eval_loss, row.f1) for row in result.epochs] == [(None, None)]
    assert result.epochs[0].train_loss


def test_four_bits_and_packing_train_too(model: Path, tmp_path: Path) -> None:
    wide = tiny_model(tmp_path / "wide", EXAONE, width=64)
    result = train(
        configured(
            wide,
            tmp_path / "run",
            quantization="4bit",
            batching="packing",
            epochs=1,
            gradient_checkpointing=True,
        )
    )
    assert result.epochs[0].train_loss > 0
    assert result.coverage.modules == 14


def test_the_example_is_a_row_of_the_trainers_own(model: Path, tmp_path: Path) -> None:
    parts = example_row(configured(model, tmp_path / "none"))
    assert [part.kind for part in parts][:2] == ["masked", "learnt"]
    assert parts[0].text.endswith("[|assistant|]")
    assert parts[1].text.endswith("[|endofturn|]")
    assert not (tmp_path / "none").exists()


def test_a_label_the_recipe_does_not_have_is_named(model: Path, tmp_path: Path) -> None:
    corpus = tmp_path / "c.markup"
    corpus.write_text("<손흥민:사람이름>은\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"label '사람이름' is not among the recipe's DT, LC"):
        train(configured(model, tmp_path / "run", train=corpus, train_limit=1))


@pytest.mark.slow
def test_two_processes_train_as_one_and_one_of_them_speaks(model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    # 24 rows, 4 a process: three steps of eight.
    done = subprocess.run(
        [
            sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--standalone",
            str(ROOT / "scripts" / "sft.py"), *options(model, folder, epochs=1),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("train loss") == 1
    assert "step 3 of 3: held-out loss" in done.stderr
    record = json.loads((folder / "training.json").read_text(encoding="utf-8"))
    assert [(row["epoch"], row["step"]) for row in record["epochs"]] == [(1, 3)]
    assert record["sentences"]["answered"] == 3


def test_an_epochs_end_right_after_an_evaluation_is_not_evaluated_again(
    model: Path, tmp_path: Path
) -> None:
    # Twelve steps an epoch: 11 is close to the first epoch's end, 22 is not close to the second's.
    train(configured(model, tmp_path / "run", batch_size=2, eval_steps=11))
    last = last_checkpoint(tmp_path / "run" / "checkpoints")
    assert last is not None
    history = json.loads((last / "trainer_state.json").read_text(encoding="utf-8"))["log_history"]
    assert [entry["step"] for entry in history if "eval_loss" in entry] == [11, 22, 24]


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (
            {"optimizer": "adamw_troch"},
            "optimizer 'adamw_troch' is unknown; transformers has adamw_torch",
        ),
        ({"scheduler": "cosin"}, "scheduler 'cosin' is unknown; transformers has cosine"),
    ],
)
def test_a_mistyped_optimiser_or_schedule_is_told_before_a_model_is_loaded(
    changed: dict[str, str], told: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=told):
        train(configured(tmp_path / "no such model", tmp_path / "out", **changed))
    assert not (tmp_path / "out").exists()


def test_an_optimiser_that_needs_a_gpu_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(InputError, match="paged_adamw_8bit needs a CUDA device"):
        train(
            configured(tmp_path / "no such model", tmp_path / "out", optimizer="paged_adamw_8bit")
        )


def test_labels_of_whole_texts_are_learnt_and_watched(model: Path, tmp_path: Path) -> None:
    changed = {
        "train": ROOT / "data" / "reviews-ko.jsonl",
        "recipe": "reviews-ko",
        "max_length": 2048,
        "train_limit": 12,
        "held_out": 3,
        "epochs": 1,
    }
    folder = tmp_path / "reviews"
    train(configured(model, folder, **changed))
    record = json.loads((folder / "training.json").read_text(encoding="utf-8"))
    assert record["epochs"][-1]["f1"] == 0
    recipe = Recipe.load("reviews-ko")
    labels = (TextLabel("배송", {"sentiment": -1}), TextLabel("맛", {"sentiment": 1}))
    gold = [Sentence("a", labels=labels)]
    half = [((), (labels[0], TextLabel("맛", {"sentiment": 2})))]
    # A label is right with its sentiment only.
    assert _figures(recipe, gold, half) == {"precision": 0.5, "recall": 0.5, "f1": 0.5}
    terms = Recipe.load("mams-terms")
    span = Span(0, 1, "TERM", attributes={"polarity": "positive"})
    wrong = Span(0, 1, "TERM", attributes={"polarity": "negative"})
    assert _figures(terms, [Sentence("a", (span,))], [((wrong,), ())])["f1"] == 0
    assert _figures(terms, [Sentence("a", (span,))], [((span,), ())])["f1"] == 1
