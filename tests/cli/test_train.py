"""``llmner train``, ``push`` and ``--adapter`` from the command line, through a Hub on loopback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.hub.hub_server import TOKEN, HubServer, serving
from tests.tiny import EXAONE, tiny_model

pytest.importorskip("trl", reason='needs pip install "llmner[train]"')
pytest.importorskip("bitsandbytes", reason='needs pip install "llmner[train]"')


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, "NO_COLOR": "1", **environment},
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str], str]:
    folder = tmp_path_factory.mktemp("cli")
    model = tiny_model(folder / "model", EXAONE)
    options = [
        f"--model={model}", f"--output={folder / 'adapter'}", "--train=data/sample.tsv", "--train-limit=20",
        "--held-out=5", "--recipe=klue-mini", "--epochs=1", "--eval-sentences=2", "--max-new-tokens=8",
        "--log-steps=1",
    ]  # fmt: skip
    done = run("scripts/sft.py", *options)
    assert done.returncode == 0, done.stderr
    return folder, options, done.stdout + done.stderr


def test_the_script_tells_coverage_progress_and_a_table(
    trained: tuple[Path, list[str], str],
) -> None:
    said = trained[2]
    assert "adapter on 14 of 14 linear layers" in said
    assert "15 sentences to learn from, 5 held out" in said
    assert "step 2 of 2: held-out loss" in said
    header = next(line for line in said.splitlines() if "train loss" in line)
    assert header.split() == [
        "epoch",
        "steps",
        "train",
        "loss",
        "eval",
        "loss",
        "precision",
        "recall",
        "F1",
        "seconds",
    ]
    # Nothing of other people's is passed on: no dicts, no warnings, no bars where there is no
    # terminal.
    for noise in ("Warning", "{'loss'", "it/s", "gemm_4bit"):
        assert noise not in said


def test_a_finished_run_is_not_repeated_and_bad_options_are_one_line(
    trained: tuple[Path, list[str], str],
) -> None:
    again = run("-m", "llmner", "train", *trained[1])
    assert again.returncode == 2
    assert again.stderr.strip().endswith(
        "holds a finished adapter; name another --output, or --restart"
    )
    wrong = run("-m", "llmner", "train", "--lora-rank", "none")
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)
    assert "lora_rank" in wrong.stderr


def test_help_lists_every_field_with_its_unit_and_loads_no_torch() -> None:
    told = run("-X", "importtime", "-m", "llmner", "train", "--help")
    assert told.returncode == 0
    assert "Longest row, question and answer together, in" in told.stdout
    assert "--gradient_accumulation" in told.stdout
    assert "--show_example" in told.stdout
    assert " torch\n" not in told.stderr


def test_the_example_tells_learnt_from_masked_tokens(trained: tuple[Path, list[str], str]) -> None:
    shown = run("-m", "llmner", "train", *trained[1], "--show-example")
    assert shown.returncode == 0, shown.stderr
    assert "[|assistant|][[" in shown.stdout
    assert shown.stdout.rstrip().endswith(("[|endofturn|]]]", "tokens of padding)"))
    assert "tokens are learnt (in double brackets)" in shown.stderr


def test_an_adapter_goes_to_the_hub_and_is_loaded_back_with_its_recipe(
    trained: tuple[Path, list[str], str], tmp_path: Path
) -> None:
    folder = trained[0]
    hub = HubServer()
    with serving(hub):
        environment = {
            "HF_ENDPOINT": hub.url, "HF_TOKEN": TOKEN, "HF_HUB_DISABLE_XET": "1", "HF_HOME": str(tmp_path),
            "HF_HUB_OFFLINE": "0",
        }  # fmt: skip
        pushed = run(
            "scripts/push_to_hub.py",
            str(folder / "adapter"),
            "--repo",
            "someone/tiny-ner",
            **environment,
        )
        assert pushed.returncode == 0, pushed.stderr
        extracted = run(
            "-m", "llmner", "extract", "손흥민은 춘천에서 태어났다.", "--json", "--max-new-tokens", "8",
            "--model", str(folder / "model"), "--adapter", "someone/tiny-ner", **environment,
        )  # fmt: skip
        # It has learnt next to nothing, so its answer is cut off.
        assert extracted.returncode == 1, extracted.stderr
        assert "1 answers were cut off at --max-new-tokens" in extracted.stderr
        here = run(
            "-m", "llmner", "extract", "손흥민은 춘천에서 태어났다.", "--json", "--max-new-tokens", "8",
            "--model", str(folder / "model"), "--adapter", str(folder / "adapter"),
        )  # fmt: skip
    assert json.loads(extracted.stdout)["reply"] == json.loads(here.stdout)["reply"]
    assert not any("checkpoint" in name for repo in hub.repos.values() for name in repo.files)
