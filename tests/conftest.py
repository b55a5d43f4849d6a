"""Fixtures that more than one room's tests use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

from llmner.recipes import Recipe
from llmner.schema import LabelSchema

# Examples are drawn anew on a developer's machine and are the same ones in continuous integration.
settings.register_profile("here", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared" / "data"


def shared(relative: str) -> Path:
    """A file of the shared data, or a skip that says what is missing."""
    path = SHARED / relative
    if not path.exists():
        pytest.skip(f"shared data is not at hand: {relative} (see data/README.md)")
    return path


@pytest.fixture(scope="session")
def klue() -> Recipe:
    return Recipe.load("klue")


@pytest.fixture(scope="session")
def schema(klue: Recipe) -> LabelSchema:
    return klue.schema_


@pytest.fixture(params=["v1", "v1.1"], scope="session")
def klue_dev(request: pytest.FixtureRequest) -> Path:
    return shared(f"klue-ner/klue-ner-{request.param}_dev.tsv")


@pytest.fixture(scope="session")
def klue_dev_v1() -> Path:
    return shared("klue-ner/klue-ner-v1_dev.tsv")


@pytest.fixture(scope="session")
def klue_train() -> Path:
    return shared("klue-ner/klue-ner-v1.1_train_mini.tsv")


@pytest.fixture(scope="session")
def recorded_replies() -> Path:
    return shared("recorded-replies/gemini-2.5-flash_klue-v1-dev_0000-0399.jsonl")


@pytest.fixture(scope="session")
def sample() -> Path:
    return ROOT / "data" / "sample.tsv"


@pytest.fixture(autouse=True)
def _plain_output(monkeypatch: pytest.MonkeyPatch) -> None:
    """No colours, whatever terminal the tests run in."""
    for name in ("FORCE_COLOR", "CLICOLOR_FORCE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
