"""The site builds without a warning, and pages name nothing that is not there."""

from __future__ import annotations

import doctest
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from llmner.cli import app
from llmner.cli.train import _FLAGS
from llmner.engines import Reply
from tests.conftest import ROOT

PAGES = sorted(
    [
        *(ROOT / name for name in ("README.md", "README.ko.md", "CONTRIBUTING.md")),
        *(ROOT / "docs").rglob("*.md"),
    ]
)
# Options of other programs that pages name.
_OTHERS = {
    # pip, uv, make, accelerate, split, torch
    *("--group", "--index-url", "--extra-index-url", "--force-reinstall", "--upgrade"),
    *("--num_processes", "--config_file", "--numeric-suffixes", "--additional-suffix"),
    # curl, docker, hf
    *("--local-dir", "--gpus", "--build-arg", "--rm", "--shm-size"),
    # vLLM, llama.cpp
    *("--gpu-memory-utilization", "--max-model-len", "--enable-lora", "--lora-modules", "--port"),
    # tensorboard, jsonargparse
    *("--logdir", "--print_config"),
}
# Files that a page tells its reader to write.
_TO_WRITE = {"llmner/corpora/bars.py"}


def options(command: Any) -> Iterator[str]:
    """All options of a command and of those beneath it, hidden ones too."""
    for own in command.params:
        yield from own.opts
        yield from own.secondary_opts
    for below in getattr(command, "commands", {}).values():
        yield from options(below)


def code(page: Path) -> list[str]:
    """What a page shows as code: commands of its fences, and words of its lines."""
    text = page.read_text("utf-8")
    fences = re.findall(r"^```(?:console|text)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    lines = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    words = [" ".join(own.split()) for own in re.findall(r"`([^`]+)`", lines)]
    return [*words, *"\n".join(fences).splitlines()]


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="needs the dependency group site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    index = (tmp_path / "index.html").read_text("utf-8")
    # No page asks another site for fonts or scripts.
    assert not re.search(r"<(?:script|link|img)[^>]+(?:src|href)=\"?https?:", index)
    commands = (tmp_path / "reference" / "commands.html").read_text("utf-8")
    assert "llmner extract" in commands
    assert "--min-score" in commands
    python = (tmp_path / "reference" / "python.html").read_text("utf-8")
    for name in ("project_reply", "Extractor", "run_job"):
        assert f">{name}<" in python or f"{name}</span>" in python
    # Examples are code, and names of roles are gone.
    assert ":func:" not in python
    for name in ("row", "recipe"):
        assert json.loads((tmp_path / "reference" / f"{name}.schema.json").read_text("utf-8"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_options_and_commands_that_a_page_names_are_there(page: Path) -> None:
    root = get_command(app)
    commands = set(getattr(root, "commands", {}))
    known = {*options(root), *_OTHERS, "--help"}
    fields = (*training_fields(), *_FLAGS)
    known |= {f"--{name}" for name in fields} | {f"--{name.replace('_', '-')}" for name in fields}
    for shown in code(page):
        for name in re.findall(r"(?:^|[\s|(])llmner ([a-z][a-z-]+)", shown):
            assert name in commands, f"{shown}: there is no command {name}"
        if re.search(r"python benchmarks/|\bscripts/|pip |docker |curl |pytest", shown):
            continue
        for name in re.findall(r"(?<![\w-])--[a-z][\w-]*", shown):
            assert name in known, f"{shown}: no option {name}"


def training_fields() -> set[str]:
    from llmner.training import TrainingConfig

    return set(TrainingConfig().flat())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_extras_and_files_that_a_page_names_are_there(page: Path) -> None:
    about = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    extras = set(about["project"]["optional-dependencies"])
    for shown in code(page):
        for names in re.findall(r"(?:\.|llmner)\[([a-z,-]+)\]", shown):
            assert set(names.split(",")) <= extras, f"{shown}: no such extra"
        path = re.fullmatch(
            r"((?:benchmarks|scripts|data|docs|tests|prompts|llmner)/[\w./-]+)", shown
        )
        if path and "." in path[1].rpartition("/")[2] and path[1] not in _TO_WRITE:
            assert (ROOT / path[1]).exists(), f"{shown}: no such file"
    for script in re.findall(r"python ((?:benchmarks|scripts)/\w+\.py)", page.read_text("utf-8")):
        assert (ROOT / script).is_file(), f"{script}: no such file"


def test_every_message_of_the_troubleshooting_page_is_one_that_llmner_gives() -> None:
    page = (ROOT / "docs" / "troubleshooting.md").read_text("utf-8")
    source = " ".join(path.read_text("utf-8") for path in (ROOT / "llmner").rglob("*.py"))
    source += " ".join(path.read_text("utf-8") for path in (ROOT / "benchmarks").glob("*.py"))
    # Strings that go on in the next line.
    source = re.sub(r"\"\s+f?\"", "", source)
    messages = re.findall(r"^\| (?:a row with )?`([^`]+)`", page, re.MULTILINE)
    assert len(messages) > 20
    for message in messages:
        assert message in source, message


class Said:
    """An engine whose every second answer fails."""

    def generate(self, prompts: Sequence[Any]) -> list[Reply]:
        good = Reply("PS: 손흥민", prompt_tokens=9, completion_tokens=4)
        bad = Reply("", "error", error="out of order")
        return [bad if number % 2 else good for number, _ in enumerate(prompts)]

    def describe(self) -> dict[str, Any]:
        return {"engine": "said"}


def test_what_is_written_fits_the_published_schema(tmp_path: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="needs the dependency group site")
    pytest.importorskip("mkdocs", reason="needs the dependency group site")
    sys.path.insert(0, str(ROOT / "scripts"))
    from site_hooks import schemas

    from llmner import Recipe, read_corpus
    from llmner.extraction import Extractor
    from llmner.extraction.projecting import project_rows
    from llmner.files import open_lines

    published = schemas()
    check = jsonschema.Draft202012Validator(published["row"])
    path = ROOT / "data" / "sample-replies.jsonl"
    schema = Recipe.load("klue").schema_
    rows = list(project_rows(open_lines(path), path, schema))
    gold = list(read_corpus(ROOT / "data" / "sample.tsv"))[:5]
    extractor = Extractor(Recipe.load("klue"), Said())
    rows += [found.row() for found in extractor.extract(gold)]
    assert len(rows) > 50
    for row in rows:
        check.validate(json.loads(json.dumps(row)))
    recipe = jsonschema.Draft202012Validator(published["recipe"])
    written = [
        yaml.safe_load(path.read_text("utf-8")) for path in (ROOT / "prompts").glob("*.yaml")
    ]
    # A recipe may be labels and no more.
    written += [{"name": "trips", "labels": ["PERSON", "PLACE"]}]
    assert len(written) > 5
    for own in written:
        recipe.validate(own)
    # And what is misspelt does not fit.
    assert not recipe.is_valid({"name": "trips", "lables": ["PERSON"]})
    assert not check.is_valid({**rows[0], "status": "fine"})
    assert not check.is_valid({"id": None, "spans": []})


@pytest.mark.parametrize("name", ["site_hooks", "site_docstrings"])
def test_examples_of_the_site_scripts_run(name: str) -> None:
    pytest.importorskip("mkdocs", reason="needs the dependency group site")
    sys.path.insert(0, str(ROOT / "scripts"))
    found = doctest.testmod(__import__(name))
    assert found.attempted > 0
    assert found.failed == 0
