"""Every code block of the README and the guides runs, and says what the page says it does.

Python blocks of a page run one after another in one namespace, as doctests where they have prompts.
Console blocks run in a shell in a copy of the sample data; what a page shows beneath a command must be
what the command prints. Blocks marked ``text`` are for reading.
"""

from __future__ import annotations

import contextlib
import doctest
import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from llmner.recipes import Recipe
from llmner.scoring import CAUSES
from tests.conftest import ROOT

_READMES = [ROOT / name for name in ("README.md", "README.ko.md", "data/README.md")]
PAGES = sorted([*_READMES, *(ROOT / "docs").glob("*.md")])
_BLOCK = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_KNOWN = {"python", "console", "yaml", "json", "text", "pycon", "mermaid"}
# Why a command of a page is not run here, and which these are. There is no other reason.
_NOT_RUN = {
    "needs a GPU": (
        r"llmner evaluate .*klue-ner-v1(?:\.1)?_dev.tsv",
        "llmner train --config scripts/configs/exaone",
        "python scripts/sft.py --config scripts/configs/exaone",
        "accelerate launch",
        "llmner merge build/EXAONE",
        "scripts/serve_vllm.sh",
    ),
    "needs the Hub": (
        "hf download",
        "python scripts/convert_exaone.py",
        "llmner extract .*(?:EXAONE|baseline:USER)",
        "llmner push (?:build/EXAONE|.*--private)",
        "llmner train-baseline (?:encoder|classifier --model klue)",
        "llmner evaluate .*baseline:USER",
        "llmner extract --engine baseline:build/roberta",
        "llmner export build/roberta",
    ),
    "shows curves until it is stopped": ("tensorboard ",),
    "needs a key": ("llmner (?:extract --input|calibrate --gold) held-out.tsv",),
    "is the set-up that the tests stand on": ("pip install", "make "),
    "is run against a real server by tests/serving/test_guide.py": (
        "llmner serve",
        "curl ",
        "MODEL=",
    ),
    "is run with replies by tests/scaling/test_scaling.py": ("llmner project --ray",),
    "is run with llama.cpp by tests/exporting/test_gguf.py": (
        "llama-server",
        "llmner extract --base-url http://127.0.0.1:8080",
    ),
    "is run in a bare environment by tests/serving/test_container.py": ("docker ",),
    "is run by make demo": (
        "llmner extract --input data/sample.tsv",
        "llmner view out.jsonl",
        "llmner evaluate .*--predicted out.jsonl",
    ),
    "takes an hour; its results are kept, and held against the page": (
        "python scripts/sft.py .*--train klue-ner",
        "python scripts/package",
        "python benchmarks/",
        "llmner evaluate .*embedded-dev",
    ),
}


def reason_not_to_run(command: str) -> str | None:
    """Why a command is not run here; ``None`` for one that is."""
    for reason, patterns in _NOT_RUN.items():
        if any(re.match(pattern, command) for pattern in patterns):
            return reason
    return None


def test_every_reason_not_to_run_is_one_for_something() -> None:
    commands = [
        command
        for page in PAGES
        for language, text in blocks(page)
        if language == "console"
        for command, _ in transcript(text)
    ]
    for reason, patterns in _NOT_RUN.items():
        for pattern in patterns:
            assert any(re.match(pattern, command) for command in commands), (reason, pattern)
        for test in re.findall(r"tests/[\w/.]+\.py", reason):
            assert (ROOT / test).is_file()
    assert sum(reason_not_to_run(command) is None for command in commands) >= 40


def blocks(page: Path) -> list[tuple[str, str]]:
    return [(match[1], match[2]) for match in _BLOCK.finditer(page.read_text("utf-8"))]


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_python_blocks_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workplace(tmp_path)
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {}
    for language, code in blocks(page):
        assert language in _KNOWN, f"{page.name}: a block in {language or 'no language'}"
        if language == "pycon" or (language == "python" and code.startswith(">>>")):
            test = doctest.DocTestParser().get_doctest(code, namespace, page.name, str(page), 0)
            out = io.StringIO()
            runner = doctest.DocTestRunner(
                optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
            )
            runner.run(test, out=out.write, clear_globs=False)
            assert runner.summarize(verbose=False).failed == 0, out.getvalue()
            namespace.update(test.globs)
        elif language == "python":
            with contextlib.redirect_stdout(io.StringIO()):
                exec(compile(code, str(page), "exec"), namespace)


