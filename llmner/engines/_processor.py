"""Which number type is fast on this processor, which devices there are, and how much memory.

A processor without instructions for bfloat16 converts every number to float32 and back, which takes
two to ten times as long as computing in float32. What a processor and a build of PyTorch are fast
at is measured, not looked up: a table would be wrong for the next processor.
"""

from __future__ import annotations

import json
import os
import platform
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmner.engines.embedded import cache_folder
from llmner.errors import InputError
from llmner.files import dump_json, whole_file

if TYPE_CHECKING:
    import torch

__all__ = [
    "DTYPES",
    "Arithmetic",
    "check_device",
    "check_dtype",
    "convert",
    "cpu_arithmetic",
    "fits_in_float32",
    "machine_memory",
    "processor_name",
]

DTYPES = ("auto", "float32", "bfloat16", "float16", "int8")
"""Number types that can be asked for; ``auto`` is the one that is fast."""

_MEASURED = ("float32", "bfloat16", "int8")

_CLEARLY = 1.1
"""float32 takes twice the memory, so it must be faster by this factor."""

_MUCH = 1.3
"""int8 is less exact, and more is done than linear layers; so it must be faster by this factor.
Where bfloat16 is fast, everything is fast in it, and int8 is not worth it."""

# A small model's layer (2 * width * width multiplications a row), questions of a batch, the tokens
# of its answers, and how many of these there are.
_WIDTHS = (640, 2048)
_QUESTION_ROWS, _ANSWER_ROWS, _ANSWER_TOKENS = 256, 16, 6
_ROUNDS = 5

_SETTINGS = ("ONEDNN_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY")
"""Environment variables that hold PyTorch back from instructions."""


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """The number type that is fast on a processor.

    Attributes:
        dtype: ``float32`` or ``bfloat16``.
        reason: Why, for people.
        int8: Whether linear layers in int8 are much faster than in float32, and bfloat16 is slow.
    """

    dtype: str
    reason: str
    int8: bool = False


def cpu_arithmetic() -> Arithmetic:
    """The number type for models on this machine's processor.

    Measured once, and kept in the cache folder for this processor, build of PyTorch and settings
    like ``ONEDNN_MAX_CPU_ISA``.
    """
    speeds = _kept_speeds()
    dtype = "float32" if speeds["float32"] > _CLEARLY * speeds["bfloat16"] else "bfloat16"
    others = ", ".join(f"{name} {speeds[name]:.0f}" for name in _MEASURED if name != dtype)
    reason = f"{speeds[dtype]:.0f} GFLOP/s a core, {others}"
    int8 = dtype == "float32" and speeds["int8"] > _MUCH * speeds["float32"]
    return Arithmetic(dtype, reason, int8)


def convert(model: Any, dtype: str) -> None:
    """Convert a model in place to what is asked for, or with ``auto`` to what is fast.

    On a CPU that is float32 if it is faster there and there is enough memory. Elsewhere a model
    stays as it is.
    """
    import torch

    if dtype != "auto":
        model.to(getattr(torch, dtype))
    elif (
        model.device.type == "cpu"
        and cpu_arithmetic().dtype == "float32"
        and fits_in_float32(model)
    ):
        model.float()


def check_device(name: str) -> torch.device:
    """The device of a name; ``auto`` is the first CUDA device, or the CPU if there is none.

    >>> check_device("cpu")
    device(type='cpu')

    Raises:
        InputError: There is no such device here.
    """
    import torch

    if name == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InputError(
            f"device {name!r} is unknown", hint="use auto, cpu, cuda, cuda:1, mps or xpu"
        ) from None
    if device.type == "cpu":
        return device
    count = _devices(device.type)
    if count == 0:
        build = torch.__version__
        raise InputError(
            f"there is no {device.type} device that PyTorch {build} can use", hint="use auto or cpu"
        )
    if device.index is not None and device.index >= count:
        last = f"{device.type}:{count - 1}"
        raise InputError(f"there is no device {name}", hint=f"the last one is {last}")
    return device


def _devices(kind: str) -> int:
    """How many devices of a kind PyTorch can use."""
    import torch

    try:
        module = torch.get_device_module(kind)
        return int(module.device_count()) if module.is_available() else 0
    except (RuntimeError, AttributeError):
        return 0


