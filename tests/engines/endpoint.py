"""A small OpenAI-compatible endpoint on loopback that misbehaves as told."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from llmner.recipes.chat import Prompt

Fault = dict[str, Any]


def prompt(text: str) -> Prompt:
    """A question about a text, whose id tells it."""
    return Prompt(({"role": "user", "content": text},), f"{text}\n→", "\n\n", text, id=f"id-{text}")


@dataclass
class Endpoint:
    """What the server does, and what it was asked.

    Attributes:
        answer: The reply to a question.
        faults: Called with the question and how often it came before; a fault, or ``None`` to
            answer.
        template: Whether its model has a chat template.
        models: Its models.
        key: What it wants to be shown, if anything.
        tokens: Tokens and logarithms of their probabilities that it tells of an answer; nothing
            where ``None``.
        refuses: Fields that it refuses a request for.
        checks: Called with the body of a request; a fault, or ``None`` to go on.
    """

    answer: Callable[[str], str]
    faults: Callable[[str, int], Fault | None] = lambda question, before: None
    template: bool = True
    models: tuple[str, ...] = ("model",)
    key: str | None = None
    tokens: Callable[[str], list[tuple[str, float]]] | None = None
    refuses: tuple[str, ...] = ()
    checks: Callable[[dict[str, Any]], Fault | None] = lambda body: None
    asked: Counter[str] = field(default_factory=Counter)
    answered: Counter[str] = field(default_factory=Counter)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0
    url: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)


def sent(message: dict[str, Any], finish: str = "stop") -> Fault:
    """A response with this message."""
    choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", **message}}
    return {"raw": json.dumps({"object": "chat.completion", "choices": [choice]}).encode()}


@contextmanager
def serving(endpoint: Endpoint, port: int = 0) -> Iterator[Endpoint]:
    """The endpoint, listening."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def send(self, status: int, body: bytes, **headers: str) -> None:
            self.send_response(status)
            for name, value in {"content_type": "application/json", **headers}.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            # Whoever asked may have gone.
            with suppress(ConnectionError):
                self.wfile.write(body)

        def refuse(self, status: int, message: str, **headers: str) -> None:
            self.send(
                status,
                json.dumps({"error": {"message": message, "code": status}}).encode(),
                **headers,
            )

        def do_GET(self) -> None:
            rows = [
                {"id": name, "object": "model", "created": 0, "owned_by": "x"}
                for name in endpoint.models
            ]
            self.send(200, json.dumps({"object": "list", "data": rows}).encode())

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            chat = self.path.endswith("/chat/completions")
            question = body["messages"][-1]["content"] if chat else body["prompt"]
            with endpoint.lock:
                endpoint.bodies.append(body)
                before = endpoint.asked[question]
                endpoint.asked[question] += 1
                endpoint.at_once += 1
                endpoint.most_at_once = max(endpoint.most_at_once, endpoint.at_once)
            try:
                self.respond(body, chat, question, before)
            finally:
                with endpoint.lock:
                    endpoint.at_once -= 1

        def respond(self, body: dict[str, Any], chat: bool, question: str, before: int) -> None:
            if (
                endpoint.key is not None
                and self.headers["Authorization"] != f"Bearer {endpoint.key}"
            ):
                return self.refuse(401, "wrong key")
            if body["model"] not in endpoint.models:
                return self.refuse(404, f"The model `{body['model']}` does not exist.")
            if chat and not endpoint.template:
                return self.refuse(
                    400, "you must provide a chat template if the tokenizer does not define one."
                )
            for name in endpoint.refuses:
                if name in body:
                    return self.refuse(400, f"{name} is not supported")
            fault = endpoint.checks(body) or endpoint.faults(question, before) or {}
            time.sleep(fault.get("delay", 0))
            if fault.get("reset"):
                linger = struct.pack("ii", 1, 0)
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                self.connection.close()
                self.close_connection = True
                return None
            if "status" in fault and "raw" in fault:
                return self.send(fault["status"], fault["raw"], **fault.get("headers", {}))
            if "status" in fault:
                return self.refuse(
                    fault["status"], fault.get("message", "injected"), **fault.get("headers", {})
                )
            text = endpoint.answer(question)
            choice: dict[str, Any] = {"index": 0, "finish_reason": fault.get("finish", "stop")}
            choice |= (
                {"message": {"role": "assistant", "content": text}} if chat else {"text": text}
            )
            if endpoint.tokens is not None and body.get("logprobs"):
                told = endpoint.tokens(text)
                choice["logprobs"] = (
                    {
                        "content": [
                            {"token": token, "logprob": value, "top_logprobs": []}
                            for token, value in told
                        ]
                    }
                    if chat
                    else {
                        "tokens": [token for token, _ in told],
                        "token_logprobs": [value for _, value in told],
                        "text_offset": [0 for _ in told],
                        "top_logprobs": None,
                    }
                )
            whole = json.dumps(
                {
                    "id": "1",
                    "object": "chat.completion" if chat else "text_completion",
                    "created": 0,
                    "model": body["model"],
                    "choices": [choice],
                    "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
                }
            ).encode()
            raw = fault.get("raw", whole)
            if cut := fault.get("cut"):
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw[:-cut])
                self.close_connection = True
                return None
            if "chunks" in fault:
                # Chunks of a body without the one that ends it, one after each pause.
                self.send_response(200)
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                with suppress(ConnectionError):
                    for chunk in fault["chunks"]:
                        self.wfile.write(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")
                        self.wfile.flush()
                        time.sleep(fault.get("pause", 0))
                self.close_connection = True
                return None
            if "raw" not in fault:
                with endpoint.lock:
                    endpoint.answered[question] += 1
            headers = {
                "content_type": fault.get("type", "application/json"),
                **fault.get("headers", {}),
            }
            return self.send(200, raw, **headers)

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        # Five by default: more at once would be refused by the machine instead of by the endpoint.
        request_queue_size = 256

    server = Server(("127.0.0.1", port), Handler)
    endpoint.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
    )
    thread.start()
    try:
        yield endpoint
    finally:
        server.shutdown()
        server.server_close()
