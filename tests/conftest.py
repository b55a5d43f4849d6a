"""Fixtures that more than one room's tests use."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

from llmner.recipes import Recipe
from llmner.schema import LabelSchema
from tests.skips import not_allowed

# Examples are drawn anew on a developer's machine and are the same ones in continuous integration.
settings.register_profile("here", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")

# Modules that load models, start servers or browsers, or measure: make test-fast leaves them out.
_SLOW = frozenset(
    f"tests/{name}.py"
    for name in (
        "baselines/test_alignment baselines/test_broken_folders baselines/test_commands baselines/test_encoder "
        "baselines/test_taggers benchmarks/test_gpu_training cli/test_ending cli/test_generating cli/test_hostile "
        "cli/test_interrupted cli/test_train engines/test_adapters engines/test_broken_models "
        "engines/test_decoding engines/test_embedded engines/test_exaone engines/test_packaged "
        "engines/test_transformers hub/test_push projection/test_klue projection/test_properties "
        "reports/test_report_browser serving/test_apart serving/test_container serving/test_guide "
        "serving/test_hostile_requests serving/test_openapi serving/test_page_browser serving/test_server "
        "serving/test_slow_clients test_docs test_kept test_packaging test_pumping test_shown test_skips "
        "training/test_memory training/test_model training/test_run"
    ).split()
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is slow."""
    for item in items:
        if item.nodeid.partition("::")[0] in _SLOW:
            item.add_marker("slow")


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """In continuous integration, tell of tests that were skipped for no reason that it takes."""
    reports = terminalreporter.stats.get("skipped", []) if os.environ.get("CI") else []
    # A skipped test's report has (file, line, "Skipped: REASON").
    for reason in dict.fromkeys(
        not_allowed(report.longrepr[2].removeprefix("Skipped: ") for report in reports)
    ):
        terminalreporter.write_line(
            f"a skip that tests/skips.py does not allow: {reason}", red=True
        )


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Such a skip is a failure."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if not os.environ.get("CI") or reporter is None:
        return
    reports = reporter.stats.get("skipped", [])
    if session.exitstatus == 0 and not_allowed(
        report.longrepr[2].removeprefix("Skipped: ") for report in reports
    ):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


if TYPE_CHECKING:
    from playwright.sync_api import Browser

# What Python's own arithmetic gives unless a library made it flush what is nearly zero.
_SMALLEST = sys.float_info.min


@pytest.fixture(scope="module", autouse=True)
def arithmetic() -> Iterator[None]:
    """No module's tests leave the thread's arithmetic changed."""
    yield
    assert _SMALLEST / 2 > 0, "numbers nearly zero are flushed to zero since these tests"


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


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Headless Chromium, the machine's own; its networking is off but for what a test opens."""
    playwright = pytest.importorskip("playwright.sync_api")
    path = next(
        filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
    )
    if path is None:
        pytest.skip("no Chromium is installed (apt-get install chromium)")
    quiet = "no-sandbox disable-gpu disable-quic no-first-run disable-background-networking disable-component-update disable-sync"
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(
            executable_path=path, args=[f"--{flag}" for flag in quiet.split()]
        )
        yield started
        started.close()


@pytest.fixture(autouse=True)
def _faults_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Errors that the command line did not foresee fail the test instead of being told in a line."""
    monkeypatch.setenv("LLMNER_DEBUG", "1")


@pytest.fixture(autouse=True)
def _plain_output(monkeypatch: pytest.MonkeyPatch) -> None:
    """No colours, whatever terminal the tests run in."""
    for name in ("FORCE_COLOR", "CLICOLOR_FORCE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
