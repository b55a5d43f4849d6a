"""Whatever paths, options and files a command is given, it ends in a line and an exit code.

An error that the command line did not foresee fails these tests: ``LLMNER_DEBUG`` is set for all of
them.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from llmner.cli import app
from llmner.corpora import CORPUS_FORMATS, write_corpus
from llmner.errors import InputError
from llmner.spans import Sentence, Span
from llmner.training import TrainingConfig
from llmner.training._run import _open_folder
from tests.conftest import ROOT

# For a longer look: LLMNER_EXAMPLES=500.
few = settings(
    max_examples=int(os.environ.get("LLMNER_EXAMPLES", "10")),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    deadline=None,
)
# All that a terminal obeys, but for the line breaks that end our own lines.
STEERS = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
NASTY = "\x1b[31m\x9b2J\u202e\x07\r\ud800[bold]\0\n\t가"
SENTENCES = [
    Sentence("손흥민 은 런던 에 산다", (Span(0, 3, "PS"), Span(6, 8, "LC")), "s0"),
    Sentence("Son lives in London", (Span(0, 3, "PS"), Span(13, 19, "LC")), "s1"),
    Sentence("없다", (), "s2"),
]
ROWS = [
    {
        "id": sentence.id,
        "text": sentence.text,
        "spans": [{"start": s.start, "end": s.end, "label": s.label, "score": 0.5} for s in sentence.spans],
        "outcomes": [
            {
                "label": s.label, "text": sentence.surface(s), "kind": "exact", "start": s.start, "end": s.end,
                "similarity": 1.0, "reason": "",
            }
            for s in sentence.spans
        ],
        "status": "ok",
        "reply": json.dumps({s.label: [sentence.surface(s)] for s in sentence.spans}),
    }
    for sentence in SENTENCES
]  # fmt: skip


def run(*args: object) -> Result:
    return CliRunner().invoke(app, [str(arg) for arg in args])


def ended_well(result: Result, *codes: int) -> None:
    """One of our exit codes, short lines, nothing that steers a terminal, no traceback."""
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code in (codes or (0, 1, 2)), result.output
    assert "Traceback" not in result.output
    assert all(len(line) < 2000 for line in result.stderr.split("\n"))
    assert STEERS.findall(result.stderr) == []
    assert result.exit_code == 0 or result.stderr != ""


# Files of the formats that are only read.
FOREIGN = {
    "label-studio-min": "c05-labelstudio-min.jsonl",
    "cluener": "c04-cluener.jsonl",
    "modu": "c06-modu.jsonl",
    "dataturks": "h117-dataturks.jsonl",
    "records": "h124-azure-text.json",
    "table": "h098-csv-sentence-id.csv",
    "mams": "mams.xml",
    "kote": "kote.tsv",
}


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a good file of everything that commands read."""
    folder = tmp_path_factory.mktemp("good")
    for name, format in CORPUS_FORMATS.items():
        if name == "brat":
            # The text beside it stays as it is.
            write_corpus(SENTENCES, folder / "brat.ann", name)
            (folder / "brat.ann").rename(folder / "brat.x")
        elif format.writable:
            write_corpus(SENTENCES, folder / f"{name}.x", name)
    for name, source in FOREIGN.items():
        shutil.copy(ROOT / "tests" / "corpora" / "foreign" / source, folder / f"{name}.x")
    rows = "".join(json.dumps(row) + "\n" for row in ROWS)
    (folder / "rows.jsonl").write_text(rows)
    (folder / "replies.jsonl").write_text(rows)
    (folder / "calibration.json").write_text('{"scores": [0.1, 0.9], "precisions": [0.2, 0.8]}')
    gold, predicted = folder / "spans.x", folder / "rows.jsonl"
    ended_well(
        run(
            "evaluate",
            "--gold",
            gold,
            "--predicted",
            predicted,
            "--resamples",
            0,
            "--output",
            folder / "run.json",
        ),
        0,
    )
    ended_well(
        run(
            "extract",
            "-i",
            gold,
            "-o",
            folder / "out.jsonl",
            "--engine",
            "recorded",
            "--replies",
            predicted,
        ),
        0,
    )
    models = {
        "gold": {"path": str(gold)},
        "models": [{"name": "a", "predicted": str(predicted)}],
        "resamples": 0,
    }
    (folder / "models.yaml").write_text(json.dumps(models))
    (folder / "train.yaml").write_text("learning_rate: 0.001\n")
    baseline = folder / "baseline"
    baseline.mkdir()
    record = {
        "kind": "crf",
        "labels": ["PS"],
        "epochs": [],
        "config": {},
        "versions": {},
        "tags": {"O": 1},
    }
    (baseline / "baseline.json").write_text(json.dumps(record))
    (baseline / "model.crfsuite").write_bytes(b"lCRF" + b"\0" * 80)
    return folder


