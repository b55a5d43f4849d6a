"""Makes the pictures of the docs: reports, the pages of audit and view, the server's page.

    python benchmarks/pictures.py

All are of the sample data, and none needs a model. It needs Chromium, a Korean font
(fonts-noto-cjk), the extras serve and baselines, and the dependency group ``test``. The picture at
the top of the README is made by ``readme_picture.py``, which this calls too.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import readme_picture
from _report import ROOT
from playwright.sync_api import Browser, sync_playwright

from llmner.files import open_lines

PICTURES = ROOT / "docs" / "images"
REPORTS = ROOT / "build" / "reports"
SAMPLE, REPLIES = "data/sample.tsv", "data/sample-replies.jsonl"


def run(*arguments: str) -> None:
    command = [sys.executable, "-m", "llmner", *arguments]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def report() -> Path:
    path = REPORTS / "sample.html"
    run("evaluate", "--gold", SAMPLE, "--replies", REPLIES, "--report", str(path))
    return path


def audited() -> Path:
    path = REPORTS / "audit.html"
    output = REPORTS / "audit.jsonl"
    run("audit", SAMPLE, "--output", str(output), "--report", str(path))
    return path


def viewed() -> Path:
    rows, path = REPORTS / "view.jsonl", REPORTS / "view.html"
    run("project", "--input", REPLIES, "--output", str(rows))
    run("view", str(rows), "--output", str(path))
    return path


@contextmanager
def served() -> Iterator[str]:
    """A server that knows the replies of the sample, and its address."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    command = [sys.executable, "-m", "llmner", "serve", "--engine", "recorded"]
    command += ["--replies", REPLIES, "--port", str(port)]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(120):
            time.sleep(0.5)
            try:
                urllib.request.urlopen(f"{url}/readyz", timeout=2)
                break
            except OSError:
                continue
        yield url
    finally:
        process.terminate()
        process.wait()


def page(browser: Browser, url: str) -> None:
    """The server's page with a text and what was found in it."""
    _, line = next(iter(open_lines(ROOT / REPLIES)))
    tab = browser.new_page(viewport={"width": 1000, "height": 900})
    tab.goto(url)
    tab.fill("#extract-text", json.loads(line)["text"])
    tab.click("#extract button[type=submit]")
    tab.wait_for_selector("#result:not([hidden])")
    tab.wait_for_timeout(500)
    tab.screenshot(path=PICTURES / "page.png")
    tab.close()


def picture(
    browser: Browser,
    page: Path,
    name: str,
    section: str | None,
    width: int,
    height: int,
    scheme: str = "light",
) -> None:
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)  # type: ignore[arg-type]
    tab = context.new_page()
    tab.goto(page.as_uri())
    if section is not None:
        tab.evaluate("id => document.getElementById(id).scrollIntoView()", section)
    tab.wait_for_timeout(300)
    tab.screenshot(path=PICTURES / f"{name}.png")
    context.close()


def main() -> None:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("Chromium is not installed")
    PICTURES.mkdir(parents=True, exist_ok=True)
    REPORTS.mkdir(parents=True, exist_ok=True)
    readme_picture.main()
    one, audit, view = report(), audited(), viewed()
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
        )
        picture(browser, one, "report-figures", "figures", 1000, 740)
        picture(browser, one, "report-losses", "losses", 1000, 620)
        picture(browser, one, "report-confusion", "confusion", 1000, 640)
        picture(browser, one, "report-sentences", "sentences", 1000, 760)
        picture(browser, one, "report-phone", "sentences", 390, 760, "dark")
        picture(browser, audit, "audit", None, 1000, 760)
        picture(browser, view, "view", None, 1000, 760)
        with served() as url:
            page(browser, url)
        browser.close()


if __name__ == "__main__":
    main()
