"""docs/serving.md against a real server: every request there, with the embedded model's answers."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason='needs pip install "llmner[serve]"')
pytest.importorskip("torch", reason='needs pip install "llmner[local]"')
httpx = pytest.importorskip("httpx")

from llmner.markup import parse_markup
from tests.conftest import ROOT
from tests.serving.fakes import eventually
from tests.test_docs import blocks, transcript

pytestmark = pytest.mark.slow

REQUESTS = [
    (command, shown)
    for language, text in blocks(ROOT / "docs" / "serving.md")
    if language == "console"
    for command, shown in transcript(text)
    if command.startswith("curl ")
]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    log = tmp_path_factory.mktemp("serve") / "log"
    with log.open("w") as stream:
        server = subprocess.Popen(
            [sys.executable, "-m", "llmner", "serve", "--port", "0"], stderr=stream
        )
    try:
        assert eventually(lambda: "http://" in log.read_text(), 60)
        found = re.search(r"http://(\S+)", log.read_text())
        assert found is not None
        assert eventually(
            lambda: httpx.get(f"http://{found[1]}/readyz", timeout=60).status_code == 200, 180
        )
        yield found[1]
    finally:
        server.terminate()
        server.wait(60)


def test_the_guide_has_the_three_cases_and_projection() -> None:
    assert [re.search(r"localhost:8080(\S+)", command)[1] for command, _ in REQUESTS] == [  # type: ignore[index]
        "/infer", "/v1/extract", "/v1/extract", "/v1/project",
    ]  # fmt: skip


@pytest.mark.parametrize(("command", "shown"), REQUESTS, ids=["team", "news", "call", "project"])
def test_requests_of_the_guide_get_the_answers_shown(
    address: str, command: str, shown: str, tmp_path: Path
) -> None:
    path = Path(sys.executable).parent
    done = subprocess.run(
        ["bash", "-c", f"PATH={path}:$PATH; {command.replace('localhost:8080', address)}"],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    if "/v1/project" in command:
        assert json.loads(done.stdout) == json.loads(shown)
        return
    # What is likeliest may be a hair's breadth away on another processor.
    found, expected = spans(done.stdout), spans(shown)
    assert len(found & expected) >= 0.9 * max(len(found), len(expected))


def spans(answer: str) -> set[tuple[int, int, str]]:
    if not answer.startswith("{"):
        return {(span.start, span.end, span.label) for span in parse_markup(answer.strip())[1]}
    rows: list[dict[str, Any]] = json.loads(answer)["result"]
    return {(row["start"], row["end"], row["entity_group"]) for row in rows}
