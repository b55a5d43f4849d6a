"""What a hostile client can send, over real sockets: a clean answer or a closed connection, and
no traceback.
"""

from __future__ import annotations

import gzip
import json
import logging
import re
import socket
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

pytest.importorskip("fastapi", reason='needs pip install "llmner[serve]"')
httpx = pytest.importorskip("httpx")

from llmner.projection import Budget
from llmner.recipes import Recipe
from llmner.serving import _bodies
from llmner.serving._schemas import ProjectRequest
from tests.serving.fakes import Model, connection, received, request, running, service

ASKED = b'{"text": "\xec\x84\x9c\xec\x9a\xb8", "reply": "LC: \xec\x84\x9c\xec\x9a\xb8"}'
HOST = b"Host: localhost\r\n"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with running(service(Model()), hosts=frozenset({"localhost", "127.0.0.1"})) as found:
        yield found


def told(address: str, sent: bytes) -> bytes:
    """What the server answers to bytes, to their end."""
    with connection(address) as client:
        # It may have closed the connection before all is sent.
        with suppress(ConnectionError):
            client.sendall(sent)
        # A busy machine takes its time; what goes on after an answer's beginning comes at once.
        return received(client, 0.5, first=10)


def head(path: bytes = b"/healthz", *, method: bytes = b"GET", version: bytes = b"1.1") -> bytes:
    return method + b" " + path + b" HTTP/" + version + b"\r\n"