def workplace(folder: Path) -> None:
    shutil.copytree(ROOT / "data", folder / "data")
    shutil.copytree(ROOT / "scripts" / "configs", folder / "scripts" / "configs")


def environment() -> dict[str, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "COLUMNS": "120"}


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_console_blocks_run_and_print_what_is_shown(page: Path, tmp_path: Path) -> None:
    workplace(tmp_path)
    for language, text in blocks(page):
        if language != "console":
            continue
        for command, shown in transcript(text):
            if reason_not_to_run(command) is not None:
                continue
            done = subprocess.run(
                ["bash", "-c", command],
                cwd=tmp_path,
                env=environment(),
                capture_output=True,
                text=True,
                check=False,
            )
            # After the shortest of trainings an answer may well be cut off, and that ends with 1.
            is_cut = "answers were cut off" in done.stderr
            assert done.returncode == 0 or is_cut, f"{command}\n{done.stderr}"
            if shown:
                assert same(done.stdout, shown), f"{command}\nprints\n{done.stdout}\nnot\n{shown}"


def transcript(text: str) -> list[tuple[str, str]]:
    """(command, what is shown beneath it); a command goes on while its lines end in a backslash."""
    found: list[tuple[str, str]] = []
    command = ""
    shown: list[str] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            if command:
                found.append((command, "\n".join(shown)))
            command, shown = line[2:], []
        elif command.endswith("\\"):
            command = f"{command}\n{line}"
        else:
            shown.append(line)
    if command:
        found.append((command, "\n".join(shown)))
    return found


def same(printed: str, shown: str) -> bool:
    """Equal line by line but for spaces at line ends; a line of ``...`` stands for any lines."""
    pattern = "".join(
        r"(?:.*\n)*?" if line.strip() == "..." else re.escape(line.rstrip()) + r"[ ]*\n"
        for line in shown.strip("\n").split("\n")
    )
    return re.fullmatch(pattern + r"\s*", printed.strip("\n") + "\n") is not None


def test_the_table_of_reply_formats_is_the_measured_one() -> None:
    result = json.loads((ROOT / "benchmarks" / "results" / "round_trip.json").read_text("utf-8"))
    measured = result["figures"]["klue-ner-v1 dev"]["formats"]
    page = (ROOT / "docs" / "reply-formats.md").read_text("utf-8")
    table = re.findall(
        r"^\| `([\w-]+)` \|.*\| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|$",
        page,
        re.MULTILINE,
    )
    assert {row[0] for row in table} == set(measured)
    for name, *cells in table:
        row = measured[name]
        keys = ("micro_f1", "first_find_micro_f1", "longest_first_micro_f1")
        assert cells == [f"{row['characters_a_reply']:.1f}", *(f"{row[key]:.4f}" for key in keys)]


def test_the_tables_of_projection_are_the_measured_ones() -> None:
    result = json.loads((ROOT / "benchmarks" / "results" / "projection.json").read_text("utf-8"))
    workloads = result["figures"]["workloads"]
    page = (ROOT / "docs" / "projection.md").read_text("utf-8")
    rows = re.findall(
        r"^\| ((?:KLUE|400|English|Japanese|Chinese|mixed)[^|]*) \| (.*) \|$", page, re.MULTILINE
    )
    assert [row[0] for row in rows] == [*workloads, *workloads]
    for number, (workload, cells) in enumerate(rows):
        measured = list(workloads[workload]["aligners"].values())
        if number < len(workloads):
            assert cells.split(" | ") == [f"{row['f1'] * 100:.2f}" for row in measured]
            # First in every row.
            assert measured[0]["f1"] > max(row["f1"] for row in measured[1:])
        else:
            assert cells.split(" | ") == [f"{row['median_microseconds']:.0f}" for row in measured]


def test_the_table_of_evaluation_is_the_measured_one() -> None:
    result = json.loads((ROOT / "benchmarks" / "results" / "evaluation.json").read_text("utf-8"))
    page = (ROOT / "docs" / "evaluation.md").read_text("utf-8")
    _, _, table = page.partition(
        "| | 400 recorded replies | damaged replies, 5,000 |\n|---|---|---|\n"
    )
    assert table.split("\n\n")[0] == evaluation_table(result["figures"])


