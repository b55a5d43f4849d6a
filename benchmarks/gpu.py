"""What a GPU says, in under twelve minutes: training, batches, grounding, and self-training.

    make bench-gpu
    python benchmarks/gpu.py [--only training learning] [--try-out FOLDER]

Each part is a process of its own, with a limit of its own, and its figures are kept as it ends:

- ``training``: QLoRA of the 7.8B shape, its memory, and its speed against the blog's setting;
- ``generation`` and ``vllm``: the model in the box, one sentence at a time and in batches, free and
  grounded, with what became of mentions;
- ``learning``: the model in the box learns from labelled sentences and from silver ones, which
  ``self_training.py label`` and ``select`` have made before.

``results/gpu.json`` says which card it was, and what became of each part. A part that needs what is
not there is passed over, and says so. ``--try-out`` walks through all of it on a CPU, with tiny
shapes and a few sentences; its figures mean nothing and go to that folder.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from _report import RESULTS, ROOT, write

BENCHMARKS = ROOT / "benchmarks"


@dataclass(frozen=True)
class Part:
    """A part of the benchmark.

    Attributes:
        commands: Its commands, one after another.
        limit: The seconds that they have together.
        result: The file of its figures, without ``.json``.
        needs: A package that it needs.
    """

    commands: Sequence[str]
    limit: int
    result: str
    needs: str


# Seconds, the file of the figures, and the package that is needed.
_PARTS = {
    "training": (200, "gpu_training", "trl"),
    "generation": (130, "generation_transformers", "peft"),
    "vllm": (130, "generation_vllm", "vllm"),
    "learning": (240, "self_training", "trl"),
}


def parts(tried: Path | None) -> dict[str, Part]:
    """All parts; to be tried out with tiny shapes if a folder is given."""
    if tried is not None:
        folder, few = shlex.quote(str(tried)), "--one 1 --many 2 --batch 2"
        stages = ("label", "select", "train")
        learning = [f"self_training.py {stage} --dry 16 --work {folder}/work" for stage in stages]
        commands = {
            "training": [f"gpu_training.py --steps 1 --tiny --output {folder}"],
            "generation": [f"generation.py --engine transformers {few}"],
            "vllm": [f"generation.py --engine vllm {few} --eager"],
            "learning": learning,
        }
    else:
        many = "--one 16 --many 2048 --batch 256"
        fast = "--dtype=bfloat16 --batch_size=32 --eval_batch_size=256"
        commands = {
            "training": ["gpu_training.py --steps 20"],
            "generation": [f"generation.py --engine transformers {many}"],
            "vllm": [f"generation.py --engine vllm {many}"],
            "learning": [f"self_training.py train {fast}"],
        }
    return {
        name: Part(commands[name], limit if tried is None else 600, result, needs)
        for name, (limit, result, needs) in _PARTS.items()
    }


def run(part: Part, folder: Path) -> dict[str, Any]:
    """Run a part, and say what became of it."""
    commands = [f"python benchmarks/{command}" for command in part.commands]
    told: dict[str, Any] = {"commands": commands, "limit_s": part.limit}
    if find_spec(part.needs) is None:
        return {**told, "ended": f"passed over: {part.needs} is not installed"}
    log = folder / f"{part.result}.log"
    result = folder / f"{part.result}.json"
    before = result.stat().st_mtime_ns if result.exists() else None
    began = time.monotonic()
    ended = "well"
    with log.open("w", encoding="utf-8") as stream:
        for command in part.commands:
            script, *options = shlex.split(command)
            left = part.limit - (time.monotonic() - began)
            # In a session of its own, so that what it starts ends with it and frees the card.
            process = subprocess.Popen(
                [sys.executable, str(BENCHMARKS / script), *options],
                stdout=stream,
                stderr=subprocess.STDOUT,
                env={**os.environ, "LLMNER_RESULTS": str(folder)},
                start_new_session=True,
            )
            try:
                code = process.wait(timeout=max(1.0, left))
                ended = "well" if code == 0 else f"failed with {code}"
            except subprocess.TimeoutExpired:
                ended = "stopped at its limit"
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            if ended != "well":
                break
    told |= {"seconds": round(time.monotonic() - began, 1), "ended": ended}
    if ended != "well":
        told["last_lines"] = log.read_text("utf-8", "replace").splitlines()[-5:]
    else:
        log.unlink()
    if result.exists() and result.stat().st_mtime_ns != before:
        told["figures"] = json.loads(result.read_text("utf-8"))["figures"]
    return told


def card() -> str:
    """The name of the GPU, or what computes in its place."""
    try:
        import torch
    except ImportError:
        return "no torch"
    if not torch.cuda.is_available():
        return "no CUDA device"
    about = torch.cuda.get_device_properties(0)
    return f"{about.name}, {about.total_memory / 2**30:.1f} GiB, CUDA {torch.version.cuda}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=parts(None), help="parts; by default all")
    parser.add_argument("--try-out", type=Path, metavar="FOLDER", help="on a CPU; no figures")
    arguments = parser.parse_args()
    tried = arguments.try_out
    where = card()
    if tried is None and where.startswith("no "):
        sys.exit(f"{where}; --try-out FOLDER walks through it on a CPU")
    folder = RESULTS if tried is None else tried.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    chosen = {
        name: part
        for name, part in parts(None if tried is None else folder).items()
        if name in (arguments.only or parts(None))
    }
    figures: dict[str, Any] = {"device": where, "parts": {}}
    kept = folder / "gpu.json"
    if arguments.only and kept.exists():
        # The other parts stay, if it was the same card.
        earlier = json.loads(kept.read_text("utf-8"))["figures"]
        figures = earlier if earlier["device"] == where else figures
    command = shlex.join(["python", "benchmarks/gpu.py", *sys.argv[1:]])
    for name, part in chosen.items():
        figures["parts"][name] = run(part, folder)
        # Whatever comes after, this is kept.
        write("gpu", command, figures, ("llmner",), folder=folder)
    bad = [
        name
        for name, told in figures["parts"].items()
        if name in chosen
        and told["ended"] != "well"
        and not told["ended"].startswith("passed over")
    ]
    if bad:
        sys.exit(f"not whole: {', '.join(bad)}")


if __name__ == "__main__":
    main()
