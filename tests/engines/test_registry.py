"""Engines are found by their file names, and imported when they are used."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import llmner
from llmner.engines import ENGINES, Engine, engine_names
from llmner.engines._registry import engine_class
from tests.conftest import ROOT


def parrot() -> str:
    """The module that the guide for contributors shows."""
    page = (ROOT / "docs" / "contributing.md").read_text("utf-8")
    (module,) = re.findall(r"whole of `parrot_engine\.py`:\n\n```python\n(.*?)```", page, re.DOTALL)
    return str(module)


def test_a_new_engine_is_one_new_module(tmp_path: Path) -> None:
    package = Path(llmner.__file__).parent
    shutil.copytree(
        package, tmp_path / "llmner", ignore=shutil.ignore_patterns("models", "__pycache__")
    )
    shutil.copytree(ROOT / "prompts", tmp_path / "prompts")
    (tmp_path / "llmner" / "engines" / "parrot_engine.py").write_text(parrot(), "utf-8")

    def extract(engine: str, *options: str) -> subprocess.CompletedProcess[str]:
        command = (sys.executable, "-m", "llmner", "extract", "Anna sings", "--engine", engine)
        return subprocess.run(
            [*command, "--recipe", "klue", "--reply-format", "lines", "--json", *options],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
        )

    answered = extract("parrot", "--max-new-tokens", "8")
    assert answered.returncode == 0, answered.stderr
    spans = json.loads(answered.stdout)["spans"]
    assert spans == [{"start": 0, "end": 4, "label": "PS"}]
    unknown = extract("cockatoo")
    assert "transformers, vllm, openai, recorded, parrot" in unknown.stderr


def test_listing_engines_imports_none_of_them() -> None:
    code = """
import json, sys
from llmner.engines import engine_names
print(json.dumps(engine_names()))
heavy = ("torch", "transformers", "openai", "vllm")
print(json.dumps([name for name in sys.modules if name in heavy or name.endswith("_engine")]))
"""
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    names, imported = map(json.loads, printed.splitlines())
    assert names[:4] == ["transformers", "vllm", "openai", "recorded"]
    assert imported == []


@pytest.mark.parametrize("name", ENGINES)
def test_every_engine_is_a_class(name: str) -> None:
    assert name in engine_names()
    assert issubclass(engine_class(name), Engine)
    assert ENGINES[name] == f"llmner.engines.{name}_engine:ENGINE"
