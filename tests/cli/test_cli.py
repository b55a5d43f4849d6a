"""The command line as a user meets it: output, errors in one line, exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from llmner.cli import app
from llmner.corpora import read_corpus
from llmner.recipes import Recipe
from llmner.replies import render_reply
from tests.asking.plugins import installed
from tests.conftest import ROOT

Run = Callable[..., Result]


@pytest.fixture
def run() -> Run:
    def invoke(*args: object, input: str | None = None) -> Result:
        return CliRunner().invoke(app, [str(arg) for arg in args], input=input)

    return invoke


@pytest.fixture
def replies(tmp_path: Path, sample: Path, klue: Recipe) -> Path:
    """Perfect replies for the sample, one of them fenced."""
    path = tmp_path / "replies.jsonl"
    with path.open("w", encoding="utf-8") as stream:
        for number, sentence in enumerate(read_corpus(sample)):
            reply = render_reply(sentence, "json-by-type", klue.schema_)
            reply = f"```json\n{reply}\n```" if number == 3 else reply
            stream.write(
                json.dumps({"id": sentence.id, "text": sentence.text, "reply": reply}) + "\n"
            )
    return path


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def failed(result: Result, code: int, *parts: str) -> None:
    """One line on standard error, nothing on standard output, the right exit code."""
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    message = result.stderr.strip()
    assert message.startswith("error: "), message
    assert "\n" not in message
    assert "Traceback" not in message
    for part in parts:
        assert part in message


def test_extract_a_text(run: Run, tmp_path: Path) -> None:
    record = tmp_path / "r.jsonl"
    record.write_text(
        '{"text": "손흥민은 춘천에서 태어났다.", "reply": "{\\"PS\\": [\\"손흥민\\"], \\"LC\\": '
        '[\\"춘천\\", \\"런던\\"]}"}\n'
    )
    args = ("extract", "손흥민은 춘천에서 태어났다.", "--engine", "recorded", "--replies", record)
    shown = run(*args)
    assert shown.exit_code == 0
    assert "손흥민[PS]은 춘천[LC]에서" in shown.stdout
    assert "not_found (not in the text)" in shown.stdout
    (row,) = [json.loads(line) for line in run(*args, "--json").stdout.splitlines()]
    assert row["spans"] == [
        {"start": 0, "end": 3, "label": "PS"},
        {"start": 5, "end": 7, "label": "LC"},
    ]
    assert [outcome["kind"] for outcome in row["outcomes"]] == ["exact", "exact", "not_found"]


def test_extract_a_document(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file read whole, asked about in windows, and its row scored."""

    source = """
import json, re
from llmner.engines import Engine, Reply

class Names(Engine):
    def generate(self, prompts):
        return [Reply(json.dumps({"PS": re.findall(r"사람\\d+", prompt.text)})) for prompt in prompts]

    def describe(self):
        return {"engine": "names", "model": None}
"""
    points = {"llmner.engines": {"names": "names_of_people:Names"}}
    monkeypatch.syspath_prepend(installed(tmp_path, points, {"names_of_people": source}))
    report, output = tmp_path / "report.txt", tmp_path / "out.jsonl"
    report.write_text("\n".join(f"사람{n}씨가 왔다." for n in range(40)) + "\n", "utf-8")
    size = ("--engine", "names", "--window", 60, "--overlap", 20)
    done = run("extract", "-i", report, "-o", output, "--input-format", "document", *size)
    assert done.exit_code == 0, done.stderr
    (row,) = rows(output)
    assert row["text"] == report.read_text("utf-8").rstrip("\n")
    assert [row["text"][s["start"] : s["end"]] for s in row["spans"]] == [
        f"사람{n}" for n in range(40)
    ]
    assert len(row["windows"]) > 5
    scored = run("evaluate", "--gold", output, "--predicted", output, "--json")
    assert scored.exit_code == 0, scored.stderr
    assert json.loads(scored.stdout)["micro"]["f1"] == 1
    asked = json.loads(run("evaluate", "--gold", output, *size, "--json").stdout)
    assert asked["micro"]["f1"] == 1
    assert (asked["signature"]["window"], asked["signature"]["overlap"]) == (60, 20)
    # A recipe may say its windows; what the user says comes before that.
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("extends: klue\nname: mine\nwindows: {window: 40, overlap: 0, core: 25}\n")
    of_recipe = (*size[:2], "--recipe", recipe)
    for more, expected in (
        ((), (40, 0, 25)),
        (("--overlap", 5), (40, 5, 25)),
        (("--window", 60), (60, 0, None)),
    ):
        done = run(
            "extract", "-i", output, "-o", tmp_path / "own.jsonl", "--restart", *of_recipe, *more
        )
        assert done.exit_code == 0, done.stderr
        record = json.loads((tmp_path / "own.jsonl.run.json").read_text("utf-8"))
        assert tuple(map(record.get, ("window", "overlap", "core"))) == expected
        (own,) = rows(tmp_path / "own.jsonl")
        assert own["spans"] == row["spans"]
        asked = json.loads(run("evaluate", "--gold", output, *of_recipe, *more, "--json").stdout)
        assert tuple(map(asked["signature"].get, ("window", "overlap", "core"))) == expected


