"""The wheel, installed in a bare environment and run from another folder."""

from __future__ import annotations

import json
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from tests.conftest import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.network]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_carries_recipes_and_the_typed_marker(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert "llmner/py.typed" in names
    assert {"llmner/prompts/klue.yaml", "llmner/prompts/klue-strict.yaml"} <= set(names)
    adapter = "llmner/models/gemma-3-270m-klue-ner/"
    assert {
        f"{adapter}{name}" for name in ("adapter_model.safetensors", "README.md", "NOTICE", "recipe.yaml")
    } <= set(names)
    assert not [name for name in names if name.startswith(("tests/", "benchmarks/", "data/"))]
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_it_works_in_a_bare_environment(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", str(wheel)], check=True, capture_output=True)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()

    def run(*command: str, input: str | None = None, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(command, cwd=elsewhere, capture_output=True, text=True, input=input, check=False)
        assert done.returncode == code, done.stderr
        return done

    installed = {
        row["name"].lower() for row in json.loads(run(str(python), "-m", "pip", "list", "--format=json").stdout)
    }
    assert not installed & {"torch", "transformers", "datasets", "vllm", "fastapi", "peft"}
    llmner = str(tmp_path / "env" / "bin" / "llmner")
    assert run(llmner, "--version").stdout.startswith("llmner ")
    row = '{"text": "7.2㎞를 달린 손흥민", "reply": "{\\"PS\\": [\\"손흥민\\"], \\"QT\\": [\\"7.2km\\"]}"}\n'
    projected = json.loads(run(llmner, "project", "-i", "-", "-o", "-", input=row).stdout)
    assert [outcome["kind"] for outcome in projected["outcomes"]] == ["exact", "canonical"]
    (elsewhere / "gold.txt").write_text("<손흥민:PS>은 <춘천:LC>에서\n", encoding="utf-8")
    scored = run(llmner, "evaluate", "--gold", "gold.txt", "--predicted", "gold.txt", "--json")
    assert json.loads(scored.stdout)["klue"] == {"entity_f1": 1.0, "char_f1": 1.0}
    run(llmner, "evaluate", "--gold", "gold.txt", "--predicted", "gold.txt", "--report", "r.html")
    assert (elsewhere / "r.html").read_text("utf-8").startswith("<!doctype html>")
    refused = run(llmner, "extract", "손흥민은", code=1)
    assert 'pip install "llmner[local]"' in refused.stderr
    assert "Traceback" not in refused.stderr
    hub = run(llmner, "convert", "klue/ner", "out", "--to", "spans", code=1)
    assert 'pip install "llmner[hub]"' in hub.stderr
