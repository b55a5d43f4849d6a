"""The lock: every package that `make` installs has one version, and the Makefile and the image
use it.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import ROOT

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
# vLLM brings its own torch, and nothing of the project installs ray.
EXTRAS = (
    "local",
    "train",
    "openai",
    "baselines",
    "serve",
    "hub",
    "spacy",
    "presidio",
    "export",
    "ray",
)
LOCKS = {"constraints.txt": ("dev", "upkeep"), "constraints-peers.txt": ("peers",)}
MACHINES = [
    {
        "python_version": version,
        "python_full_version": f"{version}.1",
        **system,
        "platform_machine": machine,
    }
    for version, system, machine in itertools.product(
        ("3.11", "3.12", "3.13"),
        (
            {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix"},
            {"sys_platform": "darwin", "platform_system": "Darwin", "os_name": "posix"},
        ),
        ("x86_64", "arm64"),
    )
]


def requirements(path: Path) -> list[Requirement]:
    """What a requirements file names; a line that is anything else is an error."""
    lines = (line.partition("#")[0].strip() for line in path.read_text("utf-8").splitlines())
    return [Requirement(line) for line in lines if line]


def group(name: str) -> Iterator[str]:
    for entry in PROJECT["dependency-groups"][name]:
        if isinstance(entry, dict):
            yield from group(entry["include-group"])
        else:
            yield entry


def asked(lock: str) -> list[Requirement]:
    """What pyproject.toml asks for, in whatever is installed with this lock."""
    texts = [
        *PROJECT["project"]["dependencies"],
        *(text for name in LOCKS[lock] for text in group(name)),
    ]
    if lock == "constraints.txt":
        extras = PROJECT["project"]["optional-dependencies"]
        texts += [text for name in EXTRAS for text in extras[name]]
        texts += PROJECT["build-system"]["requires"]
    found = [Requirement(text) for text in texts]
    return [requirement for requirement in found if requirement.name != "llmner"]


def holds(requirement: Requirement, machine: dict[str, str], extra: str = "") -> bool:
    return requirement.marker is None or requirement.marker.evaluate({**machine, "extra": extra})


def pins(lock: str, machine: dict[str, str]) -> dict[str, str]:
    """The version of each package on such a machine."""
    found: dict[str, str] = {}
    for requirement in requirements(ROOT / lock):
        if holds(requirement, machine):
            name = canonicalize_name(requirement.name)
            (specifier,) = requirement.specifier
            assert found.setdefault(name, specifier.version) == specifier.version, (
                f"two versions of {name}"
            )
    return found


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_versions_and_nothing_else(lock: str) -> None:
    held = requirements(ROOT / lock)
    assert len(held) > 80
    for requirement in held:
        assert requirement.url is None, requirement
        assert [specifier.operator for specifier in requirement.specifier] == ["=="], requirement
        # A local version (2.13.0+cpu) can be had from one index alone.
        assert "+" not in str(requirement.specifier), requirement


@pytest.mark.parametrize("lock", LOCKS)
def test_what_the_project_asks_for_is_pinned_within_its_ranges_on_every_machine(lock: str) -> None:
    for machine in MACHINES:
        pinned = pins(lock, machine)
        for requirement in asked(lock):
            if holds(requirement, machine):
                name = canonicalize_name(requirement.name)
                assert name in pinned, f"{requirement}: not in {lock}; run make lock"
                assert requirement.specifier.contains(pinned[name]), (
                    f"{requirement}: {lock} has {pinned[name]}; run make lock"
                )


def test_the_versions_that_were_chosen_by_hand_are_in_the_lock() -> None:
    pinned = pins("constraints.txt", MACHINES[0])
    chosen = {
        canonicalize_name(row.name): row.specifier for row in requirements(ROOT / "constraints.in")
    }
    assert str(chosen["torch"]) == "==2.13.0"
    for name, specifier in chosen.items():
        assert specifier.contains(pinned[name]), name


def test_whatever_is_installed_here_of_what_the_project_needs_is_pinned() -> None:
    pinned = {canonicalize_name(row.name) for row in requirements(ROOT / "constraints.txt")}
    seen: set[tuple[str, str]] = set()
    left = [(requirement, "") for requirement in asked("constraints.txt")]
    unpinned = set()
    while left:
        requirement, extra = left.pop()
        if not holds(requirement, {}, extra):
            continue
        name = canonicalize_name(requirement.name)
        try:
            needs = distribution(name).requires or []
        except PackageNotFoundError:
            continue
        if name not in pinned:
            unpinned.add(name)
        for wanted in ("", *requirement.extras):
            if (name, wanted) not in seen:
                seen.add((name, wanted))
                left += [(Requirement(need), wanted) for need in needs]
    assert len({name for name, _ in seen}) > 20
    assert not unpinned, "run make lock"


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_installs_nothing_that_is_not_pinned(tmp_path: Path) -> None:
    targets = [
        "demo",
        "test",
        "bench-projection",
        "bench-reading",
        "bench-gpu-train",
        "lock",
        "audit",
        "test-vllm",
    ]
    overrides = [f"{name}={tmp_path / name}" for name in ("VENV", "PEERS", "VLLM_BIN")]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    done = subprocess.run(
        ["make", "--dry-run", "--always-make", *targets, *overrides],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    installing = [line for line in done.stdout.splitlines() if "pip install" in line]
    assert len(installing) > 8
    for line in installing:
        if f"{tmp_path / 'VLLM_BIN'}" in line and "--upgrade pip" not in line:
            # vLLM pins what it needs itself; only its version is ours to choose.
            assert re.search(r' "vllm[\w-]*==[\d.]+"$| --group test$', line), line
        else:
            assert re.search(r" -c constraints(?:-peers)?\.txt ", line), line
        if "-e " in line:
            assert "--build-constraint constraints.txt" in line, line


def test_the_server_is_installed_with_the_lock_and_only_torch_from_another_index(
    tmp_path: Path,
) -> None:
    # Stands in for the interpreter, and writes down what it is asked to install; the real one is
    # test_container.py's.
    python, log = tmp_path / "python", tmp_path / "log"
    python.write_text(
        f'#!/bin/sh\nif [ "$1" = -c ]; then exec "{sys.executable}" "$@"; fi\n'
        f'echo "$PIP_CONSTRAINT $PIP_BUILD_CONSTRAINT $*" >>"{log}"\n',
        encoding="utf-8",
    )
    python.chmod(0o755)
    environment = {**os.environ, "PYTHON": str(python), "TORCH_INDEX": "https://torch.example/cpu"}
    subprocess.run([ROOT / "scripts" / "install_server.sh"], env=environment, check=True)
    lines = log.read_text("utf-8").splitlines()
    torch, rest = (line for line in lines if " -m pip install " in line)
    lock = (ROOT / "constraints.txt").as_uri()
    for line in (torch, rest):
        assert line.startswith(f"{lock} {lock} ")
    # The index of torch need not have the pinned versions of what torch needs.
    assert torch.endswith(" --index-url https://torch.example/cpu --no-deps torch")
    assert rest.endswith(" .[serve,openai,local]")
    assert "index" not in rest
