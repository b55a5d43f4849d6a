"""Seconds from a built wheel to the first entities of one's own labels, through an endpoint.

    python benchmarks/first_entities.py

In a new environment and without pip's cache: the core with the openai extra is installed from the
wheel, then one command asks an endpoint on this machine. The endpoint answers at once, so what is
measured is installing and starting.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from _report import ROOT, write

sys.path.insert(0, str(ROOT))
from tests.engines.endpoint import Endpoint, serving

TEXT = "Ines flew to Tallinn."
REPLY = '{"PERSON": ["Ines"], "PLACE": ["Tallinn"]}'
GOAL_SECONDS = 180


def main() -> None:
    with (
        tempfile.TemporaryDirectory() as name,
        serving(Endpoint(answer=lambda _: REPLY, models=("m",))) as server,
    ):
        folder = Path(name)
        subprocess.run(
            [sys.executable, "-m", "build", "--wheel", "--outdir", name, str(ROOT)],
            check=True,
            capture_output=True,
        )
        (wheel,) = folder.glob("*.whl")
        environment = folder / "environment"
        seconds = {
            "environment": timed(sys.executable, "-m", "venv", environment),
            "install": timed(
                environment / "bin" / "pip", "install", "--quiet", "--no-cache-dir",
                "--constraint", ROOT / "constraints.txt", f"{wheel}[openai]",
            ),
        }  # fmt: skip
        extract = (
            environment / "bin" / "llmner", "extract", TEXT, "--labels", "PERSON,PLACE",
            "--base-url", server.url, "--model", "m", "--json",
        )  # fmt: skip
        started = time.perf_counter()
        done = subprocess.run(extract, check=True, capture_output=True)
        seconds["first entities"] = time.perf_counter() - started
        seconds["once more"] = timed(*extract)
    found = [span["label"] for span in json.loads(done.stdout)["spans"]]
    assert found == ["PERSON", "PLACE"], found
    total = sum(value for name, value in seconds.items() if name != "once more")
    write(
        "first_entities",
        "python benchmarks/first_entities.py",
        {
            "seconds": {name: round(value, 1) for name, value in seconds.items()},
            "total": round(total, 1),
            "goal": GOAL_SECONDS,
            "reached": total < GOAL_SECONDS,
        },
        ("llmner", "openai"),
    )


def timed(*command: object) -> float:
    started = time.perf_counter()
    subprocess.run([str(part) for part in command], check=True, capture_output=True)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
