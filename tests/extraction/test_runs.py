"""Runs that are interrupted at every step, killed, resumed, refused and mended."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from llmner.engines import Reply, create_generator
from llmner.errors import CorpusError, GenerationError, InputError
from llmner.extraction import Extractor, runs
from llmner.extraction.runs import (
    cached_rows,
    kept_rows,
    partial_path,
    retry_failed,
    run_extraction,
    run_record,
)
from llmner.files import locked
from llmner.recipes import Recipe
from llmner.recipes.chat import Prompt
from llmner.spans import Sentence
from tests.extraction.test_extraction import SENTENCES, Echo


def run(klue: Recipe, engine: Echo, output: Path, **options: Any) -> int:
    extractor = Extractor(klue, engine, batch_size=2)
    return run_extraction(extractor, SENTENCES, output, source="test", **options).sentences


def test_an_interrupted_run_goes_on_and_ends_as_an_uninterrupted_one(
    klue: Recipe, tmp_path: Path
) -> None:
    whole, broken = tmp_path / "whole.jsonl", tmp_path / "broken.jsonl"
    run(klue, Echo(), whole)
    with pytest.raises(GenerationError):
        run(klue, Echo(fail_at="사람6 왔다"), broken)
    assert not broken.exists()
    # A kill in the middle of a write leaves half a row.
    with (tmp_path / "broken.jsonl.partial").open("ab") as stream:
        stream.write(b'{"id": "s6", "te')
    engine = Echo()
    resumed: list[int] = []
    assert run(klue, engine, broken, on_resume=resumed.append) == 10
    assert resumed == [6]
    assert engine.texts == [sentence.text for sentence in SENTENCES[6:]]
    assert broken.read_bytes() == whole.read_bytes()
    assert not (tmp_path / "broken.jsonl.partial").exists()
    record = run_record(broken)
    assert record is not None
    assert record["recipe_hash"] == klue.hash


def test_another_recipe_model_or_input_is_refused_not_mixed(klue: Recipe, tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    with pytest.raises(GenerationError):
        run(klue, Echo(fail_at="사람6 왔다"), output)
    with pytest.raises(
        InputError, match=r"another engine; finish it as it was begun, or .* --restart"
    ):
        run(klue, Echo(name="other"), output)
    with pytest.raises(InputError, match="another recipe, recipe_hash"):
        run(Recipe.load("klue-strict"), Echo(), output)
    with pytest.raises(
        InputError, match=r"partial:1: this row is not that of the next sentence of the input"
    ):
        run_extraction(Extractor(klue, Echo(), batch_size=2), SENTENCES[1:], output, source="test")
    assert run(klue, Echo(name="other"), output, restart=True) == 10


def test_a_resumed_recorded_run_goes_on_with_the_next_reply(klue: Recipe, tmp_path: Path) -> None:
    replies = tmp_path / "replies.jsonl"
    replies.write_text("".join(f'{{"text": "가", "reply": "PS\\t{n}"}}\n' for n in range(4)))
    same = [Sentence("가")] * 4

    def go(output: Path, sentences: Any) -> int:
        engine = create_generator("recorded", path=replies)
        return run_extraction(
            Extractor(klue, engine, batch_size=1), sentences, output, source="test"
        ).sentences

    def dying() -> Any:
        yield from same[:2]
        raise GenerationError("killed")

    go(tmp_path / "whole", same)
    with pytest.raises(GenerationError):
        go(tmp_path / "broken", dying())
    go(tmp_path / "broken", same)
    assert (tmp_path / "broken").read_bytes() == (tmp_path / "whole").read_bytes()


def test_the_record_of_a_finished_run_stays_until_its_output_is_replaced(
    klue: Recipe, tmp_path: Path
) -> None:
    output = tmp_path / "out.jsonl"
    run(klue, Echo(), output)
    with pytest.raises(GenerationError):
        run(klue, Echo(fail_at="사람6 왔다", name="other"), output)
    record = run_record(output)
    assert record is not None
    assert record["engine"] == "echo"


def test_where_it_cannot_write(klue: Recipe, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a directory"):
        run(klue, Echo(), tmp_path)
    with pytest.raises(InputError, match="its folder does not exist"):
        run(klue, Echo(), tmp_path / "none" / "out.jsonl")


class _Killed(BaseException):
    """Stands for a kill: nothing after it is done."""


def test_a_kill_between_any_two_changes_of_files_loses_and_repeats_nothing(
    klue: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every change of the folder in turn is the last one; the next run ends as if nothing had
    been.
    """
    whole = tmp_path / "whole.jsonl"
    run(klue, Echo(), whole)
    left = 0

    def dying(real: Any) -> Any:
        def change(*args: Any, **options: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                raise _Killed
            return real(*args, **options)

        return change

    for survived in range(40):
        folder = tmp_path / str(survived)
        folder.mkdir()
        output = folder / "whole.jsonl"
        # An older output of another engine is there until the new one replaces it.
        output.write_text("old\n", encoding="utf-8")
        (folder / "whole.jsonl.run.json").write_text('{"engine": "older"}', encoding="utf-8")
        first, second = Echo(), Echo()
        left = survived
        with monkeypatch.context() as patched:
            for name in ("replace", "unlink", "open"):
                patched.setattr(Path, name, dying(getattr(Path, name)))
            for name in ("fsync", "open"):
                patched.setattr(runs.os, name, dying(getattr(os, name)))
            # After a kill no clean-up runs.
            patched.setattr(runs, "drop_rows", lambda path: None)
            try:
                run(klue, first, output)
            except _Killed:
                ended = False
            else:
                ended = True
        if ended:
            assert survived > 10
            break
        old = output.read_text("utf-8") == "old\n"
        record = run_record(output)
        assert not old or (record is not None and record["engine"] == "older")
        on_disk = 0
        for rows in (runs.partial_path(output), output):
            if rows.exists() and rows.read_text("utf-8") != "old\n":
                on_disk = rows.read_bytes().count(b"\n")
        assert run(klue, second, output) == 10
        assert output.read_bytes() == whole.read_bytes()
        assert run_record(output) == run_record(whole)
        assert len(second.texts) == 10 - on_disk
        left_over = {path.name for path in folder.iterdir()}
        assert left_over == {"whole.jsonl", "whole.jsonl.run.json"}
    else:
        pytest.fail("never ended")


def test_half_a_record_and_half_a_first_row_are_nothing(klue: Recipe, tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    runs.partial_path(output).write_bytes(b'{"id": "s0", "te')
    runs.partial_path(output).with_name("out.jsonl.partial.run.json").write_bytes(b'{"input": "te')
    assert run(klue, Echo(), output) == 10


def test_rows_without_a_record_are_refused(klue: Recipe, tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    runs.partial_path(output).write_bytes(b'{"id": "s0", "text": "x"}\n')
    with pytest.raises(InputError, match=r"lies there without its record; .* --restart"):
        run(klue, Echo(), output)
    assert run(klue, Echo(), output, restart=True) == 10


def test_a_long_half_row_is_dropped(klue: Recipe, tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    with pytest.raises(GenerationError):
        run(klue, Echo(fail_at="사람6 왔다"), output)
    with runs.partial_path(output).open("ab") as stream:
        stream.write(b"x" * 200_000)
    engine = Echo()
    run(klue, engine, output)
    assert len(engine.texts) == 4


def test_two_runs_do_not_write_one_file(klue: Recipe, tmp_path: Path) -> None:
    pytest.importorskip("fcntl", reason="locks are of POSIX systems")
    output = tmp_path / "out.jsonl"
    rows = kept_rows(
        Extractor(klue, Echo(), batch_size=2), SENTENCES, runs.partial_path(output), {}
    )
    next(rows)
    with pytest.raises(InputError, match="another run is writing it"):
        run(klue, Echo(), output)
    rows.close()


def test_a_run_that_did_nothing_leaves_nothing(klue: Recipe, tmp_path: Path) -> None:
    with pytest.raises(GenerationError):
        run(klue, Echo(fail_at="사람0 왔다"), tmp_path / "out.jsonl")
    with pytest.raises(CorpusError, match="holds no sentence"):
        run_extraction(Extractor(klue, Echo()), [], tmp_path / "out.jsonl", source="test")
    assert not list(tmp_path.iterdir())


class Failing(Echo):
    """Has no answer to some sentences."""

    def __init__(self, *without: int, **options: Any) -> None:
        super().__init__(**options)
        self.without = {SENTENCES[number].text for number in without}

    def generate(self, prompts: Sequence[Prompt]) -> list[Reply]:
        return [
            Reply("", "error", error=f"no answer to {prompt.text}")
            if prompt.text in self.without
            else reply
            for prompt, reply in zip(prompts, super().generate(prompts), strict=True)
        ]


def test_failures_stay_when_a_run_is_resumed_and_are_counted(klue: Recipe, tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    with pytest.raises(GenerationError):
        run(klue, Failing(1, fail_at="사람6 왔다"), output)
    engine = Failing(8)
    summary = run_extraction(
        Extractor(klue, engine, batch_size=2), SENTENCES, output, source="test"
    )
    assert (summary.sentences, summary.unanswered, summary.reason) == (
        10,
        2,
        "no answer to 사람1 왔다",
    )
    assert engine.texts == [sentence.text for sentence in SENTENCES[6:]]


def retried(klue: Recipe, engine: Echo, output: Path, **options: Any) -> runs.RunSummary:
    extractor = Extractor(klue, engine, batch_size=1)
    return retry_failed(extractor, SENTENCES, output, source="test", **options)


def test_what_failed_is_asked_again_and_nothing_else(klue: Recipe, tmp_path: Path) -> None:
    whole, output = tmp_path / "whole.jsonl", tmp_path / "out.jsonl"
    run(klue, Echo(), whole)
    run(klue, Failing(1, 4, 8), output)
    before = output.read_bytes()
    record = run_record(output)
    # One is answered, then the engine dies: the file is as it was, and the answer is kept.
    with pytest.raises(GenerationError):
        retried(klue, Failing(fail_at="사람4 왔다"), output)
    assert output.read_bytes() == before
    engine, resumed, found = Failing(8), [], []
    summary = retried(klue, engine, output, on_resume=resumed.append, on_failures=found.append)
    assert (engine.texts, resumed, found) == (["사람4 왔다", "사람8 왔다"], [1], [3])
    assert (summary.sentences, summary.unanswered) == (10, 1)
    assert retried(klue, Echo(), output).unanswered == 0
    assert output.read_bytes() == whole.read_bytes()
    assert run_record(output) == record
    idle = Echo()
    assert retried(klue, idle, output).unanswered == 0
    assert not idle.texts
    assert not list(tmp_path.glob("*.retry*"))


def test_answers_that_were_put_in_place_before_a_kill_are_not_put_twice(
    klue: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out.jsonl"
    run(klue, Failing(1, 4), output)
    with monkeypatch.context() as patched:
        patched.setattr(runs, "drop_rows", lambda path: None)
        retried(klue, Failing(4), output)
    assert (tmp_path / "out.jsonl.retry").exists()
    engine = Echo()
    assert retried(klue, engine, output).unanswered == 0
    assert engine.texts == ["사람4 왔다"]


def test_only_the_same_run_is_mended(klue: Recipe, tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    with pytest.raises(InputError, match="there is no finished run"):
        retried(klue, Echo(), output)
    run(klue, Failing(1), output)
    with pytest.raises(InputError, match="was made with another engine"):
        retried(klue, Echo(name="other"), output)
    with pytest.raises(InputError, match="not that of the next sentence"):
        retry_failed(Extractor(klue, Echo()), SENTENCES[1:], output, source="test")
    with pytest.raises(InputError, match="fewer rows than the input"):
        retry_failed(Extractor(klue, Echo()), [*SENTENCES, Sentence("x")], output, source="test")
    (tmp_path / "out.jsonl.run.json").unlink()
    with pytest.raises(InputError, match="without its record"):
        retried(klue, Echo(), output)


def test_where_rows_lie_that_have_no_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LLMNER_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    one, other = cached_rows({"model": "a", "n": 1}), cached_rows({"n": 1, "model": "b"})
    assert one is not None
    assert one.parent == tmp_path / "llmner" / "runs"
    assert one != other
    assert one == cached_rows({"n": 1, "model": "a"})
    shutil.rmtree(tmp_path / "llmner")
    (tmp_path / "llmner").write_text("a file", encoding="utf-8")
    assert cached_rows({}) is None


def test_a_link_is_followed_and_all_lies_beside_what_it_leads_to(
    klue: Recipe, tmp_path: Path
) -> None:
    folder, link = tmp_path / "folder", tmp_path / "link.jsonl"
    folder.mkdir()
    link.symlink_to("folder/out.jsonl")
    with pytest.raises(GenerationError):
        run(klue, Echo(fail_at="사람6 왔다"), link)
    assert sorted(os.listdir(folder)) == ["out.jsonl.partial", "out.jsonl.partial.run.json"]
    resumed: list[int] = []
    assert run(klue, Echo(), link, on_resume=resumed.append) == 10
    assert resumed == [6]
    assert sorted(os.listdir(folder)) == ["out.jsonl", "out.jsonl.run.json"]
    assert link.is_symlink()
    assert sorted(os.listdir(tmp_path)) == ["folder", "link.jsonl"]
    assert run_record(link) == run_record(folder / "out.jsonl") is not None
    assert partial_path(link) == folder / "out.jsonl.partial"
    assert (
        retry_failed(
            Extractor(klue, Echo(), batch_size=2), SENTENCES, link, source="test"
        ).sentences
        == 10
    )


def modes(folder: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}


def test_what_lies_beside_an_output_is_never_more_open_than_it(
    klue: Recipe, tmp_path: Path
) -> None:
    output, partial = tmp_path / "out", tmp_path / "out.partial"
    old = os.umask(0o022)
    try:
        run(klue, Echo(), output)
        assert modes(tmp_path) == {"out": 0o644, "out.run.json": 0o644}
        output.chmod(0o600)
        with pytest.raises(GenerationError):
            run(klue, Echo(name="other", fail_at="사람6 왔다"), output)
        assert modes(tmp_path) == {
            "out": 0o600, "out.run.json": 0o644, "out.partial": 0o600, "out.partial.run.json": 0o600
        }  # fmt: skip
        partial.chmod(0o644)  # As an older version made it.
        run(klue, Echo(name="other"), output)
        assert modes(tmp_path) == {"out": 0o600, "out.run.json": 0o600}
        failing = Extractor(klue, Failing(6, 8, name="other"), batch_size=1)
        run_extraction(failing, SENTENCES, output, source="other")
        with pytest.raises(GenerationError):
            retry_failed(
                Extractor(klue, Echo(name="other", fail_at="사람8 왔다"), batch_size=1),
                SENTENCES, output, source="other",
            )  # fmt: skip
        assert set(modes(tmp_path).values()) == {0o600}
        assert "out.retry" in modes(tmp_path)
    finally:
        os.umask(old)


def test_answers_to_failures_that_nobody_will_take_are_cleared(
    klue: Recipe, tmp_path: Path
) -> None:
    output, retry = tmp_path / "out", tmp_path / "out.retry"
    failing = Extractor(klue, Failing(6, 8), batch_size=1)

    def killed_retry() -> None:
        run_extraction(failing, SENTENCES, output, source="test", restart=True)
        with pytest.raises(GenerationError):
            retry_failed(
                Extractor(klue, Echo(fail_at="사람8 왔다"), batch_size=1),
                SENTENCES,
                output,
                source="test",
            )
        assert retry.exists()
        # What a kill in the middle of writing its record leaves, too.
        (tmp_path / ".out.retry.run.json.0a1b2c3d.llmner-part").write_text("{")

    killed_retry()
    run(klue, Echo(name="other"), output)
    assert sorted(os.listdir(tmp_path)) == ["out", "out.run.json"]
    killed_retry()
    held = retry.read_bytes()
    retry_failed(Extractor(klue, Echo(), batch_size=1), SENTENCES, output, source="test")
    assert sorted(os.listdir(tmp_path)) == ["out", "out.run.json"]
    # Killed between the new output and the end: the answers are in it already.
    retry.write_bytes(held)
    retry_failed(Extractor(klue, Echo(), batch_size=1), SENTENCES, output, source="test")
    assert sorted(os.listdir(tmp_path)) == ["out", "out.run.json"]
    killed_retry()
    with retry.open("rb") as living:
        assert locked(living.fileno())
        run(klue, Echo(name="other"), output)
        assert retry.exists()


def test_the_cache_of_runs_is_its_owners(
    klue: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLMNER_CACHE", str(tmp_path / "cache"))
    old = os.umask(0o022)
    try:
        rows = cached_rows({"a": 1})
        assert rows is not None
        assert modes(tmp_path / "cache") == {"runs": 0o700}
        rows.parent.chmod(0o755)
        rows.touch(0o644)
        assert cached_rows({"a": 1}) == rows
        assert modes(tmp_path / "cache") == {"runs": 0o700}
        with pytest.raises(GenerationError):
            list(
                kept_rows(
                    Extractor(klue, Echo(fail_at="사람6 왔다"), batch_size=1),
                    SENTENCES,
                    rows,
                    {"a": 1},
                )
            )
        assert modes(rows.parent) == {rows.name: 0o600, f"{rows.name}.run.json": 0o600}
        rows.unlink()
        with pytest.raises(GenerationError):
            list(
                kept_rows(
                    Extractor(klue, Echo(fail_at="사람6 왔다"), batch_size=1),
                    SENTENCES,
                    rows,
                    {"a": 1},
                )
            )
        assert modes(rows.parent)[rows.name] == 0o600
    finally:
        os.umask(old)


def test_a_name_too_long_for_what_lies_beside_it_is_refused_before_anything_is_asked(
    klue: Recipe, tmp_path: Path
) -> None:
    engine = Echo()
    with pytest.raises(
        InputError, match=r"finished\.run\.json: cannot be looked up \(File name too long\)"
    ):
        run(klue, engine, tmp_path / ("x" * 245))
    assert engine.texts == []


@pytest.mark.parametrize("held", ["[" * 10**5, '{"a": ' + "9" * 5000 + "}", "[]", "\udcff", "{"])
def test_a_broken_record_is_none(tmp_path: Path, held: str) -> None:
    (tmp_path / "out.run.json").write_bytes(held.encode("utf-8", "surrogateescape"))
    assert run_record(tmp_path / "out") is None
    assert run_record(tmp_path / "a\0b") is None
