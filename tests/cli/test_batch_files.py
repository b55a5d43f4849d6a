"""``llmner batch``: what is written, what comes back in any order, and what goes wrong."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from llmner.cli import app
from tests.first_hour.test_first_calls import answer

TEXTS = ["Ines flew to Tallinn.", "Bob sings. " * 60, "손흥민은 춘천에서 태어났다.", " "]
LABELS = ["--labels", "PERSON,PLACE", "--model", "gpt-5-mini"]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["batch", *map(str, arguments)])


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    path = tmp_path / "texts.jsonl"
    rows = [{"id": str(n), "text": text, "spans": []} for n, text in enumerate(TEXTS)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def written(texts: Path, folder: Path, *options: str) -> list[dict[str, Any]]:
    result = run("write", "-i", texts, "-o", folder / "requests.jsonl", *LABELS, *options)
    assert result.exit_code == 0, result.output
    lines = (folder / "requests.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def answered(
    requests: list[dict[str, Any]],
    path: Path,
    change: Callable[[int, dict[str, Any]], dict[str, Any]] = lambda number, row: row,
) -> None:
    """Write what comes back, in another order, as OpenAI and vLLM do."""
    rows = []
    for number, request in enumerate(requests):
        message = {
            "role": "assistant",
            "content": answer(request["body"]["messages"][-1]["content"]),
        }
        body = {
            "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
            "usage": {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13},
        }
        row = {
            "id": f"batch_req_{number}",
            "custom_id": request["custom_id"],
            "response": {"status_code": 200, "request_id": "r", "body": body},
            "error": None,
        }
        rows.append(change(number, row))
    random.Random(3).shuffle(rows)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def read(texts: Path, folder: Path, *options: str) -> tuple[Result, list[dict[str, Any]]]:
    output = folder / "out.jsonl"
    result = run(
        "read", "-i", texts, "--answers", folder / "answers.jsonl", "-o", output, *LABELS, *options
    )
    lines = output.read_text(encoding="utf-8").splitlines() if output.exists() else []
    return result, [json.loads(line) for line in lines]


def test_answers_come_back_to_their_texts(texts: Path, tmp_path: Path) -> None:
    requests = written(texts, tmp_path)
    # The long text is asked about in windows, and the blank one not at all.
    windows = len(requests) - 2
    assert windows > 1
    assert len({request["custom_id"] for request in requests}) == len(requests)
    first = requests[0]
    assert (first["method"], first["url"]) == ("POST", "/v1/chat/completions")
    assert first["body"]["model"] == "gpt-5-mini"
    assert first["body"]["max_tokens"] == 256
    answered(requests, tmp_path / "answers.jsonl")
    result, rows = read(texts, tmp_path)
    assert result.exit_code == 0, result.output
    assert [row["id"] for row in rows] == ["0", "1", "2", "3"]
    found = [[row["text"][s["start"] : s["end"]] for s in row["spans"]] for row in rows]
    assert found[0] == ["Ines", "Tallinn"]
    assert set(found[1]) == {"Bob"}
    assert found[2:] == [["손흥민", "춘천"], []]
    assert len(rows[1]["windows"]) == windows
    tokens = f"{9 * len(requests)} tokens asked and {4 * len(requests)} answered"
    assert tokens in result.stderr
    record = json.loads((tmp_path / "out.jsonl.run.json").read_text(encoding="utf-8"))
    assert record["usage"] == {
        "sentences": 4,
        "prompt_tokens": 9 * len(requests),
        "completion_tokens": 4 * len(requests),
    }
    # What it cost decides nothing: the finished run is found again.
    assert read(texts, tmp_path)[0].exit_code == 0


def test_samples_and_fields_are_asked_for(texts: Path, tmp_path: Path) -> None:
    options = ["--samples", "3", "--request-field", "max_completion_tokens=99"]
    requests = written(texts, tmp_path, *options)
    assert len(requests) == 3 * len(written(texts, tmp_path))
    assert requests[0]["body"]["max_completion_tokens"] == 99
    assert "max_tokens" not in requests[0]["body"]
    assert requests[0]["body"]["temperature"] == 0.7
    assert requests[0]["body"]["seed"] != requests[1]["body"]["seed"]
    answered(requests, tmp_path / "answers.jsonl")
    result, rows = read(texts, tmp_path, *options)
    assert result.exit_code == 0, result.output
    assert rows[0]["spans"][0]["score"] == 1.0
    assert len(rows[0]["samples"]) == 3


def test_what_has_no_answer_says_why(texts: Path, tmp_path: Path) -> None:
    def failing(number: int, row: dict[str, Any]) -> dict[str, Any]:
        if number == 0:
            refused = {"error": {"message": "too long"}}
            return {**row, "response": {"status_code": 400, "body": refused}}
        if number == len(requests) - 1:
            expired = {"code": "batch_expired", "message": "it came too late"}
            return {**row, "response": None, "error": expired}
        return row

    requests = written(texts, tmp_path)
    answered(requests, tmp_path / "answers.jsonl", failing)
    result, rows = read(texts, tmp_path)
    assert result.exit_code == 1
    assert "too long" in rows[0]["error"]
    assert "it came too late" in rows[2]["error"]
    assert "2 of 4 sentences have no answer" in result.stderr
    lost = len(TEXTS[0]) + len(TEXTS[2])
    assert f"not everything was read: {lost} characters have no answer" in result.stderr


def test_answers_of_a_second_batch_join_those_of_the_first(texts: Path, tmp_path: Path) -> None:
    def failing(number: int, row: dict[str, Any]) -> dict[str, Any]:
        failed = {"status_code": "500", "body": {"error": {"message": "overloaded"}}}
        kept = {**row["response"], "status_code": "200"}
        return {**row, "response": failed if number == 0 else kept}

    requests = written(texts, tmp_path)
    answered(requests, tmp_path / "answers.jsonl", failing)
    result, rows = read(texts, tmp_path)
    assert result.exit_code == 1
    assert "give both files with --answers" in result.stderr
    assert rows[0]["error"] == "status 500: overloaded"
    assert [bool(row["spans"]) for row in rows] == [False, True, True, False]
    # The second batch has the failed question alone.
    answered(requests[:1], tmp_path / "second.jsonl")
    for order in (["answers", "second"], ["second", "answers"]):
        files = [str(tmp_path / f"{name}.jsonl") for name in order]
        options = ["--answers", files[0], "--answers", files[1]]
        out = tmp_path / f"{order[0]}-out.jsonl"
        result = run("read", "-i", texts, "-o", out, *options, *LABELS)
        assert result.exit_code == 0, result.output
        assert json.loads(out.read_text(encoding="utf-8").splitlines()[0])["spans"]


def test_a_finished_file_is_not_replaced_unasked(texts: Path, tmp_path: Path) -> None:
    requests = written(texts, tmp_path)
    answered(requests, tmp_path / "answers.jsonl")
    _, rows = read(texts, tmp_path)
    answered(requests[:1], tmp_path / "answers.jsonl")
    result, kept = read(texts, tmp_path)
    assert (result.exit_code, kept) == (2, rows)
    assert "replace this one with --restart" in result.stderr
    result, replaced = read(texts, tmp_path, "--restart")
    assert result.exit_code == 1
    assert replaced != rows


def test_the_same_text_twice_is_two_questions(tmp_path: Path) -> None:
    texts = tmp_path / "texts.txt"
    texts.write_text("Ines flew.\nInes flew.\nBob sings.\n", encoding="utf-8")
    requests = written(texts, tmp_path)
    assert len({request["custom_id"] for request in requests}) == 3
    answered(requests, tmp_path / "answers.jsonl")
    result, rows = read(texts, tmp_path)
    assert result.exit_code == 0
    assert [len(row["spans"]) for row in rows] == [1, 1, 1]


def test_answers_to_other_questions_are_refused(texts: Path, tmp_path: Path) -> None:
    answered(written(texts, tmp_path), tmp_path / "answers.jsonl")
    result, _ = read(texts, tmp_path, "--language", "ja")
    assert result.exit_code == 2
    assert "answers other questions" in result.stderr
    for content in ("", "{}\n", '{"custom_id": "1"}\n', "not json\n"):
        (tmp_path / "answers.jsonl").write_text(content, encoding="utf-8")
        result, _ = read(texts, tmp_path)
        assert result.exit_code == 2, content
        assert len(result.stderr.splitlines()) == 1


def test_a_batch_names_its_model(texts: Path, tmp_path: Path) -> None:
    result = run("write", "-i", texts, "-o", tmp_path / "r.jsonl", "--labels", "PERSON")
    assert result.exit_code == 2
    assert "a batch names its model; give --model" in result.stderr
    assert not (tmp_path / "r.jsonl").exists()
    assert run("write", "-i", texts, "-o", texts, *LABELS).exit_code == 2
