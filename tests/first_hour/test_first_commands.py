"""What a newcomer types first in a shell, against a real endpoint on this machine."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from llmner.recipes import Recipe
from tests.engines.endpoint import Endpoint, serving
from tests.first_hour.test_first_calls import answer

LABELS = ["--labels", "PERSON,PLACE"]


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Endpoint]:
    pytest.importorskip("openai", reason='needs "llmner[openai]"')
    with serving(Endpoint(answer=answer, models=("m",))) as server:
        yield server


def run(*arguments: object, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "llmner", *map(str, arguments)]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)


def at(endpoint: Endpoint) -> list[str]:
    return ["--base-url", endpoint.url, "--model", "m"]


def test_labels_of_ones_own_from_an_address(endpoint: Endpoint) -> None:
    result = run("extract", "Ines flew to Tallinn.", *LABELS, *at(endpoint))
    assert result.returncode == 0, result.stderr
    assert "Ines[PERSON] flew to Tallinn[PLACE]." in result.stdout
    assert endpoint.bodies[-1]["messages"][0]["content"].startswith("Find every mention")
    result = run("extract", "손흥민은 춘천에서", "--labels", "PERSON=사람", *at(endpoint), "--json")
    assert [span["label"] for span in json.loads(result.stdout)["spans"]] == ["PERSON"]
    prompt = endpoint.bodies[-1]["messages"][0]["content"]
    assert prompt.startswith("주어진 글에서")
    assert "- PERSON: 사람\n" in prompt
    run("extract", "Bob", "--labels", "PERSON,PLACE=towns, rivers", *at(endpoint))
    prompt = endpoint.bodies[-1]["messages"][0]["content"]
    assert "- PERSON\n- PLACE: towns, rivers\n" in prompt


@pytest.mark.parametrize("arguments", [["-i", "-"], ["-"]])
def test_lines_come_from_a_pipe(endpoint: Endpoint, arguments: list[str]) -> None:
    result = run(
        "extract", *arguments, *LABELS, *at(endpoint), "--json",
        stdin="Ines flew to Tallinn.\n\nBob sings.\n",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [row["text"] for row in rows] == ["Ines flew to Tallinn.", "Bob sings."]
    # A labelled corpus is still one.
    spans = '{"text": "Bob", "spans": [{"start": 0, "end": 3, "label": "PERSON"}]}\n'
    result = run("extract", *arguments, *LABELS, *at(endpoint), "--json", stdin=spans)
    assert json.loads(result.stdout)["text"] == "Bob"


def test_a_recipe_may_be_no_more_than_labels(endpoint: Endpoint, tmp_path: Path) -> None:
    for labels in (["PERSON", "PLACE"], {"PERSON": "names of people", "PLACE": None}):
        recipe = tmp_path / "mine.yaml"
        recipe.write_text(yaml.safe_dump({"name": "mine", "labels": labels}), encoding="utf-8")
        assert Recipe.load(recipe).schema_.codes == ("PERSON", "PLACE")
        result = run("extract", "Bob sings.", "--recipe", recipe, *at(endpoint))
        assert result.returncode == 0, result.stderr
        assert "Bob[PERSON] sings." in result.stdout


def test_what_was_found_is_evaluated(endpoint: Endpoint, tmp_path: Path) -> None:
    gold = tmp_path / "gold.txt"
    gold.write_text("<Ines:PERSON> flew to <Tallinn:PLACE>.\n", encoding="utf-8")
    result = run(
        "evaluate", "--gold", gold, "--gold-format", "markup", *LABELS, *at(endpoint), "--json"
    )
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["micro"]["f1"] == 1.0


def test_an_evaluation_asks_in_the_language_of_the_texts(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    gold = tmp_path / "gold.txt"
    gold.write_text("<손흥민:PERSON>은 <춘천:PLACE>에서 태어났다.\n", encoding="utf-8")
    result = run("evaluate", "--gold", gold, "--gold-format", "markup", *LABELS, *at(endpoint))
    assert result.returncode == 0, result.stderr
    assert endpoint.bodies[-1]["messages"][0]["content"].startswith("주어진 글에서")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--engine", "opnai"], "did you mean openai?"),
        (["--recipe", "kleu"], "did you mean klue?"),
        (["--reply-format", "jsonlist"], "did you mean json-list?"),
        (["--labels", ","], "--labels has no labels"),
        (["--labels", "PERSON"], "need a model that follows instructions"),
        (["--labels", "A", "--recipe", "klue"], "labels and a recipe are two questions"),
        (["--engine", "transformers", "--base-url", "http://x/v1"], "add --engine openai"),
    ],
)
def test_slips_are_told_with_what_was_meant(arguments: list[str], message: str) -> None:
    result = run("extract", "Bob", *arguments)
    assert result.returncode == 2
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_labels_that_a_corpus_does_not_have_are_told_before_anything_is_asked(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    gold = tmp_path / "gold.txt"
    gold.write_text("<Ines:PERSON> flew.\n", encoding="utf-8")
    asked = len(endpoint.bodies)
    arguments = ["evaluate", "--gold", gold, "--gold-format", "markup", *at(endpoint)]
    result = run(*arguments, "--labels", "PER,LOC")
    assert result.returncode == 2
    assert "the corpus has the labels PERSON, and asked for are LOC, PER" in result.stderr
    assert len(endpoint.bodies) == asked


def test_a_slip_in_training_does_not_stand_in_the_way_of_the_next_run(tmp_path: Path) -> None:
    pytest.importorskip("trl", reason='needs "llmner[train]"')
    for corpus in ("none.tsv", "nothing.tsv"):
        result = run("train", "--train", tmp_path / corpus, "--output", tmp_path / "out")
        assert result.returncode == 2
        assert f"{corpus}: no such file" in result.stderr


def test_help_and_doctor_fit_the_terminal() -> None:
    assert run("extract", "-h").stdout == run("extract", "--help").stdout
    assert "--install-completion" in run("--help").stdout
    told = run("doctor")
    assert told.returncode == 0, told.stderr
    assert max(map(len, told.stdout.splitlines())) <= 72


def test_what_other_options_gave_is_not_replaced_unasked(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    texts, gold = tmp_path / "texts.txt", tmp_path / "gold.txt"
    texts.write_text("Ines flew to Tallinn.\n", encoding="utf-8")
    gold.write_text("<Ines:PERSON> flew to <Tallinn:PLACE>.\n", encoding="utf-8")
    for number, command in enumerate([("extract", "-i", texts), ("evaluate", "--gold", gold)]):
        output = tmp_path / f"{number}.json"
        arguments = [*command, "--output", output, *at(endpoint)]
        assert run(*arguments, *LABELS).returncode == 0
        kept, asked = output.read_bytes(), len(endpoint.bodies)
        result = run(*arguments, "--labels", "PERSON,PLACE=a place on a map")
        assert result.returncode == 2
        assert f"{output}: was made with another recipe_hash; name another output, or" in (
            result.stderr
        )
        assert (output.read_bytes(), len(endpoint.bodies)) == (kept, asked)
        # With the same options it may be made again.
        assert run(*arguments, *LABELS).returncode == 0
        replaced = run(*arguments, "--labels", "PERSON,PLACE=a place on a map", "--restart")
        assert replaced.returncode == 0
        assert run(*arguments, *LABELS).returncode == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ("extract", "--engine", "recorded", "--replies", "REPLIES", "--json", "-i", "GOLD"),
        ("stats", "GOLD"),
        ("view", "GOLD", "--output", "PAGE"),
        ("convert", "GOLD", "-", "--to", "spans"),
        ("explain", "--engine", "baseline:none", "-i", "GOLD"),
    ],
)
def test_the_input_s_format_has_one_name_and_older_names_still_work(
    arguments: tuple[str, ...], tmp_path: Path
) -> None:
    # Without its format, the file would be a text of one line.
    (tmp_path / "gold").write_text("<Ines:PERSON> flew.\n", encoding="utf-8")
    reply = {"id": None, "text": "Ines flew.", "reply": "{}"}
    (tmp_path / "replies").write_text(json.dumps(reply) + "\n", encoding="utf-8")
    places = {"GOLD": tmp_path / "gold", "REPLIES": tmp_path / "replies", "PAGE": tmp_path / "page"}
    command = [places.get(argument, argument) for argument in arguments]
    results = [run(*command, name, "markup") for name in ("--from", "--input-format", "--format")]
    assert len({(result.returncode, result.stdout, result.stderr) for result in results}) == 1
    if command[0] != "explain":  # It has no model here, but has understood its options.
        assert results[0].returncode == 0, results[0].stderr
    shown = run(command[0], "--help").stdout
    assert "--from" in shown
    assert "--input-format" not in shown


def test_replies_are_projected_with_labels_of_ones_own(tmp_path: Path) -> None:
    row = json.dumps({"text": "Ada met Bob.", "reply": "PER: Ada, Bob"})
    result = run("project", "-i", "-", "--labels", "PER,LOC", stdin=row)
    assert result.returncode == 0, result.stderr
    assert [span["label"] for span in json.loads(result.stdout)["spans"]] == ["PER", "PER"]
    result = run("project", "-i", "-", "--labels", "PER", "--any-label", stdin=row)
    assert result.returncode == 2
    assert "exclude each other" in result.stderr


def test_files_that_no_run_made_are_not_written_over(endpoint: Endpoint, tmp_path: Path) -> None:
    held = tmp_path / "corpus.jsonl"
    held.write_text('{"text": "Ada met Bob.", "reply": "PER: Ada"}\n', encoding="utf-8")
    before = held.read_bytes()
    for command in (
        ["extract", "Ines flew.", "-o", held, *LABELS, *at(endpoint)],
        ["project", "-i", held, "-o", held, "--labels", "PER"],
    ):
        result = run(*command)
        assert result.returncode == 2, result.stderr
        assert held.read_bytes() == before
    # Whoever names a file as a text is told how to read it.
    result = run("extract", held, *LABELS, *at(endpoint))
    assert result.returncode == 2
    assert f"read it with --input {held}" in result.stderr
    none = run("extract", *LABELS, *at(endpoint))
    assert "none of TEXT, --input was given" in none.stderr
    # An older name is not taken where it means nothing.
    wrong = run("evaluate", "--gold", held, "--format", "spans")
    assert "No such option: --format" in wrong.stderr


def test_predictions_in_a_format_of_their_own(tmp_path: Path) -> None:
    for name in ("gold", "predicted"):
        (tmp_path / name).write_text("<Ines:PERSON> flew.\n", encoding="utf-8")
    formats = ["--gold-format", "markup", "--predicted-format", "markup"]
    gold, predicted = tmp_path / "gold", tmp_path / "predicted"
    scored = run("evaluate", "--gold", gold, "--predicted", predicted, *formats, "--json")
    assert json.loads(scored.stdout)["micro"]["f1"] == 1.0
    compared = run("compare", predicted, gold, "--gold", gold, *formats, "--json")
    assert json.loads(compared.stdout)["changed"] == []


def test_help_fits_a_terminal_and_cuts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    helps = [("--help",)]
    first = run("--help").stdout
    helps += [(name, "--help") for name in ("extract", "evaluate", "batch", "train-baseline")]
    helps += [("batch", "write", "--help"), ("train-baseline", "classifier", "--help")]
    for arguments in helps:
        lines = run(*arguments).stdout.splitlines()
        assert max(map(len, lines)) <= 80, arguments
        assert not [line for line in lines if line.endswith(("...", "…")) and "[" not in line]
    for group in ("Find entities:", "Measure:", "Corpora:", "Train and publish:"):
        assert group in first
    assert first.index("Find entities:") < first.index("  extract ") < first.index("Measure:")
