"""Model cards: everything in them is in the folder, and nothing in the folder breaks them."""

from __future__ import annotations

import ast
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("huggingface_hub")

from huggingface_hub import ModelCard

from llmner.errors import InputError, MissingExtraError
from llmner.hub._files import without_paths
from llmner.hub.card import model_card
from llmner.hub.licences import terms_of
from llmner.recipes import Recipe
from tests.training.folders import RECORD, SETTINGS, adapter_folder, evaluation, write

REPO = "someone/klue-ner-gemma"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return adapter_folder(tmp_path / "adapter")


def metadata(card: str) -> dict[str, Any]:
    block = re.match(r"---\n(.*?)\n---\n", card, re.DOTALL)
    assert block
    data = yaml.safe_load(block[1])
    assert isinstance(data, dict)
    return data


def tables(card: str) -> list[list[list[str]]]:
    """Cells of every Markdown table; a table's rows must have as many as its head."""
    found: list[list[list[str]]] = []
    for line in re.sub(r"```.*?```", "", card, flags=re.DOTALL).splitlines():
        if line.startswith("|"):
            cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            if found and found[-1]:
                assert len(cells) == len(found[-1][0]), line
            else:
                found.append([])
            found[-1].append(cells)
        elif found and found[-1]:
            found.append([])
    return [table for table in found if table]


def test_metadata_for_the_hub(folder: Path) -> None:
    write(folder / "evaluation-dev.json", evaluation())
    data = metadata(model_card(folder, REPO))
    results = data.pop("model-index")
    assert data == {
        "base_model": "google/gemma-3-270m",
        "datasets": ["klue/klue"],
        "language": "ko",
        "library_name": "peft",
        "license": "gemma",
        "pipeline_tag": "text-generation",
        "tags": ["llmner", "named-entity-recognition", "lora"],
    }
    (entry,) = results
    assert entry["name"] == "klue-ner-gemma"
    (result,) = entry["results"]
    assert result["task"] == {"type": "token-classification", "name": "Named Entity Recognition"}
    assert result["dataset"] == {
        "name": "KLUE-NER v1.1 (klue-ner-v1.1_dev.tsv)",
        "type": "klue/klue",
        "config": "ner",
        "split": "validation",
        "revision": "sha256:f8a508177b31",
        "args": {"sentences": 5000},
    }
    assert [(one["name"], one["value"]) for one in result["metrics"]] == [
        ("micro F1 (seqeval)", 0.8599),
        ("micro F1, strict IOB2", 0.859),
        ("KLUE entity F1", 0.8412),
        ("KLUE character F1", 0.9011),
    ]
    assert result["metrics"][0]["args"] == {"interval_95": [0.8511, 0.8688]}


def test_the_card_survives_being_read_and_written(folder: Path) -> None:
    write(folder / "evaluation-dev.json", evaluation())
    card = model_card(folder, REPO)
    assert str(ModelCard(card)) == card


def test_figures_with_interval_and_signature(folder: Path) -> None:
    write(folder / "evaluation-dev.json", evaluation())
    card = model_card(folder, REPO)
    assert "5,000 sentences, 13,000 entities" in card
    assert "| micro F1 (seqeval) | 85.99 | 85.11–86.88 |" in card
    assert "| micro F1, strict IOB2 | 85.90 | – |" in card
    assert "| KLUE entity F1 | 84.12 | 83.00–85.22 |" in card
    assert (
        "corpus:name=klue-ner-v1.1_dev.tsv,sentences=5000,sha256=f8a508177b31,nfkc=True|engine:transformers"
        in card
    )


def test_every_number_of_the_results_is_in_a_file(folder: Path) -> None:
    card = model_card(folder, REPO)
    assert "No evaluation came with this adapter." in card
    assert "model-index" not in metadata(card)
    assert tables(card)[0][0] == ["label", "name", "what it is"]


def test_klue_v1_and_v1_1_are_told_apart(folder: Path) -> None:
    first = evaluation(corpus="klue-ner-v1_dev.tsv")
    first["signature"]["corpus"] |= {"nfkc": False, "sha256": "0123456789ab"}
    write(folder / "evaluation-v1.json", first)
    write(folder / "evaluation-v1.1.json", evaluation())
    results = metadata(model_card(folder, REPO))["model-index"][0]["results"]
    assert {one["dataset"]["name"].partition(" (")[0] for one in results} == {
        "KLUE-NER v1",
        "KLUE-NER v1.1",
    }
    assert "not comparable" in model_card(folder, REPO)


def test_figures_of_the_base_model_are_not_the_adapters(folder: Path) -> None:
    write(folder / "evaluation-base.json", evaluation(None))
    unknown = evaluation(corpus="mine.tsv")
    del unknown["signature"]["adapter"]
    write(folder / "evaluation-unknown.json", unknown)
    card = model_card(folder, REPO)
    assert "model-index" not in metadata(card)
    assert "These are the base model's figures, without this adapter." in card
    assert "What answered was not recorded." in card