def check_dtype(name: str, device: torch.device) -> None:
    """Make sure that a device can compute in a number type.

    Any CPU computes in bfloat16, if slowly. For float16 it needs instructions of its own.

    Raises:
        InputError: It is unknown, or the device lacks it.
    """
    import torch

    if name not in DTYPES:
        raise InputError(f"dtype {name!r} is unknown", hint=f"use {', '.join(DTYPES)}")
    if name == "int8" and device.type != "cpu":
        raise InputError(f"int8 is for CPUs, and the device is {device}", hint="use auto")
    if name != "float16" or device.type != "cpu":
        return
    supported = getattr(torch.ops.mkldnn, "_is_mkldnn_fp16_supported", lambda: False)
    if not supported():
        raise InputError(
            "this processor has no instructions for float16", hint="use auto, which is fast"
        )


def fits_in_float32(model: Any) -> bool:
    """Whether a model's weights in float32 take no more than half of this machine's memory."""
    # A machine that does not say (Windows) is taken to hold a model of a billion parameters.
    memory = machine_memory() or 8 << 30
    return bool(4 * sum(weight.numel() for weight in model.parameters()) <= memory // 2)


def machine_memory() -> int | None:
    """Memory of this machine or container, in bytes; ``None`` if it is not known."""
    try:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
    except OSError:
        return memory
    return min(memory, int(limit)) if limit.isdigit() else memory


def processor_name() -> str:
    """The processor's name as Linux gives it; elsewhere what Python knows of it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()


def _kept_speeds() -> dict[str, float]:
    """Speeds in GFLOP/s by number type, measured now or before."""
    import torch

    key = " | ".join(
        (
            processor_name(),
            f"torch {torch.__version__}",
            *(f"{name}={os.environ[name]}" for name in _SETTINGS if name in os.environ),
        )
    )
    path = cache_folder() / "processors.json"
    kept = _read(path)
    if key not in kept:
        kept[key] = _measured()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(path) as stream:
                stream.write(dump_json(kept, indent=2) + b"\n")
        except (OSError, InputError):
            # A cache that cannot be written is measured again next time.
            pass
    return kept[key]


def _read(path: Path) -> dict[str, dict[str, float]]:
    """The kept speeds; those that are not what they should be are left out."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(kept, dict):
        return {}
    return {
        key: speeds
        for key, speeds in kept.items()
        if isinstance(speeds, dict)
        and all(isinstance(speeds.get(name), (int, float)) for name in _MEASURED)
    }


def _measured() -> dict[str, float]:
    """Speeds of a layer that reads questions and writes answers, in GFLOP/s."""
    import torch
    from torch.nn.utils import skip_init

    from llmner.engines._int8 import Int8Linear

    narrow, wide = _WIDTHS
    rows = _QUESTION_ROWS + _ANSWER_ROWS * _ANSWER_TOKENS
    work = 2 * narrow * wide * rows
    speeds = {}
    threads = torch.get_num_threads()
    # One thread and its own time: beside other programs, threads mostly wait for one another.
    torch.set_num_threads(1)
    try:
        for name in _MEASURED:
            dtype = torch.bfloat16 if name == "bfloat16" else torch.float32
            # Weights at random would move on the dice of whoever asks: of a training, for example.
            linear = skip_init(torch.nn.Linear, narrow, wide, bias=False, dtype=dtype)
            torch.nn.init.ones_(linear.weight)
            layer = Int8Linear(linear, torch.ones(narrow)) if name == "int8" else linear
            questions = torch.ones(_QUESTION_ROWS, narrow, dtype=dtype)
            answers = torch.ones(_ANSWER_ROWS, narrow, dtype=dtype)
            seconds = []
            for _ in range(_ROUNDS):
                started = time.thread_time()
                with torch.inference_mode():
                    layer(questions)
                    for _ in range(_ANSWER_TOKENS):
                        layer(answers)
                seconds.append(time.thread_time() - started)
            # The first round prepares kernels, and other programs may disturb any.
            speeds[name] = round(work / min(seconds) / 1e9, 1)
    finally:
        torch.set_num_threads(threads)
    return speeds
