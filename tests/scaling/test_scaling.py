"""Jobs on Ray: the rows of one process, whatever is killed on the way."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

ray = pytest.importorskip("ray", reason='needs pip install "llmner[ray]"')
pytest.importorskip("ray.data", reason='needs pip install "llmner[ray]"')
pytest.importorskip("pycrfsuite", reason='needs pip install "llmner[baselines]"')

from llmner._whole import locked  # noqa: E402
from llmner.asking import AskOptions  # noqa: E402
from llmner.baselines import CrfConfig, train_baseline  # noqa: E402
from llmner.cli import app  # noqa: E402
from llmner.corpora import read_corpus  # noqa: E402
from llmner.corpora.jsonl import span_rows  # noqa: E402
from llmner.engines import Reply  # noqa: E402
from llmner.errors import InputError, LlmnerError  # noqa: E402
from llmner.extraction import Extraction, SpanExtractor  # noqa: E402
from llmner.extraction.extractor import nothing  # noqa: E402
from llmner.files import dump_json, open_lines  # noqa: E402
from llmner.scaling import (  # noqa: E402
    Cluster,
    ExtractJob,
    JobProgress,
    ProjectJob,
    extract,
    from_job,
    run_job,
)
from llmner.scaling.guarding import GuardedExtractor  # noqa: E402
from llmner.scaling.parts import input_files, plan_parts  # noqa: E402
from llmner.spans import Sentence  # noqa: E402
from tests.conftest import ROOT  # noqa: E402
from tests.engines.endpoint import Endpoint, serving  # noqa: E402

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]

SAMPLE = list(read_corpus(ROOT / "data" / "sample.tsv"))
TWO = Cluster(workers=2)


@pytest.fixture(scope="module", autouse=True)
def started() -> Iterator[None]:
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def tagger(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("tagger") / "crf"
    train_baseline(SAMPLE, CrfConfig(max_iterations=20), folder)
    return f"baseline:{folder}"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def texts(path: Path, count: int) -> Path:
    """So many of the sample's texts, with ids of their own."""
    with path.open("w", encoding="utf-8") as stream:
        for number in range(count):
            row = {"id": f"s{number:05d}", "text": SAMPLE[number % len(SAMPLE)].text}
            stream.write(json.dumps(row, ensure_ascii=False) + "\n")
    return path


def replies(path: Path, count: int) -> Path:
    with path.open("w", encoding="utf-8") as stream:
        for number in range(count):
            row = {
                "id": str(number),
                "text": f"손흥민은 {number}번 춘천에서",
                "reply": "PS: 손흥민",
            }
            stream.write(json.dumps(row, ensure_ascii=False) + "\n")
    return path


def together(folder: Path) -> bytes:
    """All parts of a finished job."""
    assert (folder / "run.json").is_file()
    assert not (folder / ".work").exists()
    return b"".join(path.read_bytes() for path in sorted(folder.glob("part-*.jsonl")))


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmner.scaling.running._LEAST", 4096)


