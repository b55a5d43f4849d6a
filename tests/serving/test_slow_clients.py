"""Clients that send or read a byte now and then, over real sockets: others are served meanwhile."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

pytest.importorskip("fastapi", reason='needs pip install "llmner[serve]"')
httpx = pytest.importorskip("httpx")

from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from llmner.serving import Service, _transfers
from llmner.serving._http import run_while_connected
from llmner.serving._metrics import Metrics
from llmner.serving._pools import EvictingPool
from llmner.serving._protocol import BoundedProtocol, bounded
from llmner.serving._refusals import RefusalError
from llmner.serving._safety import DEADLINE, Safety
from llmner.serving._transfers import receive_body
from tests.conftest import ROOT
from tests.serving.fakes import (
    Model,
    connection,
    eventually,
    in_a_loop,
    received,
    request,
    running,
    service,
)

ASKED = {"text": "서울", "reply": "LC: 서울"}


def test_whoever_has_been_in_a_pool_longest_goes_first() -> None:
    gone: list[str] = []
    pool = EvictingPool(2, 100)
    members = {name: pool.enter(lambda name=name: gone.append(name), 10) for name in "ab"}
    assert gone == []
    members["c"] = pool.enter(lambda: gone.append("c"), 10)
    assert (gone, len(pool), pool.total) == (["a"], 2, 20)
    # Who is gone holds nothing, whatever it says.
    pool.grow(members["a"], 1000)
    pool.leave(members["a"])
    assert (gone, pool.total) == (["a"], 20)
    pool.grow(members["c"], 85)
    assert (gone, pool.total) == (["a", "b"], 95)
    pool.grow(members["c"], 6)
    assert (gone, len(pool), pool.total) == (["a", "b", "c"], 0, 0)


def test_three_hundred_slow_bodies_keep_nobody_out() -> None:
    with running(service(timeout=2.0)) as address, contextlib.ExitStack() as stack:
        slow = [stack.enter_context(connection(address)) for _ in range(300)]
        for client in slow:
            client.sendall(request("/v1/project", json.dumps(ASKED).encode() + b" " * 100)[:-100])
        with httpx.Client() as others:
            for _ in range(10):
                for client in slow:
                    # Those that were let go have closed already.
                    with contextlib.suppress(OSError):
                        client.sendall(b" ")
                assert others.post(f"{address}/v1/project", json=ASKED).status_code == 200
        told = [received(client, 5)[:12] for client in slow]
        assert set(told) <= {b"HTTP/1.1 408", b""}
        assert told.count(b"HTTP/1.1 408") > 200


def test_bodies_that_wait_hold_so_much_together(monkeypatch: pytest.MonkeyPatch) -> None:
    served = service(body=1 << 20)
    with running(served) as address, contextlib.ExitStack() as stack:
        # Seventeen of a mebibyte each: there is room for sixteen.
        slow = [stack.enter_context(connection(address)) for _ in range(17)]
        for client in slow:
            client.sendall(request("/v1/project", b" " * (1 << 20))[:-5])
        assert received(slow[0], 5).startswith(b"HTTP/1.1 408")
        slow[-1].sendall(b"     ")
        assert received(slow[-1], 20).startswith(b"HTTP/1.1 422")


@pytest.mark.parametrize(("piece", "comes"), [(b"x" * 200, True), (b"x", False)])
def test_a_body_has_the_more_time_the_more_of_it_is_there(
    piece: bytes, comes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_transfers, "_GRACE", 0.3)
    monkeypatch.setattr(_transfers, "_RATE", 500)
    pieces = 20

    async def read() -> bytes:
        left = iter(range(pieces))

        async def receive() -> dict[str, Any]:
            number = next(left)
            await anyio.sleep(0.05)
            return {"type": "http.request", "body": piece, "more_body": number + 1 < pieces}

        return await receive_body(receive, b"", 1 << 20, 30.0, EvictingPool(1, 1 << 20))

    if comes:
        assert in_a_loop(read) == piece * pieces
    else:
        with pytest.raises(RefusalError) as refused:
            in_a_loop(read)
        assert (refused.value.status_code, refused.value.type) == (408, "slow")


def test_connections_that_say_nothing_keep_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmner.serving._protocol._CONNECTIONS", 20)
    model = Model()
    with (
        running(service(model, batch_size=1, batch_wait=0)) as address,
        contextlib.ExitStack() as stack,
    ):
        model.gate.clear()
        asks = stack.enter_context(connection(address))
        asks.sendall(request("/infer", {"text": "서울"}))
        assert eventually(lambda: ["서울"] in model.batches)
        silent = [stack.enter_context(connection(address)) for _ in range(60)]
        for _ in range(3):
            assert httpx.post(f"{address}/v1/project", json=ASKED).status_code == 200
        # Whoever waits for the server is none of them.
        model.gate.set()
        assert received(asks, 1).startswith(b"HTTP/1.1 200")
        assert received(silent[0], 1) == b""
        still = 0
        for client in silent:
            client.settimeout(0.01)
            with contextlib.suppress(ConnectionError):
                try:
                    client.recv(1)
                except TimeoutError:
                    still += 1
        assert still <= 20


@pytest.mark.parametrize("where", ["here", "behind"])
def test_an_answer_that_is_not_read_is_let_go(monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    if where == "here":
        monkeypatch.setattr(_transfers, "_GRACE", 0.5)
        monkeypatch.setattr(_transfers, "_RATE", 1 << 30)
    else:
        monkeypatch.setattr("llmner.serving._protocol._SECONDS", 0.5)
    # More than the kernel keeps for a client.
    body = {"text": "가" * 1_300_000, "reply": ""}
    with running(service(timeout=60)) as address:
        whole = len(httpx.post(f"{address}/v1/project", json=body, timeout=60).content)
        with connection(address) as client:
            client.sendall(request("/v1/project", json.dumps(body, ensure_ascii=False).encode()))
            counted = 'llmner_requests_total{route="/v1/project",status="200"} 2.0'
            assert eventually(lambda: counted in httpx.get(f"{address}/metrics").text, 20)
            time.sleep(1)
            assert len(received(client, 5)) < whole
        # Whoever reads has all of it.
        assert len(httpx.post(f"{address}/v1/project", json=body, timeout=60).content) == whole


def test_streams_that_are_not_read_leave_half_of_the_queue_to_others() -> None:
    asked = {"texts": ["서울에서 손흥민을 만났다. " * 20] * 1500}
    with (
        running(service(Model(), queue=4, batch_wait=0, timeout=60)) as address,
        contextlib.ExitStack() as stack,
    ):
        for _ in range(4):
            client = stack.enter_context(connection(address))
            client.sendall(request("/v1/extract", asked, "Accept: application/x-ndjson"))

        def metric() -> str:
            return str(httpx.get(f"{address}/metrics").text)

        assert eventually(lambda: "llmner_queue_requests 4.0" in metric(), 30)
        # Sooner than any of them is late.
        assert eventually(lambda: "llmner_queue_requests 2.0" in metric(), 20)
        assert httpx.post(f"{address}/infer", json={"text": "서울"}, timeout=30).status_code == 200


def test_a_few_requests_may_be_sent_ahead_and_no_more() -> None:
    ahead = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with running(service()) as address:
        with connection(address) as client:
            client.sendall(ahead * 10)
            assert received(client, 1).count(b"HTTP/1.1 200") == 10
        with connection(address) as client:
            client.sendall(ahead * 1000)
            assert received(client, 5).count(b"HTTP/1.1 200") < 20
        assert httpx.get(f"{address}/healthz").status_code == 200


class Unread:
    """Clients that ask an app and read nothing of what they are sent."""

    def __init__(self, safety: Safety) -> None:
        self.safety = safety
        self.waiting = 0

    async def ask(self, path: str) -> None:
        async def send(message: Message) -> None:
            self.waiting += 1
            try:
                await anyio.sleep_forever()
            finally:
                self.waiting -= 1

        await self.safety(asked_for(path), nothing, send)


def asked_for(path: str) -> Scope:
    return {"type": "http", "method": "GET", "path": path, "headers": []}


async def nothing() -> Message:
    return {"type": "http.disconnect"}


@pytest.mark.parametrize("path", ["/openapi.json", "/static/page.js", "/v1/recipes"])
@pytest.mark.parametrize("more", [False, True])
def test_answers_that_are_not_read_take_up_no_room(path: str, more: bool) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        if more:
            await send({"type": "http.response.body", "body": b"a", "more_body": True})
        await send({"type": "http.response.body", "body": b"a"})

    async def main() -> tuple[list[int], int]:
        safety, statuses = Safety(app, Metrics(), room=4, streams=2), list[int]()
        unread = Unread(safety)

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])

        async with anyio.create_task_group() as group:
            for _ in range(20):
                group.start_soon(unread.ask, path)
            await anyio.wait_all_tasks_blocked()
            await safety(asked_for("/v1/recipes"), nothing, send)
            await anyio.wait_all_tasks_blocked()
            left = unread.waiting
            group.cancel_scope.cancel()
        return statuses, left

    statuses, left = in_a_loop(main)
    assert statuses == [200]
    assert left <= 4


def test_a_blocked_connection_waits_whatever_is_being_answered() -> None:
    blocked = BoundedProtocol.__new__(BoundedProtocol)
    blocked.cycle = SimpleNamespace(response_complete=False, more_body=False)
    for paused in (True, False):
        blocked.flow = SimpleNamespace(write_paused=paused)
        assert blocked._waits() == paused


def test_a_client_may_take_the_timeout_to_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmner.serving._protocol._SECONDS", 0.5)
    made = bounded(60.0)
    assert issubclass(made, BoundedProtocol)
    delays: list[float] = []

    class Loop:
        def call_later(self, delay: float, what: object) -> None:
            delays.append(delay)

    for kind in (made, BoundedProtocol):
        protocol = kind.__new__(kind)
        protocol.loop, protocol.transport = Loop(), SimpleNamespace(abort=None)
        protocol.flow = SimpleNamespace(pause_writing=lambda: None)
        protocol.pause_writing()
    assert delays == [60.0, 0.5]


def test_a_request_has_one_deadline_whatever_it_waits_for() -> None:
    async def main() -> tuple[float, int]:
        left: list[float] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            left.append(scope[DEADLINE] - anyio.current_time())

        async def slowly() -> Message:
            await anyio.sleep(0.3)
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Message) -> None:
            raise AssertionError

        safety = Safety(app, Metrics(), routes=frozenset({"/v1/project"}), timeout=30.0)
        await safety({**asked_for("/v1/project"), "method": "POST"}, slowly, send)
        over = Request(
            {**asked_for("/v1/project"), DEADLINE: anyio.current_time()}, anyio.sleep_forever
        )
        with pytest.raises(RefusalError) as refused:
            await run_while_connected(over, service(timeout=600.0), anyio.sleep_forever)
        return left[0], refused.value.status_code

    left, status = in_a_loop(main)
    assert left <= 29.8
    assert status == 504


def test_only_so_many_are_answered_at_once() -> None:
    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await anyio.sleep(0.2)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def asked(safety: Safety, statuses: list[int]) -> None:
        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])

        async def receive() -> Message:
            return {"type": "http.disconnect"}

        await safety({"type": "http", "method": "GET", "path": "/x", "headers": []}, receive, send)

    async def main() -> list[int]:
        safety, statuses = Safety(slow, Metrics(), room=2), list[int]()
        for _ in range(2):
            async with anyio.create_task_group() as group:
                for _ in range(3):
                    group.start_soon(asked, safety, statuses)
        return statuses

    assert in_a_loop(main) == [503, 200, 200] * 2


def test_many_connections_are_all_taken_however_busy_the_server_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    short = Service.project_short

    def busy(self: Service, body: bytes) -> bytes | None:
        # Longer than a client takes to ask again, so that whoever is there has always asked.
        until = time.thread_time() + 0.001
        while time.thread_time() < until:
            pass
        return short(self, body)

    monkeypatch.setattr(Service, "project_short", busy)
    with running(service(timeout=60)) as address:
        script = [sys.executable, "-m", "tests.serving.many_clients", address, "100", "3000"]
        done = subprocess.run(
            script, cwd=ROOT, capture_output=True, text=True, check=True, timeout=120
        )
    answered = json.loads(done.stdout)
    assert len(answered) == 100
    # With one connection accepted a turn, the first have two hundred answers when the last has
    # none.
    assert min(answered) > max(answered) / 3, sorted(answered)