def evaluation_table(measured: dict[str, dict[str, Any]]) -> str:
    runs = list(measured.values())
    rows = [
        [
            name,
            *(f"{f['value']:.4f} [{f['interval'][0]:.4f}, {f['interval'][1]:.4f}]" for f in found),
        ]
        for name in runs[0]["figures"]
        for found in [[run["figures"][name] for run in runs]]
    ]
    for cause, (title, _) in CAUSES.items():
        lost = [run["losses"].get(cause) for run in runs]
        if any(lost):
            rows.append(
                [f"F1 lost: {title}", *("" if value is None else f"{value:.4f}" for value in lost)]
            )
    for name in runs[0]["ceilings"]:
        rows.append([f"F1 with perfect {name}", *(f"{run['ceilings'][name]:.4f}" for run in runs)])
    for name, key in (("scored, 1,000 resamples", "score_and_bootstrap"), ("report", "report")):
        rows.append([name, *(f"{run['seconds'][key]:.2f}" for run in runs)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def test_configurations_of_models_are_valid() -> None:
    from llmner.baselines import ModelsConfig, load_models_config

    found = [
        yaml.safe_load(text)
        for language, text in blocks(ROOT / "docs" / "baselines.md")
        if language == "yaml"
    ]
    assert [len(ModelsConfig.model_validate(held).models) for held in found] == [3]
    load_models_config(ROOT / "scripts" / "configs" / "models" / "sample.yaml")
    load_models_config(ROOT / "benchmarks" / "models.yaml")


def test_no_page_names_a_figure_without_its_source() -> None:
    """Figures in tables of results stand beside the file under benchmarks/results/ they come from."""
    for page in PAGES:
        for name in re.findall(r"benchmarks/results/([\w.-]+\.json)", page.read_text("utf-8")):
            assert (ROOT / "benchmarks" / "results" / name).is_file(), f"{page.name} cites {name}"


@pytest.mark.parametrize(
    ("file", "words"),
    [("demo_sample", "Micro F1 is {:.3f} there"), ("few_shot_sample", "reaches {:.3f} ")],
)
def test_the_figures_of_the_demo_are_the_measured_ones(file: str, words: str) -> None:
    result = json.loads((ROOT / "benchmarks" / "results" / f"{file}.json").read_text("utf-8"))
    assert words.format(result["micro"]["f1"]) in (ROOT / "docs" / "install.md").read_text("utf-8")


def test_the_figures_of_training_on_a_gpu_are_the_measured_ones() -> None:
    held = json.loads((ROOT / "benchmarks" / "results" / "gpu_training.json").read_text("utf-8"))[
        "figures"
    ]
    page = (ROOT / "docs" / "fine-tuning.md").read_text("utf-8")
    for run in held["runs"].values():
        row = f"| {run['sentences_a_second']:.1f} | {run['highest_gib']['reserved']:.1f} GiB |"
        assert row in page
    full = held["full_batches"][-1]
    assert held["device"].startswith("NVIDIA H200")
    assert "NVIDIA H200" in page
    assert f"long reserve {full['highest_gib']['reserved']:.2f} GiB" in page
    assert f"had allocated {full['highest_gib']['allocated']:.1f} GiB" in page
    assert f"where {full['estimated_gib']['allocated']:.1f} GiB are estimated" in page


def test_the_figures_of_the_model_in_the_box_are_the_measured_ones() -> None:
    result = json.loads((ROOT / "benchmarks" / "results" / "embedded.json").read_text("utf-8"))[
        "figures"
    ]
    page = (ROOT / "docs" / "fine-tuning.md").read_text("utf-8")
    grounded = json.loads(
        (ROOT / "benchmarks" / "results" / "embedded_grounded.json").read_text("utf-8")
    )["figures"]
    whole = grounded["klue-ner-v1.1 dev"]
    low, high = whole["figures"]["micro F1"]["interval"]
    mentions = whole["mentions"]
    flat = " ".join(page.split())
    assert f"{whole['figures']['micro F1']['value']:.3f} ({low:.3f}–{high:.3f}) on v1.1 dev" in flat
    assert mentions["not_found"] == 2
    assert f"two mentions of {sum(mentions.values()):,} are not in their text" in flat
    assert _embedded_table(result) in page


def _embedded_table(result: dict[str, Any]) -> str:
    """The table of docs/fine-tuning.md, as the benchmark's file has it."""
    rows = []
    for name in (
        f"klue-ner-{version} dev{part}"
        for version in ("v1.1", "v1")
        for part in ("", ", published sample")
    ):
        held = result[name]
        cells = [name.removeprefix("klue-ner-"), f"{held['sentences']:,}"]
        for figure in ("micro F1", "micro F1, strict IOB2", "KLUE entity F1", "KLUE character F1"):
            value, (low, high) = held["figures"][figure].values()
            cells.append(f"{value:.3f} ({low:.3f}–{high:.3f})")
        rows.append([*cells, f"{held['first_find_micro_f1']:.3f}"])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def test_the_learning_curves_are_the_measured_ones() -> None:
    path = ROOT / "benchmarks" / "results" / "active_learning.json"
    held = json.loads(path.read_text("utf-8"))["figures"]
    page = (ROOT / "docs" / "labelling.md").read_text("utf-8")
    for name in ("random", "mixed", "uncertainty", "disagreement", "rarity", "diversity"):
        row = " | ".join(f"{own:.3f}" for own in held[name]["f1"])
        assert f"| `{name}` | {row} |" in page
    more = held["mixed"]["characters_labelled"] / held["random"]["characters_labelled"] - 1
    assert f"{more:.0%}".replace("%", " %") in page
    assert (
        max(
            held,
            key=lambda name: (
                held[name]["mean_gain_on_random"] if isinstance(held[name], dict) else -1
            ),
        )
        == "mixed"
    )


def test_the_table_of_damaged_text_is_the_measured_one() -> None:
    path = ROOT / "benchmarks" / "results" / "damaged_text.json"
    held = json.loads(path.read_text("utf-8"))["figures"]
    page = (ROOT / "docs" / "fine-tuning.md").read_text("utf-8")
    for name in ("as it is", "without spaces", "with typing errors", "decomposed"):
        own = held[name]
        low, high = own["f1_interval"]
        cells = (
            f"{own['precision']:.3f} | {own['recall']:.3f} | {own['f1']:.3f} ({low:.3f}–{high:.3f})"
        )
        assert f"| {name} | {cells} |" in page


def test_the_table_of_silver_sentences_is_the_measured_one() -> None:
    path = ROOT / "benchmarks" / "results" / "self_training_selection.json"
    rules = json.loads(path.read_text("utf-8"))["figures"]
    page = (ROOT / "docs" / "fine-tuning.md").read_text("utf-8")
    names = ("all", "50 % sure", "80 % sure", "95 % sure", "agree", "agree, or 80 % sure")
    for held in (rules[name] for name in names):
        cells = [f"{held['unlabelled_kept']:,}"]
        cells += [
            f"{held[name]:.1%}".replace("%", " %")
            for name in ("held_out_kept", "held_out_all_right")
        ]
        cells += [f"{held[name]:.3f}" for name in ("precision", "recall", "f1")]
        assert f"| {' | '.join(cells)} |" in page


def test_the_table_of_models_is_the_measured_one() -> None:
    held = json.loads((ROOT / "benchmarks" / "results" / "models.json").read_text("utf-8"))[
        "figures"
    ]
    page = (ROOT / "docs" / "baselines.md").read_text("utf-8")
    assert models_table(held) in page
    for row in held["published"]:
        figures = ", ".join(f"{name} {value:.2f}" for name, value in row["figures"].items())
        assert f"{row['name']}: {figures}" in " ".join(page.split())


def models_table(held: dict[str, Any]) -> str:
    """The table of docs/baselines.md, as the benchmark's file has it."""
    rows = []
    for model in held["models"]:
        facts, intervals = model["facts"], model["intervals"]
        low, high = intervals["micro.f1"]
        values = [
            model["micro"]["precision"],
            model["micro"]["recall"],
            model["micro"]["f1"],
            model["macro"]["f1"],
            model["weighted"]["f1"],
            model["klue"]["entity_f1"],
            model["klue"]["char_f1"],
        ]
        cells = [model["name"], *(f"{100 * value:.2f}" for value in values)]
        cells[3] += f" ({100 * low:.2f}–{100 * high:.2f})"
        minutes = facts["training_seconds"] / 60
        cells += [
            f"{minutes:.0f} min",
            f"{facts['sentences_a_second']:,.3g}",
            f"{facts['parameters'] / 1e6:.1f} M",
            f"{facts['bytes'] / 1e6:.1f} MB",
        ]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def test_the_memory_of_shipped_configurations_is_what_doctor_says() -> None:
    pytest.importorskip("jsonargparse", reason='needs pip install "llmner[train]"')
    from llmner.training import estimate, load_config

    page = (ROOT / "docs" / "fine-tuning.md").read_text("utf-8")
    rows = re.findall(
        r"^\| `([\w.-]+\.yaml)` \| ([\d.]+) GiB \| ([\d.]+) GiB \|$", page, re.MULTILINE
    )
    assert len(rows) == 4
    for name, training, evaluating in rows:
        found = estimate(load_config(ROOT / "scripts" / "configs" / name))
        assert (training, evaluating) == (
            f"{found.training / 2**30:.1f}",
            f"{found.evaluating / 2**30:.1f}",
        )
        if name == "exaone-3.5-7.8b-24gb.yaml":
            for part in ("weights", "activations", "logits"):
                assert re.search(rf"\n  {part}.* {getattr(found, part) / 2**30:.2f}\n", page)


def test_the_table_of_grounding_is_the_measured_one() -> None:
    result = json.loads((ROOT / "benchmarks" / "results" / "grounding.json").read_text("utf-8"))[
        "figures"
    ]
    page = (ROOT / "docs" / "generation.md").read_text("utf-8")
    assert _grounding_table(result) in page
    scores = result["calibration"]
    raw, calibrated = (
        scores[f"KLUE dev v1.1, grounded{name}"]["ece"]
        for name in ("", ", calibrated on the held-out part")
    )
    assert f"{raw:.3f} off their precision on average, {calibrated:.3f} after" in " ".join(
        page.split()
    )


def _grounding_table(result: dict[str, Any]) -> str:
    turns, bare = (
        result["fine-tuned, in turns"],
        result["bare, worked examples, data/sample.tsv, in turns"],
    )
    rows = []
    for model, way, held in (
        ("fine-tuned", "free", turns["free"]),
        ("fine-tuned", "grounded", turns["grounded"]),
        ("fine-tuned", "grounded", result["fine-tuned, KLUE dev v1.1, grounded"]),
        ("bare", "free", bare["free"]),
        ("bare", "grounded", bare["grounded"]),
    ):
        value, (low, high) = held["figures"]["micro F1"].values()
        cells = [model, f"{held['sentences']:,}", way, f"{held['replies']['ok']:,}"]
        cells.append(str(held["mentions_not_in_the_text_or_without_label"]))
        rows.append([*cells, f"{value:.3f} ({low:.3f}–{high:.3f})"])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def test_what_the_guide_says_of_vllms_server_is_what_was_measured() -> None:
    result = json.loads((ROOT / "benchmarks" / "results" / "vllm_server.json").read_text("utf-8"))[
        "figures"
    ]
    page = " ".join((ROOT / "docs" / "generation.md").read_text("utf-8").split())
    free, grounded = result["free"], result["grounded"]
    assert f"of {result['sentences']} sentences of KLUE dev" in page
    assert (
        f"{free['same_replies']} replies are the same, and {grounded['same_replies']} grounded ones"
        in page
    )
    widest = max(row["margin"] for held in (free, grounded) for row in held["different"])
    assert f"logits are at most {widest:g} apart" in page
    assert (
        free["without_answer"]
        == grounded["without_answer"]
        == grounded["mentions_not_in_the_text"]
        == 0
    )


def test_what_the_guide_says_of_speed_is_what_was_measured() -> None:
    page = (ROOT / "docs" / "generation.md").read_text("utf-8")
    for engine in ("transformers", "vllm"):
        held = json.loads(
            (ROOT / "benchmarks" / "results" / f"generation_{engine}.json").read_text("utf-8")
        )
        for way in ("free", "grounded"):
            row = held["figures"][way]
            alone, together = (
                row[name]["sentences_a_second"] for name in ("one_at_a_time", "together")
            )
            cells = f"| `{engine}` | {way} | {alone:.2f} | {together:.2f} | {row['times_as_fast']:.1f} |"
            assert cells in page, cells
    sides = json.loads((ROOT / "benchmarks" / "results" / "processors.json").read_text("utf-8"))[
        "figures"
    ].values()
    least, most = sorted(side["ratios"]["free over grounded"] for side in sides)
    assert f"free replies take {least:.2f} to {most:.2f} times the time of grounded" in _flat(page)


def test_what_the_guide_says_of_serving_is_what_was_measured() -> None:
    page = (ROOT / "docs" / "serving.md").read_text("utf-8")
    held = {
        name: json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text("utf-8"))[
            "figures"
        ]
        for name in ("serving", "serving_restart", "windows")
    }
    assert serving_table(held["serving"]) in page
    assert not any(row["errors"] for rows in held["serving"].values() for row in rows)
    one, *more = [row["requests_a_second"] for row in held["serving"]["/infer"]]
    assert (
        f"gives the embedded model {max(more) / one:.0f} times the throughput of one client"
        in _flat(page)
    )
    told = held["serving_restart"]
    assert set(told["statuses"]) == {"200", "503"}
    assert told["without_an_answer"] == 0
    assert f"{told['requests']:,} requests, {told['statuses']['503']:,} of them" in _flat(page)
    assert f"the slowest 503 took {told['slowest_503_seconds']:.1f} seconds" in _flat(page)
    away = told["back_after_seconds"] - told["killed_after_seconds"]
    assert f"started again {away:.0f} seconds later" in _flat(page)
    windows = {(row["window"], row["core"]): row["f1"] for row in held["windows"]["windows"]}
    own = Recipe.load("klue-mini").windows
    told_windows = f"F1 of {windows[own.window, own.core]:.3f} and one of {windows[400, None]:.3f}"
    assert told_windows in _flat(page)


def test_what_the_guide_says_of_hardware_is_what_was_measured() -> None:
    page = (ROOT / "docs" / "hardware.md").read_text("utf-8")
    results = ROOT / "benchmarks" / "results"
    avx2, every = json.loads((results / "processors.json").read_text("utf-8"))["figures"].values()
    for title, row in (
        ("before, seconds a sentence", "old: free, 12 together"),
        ("free, 32 together", "free, 32 together"),
        ("grounded (the default), 32 together", "grounded, 32 together"),
        ("int8, grounded, 32 together", "int8: grounded, 32 together"),
        ("grounded, one at a time", "grounded, one at a time"),
        ("int8, grounded, one at a time", "int8: grounded, one at a time"),
    ):
        seconds = [side[row]["seconds_a_sentence"] for side in (avx2, every)]
        assert f"| {title} | {seconds[0]:.3f} | {seconds[1]:.3f} |" in page, title
    own = "grounded, 32 together"
    dtypes = [" and ".join(side[own]["dtypes"]) for side in (avx2, every)]
    assert f"| computes in | {dtypes[0]} | {dtypes[1]} |" in page
    for title, ratio in (
        ("times as fast as before", "old over grounded"),
        ("int8, times as fast as before", "old over int8"),
    ):
        ratios = [side["ratios"][ratio] for side in (avx2, every)]
        assert f"| {title} | {ratios[0]:.1f} | {ratios[1]:.1f} |" in page
    memory = [side[own]["peak_memory_gib"] for side in (avx2, every)]
    assert f"| most memory, GiB | {memory[0]:.2f} | {memory[1]:.2f} |" in page
    held, klue, shell = (
        json.loads((results / f"{name}.json").read_text("utf-8"))["figures"]
        for name in ("int8", "processors_klue", "shell")
    )
    for title, checkout in (("before", "old"), ("now", "now")):
        seconds = [side[f"{checkout}, seconds"] for side in shell.values()]
        assert f"| from the shell, {title}, seconds | {seconds[0]} | {seconds[1]} |" in page
    assert f"on {klue['sentences']} of KLUE dev v1.1" in _flat(page)
    for dtype, ours in held.items():
        theirs = klue[dtype]
        assert (
            f"| {dtype} | {ours['micro_f1']:.4f} | {ours['other_replies']} | {ours['auc']:.3f} "
            f"| {ours['ece']:.3f} | {theirs['micro_f1']:.4f} | {theirs['other_replies']} |"
        ) in page, dtype


def _flat(page: str) -> str:
    return " ".join(page.split())


def serving_table(held: dict[str, list[dict[str, Any]]]) -> str:
    """The table of docs/serving.md, as the benchmark's file has it."""
    rows = [
        f"| `{name.partition(',')[0]}`{''.join(name.partition(',')[1:])} | {row['clients']} | "
        f"{row['requests_a_second']:,.{0 if row['requests_a_second'] > 100 else 2}f} | {row['p50_ms']:,.1f} | {row['p99_ms']:,.1f} | {row['errors']} | "
        f"{row['memory_before_mib']:,} → {row['memory_after_mib']:,} |"
        for name, rows in held.items()
        for row in rows
    ]
    return "\n".join(rows)
