"""Whether a run fits: the devices it is held against, and what would make it fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from llmner.training import TrainingConfig, load_config, parse_config
from llmner.training import _fit as module
from llmner.training._fit import Device, advice, check_fit, devices
from llmner.training._memory import GIB, estimate
from llmner.training._shape import Shape
from tests.conftest import ROOT

pytest.importorskip("jsonargparse", reason='needs pip install "llmner[train]"')

CONFIGS = sorted((ROOT / "scripts" / "configs").glob("*.yaml"))
SHAPE = Shape("EXAONE-3.5-7.8B", 32, 4096, 14336, 32, 8, 128, 102400, tied=False)


def configured(**changed: object) -> TrainingConfig:
    return parse_config([f"--{key}={value}" for key, value in changed.items()])


def gpu(gib: float) -> Device:
    return Device("a GPU", "cuda", round(gib * GIB))


def followed(config: TrainingConfig, lines: list[str]) -> TrainingConfig:
    """The configuration with the lines of advice taken."""
    values = config.flat() | dict(line.split(": ") for line in lines)
    values["lora_targets"] = "all-linear"
    return parse_config([f"--{key}={value}" for key, value in values.items() if value is not None])


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_the_configurations_shipped_fit_24_gib(path: Path) -> None:
    config = load_config(path)
    shape, found = check_fit(config)
    planned = [fit for fit in found if fit.device.memory == 24 * GIB and not fit.device.found]
    assert all(fit.fits and not fit.advice for fit in planned)
    assert estimate(config, shape).total < 22 * GIB


@pytest.mark.parametrize("gib", [7, 9, 12, 16, 20, 40])
def test_advice_taken_makes_it_fit(gib: float) -> None:
    config = configured(batch_size=16, max_length=1024)
    lines = advice(config, SHAPE, gpu(gib))
    assert lines
    changed = followed(config, lines)
    assert estimate(changed, SHAPE).total <= gib * GIB < estimate(config, SHAPE).total
    assert changed.batch_rows() == config.batch_rows()


def test_advice_changes_as_little_as_will_do() -> None:
    config = configured(quantization="4bit", held_out=0, batch_size=4, max_length=1024)
    assert advice(config, SHAPE, gpu(20)) == ["batch_size: 2", "gradient_accumulation: 2"]
    assert advice(config, SHAPE, gpu(11)) == ["gradient_checkpointing: true"]
    checkpointed = configured(
        quantization="4bit",
        gradient_checkpointing=True,
        batch_size=4,
        max_length=1024,
        eval_batch_size=64,
    )
    assert advice(checkpointed, SHAPE, gpu(16)) == ["eval_batch_size: 32"]
    assert advice(configured(held_out=0, gradient_checkpointing=True), SHAPE, gpu(12)) == [
        "quantization: 4bit"
    ]


def test_there_is_no_advice_where_nothing_helps() -> None:
    assert advice(configured(), SHAPE, gpu(4)) == []


def test_odd_batches_are_not_halved() -> None:
    config = configured(quantization="4bit", gradient_checkpointing=True, held_out=0, batch_size=63)
    assert advice(config, SHAPE, gpu(8)) == []


def test_without_a_gpu_one_is_planned_with(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    planned, here = devices(16)
    assert (planned.kind, planned.memory, planned.found) == ("cuda", 16 * GIB, False)
    assert (here.kind, here.found) == ("cpu", True)
    assert here.memory > GIB // 4


def test_gpus_are_held_against_all_of_their_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")

    class Properties:
        total_memory = 11 * GIB

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda number: f"GPU {number}")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: Properties)
    assert [(device.name, device.memory, device.found) for device in devices(24)] == [
        ("cuda:0 GPU 0", 11 * GIB, True),
        ("cuda:1 GPU 1", 11 * GIB, True),
    ]


@pytest.mark.parametrize(("limit", "expected"), [("max\n", None), ("1073741824\n", GIB)])
def test_a_containers_limit_is_its_memory(
    monkeypatch: pytest.MonkeyPatch, limit: str, expected: int | None
) -> None:
    unlimited = module.machine_memory()

    def read(path: Path, **settings: Any) -> str:
        return limit

    monkeypatch.setattr(Path, "read_text", read)
    found = module.machine_memory()
    assert found == expected if expected is not None else found is not None
    assert unlimited is not None


def test_memory_that_cannot_be_told_is_not_made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(module, "machine_memory", lambda: None)
    assert [device.kind for device in devices()] == ["cuda"]
