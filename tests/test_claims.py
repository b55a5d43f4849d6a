"""What the README says llmner is better at: every figure of its table is one that was measured."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from llmner.corpora import CORPUS_FORMATS
from tests.conftest import ROOT

READMES = [ROOT / "README.md", ROOT / "README.ko.md"]


def figures(name: str) -> dict[str, Any]:
    path = ROOT / "benchmarks" / "results" / f"{name}.json"
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))["figures"]
    return found


def aligned(workload: str) -> list[float]:
    """Ours, and the best of the others; each in F1."""
    aligners = {
        name: own["f1"]
        for name, own in figures("projection")["workloads"][workload]["aligners"].items()
    }
    ours = aligners.pop("llmner")
    best = max(aligners, key=lambda name: aligners[name])
    assert best == "langextract"
    return [ours, aligners[best]]


def read() -> list[float]:
    readers = figures("reading")["data/cases"]["readers"]
    rows = {name: int(own["rows"].partition("/")[0]) for name, own in readers.items()}
    ours = rows["llmner"]
    others = {name: own for name, own in rows.items() if "llmner" not in name}
    best = max(others, key=lambda name: others[name])
    assert best.startswith("json_repair")
    return [ours, others[best]]


def audited() -> list[float]:
    found = figures("audit")
    sides = found["audit"], found["cleanlab, characters"]
    return [side["precision at 500"] for side in sides]


def learnt() -> list[float]:
    models = {own["name"]: own["micro"]["f1"] for own in figures("models")["models"]}
    return [models["Gemma 3 270M, LoRA"], models["BiLSTM-CRF"]]


def trained() -> list[float]:
    runs = figures("gpu_training")["runs"]
    return [runs[name]["sentences_a_second"] for name in ("ours", "blog")]


def served() -> list[float]:
    speeds = figures("served_tagger")["sentences_a_second"]
    return [speeds["server"], speeds["pipeline"]]


MEASURED = [
    (lambda: aligned("KLUE dev v1, noise"), "{:.3f}"),
    (lambda: aligned("400 recorded replies"), "{:.3f}"),
    (read, "{:.0f}"),
    (audited, "{:.3f}"),
    (learnt, "{:.3f}"),
    (trained, "{:.1f}"),
    (served, "{:.1f}"),
]


@pytest.mark.parametrize("readme", READMES, ids=lambda path: path.name)
def test_the_table_is_what_was_measured(readme: Path) -> None:
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in readme.read_text("utf-8").splitlines()
        if re.match(r"\|.*\| [\d.]+ \|", line)
    ]
    assert len(rows) == len(MEASURED)
    for (_, ours, best, _), (measured, form) in zip(rows, MEASURED, strict=True):
        # As people round: 26.45 is 26.5.
        assert [ours, best.partition(",")[0]] == [form.format(own + 1e-9) for own in measured()]


@pytest.mark.parametrize("readme", READMES, ids=lambda path: path.name)
def test_what_others_do_better_is_what_was_measured_too(readme: Path) -> None:
    text = readme.read_text("utf-8")
    facts = {own["name"]: own["facts"]["sentences_a_second"] for own in figures("models")["models"]}
    assert f"{facts['CRF']:.0f}" in text
    assert re.search(rf"\b{facts['Gemma 3 270M, LoRA']:.0f}(?:\b|문장)", text)
    published = {
        own["name"]: own["figures"]["KLUE entity F1"] for own in figures("models")["published"]
    }
    ours = max(own["klue"]["entity_f1"] for own in figures("models")["models"])
    assert published["KoELECTRA-base"] > 100 * ours
    assert str(len(CORPUS_FORMATS)) in text


def test_the_comparison_is_what_was_measured() -> None:
    page = (ROOT / "docs" / "comparison.md").read_text("utf-8")
    aligners = figures("projection")["workloads"]["KLUE dev v1, noise"]["aligners"]
    names = ["llmner", "langextract", "fuzzysearch, greedy", "annotations4all"]
    names += ["spacy-llm find_substrings", "rapidfuzz partial_ratio"]
    row = " | ".join(f"{aligners[name]['f1']:.3f}" for name in names)
    assert f"| {row} |" in page
    perfect = figures("projection")["workloads"]
    ordered = perfect["KLUE dev v1, gold in order"]["aligners"]
    assert (
        f"{ordered['llmner']['f1']:.4f} against langextract's {ordered['langextract']['f1']:.4f}"
        in page
    )
    typed = perfect["KLUE dev v1, gold by type"]["aligners"]
    took = [
        typed[name]["mean_microseconds"] / 1000
        for name in ("langextract", "llmner", "longest first")
    ]
    assert (
        "{:.2f} milliseconds a reply, ours {:.2f}; a plain search takes {:.2f}".format(*took)
        in page
    )


def test_both_readmes_say_the_same() -> None:
    english, korean = (path.read_text("utf-8") for path in READMES)
    links = [
        [link for link in re.findall(r"\]\(([^)]+)\)", text) if not link.startswith("README")]
        for text in (english, korean)
    ]
    contributing = {"CONTRIBUTING.md", "docs/architecture.md", "docs/decisions.md"}
    assert [link for link in links[0] if link not in contributing] == links[1]
    assert english.count("\n## ") == korean.count("\n## ")
    assert max(len(english.splitlines()), len(korean.splitlines())) <= 120


def test_links_lead_somewhere() -> None:
    pages = [*READMES, ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]
    for page in pages:
        text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
        for link in re.findall(r"\]\(([^)\s]+)\)", text):
            if re.match(r"[a-z]+:", link):
                continue
            target, _, anchor = link.partition("#")
            path = page if not target else (page.parent / target).resolve()
            assert path.exists(), f"{page.name} links to {link}"
            if anchor:
                assert anchor in anchors(path), f"{page.name} links to {link}"


def anchors(page: Path) -> set[str]:
    """The names of a page's headings, as GitHub makes them."""
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", title.lower().replace("`", "")).replace(" ", "-")
        for title in titles
    }