# Each file that a command reads: its name, and the command that reads it, with FILE for it and OUT
# for an output.
READERS: dict[str, list[str]] = {
    **{
        f"{name}.x": ["convert", "FILE", "OUT", "--from", name, "--to", "spans"]
        for name in CORPUS_FORMATS
        if name not in ("document", "brat")
    },
    "document": ["convert", "FILE", "-", "--from", "document", "--to", "spans"],
    "guessed": ["stats", "FILE"],
    "figures": ["stats", "FILE", "--json"],
    "skipping": ["convert", "FILE", "OUT", "--from", "spans", "--to", "conll", "--skip-bad"],
    "chat": ["convert", "FILE", "OUT", "--to", "chat"],
    "rows.jsonl": ["evaluate", "--gold", "GOOD/spans.x", "--predicted", "FILE", "--resamples", "0"],
    "report": [
        "evaluate", "--gold", "FILE", "--predicted", "FILE", "--resamples", "0", "--report", "OUT.html", "--output", "OUT",
    ],
    "replies.jsonl": ["extract", "-i", "GOOD/spans.x", "--engine", "recorded", "--replies", "FILE"],
    "shown": ["extract", "-i", "FILE", "--engine", "recorded", "--replies", "FILE", "-o", "OUT", "--show"],
    "projected": ["project", "-i", "FILE", "-o", "OUT", "--skip-bad"],
    "any": ["project", "-i", "FILE", "-o", "-", "--any-label"],
    "calibration.json": [
        "extract", "-i", "GOOD/spans.x", "--engine", "recorded", "--replies", "GOOD/replies.jsonl", "--calibration", "FILE",
    ],
    "calibrated": ["calibrate", "--gold", "GOOD/spans.x", "--predicted", "FILE", "-o", "OUT"],
    "run.json": ["compare", "FILE", "GOOD/run.json", "--resamples", "0", "--shuffles", "1"],
    "models.yaml": ["compare-models", "--config", "FILE", "-o", "OUT"],
    "train.yaml": ["doctor", "--config", "FILE"],
    "learnt": ["train-baseline", "crf", "--train", "FILE", "-o", "OUT", "--max-iterations", "1"],
}  # fmt: skip
# What the good file is where the key is none.
SAME = {
    "document": "text.x", "guessed": "klue-tsv.x", "figures": "spans.x", "skipping": "spans.x", "chat": "conll.x",
    "report": "spans.x", "shown": "rows.jsonl", "projected": "replies.jsonl", "any": "replies.jsonl",
    "calibrated": "rows.jsonl",  "learnt": "spans.x",
}  # fmt: skip


def call(reader: str, file: object, good: Path, folder: Path) -> Result:
    words = {"FILE": str(file), "OUT": str(folder / "out"), "OUT.html": str(folder / "out.html")}
    args = [words.get(arg, arg.replace("GOOD/", f"{good}/")) for arg in READERS[reader]]
    return run(*args)


