"""Options of asking: one name, one default and one meaning, wherever they are given."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

from llmner.asking import AskOptions, build, build_baseline, prepare
from llmner.asking.evaluating import build_answerers
from llmner.asking.options import GROUPS, OPTIONS, option_help, read_fields
from llmner.cli import app
from llmner.comparison.config import ModelEntry
from llmner.comparison.models import _asking
from llmner.engines._registry import ENGINES, engine_class, options_taken
from llmner.errors import InputError, LlmnerError
from llmner.extraction import Extractor
from llmner.extraction.confidence import Calibrator
from llmner.extraction.windows import WindowSizes
from llmner.projection._outcome import Policy
from tests.asking.plugins import installed


def parameters(command: str) -> dict[str, Any]:
    group: Any = typer.main.get_command(app)
    return {parameter.name: parameter for parameter in group.commands[command].params}


@pytest.mark.parametrize("command", ["extract", "evaluate", "serve"])
def test_the_command_line_has_pythons_options_and_defaults(command: str) -> None:
    own = parameters(command)
    defaults = AskOptions().flat()
    # Several files of replies are evaluate's own option, and a server replays none; without an
    # engine there are predictions to score.
    apart = {"extract": set(), "evaluate": {"replies", "engine"}, "serve": {"replies"}}[command]
    assert set(OPTIONS) - set(own) <= {"replies"}
    for name in set(OPTIONS) - apart:
        assert own[name].default == defaults[name], name
        assert own[name].help


def test_help_shows_the_groups(tmp_path: Path) -> None:
    shown = CliRunner().invoke(app, ["extract", "--help"], env={"COLUMNS": "100"}).stdout
    titles = [
        (inspect.getdoc(group) or "").partition("\n")[0].rstrip(".") for group in GROUPS.values()
    ]
    places = [shown.index(f"\n{title}:\n") for title in titles]
    assert places == sorted(places)
    for group in GROUPS.values():
        assert set(option_help(group)) == set(inspect.signature(group).parameters)


def test_yaml_has_the_same_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = ModelEntry(name="x", engine="openai", options={"model": "m"})
    asked, _ = _asking(entry, lambda _: None)
    built = build(AskOptions.of(engine="openai", model="m"))
    assert asked.describe() == built.describe()
    assert vars(asked) | {"generator": None} == vars(built) | {"generator": None}
    kept = {
        name: value for name, value in vars(built.generator).items() if not name.startswith("_")
    }
    assert kept == {
        name: value for name, value in vars(asked.generator).items() if not name.startswith("_")
    }


@pytest.mark.parametrize(
    ("engine", "options", "told"),
    [
        ("openai", {"device": "cuda"}, "x: options: device means nothing to the openai engine"),
        ("openai", {"adapter": "a/b"}, "x: options: adapter means nothing to the openai engine"),
        (
            "transformers",
            {"window": 60},
            "x: options: window means nothing to the transformers engine",
        ),
        ("transformers", {"max_new_tokens": 0}, "x: options: max_new_tokens 0: "),
        ("transformers", {"adapter": "no/such/adapter"}, "no/such/adapter: "),
    ],
)
def test_yaml_takes_an_engines_own_options_and_no_others(
    engine: Any, options: dict[str, Any], told: str
) -> None:
    with pytest.raises(LlmnerError) as refused:
        _asking(ModelEntry(name="x", engine=engine, options=options), lambda _: None)
    assert str(refused.value).startswith(told)


def test_fields_of_requests_are_the_same_in_yaml_and_on_the_command_line() -> None:
    options = {"model": "m", "request_fields": {"kwargs": {"think": False}, "top_k": 1, "a": "b"}}
    extractor, _ = _asking(ModelEntry(name="x", engine="openai", options=options), lambda _: None)
    written = read_fields(['kwargs={"think": false}', "top_k=1", "a=b", "a=b=c", "a=b"])
    built = build(AskOptions.of(engine="openai", model="m", request_fields=written))
    assert extractor.describe() == built.describe()
    assert extractor.describe()["request_fields"] == options["request_fields"]
    # What is no JSON is text, also what Python alone takes for JSON.
    assert read_fields(["a=NaN", "b=", "c=[" + "[" * 100_000])["a"] == "NaN"


def test_a_calibration_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "calibration.json"
    Calibrator((0.1, 0.9), (0.2, 0.8)).save(path)
    load, loaded = Calibrator.load, []

    def counted(path: Any) -> Calibrator:
        loaded.append(path)
        return load(path)

    monkeypatch.setattr(Calibrator, "load", counted)
    asking = prepare(AskOptions.of(calibration=path))
    first = build(asking)
    assert first.calibrator is build(asking).calibrator
    assert loaded == [path]


def test_what_is_built_by_hand_has_the_same_defaults() -> None:
    defaults = AskOptions().flat()
    for name, parameter in inspect.signature(Extractor).parameters.items():
        # An extractor counts questions, the option sentences; and it knows no adapter, which
        # decides whether replies are grounded.
        if name in defaults and name not in ("recipe", "batch_size", "grounded"):
            assert parameter.default == defaults[name], name
    for engine in ENGINES:
        for option, name in options_taken(engine_class(engine)).items():
            default = inspect.signature(engine_class(engine)).parameters[name].default
            if option in defaults and defaults[option] is not None:
                assert default == defaults[option], (engine, option)
    policy = AskOptions().projection.policy()
    assert {name: getattr(Policy(), name) for name in policy} == policy


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"windows": 3}, "unknown option 'windows'; did you mean window? expected one of recipe, "),
        ({"window": 0}, "window 0: Input should be greater than or equal to 1"),
        ({"fuzzy": 1.5}, "fuzzy 1.5: Input should be less"),
        ({"particles": "x"}, "particles 'x' is unknown; expected auto, keep or trim"),
        ({"repeats": "some"}, "repeats 'some' is unknown; expected listed or all"),
        ({"samples": "many"}, "samples 'many': "),
        ({"request_fields": "top_k=1"}, "request_fields 'top_k=1': "),
    ],
)
def test_options_that_cannot_be_are_refused_by_name(values: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError) as refused:
        AskOptions.of(**values)
    assert str(refused.value).startswith(told)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (
            {"engine": "none-such"},
            "unknown engine 'none-such'; expected one of transformers, vllm, openai",
        ),
        ({"engine": "recorded"}, "the recorded engine needs recorded replies; give replies FILE"),
        ({"replies": "x.jsonl"}, "replies and engine transformers exclude each other"),
        (
            {"base_url": "http://a/v1", "engine": "transformers"},
            "base_url does not apply to engine transformers; add engine openai",
        ),
        (
            {"request_fields": {"top_k": 1}},
            "request_fields does not apply to engine transformers; add engine openai",
        ),
        (
            {"engine": "openai", "max_model_len": 9},
            "max_model_len does not apply to engine openai; add engine vllm",
        ),
        ({"samples": 3, "temperature": 0}, "with temperature 0 all samples would be the same"),
        ({"window": 10, "overlap": 10}, "overlap"),
        ({"grounded": True, "json_schema": True}, "replies cannot be both grounded and kept"),
    ],
)
def test_options_that_exclude_each_other_are_refused(values: dict[str, Any], told: str) -> None:
    with pytest.raises(LlmnerError) as refused:
        build(AskOptions.of(**values))
    assert told in str(refused.value)


def test_a_tagger_refuses_what_it_has_no_use_for(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="window does not apply to a baseline"):
        build_baseline(AskOptions.of(engine=f"baseline:{tmp_path}", window=100))


def test_the_model_in_the_box_answers_where_nothing_else_is_named() -> None:
    assert prepare(AskOptions()).in_the_box
    for other in (
        {"recipe": "klue"},
        {"adapter": "none"},
        {"model": "m"},
        {"reply_format": "lines"},
    ):
        assert not prepare(AskOptions.of(**other)).in_the_box
    assert not prepare(AskOptions.of(engine="openai")).in_the_box


def test_the_model_in_the_box_is_asked_in_its_recipes_windows_everywhere() -> None:
    pytest.importorskip("torch", reason='needs pip install "llmner[local]"')
    sizes = WindowSizes(window=150, overlap=0, core=60)
    compared, _ = _asking(ModelEntry(name="x", engine="transformers"), lambda _: None)
    answerers = build_answerers(AskOptions())
    for extractor in (Extractor.from_adapter(), build(AskOptions()), compared):
        assert extractor.windows == sizes
    assert [answerer.extractor.windows for answerer in answerers] == [sizes]  # type: ignore[attr-defined]
    assert build(AskOptions.of(window=90)).windows == WindowSizes(90, 0)
    assert build(AskOptions.of(overlap=20)).windows == WindowSizes(150, 20, 60)
    assert build(AskOptions.of(recipe="klue")).windows == WindowSizes(400, 80)
    with pytest.raises(InputError, match="less than the window of 150 characters, got 200"):
        prepare(AskOptions.of(overlap=200))


@pytest.mark.parametrize("command", ["extract", "evaluate", "serve"])
def test_help_says_where_the_size_of_windows_comes_from(command: str) -> None:
    for name, size in (("window", 400), ("overlap", 80)):
        assert f"By default what the recipe says, else {size}" in parameters(command)[name].help


@pytest.fixture
def toy(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    folder = installed(tmp_path, {"llmner.engines": {"shouting": "shouting:Shouting"}})
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
    }

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *arguments],
            capture_output=True,
            text=True,
            env=environment,
            cwd=tmp_path,
        )

    return run


def test_an_engine_of_another_package_answers(
    toy: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    text = "ANNA lives in Bern"
    done = toy(
        "-m", "llmner", "extract", text, "--engine", "shouting", "--device", "moon", "--json"
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["spans"] == [{"start": 0, "end": 4, "label": "PS"}]
    refused = toy(
        "-m", "llmner", "extract", text, "--engine", "shouting", "--base-url", "http://a/v1"
    )
    assert refused.returncode == 2
    assert "--base-url does not apply to --engine shouting; add --engine openai" in refused.stderr
    unknown = toy("-m", "llmner", "extract", text, "--engine", "whispering")
    assert "recorded, shouting" in unknown.stderr
    grounded = toy("-m", "llmner", "extract", text, "--engine", "shouting", "--grounded")
    assert "the shouting engine cannot keep replies to a grammar" in grounded.stderr


def test_an_engine_of_another_package_is_served(
    toy: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    script = """
