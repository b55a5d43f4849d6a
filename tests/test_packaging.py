"""The wheel, installed in a bare environment and run from another folder."""

from __future__ import annotations

import email
import json
import os
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from llmner import __version__
from llmner.engines.adapters import PACKAGED_ADAPTER
from tests.conftest import ROOT


def building(test: Callable[..., None]) -> Callable[..., None]:
    """Marks a test that builds the distributions, with what a package registry has."""
    return pytest.mark.slow(pytest.mark.network(test))


EXPRESSION = "Apache-2.0 AND LicenseRef-Gemma AND CC-BY-SA-4.0"
TEXTS = {"LICENSE", "NOTICE", "licenses/LicenseRef-Gemma.txt", "licenses/CC-BY-SA-4.0.txt"}


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution, and the wheel that is built from it alone."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--outdir", str(folder), str(ROOT)]
    # What it is built with is pinned, like all that is installed here.
    pinned = {**os.environ, "PIP_CONSTRAINT": "constraints.txt"}
    subprocess.run(command, cwd=ROOT, env=pinned, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    (built,) = dist.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def sources(dist: Path) -> dict[str, bytes]:
    """The source distribution's files by name."""
    (built,) = dist.glob("*.tar.gz")
    found = {}
    with tarfile.open(built) as archive:
        for member in archive.getmembers():
            if content := archive.extractfile(member):
                found[member.name.partition("/")[2]] = content.read()
    return found


@building
def test_the_wheel_carries_recipes_and_the_typed_marker(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert "llmner/py.typed" in names
    assert {"llmner/prompts/klue.yaml", "llmner/prompts/klue-strict.yaml"} <= set(names)
    adapter = "llmner/models/gemma-3-270m-klue-ner/"
    assert {
        f"{adapter}{name}"
        for name in ("adapter_model.safetensors", "README.md", "NOTICE", "recipe.yaml")
    } <= set(names)
    assert not [name for name in names if name.startswith(("tests/", "benchmarks/", "data/"))]


@building
def test_the_wheel_says_what_its_parts_are_licensed_under_and_brings_the_texts(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (folder,) = {name.partition("/")[0] for name in archive.namelist() if ".dist-info/" in name}
        metadata = email.message_from_bytes(archive.read(f"{folder}/METADATA"))
        held = {
            name: archive.read(f"{folder}/licenses/{name}")
            for name in metadata.get_all("License-File", [])
        }
    assert metadata["License-Expression"] == EXPRESSION
    # A classifier beside an expression would be a second answer, and is refused by the index.
    assert not [row for row in metadata.get_all("Classifier", []) if row.startswith("License")]
    assert {name: (ROOT / name).read_bytes() for name in TEXTS} == held


@building
def test_the_source_distribution_brings_the_texts_as_well(sources: dict[str, bytes]) -> None:
    metadata = email.message_from_bytes(sources["PKG-INFO"])
    assert metadata["License-Expression"] == EXPRESSION
    assert set(metadata.get_all("License-File", [])) == TEXTS
    assert {name: (ROOT / name).read_bytes() for name in TEXTS} == {
        name: sources[name] for name in TEXTS
    }


def test_the_notice_accounts_for_every_licence_and_for_the_adapter() -> None:
    notice = (ROOT / "NOTICE").read_text("utf-8")
    for name in EXPRESSION.split(" AND "):
        assert f"\n{name} (" in notice
    told = (ROOT / "llmner" / "models" / PACKAGED_ADAPTER / "NOTICE").read_text("utf-8")
    assert f"llmner/models/{PACKAGED_ADAPTER}/" in notice
    # What Gemma's terms and KLUE's licence ask for stands in both.
    for text in (notice, told):
        assert (
            "provided under and subject to the Gemma Terms of Use found at ai.google.dev/gemma/terms"
            in text
        )
        assert "https://creativecommons.org/licenses/by-sa/4.0/" in text
        assert "(Park et al., 2021)" in text


def test_the_repository_holds_no_page_with_scripts_but_the_projects_own() -> None:
    pages = {path.relative_to(ROOT).as_posix() for path in (ROOT / "llmner").rglob("*.htm*")}
    assert pages == {
        "llmner/serving/templates/docs.html.jinja",
        "llmner/serving/page/index.html",
        "llmner/reports/templates/audit.html.jinja",
        "llmner/reports/templates/explanations.html.jinja",
        "llmner/reports/templates/report.html.jinja",
        "llmner/reports/templates/view.html.jinja",
    }


def test_what_is_cited_is_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == __version__
    # What the format wants.
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert citation["license"] in EXPRESSION.split(" AND ")


def test_a_tag_is_built_tried_and_published_without_a_kept_token() -> None:
    text = (ROOT / ".github" / "workflows" / "release.yml").read_text(encoding="utf-8")
    workflow = yaml.safe_load(text)
    # YAML reads "on" as a truth value.
    assert workflow[True] == {"push": {"tags": ["v*"]}}
    build, publish = workflow["jobs"]["build"], workflow["jobs"]["publish"]
    assert (publish["needs"], publish["permissions"]) == ("build", {"id-token": "write"})
    assert workflow["permissions"] == {"contents": "read"}
    assert "secrets." not in text
    # The commands that try the wheel, on the copy that is here.
    (script,) = (step["run"] for step in build["steps"] if "bare" in step.get("run", ""))
    version, projecting = script.partition("test ")[2].split("\n", 1)
    folder = Path(sys.executable).parent
    commands = f"test {version}\n{projecting}".replace("bare/bin/", f"{folder}/")
    environment = {**os.environ, "GITHUB_REF_NAME": f"v{__version__}"}
    done = subprocess.run(
        ["bash", "-euc", commands], env=environment, capture_output=True, text=True, check=True
    )
    assert len(json.loads(done.stdout)["spans"]) == 2


def test_every_python_that_is_promised_is_tested_and_all_that_is_built_is_tried() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8"))
    about = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    prefix = "Programming Language :: Python :: 3."
    promised = [own for own in about["classifiers"] if own.startswith(prefix)]
    jobs = workflow["jobs"]
    tested = jobs["test"]["strategy"]["matrix"]["python"]
    assert tested == [own.rpartition(" ")[2] for own in promised]
    assert workflow["permissions"] == {"contents": "read"}
    steps = [step.get("run", "") for job in jobs.values() for step in job["steps"]]
    assert any(step == ".ci/run" for step in steps)
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    assert any("python -m build" in step for step in steps)
    assert any("docker build" in step for step in steps)
    assert "make site" in steps


@pytest.mark.parametrize("name", ["bug.yml", "idea.yml"])
def test_issue_forms_are_what_the_site_takes(name: str) -> None:
    form = yaml.safe_load((ROOT / ".github" / "ISSUE_TEMPLATE" / name).read_text("utf-8"))
    assert {"name", "description", "body"} <= set(form)
    kinds = {"markdown", "textarea", "input", "dropdown", "checkboxes"}
    for own in form["body"]:
        assert own["type"] in kinds
        assert own["type"] == "markdown" or own["attributes"]["label"]
    ids = [own["id"] for own in form["body"] if "id" in own]
    assert len(ids) == len(set(ids))


@building
def test_addresses_are_those_of_the_repository_that_builds_it(tmp_path: Path) -> None:
    place = {"GITHUB_SERVER_URL": "https://example.org", "GITHUB_REPOSITORY": "some/llmner"}
    environment = {**os.environ, **place, "PIP_CONSTRAINT": "constraints.txt"}
    command = [sys.executable, "-m", "build", "--wheel", "--outdir", str(tmp_path), str(ROOT)]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
    (built,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(built) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
        metadata = email.message_from_bytes(archive.read(name))
    addresses = metadata.get_all("Project-URL") or []
    assert "Repository, https://example.org/some/llmner" in addresses
    assert len(addresses) == 4
    # The page of a package has no files beside it.
    page = str(metadata.get_payload())
    assert "https://example.org/some/llmner/raw/HEAD/docs/images/projection.svg" in page
    assert "https://example.org/some/llmner/blob/HEAD/docs/start.md" in page
    assert "](docs/" not in page


@building
def test_it_works_in_a_bare_environment(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env" / "bin" / "python"
    command = [python, "-m", "pip", "install", "--quiet", "-c", ROOT / "constraints.txt", wheel]
    subprocess.run(command, check=True, capture_output=True)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()

    def run(
        *command: str, input: str | None = None, code: int = 0
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command, cwd=elsewhere, capture_output=True, text=True, input=input, check=False
        )
        assert done.returncode == code, done.stderr
        return done

    installed = {
        row["name"].lower()
        for row in json.loads(run(str(python), "-m", "pip", "list", "--format=json").stdout)
    }
    assert not installed & {"torch", "transformers", "datasets", "vllm", "fastapi", "peft"}
    assert not installed & {"scipy", "scikit-learn", "seqeval", "pandas"}
    brought = {"pip", "setuptools", "pkg_resources", "_distutils_hack"}
    (packages,) = (tmp_path / "env" / "lib").glob("python*/site-packages")
    size = sum(
        path.stat().st_size
        for path in packages.rglob("*")
        if path.is_file() and path.relative_to(packages).parts[0] not in brought
    )
    assert size < 130 * 2**20, f"{size / 2**20:.0f} MiB"
    llmner = str(tmp_path / "env" / "bin" / "llmner")
    assert run(llmner, "--version").stdout.startswith("llmner ")
    row = '{"text": "7.2㎞를 달린 손흥민", "reply": "{\\"PS\\": [\\"손흥민\\"], \\"QT\\": [\\"7.2km\\"]}"}\n'
    projected = json.loads(run(llmner, "project", "-i", "-", "-o", "-", input=row).stdout)
    assert [outcome["kind"] for outcome in projected["outcomes"]] == ["exact", "canonical"]
    (elsewhere / "gold.txt").write_text("<손흥민:PS>은 <춘천:LC>에서\n", encoding="utf-8")
    scored = run(llmner, "evaluate", "--gold", "gold.txt", "--predicted", "gold.txt", "--json")
    assert json.loads(scored.stdout)["klue"] == {"entity_f1": 1.0, "char_f1": 1.0}
    run(llmner, "evaluate", "--gold", "gold.txt", "--predicted", "gold.txt", "--report", "r.html")
    assert (elsewhere / "r.html").read_text("utf-8").startswith("<!doctype html>")
    refused = run(llmner, "extract", "손흥민은", code=1)
    assert f'pip install "{wheel}[local]"' in refused.stderr
    assert "Traceback" not in refused.stderr
    hub = run(llmner, "convert", "klue/ner", "out", "--to", "spans", code=1)
    assert f'pip install "{wheel}[hub]"' in hub.stderr