def test_corpora_that_are_not_on_the_hub_stay_apart(folder: Path) -> None:
    for number in range(2):
        mine = evaluation(corpus=f"mine-{number}.tsv")
        mine["signature"]["corpus"]["sha256"] = f"{number}" * 12
        write(folder / f"evaluation-{number}.json", mine)
    results = metadata(model_card(folder, REPO))["model-index"][0]["results"]
    assert [(one["dataset"]["type"], one["dataset"]["name"]) for one in results] == [
        ("custom", "mine-0.tsv"),
        ("custom", "mine-1.tsv"),
    ]


def test_two_runs_on_one_corpus_are_told_apart(folder: Path) -> None:
    for number in range(2):
        write(folder / f"evaluation-{number}.json", evaluation())
    (result,) = metadata(model_card(folder, REPO))["model-index"][0]["results"]
    names = [one["name"] for one in result["metrics"]]
    assert names[0] == "micro F1 (seqeval) (evaluation-0.json)"
    assert len(names) == len(set(names)) == 8


def test_how_it_was_trained(folder: Path) -> None:
    card = model_card(folder, REPO)
    assert (
        "90 sentences to learn from, 10 held out (8 of them answered in each evaluation)." in card
    )
    assert "3,796,992 of 271,895,168 parameters were trained (1.40%)." in card
    assert "step 12, micro F1 33.33 percent" in card
    assert "| 1 | 1.2500 | 0.7500 | 50.00 | 25.00 | 33.33 | 61 |" in card
    assert "| 2 | 0.5000 | – | – | – | – | 60 |" in card
    assert "| lora\\_targets | q\\_proj, v\\_proj |" in card
    assert "| gradient\\_checkpointing | no |" in card
    assert "![" in card
    assert "/home/" not in card
    assert "quantised to 4 bits (Q4_K_M)" in card


