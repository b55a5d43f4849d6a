"""Makes the screenshots of docs/evaluation.md: the report on data/sample-replies.jsonl.

    python benchmarks/report_pictures.py

It needs Chromium, a Korean font (fonts-noto-cjk) and the dependency group ``test``.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from _report import ROOT
from playwright.sync_api import Browser, sync_playwright

PICTURES = ROOT / "docs" / "images"
REPORTS = ROOT / "build" / "reports"


def report(name: str, *replies: str) -> Path:
    path = REPORTS / f"{name}.html"
    command = [
        sys.executable,
        "-m",
        "llmner",
        "evaluate",
        "--gold",
        "data/sample.tsv",
        *replies,
        "--report",
        str(path),
    ]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return path


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
    one = report("sample", "--replies", "data/sample-replies.jsonl")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
        )
        picture(browser, one, "report-figures", "figures", 1000, 740)
        picture(browser, one, "report-losses", "losses", 1000, 620)
        picture(browser, one, "report-confusion", "confusion", 1000, 640)
        picture(browser, one, "report-sentences", "sentences", 1000, 760)
        picture(browser, one, "report-phone", "sentences", 390, 760, "dark")
        browser.close()


if __name__ == "__main__":
    main()
