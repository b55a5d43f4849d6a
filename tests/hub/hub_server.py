"""A small Hugging Face Hub on loopback: repositories, LFS and commits, by the real client's own
requests.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml

TOKEN = "hf_" + "q7Rw" * 9
_BIG = 10 << 20
_REPO = r"(?P<repo>[\w.-]+/[\w.-]+)"


@dataclass
class Repo:
    """A model repository: its files, and of each whether it lies in LFS."""

    private: bool = False
    files: dict[str, tuple[bytes, bool]] = field(default_factory=dict)
    commits: list[str] = field(default_factory=lambda: [hashlib.sha1(b"initial").hexdigest()])
    summaries: list[str] = field(default_factory=list)


@dataclass
class Failure:
    """An answer to give instead of the right one, to so many requests.

    ``after``: do what was asked first, as when an answer is lost on its way. ``status`` 0 hangs up.
    """

    method: str
    path: str
    status: int
    times: int
    after: bool = False
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b'{"error": "out of order"}'


class HubServer:
    """The Hub's state, and everything it was asked."""

    def __init__(self, users: tuple[str, ...] = ("someone",)) -> None:
        self.users = users
        self.repos: dict[str, Repo] = {}
        self.stored: dict[str, bytes] = {}
        self.failures: list[Failure] = []
        self.requests: list[tuple[str, str, bytes]] = []
        self.tokens: set[str] = set()
        self.strayed: set[str] = set()
        self.url = ""

    @property
    def storage(self) -> str:
        """Where LFS keeps files: another host, as with the real Hub."""
        return self.url.replace("127.0.0.1", "localhost") + "/storage"

    def asked(self, method: str, path: str) -> list[bytes]:
        """Bodies of the requests to a path, a regular expression."""
        return [
            body for how, where, body in self.requests if how == method and re.search(path, where)
        ]

    def fail(self, method: str, path: str, status: int, times: int = 1, **more: Any) -> None:
        self.failures.append(Failure(method, path, status, times, **more))

    def failure(self, method: str, path: str) -> Failure | None:
        for failure in self.failures:
            if failure.times and failure.method == method and re.search(failure.path, path):
                failure.times -= 1
                return failure
        return None