# What is sent, and how an answer may begin; empty for a connection that is closed.
CASES = {
    "http/1.0": (head(version=b"1.0") + HOST + b"\r\n", {"200"}),
    "http/1.0 without a host": (head(version=b"1.0") + b"\r\n", {"403"}),
    "http/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {"400", ""}),
    "http/9.9": (head(version=b"9.9") + HOST + b"\r\n", {"400", "200"}),
    "tls": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", {"400", ""}),
    "no http": (b"\x00" * 1000, {"400", ""}),
    "another host": (head() + b"Host: evil.example\r\n\r\n", {"403"}),
    "two hosts": (head() + b"Host: evil.example\r\n" + HOST + b"\r\n", {"200", "400"}),
    "absolute target": (head(b"http://localhost/healthz") + HOST + b"\r\n", {"200"}),
    "absolute target without a path": (
        head(b"http://localhost") + HOST + b"\r\n",
        {"200", "400", "404"},
    ),
    "absolute target elsewhere": (
        head(b"http://evil.example/healthz") + b"Host: evil.example\r\n\r\n",
        {"403"},
    ),
    "asterisk": (head(b"*", method=b"OPTIONS") + HOST + b"\r\n", {"400", "404", "405"}),
    "connect": (head(b"localhost:22", method=b"CONNECT") + HOST + b"\r\n", {"400", "404", "405"}),
    "trace": (head(method=b"TRACE") + HOST + b"\r\n", {"405"}),
    "delete": (head(b"/infer", method=b"DELETE") + HOST + b"\r\n", {"405"}),
    "unknown method": (head(method=b"HACK") + HOST + b"\r\n", {"400"}),
    "websocket": (
        head()
        + HOST
        + b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n",
        {"200", "400"},
    ),
    "h2c": (
        head() + HOST + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n",
        {"200", "400"},
    ),
    "path upwards": (head(b"/static/../../_app.py") + HOST + b"\r\n", {"404"}),
    "path upwards, encoded": (head(b"/static/%2e%2e/%2e%2e/_app.py") + HOST + b"\r\n", {"404"}),
    "path with a null": (head(b"/static/%00") + HOST + b"\r\n", {"400", "404"}),
    "path with line breaks": (head(b"/x%0d%0aERROR%20fake") + HOST + b"\r\n", {"404"}),
    "path beyond ascii": (head("/서울".encode()) + HOST + b"\r\n", {"400", "404"}),
    "long path": (head(b"/" + b"a" * 60_000) + HOST + b"\r\n", {"404", "400"}),
    "too long path": (head(b"/" + b"a" * 200_000) + HOST + b"\r\n", {"400", ""}),
    "header without a colon": (head() + HOST + b"nothing\r\n\r\n", {"400"}),
    "folded header": (head() + HOST + b"X-A: b\r\n c\r\n\r\n", {"200", "400"}),
    "header with a null": (head() + HOST + b"X-A: \x00\r\n\r\n", {"400"}),
    "ten thousand headers": (head() + HOST + b"a: b\r\n" * 10_000 + b"\r\n", {"200", "400", ""}),
    "two lengths": (
        head(b"/v1/project", method=b"POST")
        + HOST
        + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n",
        {"400"},
    ),
    "length and chunks": (
        head(b"/v1/project", method=b"POST")
        + HOST
        + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        {"400"},
    ),
    "length below nothing": (
        head(b"/v1/project", method=b"POST") + HOST + b"Content-Length: -1\r\n\r\n",
        {"400"},
    ),
    "length beyond all": (
        head(b"/v1/project", method=b"POST")
        + HOST
        + b"Content-Type: application/json\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        {"400", "413"},
    ),
    "length of a gibibyte": (
        request("/v1/project", b"").replace(b"Length: 0", b"Length: 1073741824"),
        {"413", ""},
    ),
    "broken chunks": (
        head(b"/v1/project", method=b"POST")
        + HOST
        + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\nx\r\n",
        {"400", "415"},
    ),
    "chunks": (
        head(b"/v1/project", method=b"POST")
        + HOST
        + b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        + b"".join(b"1\r\n%c\r\n" % byte for byte in ASKED)
        + b"0\r\n\r\n",
        {"200"},
    ),
    "chunks with trailers": (
        head(b"/v1/project", method=b"POST")
        + HOST
        + b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        + b"%x\r\n" % len(ASKED)
        + ASKED
        + b"\r\n0\r\nX-Trailer: 1\r\n\r\n",
        {"200"},
    ),
    "compressed": (request("/v1/project", gzip.compress(ASKED), "Content-Encoding: gzip"), {"415"}),
    "compressed bomb": (
        request("/infer", gzip.compress(b" " * 10**7), "Content-Encoding: gzip"),
        {"415"},
    ),
    "identity": (request("/v1/project", ASKED, "Content-Encoding: identity"), {"200"}),
    "expectation": (request("/v1/project", ASKED, "Expect: 100-continue"), {"100", "200"}),
    "other expectation": (request("/v1/project", ASKED, "Expect: the impossible"), {"200", "417"}),
    "range": (
        head(b"/static/page.js") + HOST + b"Range: bytes=0-0,1-1,2-2\r\n\r\n",
        {"206", "200", "416"},
    ),
    "body of a get": (request("/healthz", b"x" * 1000, method="GET"), {"200"}),
    "get of a post": (request("/infer", b"", method="GET"), {"405"}),
    "nobody's path": (request("/nowhere", b"x" * 100_000), {"404"}),
    "forwarded": (
        request("/v1/project", ASKED, "X-Forwarded-For: 1.2.3.4", "X-Forwarded-Host: evil"),
        {"200"},
    ),
}


