"""A model that answers as told, and a real server around an app."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
import uvicorn

from llmner.engines import Reply
from llmner.recipes import Recipe
from llmner.recipes.chat import Prompt
from llmner.serving import Limits, Service, create_app
from llmner.serving._protocol import BoundedProtocol
from llmner.serving._run import duplicated

NAMES = {"손흥민": "PS", "김도윤": "PS", "춘천": "LC", "서울": "LC", "3,000명": "QT"}


def named(text: str) -> str:
    """A reply that names what it knows of a text."""
    found: dict[str, list[str]] = {}
    for name, label in NAMES.items():
        found.setdefault(label, []).extend([name] * text.count(name))
    return json.dumps({label: names for label, names in found.items() if names}, ensure_ascii=False)


@dataclass
class Model:
    """An engine that counts what it is asked.

    Attributes:
        answer: The reply to a text; may raise, or return a ``Reply``.
        delay: Seconds that a batch takes.
        gate: A batch waits until it is set.
        batches: The texts of each batch, in order.
    """

    answer: Callable[[str], str | Reply] = named
    delay: float = 0.0
    gate: threading.Event = field(default_factory=threading.Event)
    batches: list[list[str]] = field(default_factory=list)
    constrains: bool = False

    def __post_init__(self) -> None:
        self.gate.set()

    def generate(self, prompts: Sequence[Prompt]) -> list[Reply]:
        self.batches.append([prompt.text for prompt in prompts])
        self.gate.wait(30)
        time.sleep(self.delay)
        found = [self.answer(prompt.text) for prompt in prompts]
        return [each if isinstance(each, Reply) else Reply(each, "stop", 7, 3) for each in found]

    def describe(self) -> dict[str, Any]:
        return {"engine": "fake"}

    @property
    def asked(self) -> list[list[str]]:
        """What clients asked: the batches without those that only look whether it is there."""
        return [batch for batch in self.batches if batch != ["."]]


def service(
    model: Model | None = None, *, options: dict[str, Any] | None = None, **limits: Any
) -> Service:
    """A service around a model, or around none."""
    limits = {"batch_wait": 0.02, "timeout": 10.0, **limits}
    return Service(Recipe.load("klue"), model, options=options or {}, limits=Limits(**limits))


@contextmanager
def running(served: Service, **options: Any) -> Iterator[str]:
    """A real server on loopback; its address."""
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        create_app(served, **options),
        http=BoundedProtocol,
        log_config=None,
        timeout_graceful_shutdown=5,
    )
    server = uvicorn.Server(config)
    sockets = {"sockets": duplicated(listening)}
    thread = threading.Thread(target=server.run, kwargs=sockets, daemon=True)
    thread.start()
    try:
        until = time.monotonic() + 10
        while not server.started or served.state == "loading":
            assert time.monotonic() < until, "the server does not start"
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(15)
        listening.close()


def eventually(holds: Callable[[], bool], seconds: float = 5.0) -> bool:
    """Whether something becomes true in time."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if holds():
            return True
        time.sleep(0.01)
    return holds()


def in_a_loop(work: Callable[[], Awaitable[Any]]) -> Any:
    """What work comes to, in an event loop of a thread of its own: the browser's tests leave one
    in theirs.
    """
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(anyio.run, work).result()


def connection(address: str) -> socket.socket:
    """A connection to a server."""
    host, _, port = address.removeprefix("http://").partition(":")
    return socket.create_connection((host, int(port)), 10)


def request(path: str, body: bytes | dict[str, Any], *headers: str, method: str = "POST") -> bytes:
    """A request, to the last byte."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = (
        f"{method} {path} HTTP/1.1",
        "Host: localhost",
        "Content-Type: application/json",
        f"Content-Length: {len(content)}",
        *headers,
        "\r\n",
    )
    return "\r\n".join(lines).encode() + content


def received(client: socket.socket, seconds: float = 10.0, first: float | None = None) -> bytes:
    """What a server sends until it closes the connection, or is silent for so long.

    Args:
        client: The connection.
        seconds: How long it may be silent.
        first: How long until it begins.
    """
    told = b""
    client.settimeout(first or seconds)
    try:
        while part := client.recv(1 << 16):
            told += part
            client.settimeout(seconds)
    except (TimeoutError, ConnectionError):
        pass
    return told