import json, threading, time, httpx, uvicorn
from llmner.asking import AskOptions, build, prepare
from llmner.asking.building import build_engine
from llmner.serving import Service, create_app
asking = prepare(AskOptions.of(engine="shouting"))
service = Service(asking.recipe, build_engine(asking), engine_loads=False)
server = uvicorn.Server(uvicorn.Config(create_app(service), port=0, log_level="error"))
threading.Thread(target=server.run, daemon=True).start()
while not server.started:
    time.sleep(0.05)
port = server.servers[0].sockets[0].getsockname()[1]
for _ in range(100):
    answer = httpx.post(f"http://127.0.0.1:{port}/infer", json={"text": "ANNA lives in Bern"}, timeout=30)
    if answer.status_code == 200:
        break
    time.sleep(0.1)
print(answer.text)
server.should_exit = True
"""
    done = toy("-c", script)
    assert done.returncode == 0, done.stderr
    (entity,) = json.loads(done.stdout)["result"]
    assert (entity["word"], entity["entity_group"]) == ("ANNA", "PS")


def test_the_packaged_adapter_alone_is_grounded_unless_it_is_not_to_be() -> None:
    pytest.importorskip("llguidance", reason='needs pip install "llmner[local]"')
    for given, grounded in (
        ({}, True),
        ({"grounded": False}, False),
        ({"json_schema": True, "reply_format": "json-list"}, False),
        ({"adapter": "none"}, False),
        ({"adapter": "none", "grounded": True}, True),
        ({"recipe": "klue"}, False),
    ):
        assert build(AskOptions.of(**given)).grounded is grounded, given
    assert Extractor.from_adapter().grounded
