"""The notebooks of the docs run as their readers run them, before an endpoint of their own."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.engines.endpoint import Endpoint, serving

nbclient = pytest.importorskip("nbclient", reason="needs the dependency group test")
nbformat = pytest.importorskip("nbformat", reason="needs the dependency group test")
pytest.importorskip("openai", reason='needs pip install "llmner[openai]"')

pytestmark = pytest.mark.slow

# What a good model says of each text of a notebook.
ANSWERS = {
    "start.ipynb": {
        "Ines flew to Tallinn.": {"PERSON": ["Ines"], "PLACE": ["Tallinn"]},
        "The Kestrel 3 is sold in Tallinn.": {
            "PRODUCT": ["Kestrel 3"],
            "PLACE": ["Tallinn", "Oslo"],
        },
        "Nobody was there.": {},
    },
    "start.ko.ipynb": {
        "윤서준은 강릉으로 갔다.": {"인물": ["윤서준은"], "지역": ["강릉으로"]},
        "별빛 3호는 강릉에서 판다.": {"상품": ["별빛 3호"], "지역": ["강릉", "서울"]},
        "아무도 없었다.": {},
    },
}


@pytest.mark.parametrize("name", sorted(ANSWERS))
def test_a_notebook_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = ANSWERS[name]

    def answer(question: str) -> str:
        (text,) = (text for text in said if text in question)
        return json.dumps(said[text], ensure_ascii=False)

    notebook = nbformat.read(ROOT / "docs" / "notebooks" / name, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "it is kept without outputs"
    with serving(Endpoint(answer)) as endpoint:
        monkeypatch.setenv("OPENAI_BASE_URL", endpoint.url)
        monkeypatch.setenv("OPENAI_MODEL", "model")
        client = nbclient.NotebookClient(
            notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}
        )
        client.execute()
    shown = "\n".join(map(words, notebook.cells))
    # All names are found, and the one that is not in the text is told.
    assert "not_found" in shown
    assert re.search(r"f1=1\.0", shown)
    assert endpoint.answered


def words(cell: Any) -> str:
    """What a cell shows, as text."""
    return "\n".join(
        output.get("text") or output.get("data", {}).get("text/plain", "")
        for output in cell.get("outputs", ())
    )


def test_every_notebook_is_run_here() -> None:
    assert {path.name for path in (ROOT / "docs" / "notebooks").glob("*.ipynb")} == set(ANSWERS)