def test_extract_a_file_then_evaluate_it(
    run: Run, tmp_path: Path, sample: Path, replies: Path
) -> None:
    output = tmp_path / "out.jsonl"
    done = run(
        "extract",
        "--input",
        sample,
        "--output",
        output,
        "--engine",
        "recorded",
        "--replies",
        replies,
    )
    assert done.exit_code == 0, done.stderr
    assert done.stdout == ""
    written = rows(output)
    assert [row["id"] for row in written] == [sentence.id for sentence in read_corpus(sample)]
    assert not list(tmp_path.glob("*.partial*"))
    report = run("evaluate", "--gold", sample, "--predicted", output, "--json")
    assert report.exit_code == 0, report.stderr
    result = json.loads(report.stdout)
    assert result["sentences"] == len(written)
    assert result["micro"]["f1"] > 0.97
    assert set(result) >= {
        "micro",
        "strict",
        "per_label",
        "klue",
        "outcomes",
        "replies",
        "signature",
    }
    assert result["replies"]["repaired"] >= 1
    assert result["replies"]["unreadable"] == 0
    assert result["signature"]["engine"] == "recorded"
    assert result["signature"]["corpus"]["name"] == "sample.tsv"
    direct = run("evaluate", "--gold", sample, "--replies", replies, "--json")
    assert json.loads(direct.stdout)["micro"] == result["micro"]
    table = run("evaluate", "--gold", sample, "--predicted", output)
    assert "micro (strict IOB2)" in table.stdout
    assert "KLUE        entity F1" in table.stdout


def test_evaluate_a_sample(run: Run, tmp_path: Path, sample: Path, replies: Path) -> None:
    part = run(
        "evaluate", "--gold", sample, "--replies", replies, "--limit", 10, "--seed", 1, "--json"
    )
    assert part.exit_code == 0, part.stderr
    result = json.loads(part.stdout)
    assert result["sentences"] == 10
    assert result["signature"]["sample"] == {"limit": 10, "seed": 1}
    # Files without ids are aligned by place before the sample is drawn.
    plain = tmp_path / "plain.txt"
    run("convert", sample, plain, "--to", "markup")
    bare = tmp_path / "bare.txt"
    bare.write_text(
        "".join(line.partition("\t")[2] for line in plain.read_text("utf-8").splitlines(True)),
        "utf-8",
    )
    again = run("evaluate", "--gold", bare, "--predicted", bare, "--limit", 10, "--json")
    assert json.loads(again.stdout)["micro"]["f1"] == 1.0


def test_project(run: Run, tmp_path: Path, replies: Path) -> None:
    output = tmp_path / "spans.jsonl"
    done = run("project", "--input", replies, "--output", output)
    assert done.exit_code == 0, done.stderr
    assert "replies: ok" in done.stderr
    assert [sentence.id for sentence in read_corpus(output)]
    piped = run("project", "-i", "-", "-o", "-", input='{"text": "런던", "reply": "CITY: 런던"}\n')
    assert json.loads(piped.stdout)["outcomes"] == []
    any_label = run(
        "project",
        "-i",
        "-",
        "-o",
        "-",
        "--any-label",
        input='{"text": "런던", "reply": "CITY: 런던"}\n',
    )
    assert json.loads(any_label.stdout)["spans"] == [{"start": 0, "end": 2, "label": "CITY"}]


@pytest.mark.parametrize("to", ["spans", "conll", "markup", "klue-tsv", "text"])
def test_convert_to_every_corpus_format(run: Run, tmp_path: Path, sample: Path, to: str) -> None:
    output = tmp_path / ("out.txt" if to == "text" else "out")
    done = run("convert", sample, output, "--to", to)
    assert done.exit_code == 0, done.stderr
    assert "100 sentences, 314 entities" in done.stderr
    assert [s.text for s in read_corpus(output)] == [s.text for s in read_corpus(sample)]


