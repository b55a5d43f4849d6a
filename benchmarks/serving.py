"""Measures the server under load, and what clients get when the endpoint behind it dies.

    make bench-serve

Part one starts ``llmner serve`` with the embedded model, and measures throughput, latency, errors
and memory. 1, 8 and 32 clients ask ``/infer`` about the sentences of ``data/sample.tsv``, for 30
seconds each. 1, 8, 32 and 200 clients send replies to ``/v1/project``: 400 recorded replies of a
real model, if there is a file of them (LLMNER_REPLIES), and the hundred of
``data/sample-replies.jsonl``, which are damaged on purpose. The clients run on the same machine, in
a process of their own. Each one asks again as soon as it has its answer.

Part two (``--restart PYTHON``) runs the server in front of vLLM's own, kills vLLM while eight
clients ask, starts it again, and counts the answers that the clients got.

The exit status is 1 if a goal is missed. Part one: there is no error, batching gives three times
the throughput of one client, and there are 1,500 projections per second. Part two: every request is
answered with 200 or 503, and some are answered after the restart.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager
from itertools import cycle
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import aiohttp
import psutil
from _report import ROOT, write

from llmner.corpora import read_corpus
from llmner.engines.adapters import PACKAGED_ADAPTER
from llmner.engines.embedded import EMBEDDED_MODEL

REPLIES = Path(
    os.environ.get(
        "LLMNER_REPLIES",
        ROOT.parent / "shared/data/recorded-replies/gemini-2.5-flash_klue-v1-dev_0000-0399.jsonl",
    )
)
# The largest number of clients; only for projection.
MANY = 200
Rows = list[tuple[float, float, int]]  # started, seconds, status (0: no answer)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--port", type=int, default=8181)
    parser.add_argument(
        "--restart", metavar="PYTHON", help="part two, with the interpreter that has vLLM"
    )
    arguments = parser.parse_args()
    if arguments.restart:
        results = restart(arguments.restart, arguments.port)
        write(
            "serving_restart",
            "make bench-serve",
            results,
            ("llmner", "fastapi", "uvicorn", "openai"),
        )
        sys.exit(
            1
            if set(results["statuses"]) - {"200", "503"} or not results["answered_after_restart"]
            else 0
        )
    results = measure_load(arguments.clients, arguments.seconds, arguments.port)
    write(
        "serving",
        "make bench-serve",
        results,
        ("llmner", "fastapi", "uvicorn", "torch", "transformers"),
    )
    infer, project = list(results.values())[:2]
    errors = sum(row["errors"] for rows in results.values() for row in rows)
    best = max(row["requests_a_second"] for row in infer) / infer[0]["requests_a_second"]
    fast = max(row["requests_a_second"] for row in project)
    sys.exit(1 if errors or best < 3 or fast < 1500 else 0)


@contextmanager
def server(port: int, *options: str) -> Any:
    """Run ``llmner serve``; gives its process once it is ready."""
    command = [Path(sys.executable).with_name("llmner"), "serve", "--port", str(port), *options]
    folder = ROOT / "build"
    folder.mkdir(exist_ok=True)
    with (folder / "serve.log").open("wb") as log:
        process = subprocess.Popen(command, stderr=log, cwd=ROOT)
    try:
        asyncio.run(ready(port))
        yield psutil.Process(process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(90)


async def ready(port: int, path: str = "/readyz", seconds: float = 600) -> None:
    """Wait until a server answers with 200. Exits if it does not in time."""
    until = time.monotonic() + seconds
    async with aiohttp.ClientSession() as session:
        while time.monotonic() < until:
            try:
                async with session.get(f"http://127.0.0.1:{port}{path}") as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.5)
    sys.exit(f"nothing is ready on port {port}")


def measure_load(clients: list[int], seconds: float, port: int) -> dict[str, Any]:
    texts = [{"text": sentence.text} for sentence in read_corpus(str(ROOT / "data" / "sample.tsv"))]
    loads = [("/infer", "/infer", texts)]
    if REPLIES.exists():
        loads.append(("/v1/project, recorded replies", "/v1/project", recorded(REPLIES)))
    loads.append(
        (
            "/v1/project, damaged replies",
            "/v1/project",
            recorded(ROOT / "data" / "sample-replies.jsonl"),
        )
    )
    results: dict[str, Any] = {}
    with server(port) as process:
        for name, path, bodies in loads:
            results[name] = []
            # The queue for the model is shorter than MANY, so /infer is not asked by as many.
            for count in [*clients, MANY] if path == "/v1/project" else clients:
                before = process.memory_info().rss
                rows = driven(port, path, bodies, count, seconds)
                results[name].append(
                    {
                        "clients": count,
                        **figures(rows),
                        "memory_before_mib": round(before / 2**20),
                        "memory_after_mib": round(process.memory_info().rss / 2**20),
                    }
                )
                print(name, json.dumps(results[name][-1]), file=sys.stderr)
    return results


def recorded(path: Path) -> list[dict[str, Any]]:
    """The replies in a file, as requests to ``/v1/project``."""
    rows = map(json.loads, path.read_text("utf-8").splitlines())
    return [{"text": row["text"], "reply": row["reply"]} for row in rows]


def figures(rows: Rows) -> dict[str, Any]:
    # Up to the last answer, which comes after the last request was sent.
    seconds = max(began + spent for began, spent, _ in rows) - min(began for began, _, _ in rows)
    times = sorted(spent for _, spent, status in rows if status == 200)
    hundredths = statistics.quantiles(times, n=100, method="inclusive") if len(times) > 1 else []
    return {
        "requests": len(rows),
        "requests_a_second": round(len(times) / seconds, 2),
        "p50_ms": round(1000 * hundredths[49], 2) if hundredths else None,
        "p99_ms": round(1000 * hundredths[98], 2) if hundredths else None,
        "slowest_ms": round(1000 * times[-1], 2) if times else None,
        "errors": sum(status != 200 for _, _, status in rows),
    }


def driven(
    port: int, path: str, bodies: list[dict[str, Any]], clients: int, seconds: float
) -> Rows:
    """Run the clients in a process of their own."""
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(drive, (port, path, bodies, clients, seconds))


def drive(port: int, path: str, bodies: list[dict[str, Any]], clients: int, seconds: float) -> Rows:
    """Run the clients in this process."""
    import uvloop

    payloads = [json.dumps(body).encode() for body in bodies]
    return uvloop.run(send_requests(f"http://127.0.0.1:{port}{path}", payloads, clients, seconds))


async def send_requests(url: str, payloads: list[bytes], clients: int, seconds: float) -> Rows:
    rows: Rows = []
    turns = cycle(payloads)
    until = time.monotonic() + seconds
    connector = aiohttp.TCPConnector(limit=clients)
    headers = {"Content-Type": "application/json"}
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:

        async def client() -> None:
            while (started := time.monotonic()) < until:
                status = 0
                try:
                    async with session.post(url, data=next(turns)) as answer:
                        await answer.read()
                        status = answer.status
                except aiohttp.ClientError:
                    pass
                rows.append((started, time.monotonic() - started, status))
                if status != 200:
                    await asyncio.sleep(0.2)

        await asyncio.gather(*(client() for _ in range(clients)))
    return rows


def restart(python: str, port: int) -> dict[str, Any]:
    """Kill vLLM's server 15 seconds into a load, and start it again 10 seconds later."""
    vllm_port = port + 1
    texts = [{"text": sentence.text} for sentence in read_corpus(str(ROOT / "data" / "sample.tsv"))]
    vllm = start_vllm(python, vllm_port)
    try:
        options = (
            "--engine",
            "openai",
            "--base-url",
            f"http://127.0.0.1:{vllm_port}/v1",
            "--model",
            PACKAGED_ADAPTER,
            "--adapter",
            PACKAGED_ADAPTER,
            "--max-new-tokens",
            "128",
        )
        with server(port, *options), get_context("spawn").Pool(1) as pool:
            begun = time.monotonic()
            job = pool.apply_async(drive, (port, "/infer", texts, 8, 180))
            time.sleep(15)
            killed = time.monotonic()
            stop(vllm)
            time.sleep(10)
            vllm = start_vllm(python, vllm_port)
            back = time.monotonic()
            rows: Rows = job.get(600)
    finally:
        stop(vllm)
    statuses = Counter(str(status) for _, _, status in rows)
    # A request that was in progress when the endpoint died is timed from that moment.
    refused = [began + spent - max(began, killed) for began, spent, status in rows if status == 503]
    after = [
        start + spent for start, spent, status in rows if status == 200 and start + spent > back
    ]
    return {
        "clients": 8,
        "requests": len(rows),
        "statuses": dict(statuses),
        "without_an_answer": statuses["0"],
        "killed_after_seconds": round(killed - begun, 1),
        "back_after_seconds": round(back - begun, 1),
        "first_answer_after_it_was_back_seconds": round(min(after) - back, 2) if after else None,
        "answered_after_restart": len(after),
        "slowest_503_seconds": round(max(refused, default=0), 2),
    }


def start_vllm(python: str, port: int) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHON": python, "PORT": str(port), "CONTEXT": "2048"}
    process = subprocess.Popen(
        # Half of the memory, since llmner's server needs some too.
        [
            ROOT / "scripts" / "serve_vllm.sh",
            EMBEDDED_MODEL,
            PACKAGED_ADAPTER,
            "--",
            "--gpu-memory-utilization",
            "0.5",
        ],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=environment,
        start_new_session=True,
    )
    assert process.stdout is not None
    if not process.stdout.readline().startswith("ready:"):
        sys.exit("vLLM's server did not start")
    return process


def stop(process: subprocess.Popen[str]) -> None:
    """Kill the whole process group with SIGKILL, as an out-of-memory killer does."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(60)


if __name__ == "__main__":
    main()
