"""The benchmark for a GPU, walked through on a CPU: nothing in it may fail on the day."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT, shared

pytest.importorskip("trl", reason='needs pip install "llmner[train]"')
pytest.importorskip("bitsandbytes", reason='needs pip install "llmner[train]"')
pytest.importorskip("pycrfsuite", reason='needs pip install "llmner[baselines]"')

sys.path.insert(0, str(ROOT / "benchmarks"))

import gpu

pytestmark = pytest.mark.slow


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "benchmarks" / "gpu.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=1200, check=False)


def test_every_part_runs_and_leaves_what_it_measured(tmp_path: Path) -> None:
    for name in ("klue-ner-v1.1_dev.tsv", "klue-ner-v1.1_train_mini.tsv", "train-raw-sent.tsv"):
        shared(f"klue-ner/{name}")
    done = run("--try-out", tmp_path)
    told = json.loads((tmp_path / "gpu.json").read_text("utf-8"))["figures"]
    parts = told["parts"]
    assert done.returncode == 0, parts
    assert list(parts) == ["training", "generation", "vllm", "learning"]
    assert parts.pop("vllm")["ended"].startswith(("well", "passed over"))
    assert {part["ended"] for part in parts.values()} == {"well"}
    training = parts["training"]["figures"]
    assert set(training["runs"]) == {"ours", "blog"}
    assert training["full_batches"][0]["rows"] == 4
    for way in ("free", "grounded"):
        figures = parts["generation"]["figures"][way]
        assert figures["times_as_fast"] > 0
        assert figures["outcomes"]["unreadable replies"] == 0
        assert figures["outcomes"]["exact"] > 0
    # Nothing was kept among the results, and the adapter learnt from labelled and silver sentences.
    (trained,) = (tmp_path / "work" / "dry").glob("trained-*/training.json")
    assert json.loads(trained.read_text("utf-8"))["sentences"]["train"] > 40


def test_the_limits_of_all_parts_are_under_twelve_minutes() -> None:
    assert sum(part.limit for part in gpu.parts(None).values()) < 12 * 60
    assert set(gpu.parts(None)) == set(gpu.parts(Path("tried")))


def test_what_fails_or_takes_too_long_is_told_and_ends_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sleeps.py").write_text("import time; time.sleep(60)")
    (tmp_path / "fails.py").write_text("import sys; print('a reason'); sys.exit(3)")
    monkeypatch.setattr(gpu, "BENCHMARKS", tmp_path)
    parts: dict[str, Any] = {
        "stopped at its limit": gpu.Part(["sleeps.py"], 1, "sleeps", "json"),
        "failed with 3": gpu.Part(["fails.py", "sleeps.py"], 30, "fails", "json"),
        "passed over: no_such is not installed": gpu.Part(["fails.py"], 30, "none", "no_such"),
    }
    for ended, part in parts.items():
        assert gpu.run(part, tmp_path)["ended"] == ended
    assert gpu.run(parts["failed with 3"], tmp_path)["last_lines"] == ["a reason"]


def test_without_a_gpu_it_says_so_in_one_line() -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    done = run()
    assert done.returncode == 1
    assert done.stderr == "no CUDA device; --try-out FOLDER walks through it on a CPU\n"