@pytest.fixture
def paths(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Paths that lead to no file."""
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "one").symlink_to("other")
    (tmp_path / "other").symlink_to("one")
    (tmp_path / "dangling").symlink_to("nowhere/at/all")
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty").touch()
    listening = socket.socket(socket.AF_UNIX)
    here = os.getcwd()
    os.chdir(tmp_path)  # Addresses of sockets are short.
    listening.bind("socket")
    os.chdir(here)
    names = (
        "loop",
        "one",
        "dangling",
        "folder",
        "empty",
        "empty/x",
        "loop/x",
        "socket",
        "a\0b",
        "\ud800",
        NASTY,
        "가" * 200,
    )
    yield {name: str(tmp_path / name) for name in names} | {
        "zero": "/dev/zero", "null": os.devnull, "none": "", "dot": ".", "long": "x/" * 9000, "huge": "x" * 10**6,
        "home": "~nobody/x", "proc": "/proc/self/mem",
    }  # fmt: skip
    listening.close()


@pytest.mark.parametrize("reader", READERS)
def test_a_path_that_leads_nowhere(
    reader: str, good: Path, tmp_path: Path, paths: dict[str, str]
) -> None:
    for path in paths.values():
        ended_well(call(reader, path, good, tmp_path))


WRITERS: dict[str, list[str]] = {
    "convert": ["convert", "GOOD/spans.x", "PATH", "--to", "conll"],
    "chat": ["convert", "GOOD/spans.x", "PATH", "--to", "chat"],
    "skip": ["convert", "GOOD/spans.x", "PATH", "--to", "conll", "--skip-bad"],
    "project": ["project", "-i", "GOOD/replies.jsonl", "-o", "PATH"],
    "extract": ["extract", "-i", "GOOD/spans.x", "--engine", "recorded", "--replies", "GOOD/replies.jsonl", "-o", "PATH"],
    "retry": [
        "extract", "-i", "GOOD/spans.x", "--engine", "recorded", "--replies", "GOOD/replies.jsonl", "-o", "PATH",
        "--retry-failed",
    ],
    "run": ["evaluate", "--gold", "GOOD/spans.x", "--predicted", "GOOD/rows.jsonl", "--resamples", "0", "--output", "PATH"],
    "asked": ["evaluate", "--gold", "GOOD/spans.x", "--replies", "GOOD/replies.jsonl", "--resamples", "0", "--output", "PATH"],
    "report": [
        "evaluate", "--gold", "GOOD/spans.x", "--predicted", "GOOD/rows.jsonl", "--resamples", "0", "--report", "PATH.html",
    ],
    "calibrate": ["calibrate", "--gold", "GOOD/spans.x", "--predicted", "GOOD/rows.jsonl", "-o", "PATH"],
    "compare-models": ["compare-models", "--config", "GOOD/models.yaml", "-o", "PATH"],
    "push": ["push", "PATH", "--repo", "a/b", "--dry-run"],
    "baseline": ["evaluate", "--gold", "GOOD/spans.x", "--engine", "baseline:PATH"],
    "trained": ["train-baseline", "crf", "--train", "GOOD/text.x", "-o", "PATH"],
    "cache": ["extract", "가", "--engine", "recorded", "--replies", "PATH"],
}  # fmt: skip


@pytest.mark.parametrize("writer", WRITERS)
def test_an_output_that_leads_nowhere(
    writer: str, good: Path, paths: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(good)
    for name, path in paths.items():
        if name in ("zero", "null", "proc") and writer != "baseline":
            continue  # Devices and the like may be written to.
        args = [arg.replace("PATH", path).replace("GOOD/", f"{good}/") for arg in WRITERS[writer]]
        ended_well(run(*args))


def mutated(data: st.DataObject, text: str) -> bytes:
    """A file that is nearly a good one."""
    raw = text.encode("utf-8", "surrogatepass")
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(raw)))
        cut = data.draw(st.integers(0, 3) | st.integers(0, 200))
        piece = data.draw(
            st.sampled_from(
                [
                    b"", b"\0", b"\xff", b"\xed\xa0\x80", b"\n", b"\n\n", b"\r", b"\t", b'"', b"[", b"{", b"}", b"]", b",",
                    b":", b"9" * 400, b"9" * 5000, b"[" * 3000, b'{"a":' * 3000, b"true", b"null", b"-1", b"1e999", b"NaN",
                    b"\\ud800", b"\x1b[31m", b"\xc2\x9b", "\u202e".encode(), b"x" * 200_000, b"## ", b"<", b"B-", b"I-PS",
                    b"&a ", b"*a ", b"!!python/object:os.system ", b"- ", b"? ", b"\xef\xbb\xbf",
                ]
            )
            | st.binary(max_size=8)
        )  # fmt: skip
        raw = raw[:at] + piece + raw[at + cut :]
    return raw


# Mutations are of text; test_foreign.py damages binary files.
@few
@given(data=st.data())
@pytest.mark.parametrize("reader", sorted({*READERS} - {"parquet.x", "spacy.x"}))
def test_a_file_that_is_nearly_right(
    reader: str, good: Path, tmp_path: Path, data: st.DataObject
) -> None:
    file = tmp_path / "broken"
    file.write_bytes(mutated(data, (good / SAME.get(reader, reader)).read_text("utf-8")))
    for left in tmp_path.glob("out*"):
        if left.is_file():
            left.unlink()
    ended_well(call(reader, file, good, tmp_path))


DEEP: Any = json.loads("[" * 200 + "]" * 200)
HOSTILE: list[Any] = [
    True, False, None, -1, 0, 1.5, 1e308, float("nan"), float("inf"), int("9" * 400), [], {}, "", "1", NASTY, [[]], {"a": []},
    "x" * 10**6, [None], [True], ["B-PS"] * 11, 2**70, DEEP,
]  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of each value in a JSON value."""
    if path:
        yield path
    if isinstance(value, dict | list):
        for key, held in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(held, (*path, key))


def put(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    value = json.loads(json.dumps(value))
    held = value
    for key in path[:-1]:
        held = held[key]
    held[path[-1]] = new
    return value


@few
@given(data=st.data())
@pytest.mark.parametrize(
    "reader",
    [
        "rows.jsonl",
        "report",
        "replies.jsonl",
        "shown",
        "any",
        "calibration.json",
        "calibrated",
        "run.json",
        "models.yaml",
    ],
)
def test_a_field_that_holds_anything(
    reader: str, good: Path, tmp_path: Path, data: st.DataObject
) -> None:
    source = (good / SAME.get(reader, reader)).read_text("utf-8")
    rows = [json.loads(line) for line in source.splitlines()]
    number = data.draw(st.integers(0, len(rows) - 1))
    path = data.draw(st.sampled_from(list(places(rows[number]))))
    # What a run says of itself is printed as it is, and is not looked into.
    assume(path[:1] != ("figures",))
    rows[number] = put(rows[number], path, data.draw(st.sampled_from(HOSTILE)))
    file = tmp_path / "broken"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    for left in tmp_path.glob("out*"):
        if left.is_file():
            left.unlink()
    ended_well(call(reader, file, good, tmp_path))


@pytest.mark.parametrize(
    "value",
    [True, None, 1.5, int("9" * 400), "", NASTY, [[]], {"a": []}, ["B-PS"] * 11, DEEP],
    ids=lambda value: repr(value)[:20],
)
def test_records_and_baselines_that_hold_anything(
    value: object, good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLMNER_CACHE", str(tmp_path / "cache"))
    held = json.dumps(value)
    (tmp_path / "rows.jsonl").write_bytes((good / "rows.jsonl").read_bytes())
    base = json.loads((good / "baseline" / "baseline.json").read_text())
    for record in (
        held,
        "[" * 10**5,
        *(json.dumps({key: value}) for key in ("input", "engine", "min_score", "recipe")),
    ):
        for name in (
            "rows.jsonl.run.json",
            "rows.jsonl.partial.run.json",
            "rows.jsonl.finished.run.json",
        ):
            (tmp_path / name).write_text(record)
        (tmp_path / "rows.jsonl.partial").write_bytes((good / "rows.jsonl").read_bytes())
        ended_well(
            run(
                "evaluate",
                "--gold",
                good / "spans.x",
                "--predicted",
                tmp_path / "rows.jsonl",
                "--resamples",
                0,
            )
        )
        ended_well(
            run(
                "extract",
                "-i",
                good / "spans.x",
                "-o",
                tmp_path / "rows.jsonl",
                "--engine",
                "recorded",
                "--replies",
                good / "replies.jsonl",
            )
        )
    folder = tmp_path / "baseline"
    folder.mkdir()
    for record in (held, *(json.dumps(base | {key: value}) for key in base)):
        (folder / "baseline.json").write_text(record)
        (folder / "model.crfsuite").write_bytes((good / "baseline" / "model.crfsuite").read_bytes())
        ended_well(
            run(
                "evaluate",
                "--gold",
                good / "spans.x",
                "--engine",
                f"baseline:{folder}",
                "--resamples",
                0,
            ),
            1,
            2,
        )
        ended_well(run("push", folder, "--repo", "a/b", "--dry-run"))


OPTIONS = [
    ("extract", "--particles"), ("extract", "--repeats"), ("extract", "--fuzzy"), ("extract", "--engine"),
    ("extract", "--input-format"), ("extract", "--window"), ("extract", "--min-score"), ("extract", "--reply-format"),
    ("extract", "--base-url"), ("extract", "--split"), ("stats", "--format"), ("stats", "--seed"), ("stats", "--split"),
    ("convert", "--to"), ("convert", "--from"), ("convert", "--split"), ("project", "--reply-format"),
    ("evaluate", "--gold-format"), ("evaluate", "--limit"), ("evaluate", "--resamples"), ("compare", "--shuffles"),
    ("train", "--nothing"), ("doctor", "--memory"), ("push", "--repo"), ("compare-models", "--limit"),
]  # fmt: skip


@few
@given(
    value=st.text(max_size=20)
    | st.sampled_from(
        [NASTY, "9" * 5000, "x" * 10**6, "-1", "nan", "inf", "1e999", "0x1", "--", "-"]
    )
)
@pytest.mark.parametrize(("command", "option"), OPTIONS)
def test_options_that_hold_anything(
    command: str, option: str, good: Path, tmp_path: Path, value: str
) -> None:
    operands: dict[str, list[object]] = {
        "extract": [
            "-i",
            good / "spans.x",
            "--engine",
            "recorded",
            "--replies",
            good / "replies.jsonl",
            "--recipe",
            "klue",
        ],
        "stats": [good / "gmb-csv.x"],
        "convert": [
            good / "gmb-csv.x",
            tmp_path / "out",
            *(() if option == "--to" else ("--to", "text")),
        ],
        "project": ["-i", good / "replies.jsonl", "-o", tmp_path / "out"],
        "evaluate": ["--gold", good / "spans.x", "--predicted", good / "rows.jsonl"],
        "compare": [good / "run.json", good / "run.json"],
        "push": [good / "baseline", "--dry-run"],
        "compare-models": ["--config", good / "models.yaml", "-o", tmp_path / "models"],
        "doctor": ["--config", good / "none"],
    }
    ended_well(run(command, *operands.get(command, ()), option, value))
    # Without options of its own train would begin to train, and doctor look at the machine.
    if command not in ("train", "doctor"):
        ended_well(run(command, f"--{value}"))
    ended_well(run(f"--x{value}", command))


def test_texts_ids_and_labels_of_any_characters_are_shown_plainly(
    good: Path, tmp_path: Path
) -> None:
    """Tables, coloured texts and changes on standard output, too."""
    label = NASTY.replace("\n", "").replace("\t", "")
    rows = [
        {
            "id": f"{NASTY}{n}",
            "text": NASTY + "나",
            "spans": [{"start": 0, "end": 3, "label": label}] if n else [],
        }
        for n in range(2)
    ]
    other = [row | {"spans": []} for row in rows]
    gold, found = (
        tmp_path
        / f"{label.replace('/', '').replace(chr(0), '')[:-2]}x.jsonl".replace("\ud800", ""),
        tmp_path / "b",
    )
    for path, held in ((gold, rows), (found, other)):
        path.write_text("".join(json.dumps(row) + "\n" for row in held))
    replies = tmp_path / "replies"
    replies.write_text(
        "".join(
            json.dumps(
                {"text": row["text"], "id": row["id"], "reply": f'{{"{NASTY}": ["{NASTY}"]}}'}
            )
            + "\n"
            for row in rows
        )
    )
    for args in (
        ["stats", gold, gold],
        ["evaluate", "--gold", gold, "--predicted", gold],
        ["evaluate", "--gold", gold, "--predicted", found, "--predicted", gold],
        ["compare", found, gold, "--gold", gold],
        ["extract", "-i", gold, "--engine", "recorded", "--replies", replies],
        ["extract", NASTY, "--engine", "recorded", "--replies", replies],
        ["project", "-i", replies, "-o", "-"],
        ["extract", "-i", gold, "--engine", "recorded", "--replies", replies, "--json"],
        ["stats", gold, "--json"],
    ):  # fmt: skip
        result = run(*args)
        ended_well(result)
        assert STEERS.findall(result.stdout) == [], args


def test_what_vanishes_or_may_not_be_read(
    good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between looking at a file and reading it, at each of its openings in turn."""
    real: Callable[..., Any] = Path.open
    for gone in (FileNotFoundError(2, "No such file or directory"), PermissionError(13, "Permission denied"), OSError(5, "Input/output error")):  # fmt: skip
        for reader in (
            "guessed",
            "rows.jsonl",
            "conll.x",
            "run.json",
            "calibration.json",
            "models.yaml",
        ):
            for left in range(4):
                opened = iter(range(left))

                def failing(
                    self: Path,
                    *args: Any,
                    opened: Any = opened,
                    gone: OSError = gone,
                    **options: Any,
                ) -> Any:
                    if next(opened, None) is None:
                        raise gone
                    return real(self, *args, **options)

                with monkeypatch.context() as patched:
                    patched.setattr(Path, "open", failing)
                    result = call(reader, good / SAME.get(reader, reader), good, tmp_path)
                ended_well(result)


@pytest.mark.parametrize(
    "held",
    ["[" * 10**5, "{", "[]", '{"hidden_size": true}', f'{{"hidden_size": {"9" * 5000}}}', "\0"],
)
def test_a_model_whose_configuration_is_broken(tmp_path: Path, held: str) -> None:
    (tmp_path / "config.json").write_text(held)
    config = tmp_path / "train.yaml"
    config.write_text(f"model: {tmp_path}\n")
    ended_well(run("doctor", "--config", config), 2)


@pytest.mark.parametrize("name", ["a\0b", "loop", "\ud800"])
def test_a_training_run_into_no_path_at_all(tmp_path: Path, name: str) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(InputError, match="cannot be looked up"):
        _open_folder(tmp_path / name, TrainingConfig(), restart=True)