def test_a_tagger_gives_the_rows_of_one_process(
    tagger: str, small_parts: None, tmp_path: Path
) -> None:
    path = texts(tmp_path / "in.jsonl", 300)
    options = ("--engine", tagger, "-i", path)
    done = run("extract", "--ray", "--workers", 2, *options, "-o", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert run("extract", *options, "-o", tmp_path / "one.jsonl").exit_code == 0
    parts = list((tmp_path / "out").glob("part-*.jsonl"))
    assert len(parts) > 4
    assert together(tmp_path / "out") == (tmp_path / "one.jsonl").read_bytes()
    # The folder is read as one file.
    done = run("convert", tmp_path / "out", tmp_path / "c.jsonl", "--to", "spans")
    assert done.exit_code == 0, done.output
    assert len(list(read_corpus(tmp_path / "c.jsonl"))) == 300
    done = run(
        "evaluate", "--gold", tmp_path / "c.jsonl", "--predicted", tmp_path / "out", "--json"
    )
    assert done.exit_code == 0, done.output
    # What is done is not done again.
    again = run("extract", "--ray", "--workers", 2, *options, "-o", tmp_path / "out")
    assert f"{len(parts)} of {len(parts)} parts were done already" in again.stderr


def test_replies_are_projected_as_by_one_process(small_parts: None, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    replies(folder / "a.jsonl", 150)
    replies(folder / "b.jsonl", 50)
    with (folder / "b.jsonl").open("ab") as stream:
        stream.write(b'{"text": "no reply"}\n')
    done = run(
        *("project", "--ray", "--workers", 2, "--skip-bad"),
        *("-i", folder, "-o", tmp_path / "out"),
    )
    assert done.exit_code == 0, done.output
    assert "1 bad rows are in" in done.stderr
    whole = (folder / "a.jsonl").read_bytes() + (folder / "b.jsonl").read_bytes()
    (tmp_path / "whole.jsonl").write_bytes(whole)
    options = ("-i", tmp_path / "whole.jsonl", "-o", tmp_path / "one.jsonl", "--skip-bad")
    assert run("project", *options).exit_code == 0
    assert together(tmp_path / "out") == (tmp_path / "one.jsonl").read_bytes()


def test_parquet_and_files_that_cannot_be_divided(
    tagger: str, small_parts: None, tmp_path: Path
) -> None:
    import pyarrow
    from pyarrow import parquet

    columns = {"id": [str(n) for n in range(60)], "text": [SAMPLE[n].text for n in range(60)]}
    parquet.write_table(pyarrow.table(columns), tmp_path / "a.parquet", row_group_size=20)
    job = ExtractJob(AskOptions.of(engine=tagger))
    for source, count in ((tmp_path / "a.parquet", 60), (ROOT / "data" / "sample.tsv", 100)):
        output = tmp_path / source.stem
        summary = run_job(job, [source], output, cluster=TWO)
        assert (summary.rows, summary.failed, summary.errors) == (count, 0, {})
        one = tmp_path / f"{source.stem}.jsonl"
        assert run("extract", "--engine", tagger, "-i", source, "-o", one).exit_code == 0
        assert together(output) == one.read_bytes()


def test_parts_of_parquet_are_read_as_rows_of_json(
    tagger: str, small_parts: None, tmp_path: Path
) -> None:
    from pyarrow import parquet

    path = texts(tmp_path / "in.jsonl", 200)
    with path.open("a", encoding="utf-8") as stream:
        # Half of a character, which Parquet's strings cannot hold.
        stream.write(json.dumps({"id": "odd", "text": "서울 \ud83d"}) + "\n")
    options = ("--engine", tagger, "-i", path)
    out, one = tmp_path / "out", tmp_path / "one.jsonl"
    done = run("extract", "--ray", "--to", "parquet", "--workers", 2, *options, "-o", out)
    assert done.exit_code == 0, done.output
    assert run("extract", *options, "-o", one).exit_code == 0
    assert (out / "run.json").is_file()
    assert not list(out.glob("*.jsonl"))
    # Queries have columns, and the rows are those of one process.
    wanted = [json.loads(line) for line in one.read_text("utf-8").splitlines()]
    table = parquet.read_table(sorted(out.glob("part-*.parquet"))).to_pylist()
    assert [row["text"] for row in table[:-1]] == [row["text"] for row in wanted[:-1]]
    spans = [[(own["start"], own["end"], own["label"]) for own in row["spans"]] for row in table]
    assert spans == [
        [(own["start"], own["end"], own["label"]) for own in row["spans"]] for row in wanted
    ]
    assert [row["row"] for row in table] == one.read_text("utf-8").splitlines()
    for command in (("convert", out, tmp_path / "c.jsonl", "--to", "spans"), ("stats", out)):
        done = run(*command)
        assert done.exit_code == 0, done.output
    assert run("convert", one, tmp_path / "d.jsonl", "--to", "spans").exit_code == 0
    assert (tmp_path / "c.jsonl").read_bytes() == (tmp_path / "d.jsonl").read_bytes()
    # So they are for another job, and one by one.
    done = run("convert", out, tmp_path / "again", "--to", "spans", "--ray", "--workers", 2)
    assert done.exit_code == 0, done.output
    assert together(tmp_path / "again") == (tmp_path / "c.jsonl").read_bytes()
    parts = sorted(out.glob("part-*"))
    assert [own for part in parts for own in read_corpus(part)] == list(
        read_corpus(tmp_path / "c.jsonl")
    )
    again = run("extract", "--ray", "--to", "parquet", "--workers", 2, *options, "-o", out)
    assert "parts were done already" in again.stderr
    other = run("extract", "--ray", "--workers", 2, *options, "-o", out)
    assert "holds the output of another job" in other.stderr


def test_projected_replies_are_written_as_parquet(small_parts: None, tmp_path: Path) -> None:
    path = replies(tmp_path / "in.jsonl", 150)
    done = run("project", "--ray", "--to", "parquet", "-i", path, "-o", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert run("project", "-i", path, "-o", tmp_path / "one.jsonl").exit_code == 0
    assert list(open_lines(tmp_path / "out")) == list(open_lines(tmp_path / "one.jsonl"))


@pytest.mark.parametrize("to", ["spans", "chat", "conll", "parquet"])
def test_a_corpus_is_converted_as_by_one_process(
    to: str, small_parts: None, tmp_path: Path
) -> None:
    path = tmp_path / "in.jsonl"
    with path.open("wb") as stream:
        for number in range(150):
            own = SAMPLE[number % len(SAMPLE)]
            row = {"id": str(number), "text": own.text, "spans": span_rows(own.spans)}
            stream.write(dump_json(row) + b"\n")
    out, one = tmp_path / "out", tmp_path / f"one{'.parquet' if to == 'parquet' else ''}"
    done = run("convert", path, out, "--to", to, "--ray", "--workers", 2)
    assert done.exit_code == 0, done.output
    assert run("convert", path, one, "--to", to).exit_code == 0
    parts = sorted(out.glob("part-*"))
    assert len(parts) > 3
    if to == "parquet":
        told = [own for part in parts for own in read_corpus(part)]
        assert told == list(read_corpus(one))
        # A folder of tokens has no rows to be read as one file, and says so.
        assert "has no whole rows" in run("stats", out).stderr
    else:
        assert b"".join(part.read_bytes() for part in parts) == one.read_bytes()
        assert list(open_lines(out)) == list(open_lines(one))


def test_what_a_format_cannot_hold_is_told_once_for_all_parts(
    small_parts: None, tmp_path: Path
) -> None:
    path = tmp_path / "in.jsonl"
    row = {"text": "서울", "spans": [{"start": 0, "end": 2, "label": "LC", "score": 0.5}]}
    path.write_text(f"{json.dumps(row)}\n" * 300, "utf-8")
    done = run("convert", path, tmp_path / "out", "--to", "conll", "--ray")
    assert done.exit_code == 0, done.output
    assert "300 scores" in done.stderr
    done = run("convert", path, tmp_path / "strict", "--to", "conll", "--ray", "--strict")
    assert "scores would be lost" in done.stderr
    assert done.exit_code == 1
    done = run("convert", path, tmp_path / "no", "--to", "label-studio", "--ray")
    assert "cannot be written in parts" in done.stderr


def test_an_evaluation_has_the_figures_of_one_process(
    tagger: str, small_parts: None, tmp_path: Path
) -> None:
    gold = tmp_path / "gold.jsonl"
    with gold.open("wb") as stream:
        for number, own in enumerate([*SAMPLE, *SAMPLE]):
            # Some have no id, and one is blank.
            row = {"id": str(number) if number % 3 else None, "text": own.text}
            stream.write(dump_json(row | {"spans": span_rows(own.spans)}) + b"\n")
        stream.write(dump_json({"text": " ", "spans": []}) + b"\n")
    options = ("evaluate", "--gold", gold, "--engine", tagger)
    for more in ((), ("--limit", 50)):
        done = run(*options, *more, "--ray", "--json")
        assert done.exit_code == 0, done.output
        one = run(*options, *more, "--json")
        assert one.exit_code == 0, one.output
        assert json.loads(done.stdout) == json.loads(one.stdout)
    done = run(*options, "--ray", "--output", tmp_path / "a.json")
    assert done.exit_code == 0, done.output
    assert run(*options, "--output", tmp_path / "b.json").exit_code == 0
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    # Nothing is left of the job, and the user's files are as they were.
    assert {path.name for path in tmp_path.iterdir()} == {"gold.jsonl", "a.json", "b.json"}
    for more, told in (
        (("--ray", "--replies", gold), "--ray is for --engine"),
        (("--workers", 2), "need --ray"),
    ):
        assert told in run(*options, *more).stderr


def test_progress_tells_rows_and_what_is_expected(
    tagger: str, small_parts: None, tmp_path: Path
) -> None:
    told: list[JobProgress] = []
    path = texts(tmp_path / "in.jsonl", 400)
    job = ExtractJob(AskOptions.of(engine=tagger))
    summary = run_job(job, [path], tmp_path / "out", cluster=TWO, on_progress=told.append)
    assert told[0].rows == told[0].parts_done == 0
    assert told[0].expected is None
    assert all(one.rows <= own.rows for one, own in pairwise(told))
    assert all(own.expected >= own.rows for own in told if own.expected is not None)
    middle = next(own for own in told if own.parts_done == 2)
    assert 300 < (middle.expected or 0) < 500
    assert (told[-1].rows, told[-1].expected, told[-1].parts_done) == (400, 400, summary.parts)
    told.clear()
    run_job(job, [path], tmp_path / "out", cluster=TWO, on_progress=told.append)
    assert [(own.rows, own.rows_before) for own in told] == [(400, 400)]


def test_workers_tell_of_rows_before_their_part_is_done(
    tagger: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "marks").mkdir()
    told: list[JobProgress] = []
    path = texts(tmp_path / "in.jsonl", 60)
    job = Slow(AskOptions.of(engine=tagger))
    run_job(job, [path], tmp_path / "out", cluster=TWO, on_progress=told.append)
    within = [own for own in told if own.parts_done == 0 and own.rows]
    assert within
    assert within[-1].failed > 0


def test_an_endpoint_is_asked_as_by_one_process(small_parts: None, tmp_path: Path) -> None:
    def answer(question: str) -> str:
        name = "서울" if "서울" in question else ""
        return json.dumps({"PLACE": [name] if name else []}, ensure_ascii=False)

    path = tmp_path / "in.jsonl"
    with path.open("w", encoding="utf-8") as stream:
        for number in range(120):
            text = f"{number}번째 사람은 {'서울' if number % 3 else '어디'}에 산다. " * 2
            stream.write(json.dumps({"id": str(number), "text": text}, ensure_ascii=False) + "\n")
    with serving(Endpoint(answer)) as endpoint:
        options = ("--base-url", endpoint.url, "--model", "model", "--labels", "PLACE", "-i", path)
        done = run("extract", "--ray", "--workers", 2, *options, "-o", tmp_path / "out")
        assert done.exit_code == 0, done.output
        assert run("extract", *options, "-o", tmp_path / "one.jsonl").exit_code == 0
    rows, wanted = (
        [json.loads(line) for line in content.splitlines()]
        for content in (together(tmp_path / "out"), (tmp_path / "one.jsonl").read_bytes())
    )
    assert [row["spans"] for row in rows] == [row["spans"] for row in wanted]
    assert sum(len(row["spans"]) for row in rows) >= 80


@dataclass(frozen=True)
class Slow(ExtractJob):
    """What takes its time, and fails at every second sentence."""

    def extractor(self) -> SpanExtractor:
        return Sleeper()


class Sleeper:
    batch_size = 2

    def describe(self) -> dict[str, Any]:
        return {"engine": "slow"}

    def extract(self, sentences: Iterable[Sentence | str]) -> Iterator[Extraction]:
        for number, sentence in enumerate(sentences):
            assert isinstance(sentence, Sentence)
            time.sleep(0.05)
            reply = Reply("", "error", error="no") if number % 2 else Reply("", "stop")
            yield Extraction(sentence, reply, nothing(sentence.text))


@dataclass(frozen=True)
class Killing(ExtractJob):
    """A tagger that kills its process at some texts; some of them only once."""

    marks: str = ""

    def extractor(self) -> SpanExtractor:
        return Killer(super().extractor(), Path(self.marks))


class Killer:
    def __init__(self, tagger: SpanExtractor, marks: Path) -> None:
        self.tagger, self.marks = tagger, marks
        self.batch_size = 4

    def describe(self) -> dict[str, Any]:
        return self.tagger.describe()

    def extract(self, sentences: Iterable[Sentence | str]) -> Iterator[Extraction]:
        batch: list[Any] = list(sentences)
        for sentence in batch:
            once = self.marks / f"{sentence.id}"
            if "☠" in sentence.text or ("☂" in sentence.text and not once.exists()):
                once.touch()
                os.kill(os.getpid(), signal.SIGKILL)
        yield from self.tagger.extract(batch)


def test_sentences_that_kill_are_set_aside_and_all_others_are_read(
    tagger: str, small_parts: None, tmp_path: Path
) -> None:
    path = texts(tmp_path / "in.jsonl", 120)
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    for number in (42, 119):
        rows[number]["text"] = f"☠ {number}"
    rows[77]["text"] = "☂ 77"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    (tmp_path / "marks").mkdir()
    job = Killing(AskOptions.of(engine=tagger), marks=str(tmp_path / "marks"))
    summary = run_job(job, [path], tmp_path / "out", cluster=TWO)
    assert (summary.rows, summary.failed, summary.errors) == (120, 2, {})
    found = [json.loads(line) for line in together(tmp_path / "out").splitlines()]
    assert [row["id"] for row in found] == [row["id"] for row in rows]
    failed = [number for number, row in enumerate(found) if row.get("error")]
    assert failed == [42, 119]
    assert "set aside" in found[42]["error"]


def test_a_job_that_is_killed_goes_on(tagger: str, tmp_path: Path) -> None:
    path = texts(tmp_path / "in.jsonl", 6000)
    out = tmp_path / "out"
    options = ["extract", "--ray", "--workers", "2", "--engine", tagger]
    command = [sys.executable, "-m", "llmner", *options, "-i", str(path), "-o", str(out)]
    code = f"import llmner.scaling.running as r; r._LEAST = 1 << 16; import sys; sys.argv[1:] = {command[3:]!r}; from llmner.cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code], stderr=subprocess.PIPE, start_new_session=True
    )
    until = time.monotonic() + 120
    while len(list(out.glob("part-*.jsonl"))) < 3:
        assert time.monotonic() < until, "no part was done"
        assert process.poll() is None, process.stderr and process.stderr.read()
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    done = {path.name: path.stat().st_mtime_ns for path in out.glob("part-*.jsonl")}
    assert not (out / "run.json").exists()
    assert "not finished" in run("stats", out).stderr
    # Other options are refused, and what is there stays.
    other = run(*options, "--min-score", "0.5", "-i", path, "-o", out)
    assert "holds the output of another job" in other.stderr
    ended = subprocess.run([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    assert ended.returncode == 0, ended.stderr
    assert "parts were done already" in ended.stderr
    for name, changed in done.items():
        assert (out / name).stat().st_mtime_ns == changed
    one = tmp_path / "one.jsonl"
    assert run("extract", "--engine", tagger, "-i", path, "-o", one).exit_code == 0
    assert together(out) == one.read_bytes()


def test_what_cannot_go_on_ray_is_told(tagger: str, tmp_path: Path) -> None:
    path = texts(tmp_path / "in.jsonl", 3)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a").touch()
    out = tmp_path / "out"
    for arguments, told in (
        (("--ray", "-i", path), "needs files of input and a folder"),
        (("--ray", "-i", path, "-o", out, "--show"), "--show does not go with --ray"),
        (("--workers", 2, "-i", path, "-o", out), "need --ray"),
        (("--ray", "-i", tmp_path / "no*.jsonl", "-o", out), "no such file"),
        (("--ray", "-i", path, "-o", tmp_path / "full"), "no job made it"),
    ):
        done = run("extract", "--engine", tagger, *arguments)
        assert done.exit_code != 0, arguments
        assert told in done.stderr, done.stderr


def test_a_part_that_cannot_be_read_costs_no_other(
    tagger: str, small_parts: None, tmp_path: Path
) -> None:
    path = texts(tmp_path / "in.jsonl", 100)
    with path.open("ab") as stream:
        stream.write(b"[broken\n")
    job = ExtractJob(AskOptions.of(engine=tagger))
    summary = run_job(job, [path], tmp_path / "out", cluster=TWO)
    assert len(summary.errors) == 1
    assert summary.parts - 1 == len(list((tmp_path / "out").glob("part-*.jsonl")))
    done = run("extract", "--ray", "--engine", tagger, "-i", path, "-o", tmp_path / "out2")
    assert done.exit_code == 1
    assert "have no output" in done.stderr


def test_what_lies_about_in_a_folder_is_passed_over(
    tagger: str, small_parts: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "in[1]"
    (folder / "deep" / "deeper").mkdir(parents=True)
    texts(folder / "a.jsonl", 40)
    texts(folder / "deep" / "deeper" / "b.jsonl", 20)
    for name in ("_SUCCESS", "empty.jsonl", ".hidden"):
        (folder / name).touch()
    # A last part of blank lines alone, and a last line without an end.
    with (folder / "a.jsonl").open("ab") as stream:
        stream.write(b"\n" * 9000 + b'{"id": "last", "text": "\xec\x84\x9c\xec\x9a\xb8"}')
    job = ExtractJob(AskOptions.of(engine=tagger))
    assert run_job(job, [folder], tmp_path / "out", cluster=TWO).rows == 41
    pattern = tmp_path / "in[[]1]" / "**" / "*.jsonl"
    assert [path.name for path in input_files([str(pattern)])] == ["a.jsonl", "b.jsonl"]
    # A finished folder is read again as one file, and one's own output is never the input.
    names = {path.name for path in input_files([str(tmp_path / "out")])}
    assert names == {p.name for p in (tmp_path / "out").glob("part-*") if p.stat().st_size}
    for options in ((), ("--restart",)):
        done = run(
            *("extract", "--ray", "--engine", tagger, *options),
            *("-i", tmp_path / "out", "-o", tmp_path / "out"),
        )
        assert "lies in the output folder" in done.stderr
    assert together(tmp_path / "out").count(b"\n") == 41
    # Another folder and another spelling are the same input.
    monkeypatch.chdir(tmp_path)
    again = run_job(job, [Path("in[1]")], Path("out"), cluster=TWO)
    assert again.rows == 41


def test_restart_throws_away_what_a_job_made_and_nothing_else(tagger: str, tmp_path: Path) -> None:
    path = texts(tmp_path / "in.jsonl", 10)
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "part-1.jsonl").write_text("precious")
    (mine / "run.json").write_text("{}")
    options = ("extract", "--ray", "--restart", "--engine", tagger, "-i", path)
    done = run(*options, "-o", mine)
    assert done.exit_code != 0
    assert (mine / "part-1.jsonl").read_text() == "precious"
    assert run(*options, "-o", tmp_path / "out").exit_code == 0
    done = run(*options, "--min-score", "0.9", "-o", tmp_path / "out")
    assert done.exit_code == 0, done.output


def test_objects_over_many_lines_and_tokens_are_not_divided(tmp_path: Path) -> None:
    whole = tmp_path / "pretty.jsonl"
    whole.write_text(json.dumps({"data": [{"text": "a" * 900}] * 9}, indent=2), "utf-8")
    tokens = tmp_path / "tokens.jsonl"
    row = {"tokens": ["서울", "에"], "ner_tags": ["B-LC", "O"]}
    tokens.write_text(f"{json.dumps(row)}\n" * 99, "utf-8")
    lines = texts(tmp_path / "lines.jsonl", 99)
    for path, format, divided in (
        (whole, "spans", False),
        (tokens, None, False),
        (lines, None, True),
    ):
        assert (len(plan_parts([path], format, 1000)) > 1) is divided, path


def test_answers_that_say_nothing_are_told_as_by_one_process(tmp_path: Path) -> None:
    path = texts(tmp_path / "in.jsonl", 6)
    with serving(Endpoint(lambda question: "")) as endpoint:
        options = ("--base-url", endpoint.url, "--model", "model", "--labels", "PLACE", "-i", path)
        done = run("extract", "--ray", "--workers", 1, *options, "-o", tmp_path / "out")
    assert done.exit_code == 1
    assert "replies are empty" in done.stderr
    assert (tmp_path / "out" / "run.json").is_file()


def test_a_signature_names_a_model_as_its_user_does(
    tagger: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(tagger.removeprefix("baseline:"), tmp_path / "here" / "crf")
    monkeypatch.chdir(tmp_path)
    options = ("evaluate", "--gold", ROOT / "data" / "sample.tsv", "--engine", "baseline:here/crf")
    done = run(*options, "--ray", "--workers", 1, "--output", "a.json")
    assert done.exit_code == 0, done.output
    assert run(*options, "--output", "b.json").exit_code == 0
    assert Path("a.json").read_bytes() == Path("b.json").read_bytes()


def test_a_folder_is_one_drivers_and_an_unfinished_one_is_no_input(
    tagger: str, tmp_path: Path
) -> None:
    path = texts(tmp_path / "in.jsonl", 5)
    job = ExtractJob(AskOptions.of(engine=tagger))
    work = tmp_path / "out" / ".work"
    # A driver that was killed at once left nothing but this.
    work.mkdir(parents=True)
    with (work / "lock").open("ab") as held:
        assert locked(held.fileno()) is True
        with pytest.raises(InputError, match="another process"):
            run_job(job, [path], tmp_path / "out", cluster=TWO, restart=True)
    assert run_job(job, [path], tmp_path / "out", cluster=TWO).rows == 5
    unfinished = tmp_path / "unfinished"
    (unfinished / ".work").mkdir(parents=True)
    shutil.move(tmp_path / "out" / "run.json", unfinished / ".work" / "run.json")
    texts(unfinished / "part-000000.jsonl", 3)
    with pytest.raises(InputError, match="not finished"):
        run_job(job, [unfinished], tmp_path / "other", cluster=TWO)


def test_a_cluster_that_is_not_there_is_told_in_one_line(tagger: str, tmp_path: Path) -> None:
    path = texts(tmp_path / "in.jsonl", 3)
    command = [sys.executable, "-m", "llmner", "extract", "--ray", "--ray-address", "nonsense"]
    command += ["--engine", tagger, "-i", str(path), "-o", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Ray cannot be reached or started at 'nonsense'" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    with pytest.raises(LlmnerError, match="no 1 GPUs"):
        run_job(
            ExtractJob(AskOptions.of(engine=tagger)),
            [path],
            tmp_path / "gpu",
            cluster=Cluster(workers=1, gpus_per_worker=1),
        )


def test_answers_of_another_corpus_are_refused(tagger: str, tmp_path: Path) -> None:
    job = ExtractJob(AskOptions.of(engine=tagger))
    gold = [Sentence("서울에 간다", (), "1"), Sentence("집에 있다", (), "2")]
    source = from_job("crf", job, gold, tmp_path / "kept", cluster=TWO)
    assert [own.text for own in source.predict([0, 1])] == ["서울에 간다", "집에 있다"]
    # As long as the old one, and in the middle of a file too large to be hashed whole.
    rows = tmp_path / "kept" / "rows" / "part-000000.jsonl"
    rows.write_text(rows.read_text("utf-8").replace("서울", "부산"), "utf-8")
    with pytest.raises(InputError, match="of another corpus"):
        source.predict([0, 1])


def test_a_ray_data_set_gets_columns(tagger: str) -> None:
    rows = [{"id": str(n), "text": SAMPLE[n].text, "more": n} for n in range(40)]
    found = extract(
        ray.data.from_items(rows), AskOptions.of(engine=tagger), batch_size=16, cluster=TWO
    )
    taken = sorted(found.take_all(), key=lambda row: row["more"])
    assert [row["text"] for row in taken] == [row["text"] for row in rows]
    assert sum(len(json.loads(row["spans"])) for row in taken) > 20
    assert all(row["error"] is None and json.loads(row["row"])["id"] == row["id"] for row in taken)


def test_a_guard_halves_until_the_culprit_is_alone(tmp_path: Path) -> None:
    class Died(BaseException):
        pass

    class Odd:
        batch_size = 8
        asked: list[int] = []  # noqa: RUF012

        def describe(self) -> dict[str, Any]:
            return {}

        def extract(self, sentences: Iterable[Any]) -> Iterator[Extraction]:
            batch = list(sentences)
            self.asked.append(len(batch))
            if any(sentence.text == "kills" for sentence in batch):
                raise Died
            for sentence in batch:
                yield GivenBack(sentence)  # type: ignore[misc]

    @dataclass
    class GivenBack:
        sentence: Sentence

    sentences = [Sentence("kills" if n == 5 else f"t{n}", (), str(n)) for n in range(20)]
    found: list[Any] = []
    for _ in range(20):
        guard = GuardedExtractor(Odd(), tmp_path / "trial")  # type: ignore[arg-type]
        try:
            for one in guard.extract(sentences[len(found) :]):
                found.append(one)
            break
        except Died:
            continue
    assert [one.sentence.id for one in found] == [str(n) for n in range(20)]
    assert [n for n, one in enumerate(found) if isinstance(one, Extraction)] == [5]
    # 8 and its halves, and the culprit alone twice.
    assert Odd.asked == [8, 4, 2, 1, 1, 8, 6] or len(Odd.asked) < 12
    assert not (tmp_path / "trial").exists()


def test_jobs_of_other_labels_are_other_jobs() -> None:
    from llmner.schema import LabelSchema

    one, other = (ProjectJob(LabelSchema.of(*codes)) for codes in (("PS",), ("PS", "LC")))
    assert one.describe() != other.describe()
    with pytest.raises(InputError, match="no such file"):
        run_job(one, [Path("no-such-file")], Path("nowhere"))
