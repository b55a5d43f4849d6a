"""What the core takes on disk once it is installed, and with what it needed for counting before.

    python benchmarks/install_size.py

Installs the package into a new environment, and measures its ``site-packages`` without pip; then
once more with seqeval and scikit-learn, which bring scipy.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from _report import ROOT, write

COUNTING = ("seqeval", "scikit-learn")
_NOT_OURS = ("pip", "setuptools", "wheel")


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        core = installed(folder, str(ROOT))
        with_counting = installed(folder, *COUNTING)
    write(
        "install_size",
        "python benchmarks/install_size.py",
        {
            "core": core,
            "with seqeval and scikit-learn": with_counting,
            "ratio": round(with_counting["megabytes"] / core["megabytes"], 2),
        },
        ("llmner",),
    )


def installed(folder: Path, *packages: str) -> dict[str, Any]:
    """Install packages, and measure all that is there then, in millions of bytes."""
    command = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet"]
    constraints = ["--constraint", str(ROOT / "constraints.txt")]
    subprocess.run([*command, *constraints, *packages], check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    sizes = {
        entry.name: size_of(entry)
        for entry in site.iterdir()
        if not entry.name.startswith(_NOT_OURS)
    }
    largest = sorted(sizes.items(), key=lambda item: -item[1])[:6]
    return {
        "megabytes": round(sum(sizes.values()) / 1e6),
        "largest": {name: round(size / 1e6, 1) for name, size in largest},
    }


def size_of(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


if __name__ == "__main__":
    main()