@pytest.mark.parametrize(("sent", "answers"), CASES.values(), ids=CASES)
def test_bytes_that_are_hardly_http_are_answered_or_cut_off(
    address: str, sent: bytes, answers: set[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        answer = told(address, sent)
    status = answer[9:12].decode()
    assert status in answers, answer[:300]
    assert b"Traceback" not in answer
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
    assert not [record for record in caplog.records if "\n" in record.getMessage()]
    assert httpx.get(f"{address}/healthz").status_code == 200


def is_cut_off(client: socket.socket, piece: bytes, times: int, pause: float) -> bool:
    """Whether a server closes a connection before it is sent a piece so often."""
    try:
        for _ in range(times):
            client.sendall(piece)
            time.sleep(pause)
    except ConnectionError:
        return True
    return False


CHUNKED = head(b"/v1/recipes") + HOST + b"Transfer-Encoding: chunked\r\n"


@pytest.mark.parametrize("begun", [b"", b"a: "], ids=["trailers", "a trailer"])
@pytest.mark.parametrize("key", [b"", b"Authorization: Bearer k\r\n"], ids=["refused", "answered"])
def test_what_comes_behind_a_body_has_an_end(begun: bytes, key: bytes) -> None:
    piece = b"a" * 4_000 if begun else b"a: b\r\n" * 700
    with running(service(), keys=("k",)) as address, connection(address) as client:
        client.sendall(CHUNKED + key + b"\r\n0\r\n" + begun)
        # A server that reads on takes all of it.
        assert is_cut_off(client, piece, 2_000, 0.001)
        assert httpx.get(f"{address}/healthz").status_code == 200


def test_what_comes_behind_a_body_is_no_header() -> None:
    with running(service(), keys=("k",)) as address:
        sent = CHUNKED + b"\r\n0\r\nAuthorization: Bearer k\r\n\r\n"
        assert told(address, sent).startswith(b"HTTP/1.1 401")


def test_whoever_sends_on_and_on_after_the_answer_is_cut_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("llmner.serving._protocol._SECONDS", 0.5)
    with running(service(), keys=("k",)) as address, connection(address) as client:
        client.sendall(CHUNKED + b"\r\n")
        assert client.recv(1 << 16).startswith(b"HTTP/1.1 401")
        assert is_cut_off(client, b"1\r\na\r\n", 400, 0.05)


def test_a_body_that_is_sent_after_its_answer_keeps_the_connection() -> None:
    asked = request("/v1/recipes", b"x" * 300_000, method="GET")
    with running(service(), keys=("k",)) as address, connection(address) as client:
        for _ in range(2):
            client.sendall(asked[:200])
            assert client.recv(1 << 16).startswith(b"HTTP/1.1 401")
            client.sendall(asked[200:])


BODIES = {
    "deep": (b"[" * 1_000_000, 422),
    "deep objects": (b'{"a":' * 500_000, 422),
    "deep, and closed": (b'{"text": "a", "reply": ' + b"[" * 10_000 + b"]" * 10_000 + b"}", 422),
    "many digits": (b'{"text": "a", "reply": "b", "fuzzy": ' + b"1" * 100_000 + b"}", 422),
    "beyond floats": (b'{"text": "a", "reply": "b", "fuzzy": 1e999}', 422),
    "many decimals": (b'{"text": "a", "reply": "b", "fuzzy": 0.' + b"1" * 100_000 + b"}", 200),
    "no number": (b'{"text": "a", "reply": "b", "fuzzy": NaN}', 422),
    "infinity": (b'{"text": "a", "reply": "b", "fuzzy": Infinity}', 422),
    "below nothing": (b'{"text": "a", "reply": "b", "fuzzy": -0.1}', 422),
    # The last one counts, as in every JSON reader of Python.
    "a key twice": (b'{"text": "b", "text": "a", "reply": "b"}', 200),
    "half a pair": (b'{"text": "a", "reply": "\\ud800"}', 422),
    "half a pair, raw": (b'{"text": "a", "reply": "\xed\xa0\x80"}', 422),
    "a whole pair": (b'{"text": "a", "reply": "\\ud83d\\ude00"}', 200),
    "no utf-8": ('{"text": "서울", "reply": "서울"}'.encode("euc-kr"), 422),
    "utf-16": ('{"text": "a", "reply": "b"}'.encode("utf-16"), 422),
    "a mark first": (b'\xef\xbb\xbf{"text": "a", "reply": "b"}', 422),
    "nulls": (b'{"text": "\\u0000", "reply": "\\u0000"}', 200),
    "raw nulls": (b'{"text": "\x00", "reply": ""}', 422),
    "more behind it": (b'{"text": "a", "reply": "b"} {}', 422),
    "a comment": (b'{"text": "a", "reply": "b"} // c', 422),
    "single quotes": (b"{'text': 'a', 'reply': 'b'}", 422),
    "prototype": (b'{"text": "a", "reply": "b", "__proto__": {}}', 422),
    "many labels": (
        json.dumps({"text": "a", "reply": "b", "labels": ["L"] * 100_000}).encode(),
        422,
    ),
    "a long label": (
        json.dumps({"text": "a", "reply": "b", "labels": ["L" * 10**6]}).encode(),
        422,
    ),
    "no label": (b'{"text": "a", "reply": "b", "labels": []}', 422),
    "a label twice": (b'{"text": "a", "reply": "b", "labels": ["L", "L"]}', 422),
    "a recipe upwards": (b'{"text": "a", "reply": "b", "recipe": "../../etc/passwd"}', 422),
    "a template": (b'{"text": "{{ 7 * 7 }}", "reply": "LC: {{ 7 * 7 }}"}', 200),
    "long label names": (
        json.dumps({"text": "a", "reply": "L" * 50_000 + ": a", "any_label": True}).encode(),
        200,
    ),
}


@pytest.mark.parametrize(("body", "status"), BODIES.values(), ids=BODIES)
def test_bodies_that_are_hardly_json_are_answered(
    address: str, body: bytes, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    answer = httpx.post(
        f"{address}/v1/project",
        content=body,
        headers={"Content-Type": "application/json"},
        timeout=60,
    )
    assert answer.status_code == status, answer.text[:300]
    assert len(answer.content) < 20_000 + 8 * len(body) * (status == 200)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_a_text_may_be_a_template_and_stays_one(address: str) -> None:
    row = httpx.post(
        f"{address}/v1/project", json={"text": "{{ 7 * 7 }}", "reply": "LC: {{ 7 * 7 }}"}
    ).json()
    assert row["text"] == "{{ 7 * 7 }}"


def test_so_many_texts_are_enough_for_one_request(address: str) -> None:
    texts = [""] * 10_001
    for path, name in (("/infer", "text"), ("/v1/extract", "texts")):
        refused = httpx.post(f"{address}{path}", json={name: texts})
        assert refused.status_code == 422
        assert refused.json()["error"]["fields"][0]["field"] == name


def test_an_answer_that_would_be_too_large_is_refused_and_streamed_where_it_is_asked_for() -> None:
    body = {"texts": ["서울에서 만났다"] * 100}
    with running(service(Model(), answer=5_000)) as address:
        for path, asked in (("/v1/extract", body), ("/infer", {"text": body["texts"]})):
            refused = httpx.post(f"{address}{path}", json=asked, timeout=30)
            assert (refused.status_code, refused.json()["error"]["type"]) == (422, "too_much")
        streamed = httpx.post(
            f"{address}/v1/extract",
            json=body,
            headers={"Accept": "application/x-ndjson"},
            timeout=30,
        )
        assert len(streamed.text.splitlines()) == 100


@pytest.mark.parametrize(
    "text", ["서울 " * 200, "서울 " * 5_000], ids=["here", "in another process"]
)
def test_a_projection_that_would_be_too_large_is_refused(text: str) -> None:
    with running(service(answer=1_000)) as address:
        asked = {"text": text, "reply": "LC: 서울", "repeats": "all"}
        refused = httpx.post(f"{address}/v1/project", json=asked, timeout=60)
        assert (refused.status_code, refused.json()["error"]["type"]) == (422, "too_much")
        asked["text"] = "서울"
        assert httpx.post(f"{address}/v1/project", json=asked, timeout=60).status_code == 200


def test_what_an_answer_has_at_least_is_less_than_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that nothing is refused that is not too large."""
    seen: list[int] = []
    monkeypatch.setattr(_bodies, "_check_answer", lambda size, _: seen.append(size))
    schemas, replies = (
        {"klue": Recipe.load("klue").schema_},
        ("LC: 서울\nPS: 없음", "", '{"LC": ["a", ""]}'),
    )
    for text in ("", "서울 a 서울", "a" * 500):
        for reply in replies:
            for repeats in ("all", "listed"):
                asked = ProjectRequest(text=text, reply=reply, repeats=repeats)
                _bodies.project_request(asked, schemas, "klue", Budget(), 1)
    assert seen
    assert all(least <= whole for least, whole in zip(seen[::2], seen[1::2], strict=True))


def test_many_requests_in_one_piece_are_answered_in_their_order(address: str) -> None:
    sent = (
        request("/v1/project", ASKED)
        + request("/nowhere", b"")
        + request("/healthz", b"", method="GET")
    )
    answer = told(address, sent)
    assert re.findall(rb"HTTP/1.1 (\d+)", answer) == [b"200", b"404", b"200"]
