"""What is written for labelling tools is read by the tools' own packages, and comes back."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from llmner.corpora import read_corpus, write_corpus
from llmner.spans import Sentence, Span, TextLabel
from tests.conftest import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.network]

LABEL_STUDIO = """
import json, sys
from label_studio_sdk.converter import Converter
from label_studio_sdk.label_interface import LabelInterface

folder, labels = sys.argv[1], sys.argv[2].split(",")
options = "".join(f'<Label value="{label}"/>' for label in labels)
config = f'<View><Labels name="label" toName="text">{options}</Labels><Text name="text" value="$text"/></View>'
interface = LabelInterface(config)
interface.validate()
tasks = json.load(open(f"{folder}/tasks.json", encoding="utf-8"))
for task in tasks:
    assert interface.validate_task({"data": task["data"]}), task
    assert all(map(interface.validate_annotation, task["annotations"])), task
for task in json.load(open(f"{folder}/predictions.json", encoding="utf-8")):
    assert interface.validate_task({"data": task["data"]}), task
    assert all(map(interface.validate_prediction, task["predictions"])), task
# What importing adds.
for number, task in enumerate(tasks):
    task["id"] = number
    for annotation in task["annotations"]:
        annotation["id"] = number
json.dump(tasks, open(f"{folder}/imported.json", "w", encoding="utf-8"))
converter = Converter(config=config, project_dir=folder, upload_dir=folder)
converter.convert_to_json(f"{folder}/imported.json", f"{folder}/json", is_dir=False)
converter.convert_to_json_min(f"{folder}/imported.json", f"{folder}/min", is_dir=False)
"""

ARGILLA = """
import json, sys
import argilla

folder = sys.argv[1]
rows = [json.loads(line) for line in open(f"{folder}/records.jsonl", encoding="utf-8")]
records = [argilla.Record.from_dict(row) for row in rows]
for record, row in zip(records, rows, strict=True):
    for name in row["suggestions"]:
        assert record.suggestions[name].value == row["suggestions"][name]["value"]
with open(f"{folder}/back.json", "w", encoding="utf-8") as stream:
    json.dump([record.to_dict() for record in records], stream, default=str)
"""


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python that has the tools' packages, whose requirements would fight with ours."""
    folder = tmp_path_factory.mktemp("tools") / "venv"
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / "bin" / "python"
    subprocess.run(
        [python, "-m", "pip", "install", "-q", "label-studio-sdk>=2", "argilla>=2.8"],
        check=True,
        timeout=500,
    )
    return python


@pytest.fixture(scope="module")
def sentences() -> list[Sentence]:
    odd = [
        Sentence("😀 손흥민은 춘천에서 <b>", (Span(2, 5, "PS"), Span(7, 9, "LC")), "emoji"),
        Sentence("아무 것도 없다", (), "none"),
    ]
    return [*list(read_corpus(ROOT / "data" / "sample.tsv"))[:40], *odd]


def plain(sentences: list[Sentence]) -> list[tuple[str, tuple[Span, ...]]]:
    return [(sentence.text, sentence.spans) for sentence in sentences]


def test_label_studio_takes_tasks_and_predictions(
    tools: Path, sentences: list[Sentence], tmp_path: Path
) -> None:
    write_corpus(sentences, tmp_path / "tasks.json", "label-studio")
    write_corpus(sentences, tmp_path / "predictions.json", "label-studio-predictions")
    labels = {span.label for sentence in sentences for span in sentence.spans}
    subprocess.run([tools, "-c", LABEL_STUDIO, tmp_path, ",".join(sorted(labels))], check=True)
    for name, format in (("json", "label-studio"), ("min", "label-studio-min")):
        (found,) = (tmp_path / name).glob("*.json")
        assert plain(list(read_corpus(found, format=format))) == plain(sentences), name


def test_argilla_takes_records(tools: Path, sentences: list[Sentence], tmp_path: Path) -> None:
    labelled = [*sentences, Sentence("국물이 짜다", (), "text", (TextLabel("맛"),))]
    write_corpus(labelled, tmp_path / "records.jsonl", "argilla")
    subprocess.run([tools, "-c", ARGILLA, tmp_path], check=True)
    back = list(read_corpus(tmp_path / "back.json", format="argilla"))
    assert plain(back) == plain(labelled)
    assert [label.label for label in back[-1].labels] == ["맛"]
    assert [sentence.id for sentence in back] == [sentence.id for sentence in labelled]
    assert isinstance(json.loads((tmp_path / "back.json").read_text("utf-8")), list)