def test_convert_to_chat(run: Run, tmp_path: Path, sample: Path) -> None:
    one, two = tmp_path / "one.jsonl", tmp_path / "two.jsonl"
    assert run("convert", sample, one, "--to", "chat").exit_code == 0
    assert run("convert", sample, two, "--to", "chat").exit_code == 0
    assert one.read_bytes() == two.read_bytes()
    first = rows(one)[0]
    assert [message["role"] for message in first["messages"]] == ["system", "user", "assistant"]
    assert (
        run(
            "convert", sample, two, "--to", "chat", "--prompt-completion", "--reply-format", "lines"
        ).exit_code
        == 0
    )
    other = rows(two)[0]
    assert set(other) == {"id", "prompt", "completion"}
    assert other["completion"][0]["content"].startswith("DT\t")
    assert "\\u" not in one.read_text("utf-8")


def test_doctor(run: Run) -> None:
    report = json.loads(run("doctor", "--json").stdout)
    assert report["llmner"]
    assert {"core", "local", "train", "vllm", "serve", "hub", "ray"} <= set(report["extras"])
    assert report["extras"]["core"]["rapidfuzz"]
    assert "klue" in report["recipes"]
    assert "pip install" in run("doctor").stdout


def test_repairs_are_told(run: Run, tmp_path: Path) -> None:
    broken = tmp_path / "b.conll"
    broken.write_text("가 B-PS\n나 O\n다 I-LC\n", encoding="utf-8")
    done = run("convert", broken, tmp_path / "o.jsonl", "--to", "spans")
    assert "warning: 1 broken tags were repaired (first: " in done.stderr
    failed(
        run("convert", broken, tmp_path / "p.jsonl", "--to", "spans", "--strict"),
        2,
        "b.conll:3: I-LC without B-LC",
    )
    assert not (tmp_path / "p.jsonl").exists()


