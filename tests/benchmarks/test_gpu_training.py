"""The GPU benchmark, walked through on a CPU with a toy; what it measures there means nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))

pytest.importorskip("trl", reason='needs pip install "llmner[train]"')
pytest.importorskip("bitsandbytes", reason='needs pip install "llmner[train]"')
pytest.importorskip("jsonargparse", reason='needs pip install "llmner[train]"')

from _quantised import SPECIAL, random_model, train_tokenizer  # noqa: E402

from llmner.training import parse_config  # noqa: E402
from llmner.training._memory import Shape, estimate  # noqa: E402

TOY = Shape("toy", 2, 64, 128, 4, 2, 16, 400, tied=False)


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "benchmarks" / "gpu_training.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def test_random_weights_are_quantised_as_training_loads_them() -> None:
    import bitsandbytes
    import torch

    model = random_model(TOY, "cpu", 2)
    assert model.is_loaded_in_4bit
    assert model.is_quantized
    linears = [module for module in model.modules() if isinstance(module, torch.nn.Linear)]
    four = [module for module in linears if isinstance(module, bitsandbytes.nn.Linear4bit)]
    assert [module for module in linears if module not in four] == [model.lm_head]
    assert len(four) == 14
    states = [module.weight.quant_state for module in four]
    assert {(state.quant_type, state.nested) for state in states} == {("nf4", True)}
    stored = sum(weight.numel() * weight.element_size() for weight in model.parameters())
    stored += sum(
        part.numel() * part.element_size()
        for state in states
        for part in (state.absmax, state.code, state.offset, state.state2.absmax, state.state2.code)
    )
    assert stored == estimate(parse_config(["--quantization=4bit"]), TOY).weights
    logits = model(input_ids=torch.tensor([[5, 6, 7]])).logits
    assert torch.isfinite(logits).all()
    assert logits.std() > 0


def test_the_tokenizer_has_exaones_turns_and_loses_nothing() -> None:
    text = "손흥민은 춘천에서 태어났다."
    tokenizer = train_tokenizer([text, "이순신 장군"])
    assert tokenizer.convert_tokens_to_ids(SPECIAL) == list(range(len(SPECIAL)))
    asked = tokenizer.apply_chat_template(
        [{"role": "system", "content": "찾아라."}, {"role": "user", "content": text}],
        tokenize=False,
        add_generation_prompt=True,
    )
    assert asked == f"[|system|]찾아라.[|endofturn|]\n[|user|]{text}\n[|assistant|]"
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_without_a_gpu_it_says_so_in_one_line() -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    done = run("--steps", 2)
    assert done.returncode == 1
    assert done.stdout == ""
    assert (
        done.stderr
        == "gpu_training needs a CUDA device; --tiny --output FOLDER tries it out on a CPU\n"
    )


def test_a_toys_figures_are_no_results() -> None:
    done = run("--tiny")
    assert done.returncode == 2
    assert "--tiny needs --output" in done.stderr


@pytest.mark.slow
def test_all_of_it_runs_on_a_cpu(tmp_path: Path) -> None:
    before = sorted((ROOT / "benchmarks" / "results").iterdir())
    done = run(
        "--tiny",
        "--steps",
        2,
        "--try",
        "batch_size=16 gradient_accumulation=1",
        "--output",
        tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert sorted((ROOT / "benchmarks" / "results").iterdir()) == before
    report: dict[str, Any] = json.loads((tmp_path / "gpu_training.json").read_text("utf-8"))
    assert json.loads(done.stdout) == report
    assert {"benchmark", "command", "commit", "machine", "versions", "figures"} <= set(report)
    assert {"torch", "transformers", "trl", "peft", "bitsandbytes"} <= set(report["versions"])
    figures = report["figures"]
    assert (figures["device"], figures["tiny"]) == ("cpu", True)
    tried = "ours with batch_size=16 gradient_accumulation=1"
    assert set(figures["runs"]) == {"ours", "blog", tried}
    for name, found in figures["runs"].items():
        assert found["steps"] == 2, name
        assert found["sentences"] == 2 * 16, name
        assert found["padded_tokens"] >= found["tokens"] > found["sentences"], name
        assert found["sentences_a_second"] > 0, name
    ours, blog = figures["runs"]["ours"], figures["runs"]["blog"]
    assert ours["settings"]["lora_targets"] == "all-linear"
    assert blog["settings"]["lora_targets"] == ["q_proj", "k_proj", "v_proj"]
    assert (ours["settings"]["loss_on"], blog["settings"]["loss_on"]) == ("answer", "all")
    assert (ours["settings"]["batching"], blog["settings"]["batching"]) == ("length", "length")
    assert figures["runs"][tried]["settings"]["batch_size"] == 16
    assert set(figures["times_the_blogs_sentences_a_second"]) == {"ours", tried}
    assert figures["data"]["tokens_a_row"]["longest"] > figures["data"]["tokens_a_row"]["median"]
    assert figures["full_batches"][0]["rows"] == 4
    assert figures["full_batches"][0]["tokens_a_row"] == 320
    assert figures["full_batches"][0]["estimated_gib"]["allocated"] > 0
