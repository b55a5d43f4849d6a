"""Measures how fairly two hundred clients are served that keep their connections open.

    python benchmarks/serving_held.py

Two servers are measured in turn, twice each. One accepts one connection per iteration of its event
loop, as uvloop does by itself. The other one is as shipped (``llmner/serving/_run.py``). The
clients send the replies of ``benchmarks/serving.py`` to ``/v1/project``. They run on the same
machine, in a process of their own, and do as little work as possible. Half of them connect when the
other half keeps the server busy already.

The exit status is 1 if a request fails, or if a client of the shipped server gets less than a third
of the answers that another one gets.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any

import psutil
from _report import ROOT, write
from serving import REPLIES, ready, recorded

from llmner.engines._processor import processor_name

SERVERS = {"one connection a turn": 1, "as shipped": None}
_START = """
import llmner.serving._run as run
from llmner.cli import main

run._ACCEPTS = {accepts} or run._ACCEPTS
main()
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--port", type=int, default=8183)
    arguments = parser.parse_args()
    path = REPLIES if REPLIES.exists() else ROOT / "data" / "sample-replies.jsonl"
    payloads = [json.dumps(body).encode() for body in recorded(path)]
    rounds: dict[str, list[dict[str, Any]]] = {name: [] for name in SERVERS}
    for turn in range(2):
        for number, (name, accepts) in enumerate(SERVERS.items()):
            port = arguments.port + 2 * turn + number
            with server(port, accepts), get_context("spawn").Pool(1) as pool:
                rounds[name].append(
                    pool.apply(drive, (port, payloads, arguments.clients, arguments.seconds))
                )
            print(name, json.dumps(rounds[name][-1]), file=sys.stderr)
    figures = {
        "processor": f"{processor_name()}, {psutil.cpu_count()} of it, shared with the clients",
        "replies": path.name,
        "clients": arguments.clients,
        **rounds,
    }
    write(
        "serving_held",
        "python benchmarks/serving_held.py",
        figures,
        ("llmner", "fastapi", "uvicorn", "uvloop"),
    )
    shipped = rounds["as shipped"]
    fair = all(3 * row["answers_of_a_client"][0] > row["answers_of_a_client"][1] for row in shipped)
    sys.exit(0 if fair and not any(row["errors"] for row in shipped) else 1)


@contextmanager
def server(port: int, accepts: int | None) -> Any:
    command = [
        sys.executable,
        "-c",
        _START.format(accepts=accepts),
        "serve",
        "--no-model",
        "--port",
        str(port),
    ]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, cwd=ROOT)
    try:
        asyncio.run(ready(port, seconds=60))
        yield
    finally:
        process.terminate()
        process.wait(90)


class Client(asyncio.Protocol):
    """A client that asks again as soon as it has its answer."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.received = b""
        self.answers = 0

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.ask()

    def ask(self) -> None:
        body = self.load.next()
        self.sent = time.monotonic()
        self.transport.write(
            b"POST /v1/project HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
        )

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, separator, rest = self.received.partition(b"\r\n\r\n")
        if not separator or len(rest) < int(
            head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]
        ):
            return
        self.received = b""
        if self.load.counts:
            self.answers += 1
            self.load.seconds.append(time.monotonic() - self.sent)
            self.load.errors += head.split()[1] != b"200"
        self.ask()


class Load:
    """Gives the next request, and counts answers."""

    def __init__(self, payloads: list[bytes]) -> None:
        self.payloads = payloads
        self.turn = 0
        self.counts = False
        self.errors = 0
        self.seconds: list[float] = []

    def next(self) -> bytes:
        self.turn += 1
        return self.payloads[self.turn % len(self.payloads)]


def drive(port: int, payloads: list[bytes], clients: int, seconds: float) -> dict[str, Any]:
    import uvloop

    return uvloop.run(driven(port, Load(payloads), clients, seconds))


async def driven(port: int, load: Load, clients: int, seconds: float) -> dict[str, Any]:
    loop = asyncio.get_running_loop()

    async def connect_half() -> list[Client]:
        connections = (
            loop.create_connection(lambda: Client(load), "127.0.0.1", port)
            for _ in range(clients // 2)
        )
        return [client for _, client in await asyncio.gather(*connections)]

    connected = await connect_half()
    await asyncio.sleep(1)
    load.counts = True
    connected += await connect_half()
    await asyncio.sleep(seconds)
    load.counts = False
    now = time.monotonic()
    # A client without an answer has waited until now.
    times = sorted(load.seconds + [now - client.sent for client in connected if not client.answers])
    hundredths = statistics.quantiles(times, n=100, method="inclusive")
    answers = sorted(client.answers for client in connected)
    for client in connected:
        client.transport.abort()
    return {
        "requests_a_second": round(len(load.seconds) / seconds),
        "p50_ms": round(1000 * hundredths[49], 1),
        "p99_ms": round(1000 * hundredths[98], 1),
        "slowest_ms": round(1000 * times[-1]),
        "answers_of_a_client": [answers[0], answers[-1]],
        "clients_without_an_answer": answers.count(0),
        "errors": load.errors,
    }


if __name__ == "__main__":
    main()
