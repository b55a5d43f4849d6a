"""``llmner doctor --config``: whether a training run fits, said before anything is downloaded."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from llmner.cli import app
from llmner.training import _fit
from tests.conftest import ROOT

pytest.importorskip("jsonargparse", reason='needs pip install "llmner[train]"')

CONFIGS = sorted((ROOT / "scripts" / "configs").glob("*.yaml"))


@pytest.fixture(autouse=True)
def _no_gpu_and_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    planned = _fit.Device("a GPU with 24 GiB", "cuda", 24 * 2**30, found=False)

    def devices(gib: float) -> list[_fit.Device]:
        return [
            _fit.Device(f"a GPU with {gib:g} GiB", planned.kind, round(gib * 2**30), found=False),
            _fit.Device("this machine's CPU", "cpu", 8 * 2**30),
        ]

    def refuse(*args: object, **settings: object) -> None:
        raise AssertionError("doctor went to the network")

    monkeypatch.setattr(_fit, "devices", devices)
    monkeypatch.setattr(socket.socket, "connect", refuse)


def run(*args: object) -> Result:
    return CliRunner().invoke(app, ["doctor", *map(str, args)])


def written(path: Path, **values: object) -> Path:
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return path


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_the_configurations_shipped_fit_24_gib(path: Path) -> None:
    done = run("--config", path)
    assert done.exit_code == 0, done.output
    assert "highest while training" in done.stdout
    assert "There is no GPU here: --memory sets the memory to plan with." in done.stdout


def test_what_does_not_fit_exits_with_1_and_says_what_would_help() -> None:
    path = ROOT / "scripts" / "configs" / "exaone-3.5-7.8b-24gb.yaml"
    done = run("--config", path, "--memory", 12)
    assert done.exit_code == 1
    assert "EXAONE-3.5-7.8B-llama: 7.82 billion parameters, quantization 4bit" in done.stdout
    assert "it would fit with eval_batch_size: " in done.stdout


def test_it_says_where_nothing_helps() -> None:
    path = ROOT / "scripts" / "configs" / "exaone-3.5-7.8b-24gb.yaml"
    done = run("--config", path, "--memory", 4)
    assert done.exit_code == 1
    assert "no setting would help" in done.stdout


def test_json_has_every_part(tmp_path: Path) -> None:
    path = written(
        tmp_path / "c.yaml", model="EXAONE-4.0-1.2B", gradient_checkpointing=True, max_length=256
    )
    done = run("--config", path, "--json")
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert (report["model"], report["fits"]) == ("EXAONE-4.0-1.2B", True)
    assert report["parameters"]["all"] == sum(
        report["parameters"][key] for key in ("linear", "embedding", "norm")
    )
    planned, here = report["devices"]
    assert (planned["kind"], planned["found"], planned["memory_gib"]) == ("cuda", False, 24.0)
    assert (here["kind"], here["found"], here["memory_gib"]) == ("cpu", True, 8.0)
    assert set(planned["needed_gib"]) == {
        "weights", "adapter", "gradients", "optimizer", "activations", "workspace", "logits", "answering",
        "overhead", "training", "evaluating", "total",
    }  # fmt: skip
    assert planned["advice"] == []


def test_a_cpu_that_is_too_small_is_told_but_does_not_decide(tmp_path: Path) -> None:
    path = written(
        tmp_path / "c.yaml", model="EXAONE-3.5-7.8B-llama", quantization="4bit", batch_size=2
    )
    done = run("--config", path)
    assert done.exit_code == 0
    assert "this machine's CPU: " in done.stdout


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"model": "someone/unheard-of"},
            "hf download someone/unheard-of config.json fetches that file alone",
        ),
        (
            {"model": "EXAONE-4.0-1.2B", "lora_targets": ["fc1"]},
            "lora_targets: fc1 is not one of q_proj",
        ),
        ({"modle": "EXAONE-4.0-1.2B"}, "c.yaml"),
    ],
)
def test_bad_input_is_one_line(tmp_path: Path, values: dict[str, object], message: str) -> None:
    done = run("--config", written(tmp_path / "c.yaml", **values))
    assert done.exit_code == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