@contextmanager
def serving(hub: HubServer) -> Iterator[HubServer]:
    """Serve ``hub`` on a free port of loopback."""
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _sha1(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    hub: HubServer

    def do_GET(self) -> None:
        self._handle()

    do_HEAD = do_POST = do_PUT = do_GET  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _handle(self) -> None:
        path = unquote(urlsplit(self.path).path)
        body = self._body()
        self.hub.requests.append((self.command, path, body))
        failure = self.hub.failure(self.command, path)
        if failure is not None and not failure.after:
            self._fail(failure)
            return
        status, headers, answer = self._answer(path, body)
        if failure is not None:
            self._fail(failure)
        else:
            self._send(status, headers, answer)

    def _fail(self, failure: Failure) -> None:
        if failure.status:
            self._send(failure.status, failure.headers, failure.body)
        else:
            self.close_connection = True

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        if "Content-Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _answer(self, path: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if token:
            (self.hub.strayed if path.startswith("/storage/") else self.hub.tokens).add(token)
        known = token == TOKEN
        for method, pattern, open_to_all, answer in _ROUTES:
            if (found := re.fullmatch(pattern, path)) and self.command in method.split():
                repo = self.hub.repos.get(found.groupdict().get("repo", ""))
                if not known and (not open_to_all or (token and repo is None)):
                    return _error(
                        401,
                        "Invalid credentials in Authorization header" if token else "Unauthorized",
                    )
                if "repo" in found.groupdict() and (repo is None or (repo.private and not known)):
                    return _error(404, "Repository not found", "RepoNotFound")
                return answer(self.hub, body, **found.groupdict())
        return _error(404, f"no such page: {self.command} {path}")


Answer = tuple[int, dict[str, str], bytes]


def _json(value: Any, status: int = 200) -> Answer:
    return status, {"Content-Type": "application/json"}, json.dumps(value).encode()


def _error(status: int, message: str, code: str | None = None) -> Answer:
    headers = {"X-Error-Message": message} | ({} if code is None else {"X-Error-Code": code})
    return status, headers, json.dumps({"error": message}).encode()


def _create(hub: HubServer, body: bytes) -> Answer:
    asked = json.loads(body)
    name = f"{asked['organization']}/{asked['name']}"
    if asked["organization"] not in hub.users:
        return _error(
            403,
            f"You don't have the rights to create a model under the namespace "
            f"{asked['organization']}",
        )
    if name in hub.repos:
        return _json(
            {"error": "You already created this model repo", "url": f"{hub.url}/{name}"}, 409
        )
    hub.repos[name] = Repo(private=asked.get("visibility") == "private")
    return _json({"url": f"{hub.url}/{name}", "name": name, "id": name})


def _validate(hub: HubServer, body: bytes) -> Answer:
    content = json.loads(body)["content"]
    block = re.match(r"---\n(.*?)\n---\n", content, re.DOTALL)
    data = yaml.safe_load(block[1]) if block else None
    if not isinstance(data, dict):
        return _json({"errors": [{"message": "no metadata"}], "warnings": []}, 400)
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", data.get("base_model", "some/model")):
        return _json({"errors": [{"message": '"base_model" is no model id'}], "warnings": []}, 400)
    return _json({"errors": [], "warnings": []})


def _preupload(hub: HubServer, body: bytes, repo: str, revision: str) -> Answer:
    files = []
    for asked in json.loads(body)["files"]:
        lfs = asked["path"].endswith(".safetensors") or asked["size"] > _BIG
        row = {
            "path": asked["path"],
            "uploadMode": "lfs" if lfs else "regular",
            "shouldIgnore": False,
        }
        if held := hub.repos[repo].files.get(asked["path"]):
            row["oid"] = hashlib.sha256(held[0]).hexdigest() if held[1] else _sha1(held[0])
        files.append(row)
    return _json({"files": files})


def _batch(hub: HubServer, body: bytes, repo: str) -> Answer:
    asked = json.loads(body)
    assert asked["operation"] == "upload"
    objects = []
    for row in asked["objects"]:
        if row["oid"] not in hub.stored:
            upload = {"href": f"{hub.storage}/{row['oid']}?X-Amz-Signature=secret", "header": {}}
            row = {
                **row,
                "actions": {
                    "upload": upload,
                    "verify": {"href": f"{hub.url}/{repo}.git/info/lfs/verify"},
                },
            }
        objects.append(row)
    return _json({"transfer": "basic", "objects": objects})


def _store(hub: HubServer, body: bytes, oid: str) -> Answer:
    if hashlib.sha256(body).hexdigest() != oid:
        return _error(400, "the object is not what its hash says")
    hub.stored[oid] = body
    return 200, {}, b""


def _verify(hub: HubServer, body: bytes, repo: str) -> Answer:
    asked = json.loads(body)
    right = len(hub.stored.get(asked["oid"], b"")) == asked["size"]
    return _json({}) if right else _error(404, "no such object")


def _commit(hub: HubServer, body: bytes, repo: str, revision: str) -> Answer:
    held = hub.repos[repo]
    rows = [json.loads(line) for line in body.splitlines()]
    header, *changes = rows
    assert header["key"] == "header"
    added: dict[str, tuple[bytes, bool]] = {}
    for change in changes:
        value = change["value"]
        if change["key"] == "file":
            assert value["encoding"] == "base64"
            added[value["path"]] = base64.b64decode(value["content"]), False
        elif change["key"] == "lfsFile":
            if value["oid"] not in hub.stored:
                return _error(400, f"{value['path']} was not uploaded")
            added[value["path"]] = hub.stored[value["oid"]], True
        else:
            return _error(400, f"unknown change {change['key']}")
    held.files |= added
    held.summaries.append(header["value"]["summary"])
    held.commits.append(hashlib.sha1(f"{repo}{len(held.commits)}".encode()).hexdigest())
    commit = held.commits[-1]
    return _json(
        {"success": True, "commitOid": commit, "commitUrl": f"{hub.url}/{repo}/commit/{commit}"}
    )


def _info(hub: HubServer, body: bytes, repo: str, revision: str = "main") -> Answer:
    held = hub.repos[repo]
    siblings = [{"rfilename": name} for name in held.files]
    return _json(
        {
            "_id": "0",
            "id": repo,
            "modelId": repo,
            "private": held.private,
            "sha": held.commits[-1],
            "siblings": siblings,
        }
    )


def _tree(hub: HubServer, body: bytes, repo: str, revision: str) -> Answer:
    rows = []
    for name, (data, lfs) in hub.repos[repo].files.items():
        row: dict[str, Any] = {"type": "file", "path": name, "size": len(data), "oid": _sha1(data)}
        if lfs:
            row["lfs"] = {
                "oid": hashlib.sha256(data).hexdigest(),
                "size": len(data),
                "pointerSize": 130,
            }
        rows.append(row)
    return _json(rows)


def _resolve(hub: HubServer, body: bytes, repo: str, revision: str, name: str) -> Answer:
    held = hub.repos[repo]
    headers = {"X-Repo-Commit": held.commits[-1]}
    if name not in held.files:
        status, more, answer = _error(404, "Entry not found", "EntryNotFound")
        return status, headers | more, answer
    data, lfs = held.files[name]
    if not lfs:
        return 200, {**headers, "ETag": f'"{_sha1(data)}"'}, data
    oid = hashlib.sha256(data).hexdigest()
    linked = {
        "X-Linked-Etag": f'"{oid}"',
        "X-Linked-Size": str(len(data)),
        "Location": f"{hub.storage}/{oid}",
    }
    return 302, {**headers, **linked}, b""


def _stored(hub: HubServer, body: bytes, oid: str) -> Answer:
    return (
        (200, {"ETag": f'"{oid}"'}, hub.stored[oid])
        if oid in hub.stored
        else _error(404, "no such object")
    )


_ROUTES: tuple[tuple[str, str, bool, Callable[..., Answer]], ...] = (
    ("POST", "/api/repos/create", False, _create),
    ("POST", "/api/validate-yaml", False, _validate),
    ("POST", rf"/api/models/{_REPO}/preupload/(?P<revision>\w+)", False, _preupload),
    ("POST", rf"/api/models/{_REPO}/commit/(?P<revision>\w+)", False, _commit),
    ("POST", rf"/{_REPO}\.git/info/lfs/objects/batch", False, _batch),
    ("POST", rf"/{_REPO}\.git/info/lfs/verify", False, _verify),
    # Its address is signed: no token is sent there, and none is asked for.
    ("PUT", r"/storage/(?P<oid>[0-9a-f]{64})", True, _store),
    ("GET HEAD", r"/storage/(?P<oid>[0-9a-f]{64})", True, _stored),
    ("GET", rf"/api/models/{_REPO}", True, _info),
    ("GET", rf"/api/models/{_REPO}/revision/(?P<revision>\w+)", True, _info),
    ("GET", rf"/api/models/{_REPO}/tree/(?P<revision>\w+)", True, _tree),
    ("GET HEAD", rf"/{_REPO}/resolve/(?P<revision>\w+)/(?P<name>.+)", True, _resolve),
)