def test_bad_rows_go_to_a_side_file(run: Run, tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text('{"text": "가"}\nnonsense\n', encoding="utf-8")
    output = tmp_path / "out.jsonl"
    failed(run("convert", source, output, "--to", "spans"), 2, "in.jsonl:2: not JSON")
    assert not output.exists()
    assert run("convert", source, output, "--to", "spans", "--skip-bad").exit_code == 0
    assert len(rows(output)) == 1
    assert rows(tmp_path / "out.jsonl.bad.jsonl")[0]["row"] == "nonsense"
    replies = tmp_path / "r.jsonl"
    replies.write_text('{"text": "가", "reply": "-"}\n{"text": "나"}\n{{\n', encoding="utf-8")
    failed(run("project", "-i", replies, "-o", output), 2, "r.jsonl:2: no 'reply'")
    assert run("project", "-i", replies, "-o", output, "--skip-bad").exit_code == 0
    assert len(rows(tmp_path / "out.jsonl.bad.jsonl")) == 2


def test_every_mistake_is_one_line_and_exit_code_2(
    run: Run, tmp_path: Path, sample: Path, replies: Path
) -> None:
    out = tmp_path / "out"
    empty = tmp_path / "empty.jsonl"
    empty.write_text("")
    latin = tmp_path / "latin.tsv"
    latin.write_bytes("가\tO\n".encode("cp949"))
    unknown = tmp_path / "unknown.txt"
    unknown.write_text("<손흥민:PER>은\n", encoding="utf-8")
    short = tmp_path / "short.jsonl"
    short.write_text(replies.read_text("utf-8").split("\n")[0] + "\n", encoding="utf-8")
    typo = tmp_path / "typo.yaml"
    typo.write_text("name: x\nlabels: [{code: PS}]\nsytem: hi\n")
    failed(run("convert", tmp_path / "none.tsv", out, "--to", "spans"), 2, "none.tsv: no such file")
    failed(run("convert", tmp_path, out, "--to", "spans"), 2, "is a directory")
    failed(run("convert", empty, out, "--to", "spans"), 2, "empty.jsonl: holds no sentence")
    failed(run("convert", latin, out, "--to", "spans"), 2, "latin.tsv:1: not UTF-8", "iconv")
    failed(run("convert", sample, out, "--to", "xml"), 2, "unknown format 'xml'", "expected chat")
    failed(
        run("convert", sample, out, "--to", "spans", "--from", "xml"),
        2,
        "unknown corpus format 'xml'",
    )
    failed(run("convert", unknown, out, "--to", "chat"), 2, "unknown.txt:1: unknown label 'PER'")
    failed(
        run("convert", sample, out, "--to", "chat", "--recipe", typo),
        2,
        "typo.yaml:3: unknown key 'sytem'",
    )
    failed(
        run("convert", sample, out, "--to", "chat", "--recipe", "kleu"),
        2,
        "no recipe is called 'kleu'",
    )
    failed(
        run("convert", sample, tmp_path / "no" / "out", "--to", "spans"),
        2,
        "its folder does not exist",
    )
    failed(run("convert", sample, ".", "--to", "spans"), 2, "is a directory")
    failed(
        run("evaluate", "--gold", sample),
        2,
        "there is nothing to score; give --predicted, --replies or --engine",
    )
    failed(
        run("evaluate", "--gold", sample, "--replies", short),
        2,
        "99 of 100 sentences have no prediction",
        "--partial",
    )
    failed(
        run("evaluate", "--gold", short, "--replies", replies),
        2,
        "99 recorded replies belong to no gold sentence",
    )
    failed(
        run("evaluate", "--gold", sample, "--predicted", short),
        2,
        "no prediction for ",
    )
    failed(run("evaluate", "--gold", sample, "--engine", "gpt"), 2, "unknown engine 'gpt'")
    failed(run("evaluate", "--gold", sample, "--engine", "recorded"), 2, "give --replies FILE")
    failed(run("extract"), 2, "none of TEXT, --input was given")
    failed(run("extract", "a", "--input", sample), 2, "more than one of")
    failed(run("extract", "a", "--particles", "x"), 2, "--particles 'x' is unknown")
    failed(
        run("extract", "a", "--window", 50, "--overlap", 50),
        2,
        "overlap must be less than the window of 50",
        "got 50",
    )
    failed(
        run("extract", "-i", sample, "-o", ".", "--engine", "recorded", "--replies", replies),
        2,
        "is a directory",
    )
    failed(run("project", "-i", empty, "-o", out), 2, "has no replies")
    failed(
        run("project", "-i", replies, "-o", out, "--reply-format", "xml"),
        2,
        "unknown reply format 'xml'",
    )
    assert not out.exists()
    assert run("nonsense").exit_code == 2
    assert run("convert").exit_code == 2


def test_markup_of_the_console_is_not_obeyed(run: Run, tmp_path: Path) -> None:
    """Brackets and escape sequences of a text or a reply stay text."""
    record = tmp_path / "r.jsonl"
    text = "[bold]손흥민[/bold] [/nonsense] \x1b[31m빨강"
    record.write_text(json.dumps({"text": text, "reply": '{"PS": ["[bold]손흥민[/bold]"]}'}) + "\n")
    shown = run("extract", text, "--engine", "recorded", "--replies", record)
    assert shown.exit_code == 0, shown.output
    assert "[bold]손흥민[/bold][PS] [/nonsense]" in shown.stdout
    assert "\x1b[31m" not in shown.stdout


def test_half_a_surrogate_pair_breaks_nothing(run: Run, tmp_path: Path) -> None:
    record = tmp_path / "r.jsonl"
    record.write_text('{"text": "가\\ud800", "reply": "PS\\t가\\nLC\\t\\ud83d"}\n')
    source = tmp_path / "in.jsonl"
    source.write_text('{"text": "가\\ud800"}\n')
    out = tmp_path / "out.jsonl"
    args = ("extract", "-i", source, "--engine", "recorded", "--replies", record)
    assert run(*args).exit_code == 0
    assert run(*args, "-o", out).exit_code == 0
    assert rows(out)[0]["text"] == "가\ud800"


@pytest.mark.parametrize("command", ["extract", "project", "convert", "evaluate", "doctor"])
def test_help(run: Run, command: str) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    assert "Usage" in result.stdout


def test_the_installed_command_answers_and_survives_a_closed_pipe(sample: Path) -> None:
    version = subprocess.run(
        [sys.executable, "-m", "llmner", "--version"], capture_output=True, text=True, check=True
    )
    assert version.stdout.startswith("llmner 0.")
    shell = f"{sys.executable} -m llmner convert {sample} - --to markup | head -n 1"
    piped = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {shell}"], capture_output=True, text=True, check=False
    )
    assert piped.stdout.count("\n") == 1
    assert "Traceback" not in piped.stderr


@pytest.mark.parametrize(
    ("script", "arguments"),
    [
        ("convert.py", ["data/sample.tsv", "-", "--to", "markup"]),
        ("evaluate.py", ["--gold", "data/sample.tsv", "--predicted", "data/sample.tsv", "--json"]),
    ],
)
def test_scripts_do_what_the_commands_do(script: str, arguments: list[str]) -> None:
    command = [sys.executable, str(ROOT / "scripts" / script), *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    direct = subprocess.run(
        [sys.executable, "-m", "llmner", script.removesuffix(".py"), *arguments],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == direct.stdout != ""