def test_the_snippets_are_shell_and_python(folder: Path) -> None:
    card = model_card(folder, REPO)
    (shell,) = re.findall(r"^\$ (llmner .*)$", card, re.MULTILINE)
    assert shlex.split(shell)[:4] == ["llmner", "extract", "--adapter", REPO]
    (python,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    ast.parse(python)
    assert f'from_adapter("{REPO}")' in python


def test_a_folder_is_its_own_name_before_it_is_pushed(folder: Path) -> None:
    card = model_card(folder)
    assert "# adapter\n" in card
    assert "--adapter adapter" in card
    assert 'Extractor.from_adapter("adapter")' in card


def test_what_is_missing_is_left_out(tmp_path: Path) -> None:
    folder = adapter_folder(
        tmp_path / "bare",
        base="/models/my-own",
        recipe=None,
        training=None,
        record=None,
        curves=None,
        tokenizer=None,
    )
    card = model_card(folder, REPO)
    assert metadata(card) == {
        "library_name": "peft",
        "pipeline_tag": "text-generation",
        "tags": ["llmner", "named-entity-recognition", "lora"],
    }
    for heading in ("## Training", "## Recipe"):
        assert heading not in card
    assert "model `my-own`" in card
    assert "--model my-own" in card
    assert "licence is not known" in card
    assert "curves.png" not in card
    assert "KLUE" not in card


def test_a_licence_that_the_record_gives(tmp_path: Path) -> None:
    def card(licence: Any) -> str:
        record = {**RECORD, "model": "a/b", "model_license": licence}
        return model_card(adapter_folder(tmp_path / "a", base="a/b", training=None, record=record))

    assert metadata(card("cc-by-4.0"))["license"] == "cc-by-4.0"
    assert "gives the base model's licence as `cc-by-4.0`" in card("cc-by-4.0")
    for odd in ("other", "Read it\n---\nyourself", 7, None):
        assert "license" not in metadata(card(odd))


@pytest.mark.parametrize(
    ("base", "licence"),
    [
        ("google/gemma-3-270m", "gemma"),
        ("google/gemma-3-270m-it", "gemma"),
        ("google/gemma-2b", "gemma"),
        ("google/gemma-2-9b-it", "gemma"),
        ("google/gemma-4-E2B", None),
        ("google/embeddinggemma-300m", None),
        ("LGAI-EXAONE/EXAONE-3.5-2.4B-Instruct", "other"),
        ("someone/My-Exaone-Merge", "other"),
        ("Qwen/Qwen3-8B", "apache-2.0"),
        ("Qwen/Qwen2.5-7B-Instruct", "apache-2.0"),
        ("Qwen/Qwen2.5-3B-Instruct", None),
        ("Qwen/Qwen2.5-72B-Instruct", None),
        ("someone/Qwen3-8B", None),
        ("mistralai/Mistral-7B-v0.3", "apache-2.0"),
        ("mistralai/Ministral-8B-Instruct-2410", None),
        ("microsoft/phi-4", "mit"),
        ("meta-llama/Llama-3.1-8B", "llama3.1"),
        ("meta-llama/Meta-Llama-3-8B", "llama3"),
        ("meta-llama/Llama-2-7b-hf", None),
        ("TinyLlama/TinyLlama-1.1B", None),
        ("skt/A.X-4.0-Light", None),
    ],
)
def test_terms_of_well_known_models(base: str, licence: str | None) -> None:
    terms = terms_of(base)
    assert (None if terms is None else terms.licence) == licence


def test_a_copy_of_exaone_in_llamas_layout_keeps_its_licence() -> None:
    terms = terms_of("EXAONE-3.5-7.8B-Instruct-llama")
    assert terms is not None
    assert (
        terms.link
        == "https://huggingface.co/LGAI-EXAONE/EXAONE-3.5-7.8B-Instruct/blob/main/LICENSE"
    )
    assert "EXAONE-3.5-7.8B-Instruct-llama" not in terms.link


NASTY = "a|b\n---\nlicense: mit\n``` <script>alert(1)</script> [x](javascript:y) {{ 7 * 7 }} \u2028 \x1b[31m \ud800"


def test_what_files_say_breaks_nothing(tmp_path: Path) -> None:
    odd = evaluation(NASTY, corpus=NASTY)
    odd["signature"] |= {"note": NASTY, NASTY: 1}
    recipe = Recipe.load("klue").model_dump(mode="json", exclude_defaults=True)
    recipe["labels"][0] |= {
        "name": NASTY.replace("\ud800", ""),
        "description": NASTY.replace("\ud800", ""),
    }
    recipe["labels"][0].pop("aliases", None)
    folder = adapter_folder(
        tmp_path / "a `b` | 'c'",
        base=NASTY,
        training={
            **SETTINGS,
            NASTY.replace("\ud800", ""): NASTY,
            "lora_targets": [NASTY],
            "train": f"klue {NASTY}",
        },
        record={
            "versions": {NASTY: NASTY},
            "epochs": [{"epoch": NASTY, "f1": "1e9"}, 3],
            "best": [],
            "seconds": True,
        },
    )
    write(folder / "recipe.yaml", yaml.safe_dump(recipe, allow_unicode=True))
    write(folder / "evaluation-odd.json", odd)
    for repo in (REPO, None):
        card = model_card(folder, repo)
        card.encode()
        data = metadata(card)
        assert "mit" not in data.values()
        assert data["library_name"] == "peft"
        tables(card)
        assert "\x1b" not in card
        assert "49" not in card
        outside = re.sub(r"```.*?^```$", "", card, flags=re.DOTALL | re.MULTILINE)
        assert "<script>" not in re.sub(
            r"`[^`\n]*`", "", outside.replace("\\<", "").replace("\\`", "")
        )
        (python,) = re.findall(r"^```python\n(.*?)^```$", card, re.DOTALL | re.MULTILINE)
        ast.parse(python)


@settings(max_examples=25)
@given(text=st.text(max_size=60))
def test_any_corpus_name_leaves_metadata_and_tables_whole(
    text: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = adapter_folder(
        tmp_path_factory.mktemp("any") / "a", training={**SETTINGS, "recipe": text}
    )
    write(folder / "evaluation-any.json", json.dumps(evaluation(corpus=text)).encode())
    card = model_card(folder, REPO)
    card.encode()
    assert metadata(card)["base_model"] == "google/gemma-3-270m"
    assert len(tables(card)) == 4
    assert str(ModelCard(card)) == card


@pytest.mark.parametrize(
    ("value", "left"),
    [
        ("/home/someone/a.tsv", "a.tsv"),
        ("/home/someone/models/", "models"),
        ("~/a.tsv", "a.tsv"),
        ("C:\\Users\\someone\\a.tsv", "a.tsv"),
        ("\\\\server\\share\\a.tsv", "a.tsv"),
        ("file:///home/someone/a.tsv", "a.tsv"),
        ("data/sample.tsv", "data/sample.tsv"),
        ("klue/ner", "klue/ner"),
        ("https://example.org/a/b", "https://example.org/a/b"),
        ({"a": ["/x/y", 1, None]}, {"a": ["y", 1, None]}),
    ],
)
def test_absolute_paths_are_cut_down_to_their_last_part(value: Any, left: Any) -> None:
    assert without_paths(value) == left


@pytest.mark.parametrize("name", ["training.yaml", "training.json", "adapter_config.json"])
def test_a_broken_file_is_named(folder: Path, name: str) -> None:
    write(folder / name, b"[1, 2]")
    with pytest.raises(InputError, match="expected an object, got a list") as caught:
        model_card(folder)
    assert name in str(caught.value)
    write(folder / name, b"{: \xff")
    with pytest.raises(InputError, match=r"not (YAML|JSON)"):
        model_card(folder)


def test_without_huggingface_hub_the_extra_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    with pytest.raises(MissingExtraError, match=r'pip install .*\[hub\]"'):
        model_card(folder)
