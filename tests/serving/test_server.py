"""The command itself, over real sockets: starting, hanging up, stopping, and an endpoint that
dies behind it.
"""

from __future__ import annotations

import contextlib
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

pytest.importorskip("fastapi", reason='needs pip install "llmner[serve]"')
httpx = pytest.importorskip("httpx")

from typer.testing import CliRunner

from llmner.cli import app as cli
from llmner.cli.serve import _read_keys
from llmner.errors import GenerationError
from tests.cli.terminal import run_in_terminal, toy_engine
from tests.conftest import ROOT
from tests.serving.fakes import Model, eventually, named, request, running, service

Start = Callable[..., tuple[str, "subprocess.Popen[str]", Path]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts ``llmner serve`` on a free port: its address, its process, its log."""
    processes: list[subprocess.Popen[str]] = []

    def started(*options: str, ready: bool = True) -> tuple[str, subprocess.Popen[str], Path]:
        log = tmp_path / f"serve{len(processes)}.log"
        with log.open("w") as stream:
            command = [sys.executable, "-m", "llmner", "serve", "--port", "0", *options]
            process = subprocess.Popen(command, stderr=stream, cwd=tmp_path, text=True)
        processes.append(process)
        assert eventually(lambda: "http://" in log.read_text() or process.poll() is not None, 60)
        address = re.search(r"http://\S+", log.read_text())
        assert address is not None, log.read_text()
        assert eventually(
            lambda: _state(address[0]) in (("ready",) if ready else ("ready", "loading")), 120
        )
        return address[0], process, log

    yield started
    for process in processes:
        process.kill()
        process.wait()


def _state(address: str) -> str | None:
    try:
        return str(httpx.get(f"{address}/readyz").json()["state"])
    except httpx.HTTPError:
        return None


def test_without_a_model_it_starts_in_seconds_and_projects(start: Start) -> None:
    began = time.monotonic()
    address, process, log = start("--no-model", "--access-log")
    assert time.monotonic() - began < 20
    assert address.startswith("http://127.0.0.1:")
    body = {"text": "7.2㎞를 달린 손흥민", "reply": "PS: 손흥민\nQT: 7.2km"}
    row = httpx.post(f"{address}/v1/project", json=body).json()
    assert row["markup"] == "<7.2㎞:QT>를 달린 <손흥민:PS>"
    assert httpx.get(address).headers["content-type"].startswith("text/html")
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) in (0, -signal.SIGTERM)
    told = log.read_text()
    (listening,) = [line for line in told.splitlines() if line.endswith(f"listening at {address}")]
    (ready,) = [line for line in told.splitlines() if line.endswith(f"ready: {address}")]
    assert told.index(listening) < told.index(ready) < told.index("/v1/project")
    assert "손흥민" not in told
    assert "/readyz" not in told
    assert "Traceback" not in told


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_it_says_ready_when_the_model_has_answered_and_not_before(
    tmp_path: Path, host: str
) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, 0), family=family).close()
    except OSError:
        pytest.skip(f"this machine has no {host}")
    toy_engine(tmp_path)
    serve = ("serve", "--host", host, "--port", "0", "--recipe", "klue")
    engine = ("--engine", "toy", "--model", "pipe")
    address = re.escape(f"http://[{host}]" if ":" in host else f"http://{host}") + r":[1-9]\d*"
    with run_in_terminal(tmp_path, "-m", "llmner", *serve, *engine) as terminal:
        terminal.shows(rf".* INFO listening at {address}")
        terminal.shows("Loading toy")
        terminal.shows(r".* INFO Application startup complete\.")
        assert "ready" not in "".join(terminal.rows)
        terminal.tell("load", "0")
        terminal.shows(rf".* INFO ready: {address}")
        (listening, ready) = [row.split()[-1] for row in terminal.rows if "http://" in row]
        assert listening == ready
        assert _state(ready) == "ready"


def test_an_engine_that_fails_at_first_is_ready_when_it_answers() -> None:
    answers = [GenerationError("down", retryable=True)]

    def answer(text: str) -> str:
        if answers:
            raise answers.pop()
        return named(text)

    told: list[str] = []
    served = service(Model(answer))
    served.engine_loads = False
    served.when_ready(lambda: told.append(served.state))
    with running(served) as address:
        assert eventually(lambda: told == ["ready"])
        served.when_ready(lambda: told.append("at once"))
        assert httpx.post(f"{address}/infer", json={"text": "서울"}).status_code == 200
    assert told == ["ready", "at once"]
    assert not answers


def test_a_port_in_use_and_wrong_options_are_told_in_a_line(start: Start, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        empty = tmp_path / "keys"
        empty.write_text("# none\n")
        (tmp_path / "blank").write_text("")
        for options, words in (
            (["--no-model", "--port", port], "cannot listen on 127.0.0.1"),
            (
                ["--no-model", "--host", "no.such.host.invalid"],
                "cannot listen on no.such.host.invalid",
            ),
            (["--no-model", "--grounded"], "--grounded cannot be combined with --no-model"),
            (["--no-model", "--api-keys", str(empty)], "contains no key"),
            (["--no-model", "--api-keys", str(tmp_path / "blank")], "contains no key"),
            (["--no-model", "--api-keys", "missing"], "no such file"),
            (["--no-model", "--api-keys", ""], "--api-keys needs the name of a file"),
            (["--no-model", "--api-keys", " "], "--api-keys needs the name of a file"),
            (["--no-model", "--api-keys", str(tmp_path)], "cannot be read"),
            (["--no-model", "--recipe", "nothing"], "no recipe is called 'nothing'"),
            (["--engine", "recorded"], "needs recorded replies"),
            (["--engine", "baseline:x"], "no such folder"),
        ):
            command = [sys.executable, "-m", "llmner", "serve", *options]
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
            assert done.returncode == 2, done.stderr
            assert words in done.stderr.splitlines()[-1]
            assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("held", "words"),
    [
        ("", "LLMNER_API_KEYS is set but contains no key"),
        (" , ", "LLMNER_API_KEYS is set but contains no key"),
        ("\t\n", "LLMNER_API_KEYS is set but contains no key"),
        ("one,,two", "LLMNER_API_KEYS: key 2 of 3 is empty"),
        ("one,", "LLMNER_API_KEYS: key 2 of 2 is empty"),
        (
            "o\nne",
            "LLMNER_API_KEYS: key 1 of 1 contains a character that an HTTP header cannot carry",
        ),
    ],
)
def test_a_variable_for_keys_that_holds_none_opens_no_server(
    held: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLMNER_API_KEYS", held)
    done = CliRunner().invoke(cli, ["serve", "--no-model", "--port", "0"])
    assert done.exit_code == 2
    assert words in done.stderr
    assert "one" not in done.stderr


def test_keys_may_have_white_space_around_them_where_they_are_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LLMNER_API_KEYS", " one ,하나\n")
    assert _read_keys(None) == ("one", "하나")
    kept = tmp_path / "keys"
    kept.write_bytes("\ufeff# mine\r\n\r\n one \r\n하나\r\n".encode())
    assert _read_keys(str(kept)) == ("one", "하나")
    monkeypatch.delenv("LLMNER_API_KEYS")
    assert _read_keys(None) == ()


def test_a_model_that_cannot_be_loaded_ends_the_server_with_its_reason(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason='needs pip install "llmner[local]"')
    command = [sys.executable, "-m", "llmner", "serve", "--port", "0", "--model", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 1
    assert "cannot be loaded" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_client_that_hangs_up_frees_its_place() -> None:
    model = Model()
    served = service(model, queue=1, batch_size=1, batch_wait=0)
    with running(served) as address:
        busy = served.batcher
        assert busy is not None
        model.gate.clear()
        for stream in (False, True):
            with _connection(address) as connection:
                connection.sendall(_request({"texts": ["서울"]}, stream=stream))
                assert eventually(lambda: _metric(address, "queue_requests") == 1)
                assert httpx.post(f"{address}/infer", json={"text": "서울"}).status_code == 503
            assert eventually(lambda: _metric(address, "queue_requests") == 0)
            assert len(busy) == 0
        model.gate.set()
        assert httpx.post(f"{address}/infer", json={"text": "서울"}).status_code == 200
        assert _metric(address, "hung_up_total") == 2


@pytest.mark.parametrize("size", [0, 100_000, 400_000])
def test_a_client_that_hangs_up_is_noticed_though_it_has_asked_again(
    size: int, caplog: pytest.LogCaptureFixture
) -> None:
    model = Model()
    with running(service(model, queue=1, batch_size=1, batch_wait=0, timeout=120)) as address:
        model.gate.clear()
        with _connection(address) as connection:
            connection.sendall(_request({"texts": ["서울"]}))
            assert eventually(lambda: _metric(address, "queue_requests") == 1)
            # One that sends too much ahead is cut off while it does.
            with contextlib.suppress(ConnectionError):
                connection.sendall(_request({"texts": ["a" * size]}))
        # The model itself waits for longer.
        assert eventually(lambda: _metric(address, "queue_requests") == 0, 10)
        model.gate.set()
        assert httpx.post(f"{address}/infer", json={"text": "서울"}, timeout=60).status_code == 200
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_a_client_that_asks_again_does_not_read_and_hangs_up_is_no_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    # An answer of more than the kernel keeps for a client.
    body = {"text": "가" * 1_300_000, "reply": ""}
    with running(service(timeout=120)) as address:
        with _connection(address) as connection:
            content = json.dumps(body, ensure_ascii=False).encode()
            connection.sendall(request("/v1/project", content))
            connection.settimeout(60)
            assert connection.recv(1) == b"H"
            connection.sendall(request("/healthz", b"", method="GET"))
            time.sleep(0.3)
        assert eventually(lambda: 'route="/v1/project"' in httpx.get(f"{address}/metrics").text, 60)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_each_result_is_sent_as_soon_as_it_is_there_and_hanging_up_then_frees_the_place() -> None:
    model = Model()
    served = service(model, queue=1, batch_size=1, batch_wait=0)
    told = {"texts": ["서울", "춘천"]}
    with running(served) as address:
        # Whole: the place is free again afterwards.
        with httpx.stream(
            "POST", f"{address}/v1/extract", json=told, headers={"Accept": "application/x-ndjson"}
        ) as answer:
            assert [json.loads(line)["text"] for line in answer.iter_lines()] == ["서울", "춘천"]
        assert eventually(lambda: _metric(address, "queue_requests") == 0)

        def answer_but_one(text: str) -> str:
            if text == "춘천":
                model.gate.clear()
                model.gate.wait(30)
            return named(text)

        model.answer = answer_but_one
        with _connection(address) as connection:
            connection.sendall(_request(told, stream=True))
            received = b""
            while b"\n{" not in received:
                received += connection.recv(4096)
            assert "서울".encode() in received
            assert "춘천".encode() not in received
            assert _metric(address, "queue_requests") == 1
        assert eventually(lambda: _metric(address, "queue_requests") == 0)
        model.gate.set()
        assert eventually(
            lambda: httpx.post(f"{address}/infer", json={"text": "서울"}).status_code == 200
        )


def test_a_client_that_stops_reading_is_let_go() -> None:
    served = service(Model(), queue=1, batch_wait=0, timeout=4)
    with running(served) as address, _connection(address) as connection:
        text = "서울에서 손흥민을 만났다. " * 20
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(_request({"texts": [text] * 1500}, stream=True))
        assert eventually(lambda: _metric(address, "queue_requests") == 1)
        assert eventually(lambda: _metric(address, "queue_requests") == 0, 30)
        # It is counted just after its place is free.
        assert eventually(lambda: _metric(address, "hung_up_total") == 1)
        # It was stopped on the way.
        assert _metric(address, 'replies_total{status="ok"}') < 1500
        assert httpx.post(f"{address}/infer", json={"text": "서울"}).status_code == 200


def test_a_request_that_is_long_in_coming_is_given_up() -> None:
    with running(service(timeout=0.3)) as address, _connection(address) as connection:
        connection.sendall(_request({"texts": ["서울"]})[:-5])
        connection.settimeout(5)
        assert connection.recv(4096).startswith(b"HTTP/1.1 408 ")


def test_a_client_that_leaves_in_the_middle_of_a_request_is_no_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with running(service()) as address:
        with _connection(address) as connection:
            connection.sendall(_request({"texts": ["서울"]})[:-5])
        assert eventually(lambda: _metric(address, "hung_up_total") == 1)
        assert 'status="500"' not in httpx.get(f"{address}/metrics").text
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_headers_that_are_too_long_or_never_end_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("llmner.serving._protocol._SECONDS", 0.5)
    with running(service()) as address:
        with _connection(address) as connection:
            connection.settimeout(10)
            # The server may have closed it before all is sent.
            with contextlib.suppress(ConnectionError):
                connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Long: ")
                for _ in range(200):
                    connection.sendall(b"a" * 10_000)
                    time.sleep(0.001)
            with contextlib.suppress(ConnectionError):
                assert connection.recv(4096).startswith(b"HTTP/1.1 400 ")
        for begun in (b"", b"GET /healthz HTTP/1.1\r\nHost: localh"):
            with _connection(address) as connection:
                connection.settimeout(5)
                connection.sendall(begun)
                with contextlib.suppress(ConnectionResetError):
                    assert connection.recv(4096) == b""
        # A connection that is kept does not end between two requests, or within one.
        with httpx.Client() as client:
            for pause in (0.0, 0.7, 0.7):
                time.sleep(pause)
                assert client.get(f"{address}/healthz").status_code == 200


def test_whoever_sends_too_much_hears_so_at_its_end() -> None:
    # The standard library's client looks for an answer only when all is sent.
    with running(service(body=1 << 20)) as address:
        request = urllib.request.Request(
            f"{address}/v1/project", b"x" * (6 << 20), {"Content-Type": "application/json"}
        )
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=20)
        assert refused.value.code == 413
        refused.value.close()


def test_whatever_can_be_got_has_a_head() -> None:
    with running(service()) as address:
        for path in ("/", "/healthz", "/readyz", "/static/page.js", "/v1/recipes"):
            answer = httpx.head(f"{address}{path}")
            assert (answer.status_code, answer.content) == (200, b"")
        assert httpx.head(f"{address}/infer").status_code == 405


def _request(body: dict[str, Any], *, stream: bool = False) -> bytes:
    """A request to ``/v1/extract``, to the last byte."""
    content = json.dumps(body).encode()
    accept = b"Accept: application/x-ndjson\r\n" if stream else b""
    return (
        b"POST /v1/extract HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        + accept
        + f"Content-Length: {len(content)}\r\n\r\n".encode()
        + content
    )


def _connection(address: str) -> socket.socket:
    host, _, port = address.removeprefix("http://").partition(":")
    return socket.create_connection((host, int(port)), 10)


def _metric(address: str, name: str) -> float:
    found = re.search(
        rf"^llmner_{re.escape(name)} (\S+)$", httpx.get(f"{address}/metrics").text, re.MULTILINE
    )
    assert found is not None
    return float(found[1])


@contextlib.contextmanager
def endpoint(port: int) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.serving.endpoint_process", str(port)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "ready"
        yield process
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def test_an_endpoint_that_dies_under_load_costs_clean_503s_and_comes_back_by_itself(
    start: Start,
) -> None:
    pytest.importorskip("openai", reason='needs pip install "llmner[openai]"')
    port = free_port()
    # When each request began, and what it was told.
    statuses: list[tuple[float, int]] = []
    stop = threading.Event()

    def client(address: str) -> None:
        with httpx.Client(timeout=30) as session:
            while not stop.is_set():
                began = time.monotonic()
                answer = session.post(f"{address}/infer", json={"text": "손흥민은 춘천에서"})
                statuses.append((began, answer.status_code))
                body: dict[str, Any] = answer.json()
                if answer.status_code == 200:
                    assert [row["word"] for row in body["result"]] == ["손흥민", "춘천"]
                else:
                    assert body["error"]["type"] == "engine_unavailable"
                    assert int(answer.headers["retry-after"]) >= 1

    with contextlib.ExitStack() as stack:
        stack.enter_context(endpoint(port))
        address, _, _ = start("--engine", "openai", "--base-url", f"http://127.0.0.1:{port}/v1")
        with ThreadPoolExecutor(8) as pool:
            jobs = [pool.submit(client, address) for _ in range(8)]
            assert eventually(lambda: len(statuses) > 50, 30)
            stack.close()
            killed = time.monotonic()
            assert eventually(lambda: sum(status == 503 for _, status in statuses) > 20, 30)
            assert httpx.get(f"{address}/readyz").json()["state"] == "failing"
            with endpoint(port):
                back = time.monotonic()
                assert eventually(
                    lambda: any(at > back and status == 200 for at, status in statuses), 30
                )
                assert eventually(lambda: _state(address) == "ready", 10)
                well = time.monotonic()
                assert eventually(lambda: sum(at > well for at, _ in statuses) > 50, 30)
                stop.set()
                # Every request had an answer, or these would raise.
                for job in jobs:
                    job.result(30)
        assert {status for _, status in statuses} == {200, 503}
        assert any(status == 503 for at, status in statuses if killed < at < back)
        assert all(status == 200 for at, status in statuses if at > well)


def test_stopping_answers_what_is_being_answered(start: Start) -> None:
    pytest.importorskip("openai", reason='needs pip install "llmner[openai]"')
    from tests.engines.endpoint import Endpoint, serving

    slow = Endpoint(named, faults=lambda question, _: {"delay": 1.0 if "서울" in question else 0})
    with serving(slow), ThreadPoolExecutor(1) as pool:
        address, process, log = start("--engine", "openai", "--base-url", slow.url)
        job = pool.submit(httpx.post, f"{address}/infer", json={"text": "서울"}, timeout=30)
        assert eventually(lambda: _metric(address, "queue_requests") == 1)
        process.send_signal(signal.SIGTERM)
        assert job.result(20).json()["result"][0]["word"] == "서울"
        process.wait(20)
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{address}/healthz")
        assert "Traceback" not in log.read_text()


@pytest.mark.slow
def test_the_embedded_model_answers_many_at_once(start: Start) -> None:
    pytest.importorskip("torch", reason='needs pip install "llmner[local]"')
    address, _, _ = start("--max-new-tokens", "64")
    texts = [
        "손흥민은 춘천에서 태어났다.",
        "김연아는 2010년 밴쿠버에서 우승했다.",
        "삼성전자는 3,000명을 뽑는다.",
    ]

    def infer(text: str) -> list[dict[str, Any]]:
        answer = httpx.post(f"{address}/infer", json={"text": text}, timeout=120)
        assert answer.status_code == 200
        found: list[dict[str, Any]] = answer.json()["result"]
        return found

    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(infer, texts * 2))
    assert {row["word"]: row["entity_group"] for row in found[0]} == {"손흥민": "PS", "춘천": "LC"}
    for text, rows in zip(texts * 2, found, strict=True):
        assert rows
        for row in rows:
            assert row["word"] == text[row["start"] : row["end"]]
            assert 0 < row["score"] <= 1
    assert _metric(address, "batch_size_count") < 6
    body = {"texts": texts, "grounded": True, "min_score": 0.01}
    grounded = httpx.post(f"{address}/v1/extract", json=body, timeout=120).json()
    assert all(
        outcome["kind"] != "not_found" for row in grounded["results"] for outcome in row["outcomes"]
    )
    assert grounded["usage"]["completion_tokens"] > 0


def test_nothing_that_lies_in_the_current_folder_is_run(tmp_path: Path) -> None:
    (tmp_path / "anyio.py").write_text("open('run', 'w').close()\n", encoding="utf-8")
    log = tmp_path / "log"
    # As the script `llmner` does, and unlike `python -m`, Python does not look there itself.
    command = [sys.executable, "-P", "-m", "llmner", "serve", "--port", "0", "--no-model"]
    with log.open("w") as stream:
        process = subprocess.Popen(command, stderr=stream, cwd=tmp_path)
    try:
        assert eventually(lambda: "http://" in log.read_text(), 60)
        address = re.findall(r"http://\S+", log.read_text())[0]
        assert eventually(lambda: _state(address) == "ready", 60)
        body = {"text": "서울에서 " * 2000, "reply": "LC: 서울"}
        assert httpx.post(f"{address}/v1/project", json=body, timeout=60).status_code == 200
    finally:
        process.kill()
        process.wait()
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_command_projects_what_is_long_in_processes_that_end_with_it(
    start: Start, ending: signal.Signals
) -> None:
    address, process, log = start("--no-model")
    body = {"text": "서울에서 " * 2000, "reply": "LC: 서울"}
    row = httpx.post(f"{address}/v1/project", json=body, timeout=60).json()
    assert row["spans"] == [{"start": 0, "end": 2, "label": "LC"}]
    workers = psutil.Process(process.pid).children()
    assert len(workers) == 1
    process.send_signal(ending)
    process.wait(30)
    assert eventually(lambda: not any(each.is_running() for each in workers), 10)
    assert "Traceback" not in log.read_text()
