"""``extract``, ``evaluate`` and ``serve`` in front of endpoints that behave as users have reported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from llmner.cli import app
from llmner.corpora import write_corpus
from llmner.spans import Sentence, Span
from tests.engines.endpoint import Endpoint, Fault, sent, serving

pytest.importorskip("openai", reason='needs pip install "llmner[openai]"')
from llmner.engines import _sending

TEXT = "손흥민은 춘천에서 태어났다."
ANSWER = '{"PS": ["손흥민"]}'
SPANS = [{"start": 0, "end": 3, "label": "PS"}]
GOLD = [Sentence(TEXT, (Span(0, 3, "PS"),), id=str(number)) for number in range(3)]


@pytest.fixture(autouse=True)
def _apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(_sending, "_LONGEST_WAIT", 0.001)
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "LLMNER_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "corpus.jsonl"
    write_corpus(GOLD, path, "spans")
    return path


def run(*args: object) -> Result:
    return CliRunner().invoke(app, [str(arg) for arg in args])


def asking(url: str) -> list[str]:
    return ["--engine", "openai", "--base-url", url, "--model", "model", "--recipe", "klue"]


def extracted(there: Endpoint, corpus: Path, *more: object) -> tuple[Result, list[dict[str, Any]]]:
    output = corpus.with_name("out.jsonl")
    done = run("extract", "-i", corpus, "-o", output, *asking(there.url), *more)
    lines = output.read_text("utf-8").splitlines() if output.exists() else []
    return done, [json.loads(line) for line in lines]


def message(finish: str = "stop", **fields: Any) -> Fault:
    return sent(fields, finish)


def refusal(text: str, status: int = 400) -> Fault:
    return {"status": status, "raw": json.dumps({"error": {"message": text}}).encode()}


def system(body: dict[str, Any]) -> bool:
    return any(turn["role"] == "system" for turn in body["messages"])


ANSWERED = {
    "max_tokens": Endpoint(
        lambda _: ANSWER,
        checks=lambda body: (
            refusal("Unsupported parameter: 'max_tokens'") if "max_tokens" in body else None
        ),
    ),
    "temperature": Endpoint(
        lambda _: ANSWER,
        checks=lambda body: (
            refusal("'temperature' does not support 0") if "temperature" in body else None
        ),
    ),
    "system": Endpoint(
        lambda _: ANSWER,
        checks=lambda body: refusal("System role not supported") if system(body) else None,
    ),
    "reasoning": Endpoint(
        lambda _: "", lambda *_: message(content=None, reasoning_content=f"I think so.\n{ANSWER}")
    ),
    "tool": Endpoint(
        lambda _: "",
        lambda *_: message(content=None, tool_calls=[{"function": {"arguments": ANSWER}}]),
    ),
    "parts": Endpoint(lambda _: "", lambda *_: message(content=[{"type": "text", "text": ANSWER}])),
    "harmony": Endpoint(
        lambda _: (
            '<|channel|>analysis<|message|>Maybe {"LC": ["춘천"]}<|end|><|start|>assistant'
            f"<|channel|>final<|message|>{ANSWER}"
        )
    ),
    "bare harmony": Endpoint(lambda _: f'analysisMaybe {{"LC": ["춘천"]}}.assistantfinal{ANSWER}'),
}


@pytest.mark.parametrize("case", ANSWERED)
def test_an_answer_arrives_wherever_it_stands_and_however_it_has_to_be_asked_for(
    case: str, corpus: Path
) -> None:
    with serving(ANSWERED[case]) as there:
        done, rows = extracted(there, corpus)
        scored = run("evaluate", "--gold", corpus, *asking(there.url), "--resamples", 0, "--json")
    assert done.exit_code == 0, done.stderr
    assert [row["spans"] for row in rows] == [SPANS] * 3
    assert "warning" in done.stderr or case not in ("temperature", "system", "reasoning")
    assert done.stderr.count("warning") <= 1
    assert json.loads(scored.stdout)["micro"]["f1"] == 1.0


BLANK = {
    "null": (message(content=None), "empty", ""),
    "white": (message(content="\n \n"), "empty", ""),
    "cut": (message("length", content=None), "truncated", ""),
    "cut thought": (
        message("length", content=None, reasoning_content="Let me see. PS: 춘천, or was it"),
        "truncated",
        "",
    ),
    "cut tag": (
        message("length", content="<think>PS: 춘천, or was it"),
        "truncated",
        "<think>PS: 춘천, or was it",
    ),
    "thought": (message(content="", reasoning="I do not know what to say."), "empty", ""),
}


@pytest.mark.parametrize("case", BLANK)
def test_a_run_of_empty_replies_is_no_success(case: str, corpus: Path) -> None:
    fault, status, reply = BLANK[case]
    with serving(Endpoint(lambda _: "", lambda *_: fault)) as there:
        done, rows = extracted(there, corpus)
        scored = run("evaluate", "--gold", corpus, *asking(there.url), "--resamples", 0, "--json")
        single = run("extract", TEXT, *asking(there.url), "--json")
    # What was answered is kept all the same.
    assert [(row["status"], row["reply"], row["spans"]) for row in rows] == [
        (status, reply, [])
    ] * 3
    for result, count in ((done, 3), (scored, 3), (single, 1)):
        assert result.exit_code == 1
        last = result.stderr.splitlines()[-1]
        assert last.startswith(f"error: {count} of {count} replies are empty; ")
    assert json.loads(scored.stdout)["replies"][status] == 3


@pytest.mark.parametrize(("empty", "code"), [(1, 0), (2, 1)])
def test_some_empty_replies_are_told(empty: int, code: int, corpus: Path) -> None:
    seen: list[str] = []

    def answer(_: str) -> str:
        seen.append("")
        # The first question finds out whether there is a chat template.
        return "" if 1 < len(seen) <= empty + 1 else ANSWER

    with serving(Endpoint(answer)) as there:
        done, _ = extracted(there, corpus)
    assert done.exit_code == code
    kind = "error" if code else "warning"
    told = f"{kind}: {empty} of 3 replies are empty; "
    assert any(line.startswith(told) for line in done.stderr.splitlines())


@pytest.mark.parametrize("reply", ["{}", "[]", "-", "없음"])
def test_a_model_that_finds_nothing_is_no_failure(reply: str, corpus: Path) -> None:
    with serving(Endpoint(lambda _: reply)) as there:
        done, _ = extracted(there, corpus)
    assert (done.exit_code, "empty" in done.stderr) == (0, False)


def test_an_answer_that_a_parser_took_for_reasoning_is_kept_when_it_was_cut(corpus: Path) -> None:
    fault = message("length", content=None, reasoning_content='{"PS": ["손흥민"], "LC": ["춘')
    with serving(Endpoint(lambda _: "", lambda *_: fault)) as there:
        done, rows = extracted(there, corpus)
    assert done.exit_code == 1
    told = "not everything was read: 3 answers were cut off at --max-new-tokens"
    assert done.stderr.splitlines()[-1] == told
    assert {row["status"] for row in rows} == {"truncated"}
    assert rows[0]["spans"][0] == SPANS[0]


FAILURES = {
    "error in 200": ({"raw": b'{"error": {"message": "no credits left", "code": 402}}'}, 1, "no credits left"),
    "no code": ({"raw": b'{"error": {"message": "the model is broken"}}'}, 1, "the model is broken"),
    "402": (refusal("pay first", 402), 1, "pay first"),
    "503": (refusal("come later", 503), 6, "come later"),
    "429 in 200": ({"raw": b'{"error": {"message": "slower", "code": 429}}'}, 6, "slower"),
    "html": ({"raw": b"<html>Sign in</html>", "type": "text/html"}, 6, "Sign in"),
}  # fmt: skip


@pytest.mark.parametrize("case", FAILURES)
def test_a_failure_is_one_line_that_names_the_endpoint(case: str, corpus: Path) -> None:
    fault, attempts, said = FAILURES[case]
    with serving(Endpoint(lambda _: "", lambda *_: fault)) as there:
        done = run("extract", TEXT, *asking(there.url))
        first = there.asked.most_common(1)[0][0]
        # The question whether there is a template, and the one about the text or about anything.
        assert there.asked[first] <= 2 * attempts
    assert done.exit_code == 1
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith(f"error: {there.url}")
    assert said in done.stderr


def test_fields_of_requests_come_from_the_command_line_and_are_part_of_the_run(
    corpus: Path,
) -> None:
    fields = ("--request-field", 'chat_template_kwargs={"enable_thinking": false}',
              "--request-field", "service_tier=flex", "--request-field", "temperature=null")  # fmt: skip
    with serving(Endpoint(lambda _: ANSWER)) as there:
        done, _ = extracted(there, corpus, *fields)
        body = there.bodies[-1]
    assert done.exit_code == 0, done.stderr
    assert body["chat_template_kwargs"] == {"enable_thinking": False}
    assert body["service_tier"] == "flex"
    assert "temperature" not in body
    record = json.loads(corpus.with_name("out.jsonl.run.json").read_text("utf-8"))
    assert record["request_fields"]["service_tier"] == "flex"
    with serving(Endpoint(lambda _: ANSWER)) as there:
        output = corpus.with_name("out.jsonl")
        other = ["-i", corpus, "-o", output, *asking(there.url), "--retry-failed"]
        refused = run("extract", *other, "--request-field", "service_tier=slow")
    assert refused.exit_code == 2
    assert "was made with another request_fields" in refused.stderr


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--engine", "openai", "--request-field", "top_k"], "--request-field 'top_k' is no NAME=VALUE"),
        (["--request-field", "top_k=1"], "--request-field does not apply to --engine transformers"),
        (["--engine", "baseline:x", "--request-field", "a=1"], "--request-field does not apply to a baseline"),
        (["--engine", "openai", "--request-field", "model=x"], "'model' cannot be set; name it with --model"),
        (["--engine", "openai", "--base-url", "localhost:1"], "localhost:1 is no address; write http://localhost:1"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("command", ["extract", "evaluate", "serve"])
def test_wrong_options_are_told_before_anything_is_asked(
    command: str, options: list[str], told: str, corpus: Path
) -> None:
    if command == "serve":
        pytest.importorskip("fastapi", reason='needs pip install "llmner[serve]"')
    given = {"extract": [TEXT], "evaluate": ["--gold", corpus], "serve": []}[command]
    engine = [] if "--engine" in options or command != "evaluate" else ["--engine", "transformers"]
    done = run(command, *given, *engine, *options)
    assert done.exit_code == 2
    assert told in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_server_does_not_take_an_empty_reply_for_a_text_without_entities() -> None:
    pytest.importorskip("fastapi", reason='needs pip install "llmner[serve]"')
    from fastapi.testclient import TestClient

    from llmner.asking import AskOptions
    from llmner.serving import Limits, create_app
    from llmner.serving._building import build_service
    from tests.serving.fakes import eventually

    cut, plain = message("length", content=None), message(content=ANSWER)
    told: list[str] = []

    def checks(body: dict[str, Any]) -> Fault | None:
        if system(body):
            return refusal("System role not supported")
        return cut if "서울" in body["messages"][-1]["content"] else plain

    with serving(Endpoint(lambda _: "", checks=checks)) as there:
        options = AskOptions.of(
            engine="openai", base_url=there.url, model="model", request_fields={"top_k": 1}
        )
        service = build_service(options, Limits(), report=told.append)
        with TestClient(create_app(service), base_url="http://127.0.0.1") as client:
            assert eventually(lambda: service.state == "ready")
            good = client.post("/infer", json={"text": TEXT})
            bad = client.post("/infer", json={"text": "서울에서 왔다."})
            both = client.post("/v1/extract", json={"texts": [TEXT, "서울에서 왔다."]})
    assert [row["word"] for row in good.json()["result"]] == ["손흥민"]
    assert (bad.status_code, bad.json()["error"]["type"]) == (422, "no_answer")
    first, second = both.json()["results"]
    assert "error" not in first
    assert (second["status"], second["spans"]) == ("truncated", [])
    assert "reply is empty" in second["error"]
    assert len(told) == 1
    assert {body["top_k"] for body in there.bodies} == {1}
