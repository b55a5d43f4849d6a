"""The extractor on a small fake engine, and runs that are killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from llmner.chat import Prompt
from llmner.errors import GenerationError, InputError
from llmner.extraction import Extractor, run_extraction, run_record
from llmner.generation import Reply, create_generator
from llmner.recipes import Recipe
from llmner.spans import Sentence, Span


class Echo:
    """Calls the first word of every text a person; fails at a text it is told to fail at."""

    def __init__(self, fail_at: str | None = None, name: str = "echo") -> None:
        self.asked: list[int] = []
        self.texts: list[str] = []
        self.fail_at = fail_at
        self.name = name

    def generate(self, prompts: Sequence[Prompt]) -> list[Reply]:
        self.asked.append(len(prompts))
        self.texts += [prompt.text for prompt in prompts]
        if any(prompt.text == self.fail_at for prompt in prompts):
            raise GenerationError("the engine died")
        return [Reply(json.dumps({"PS": [prompt.text.split()[0]]}, ensure_ascii=False)) for prompt in prompts]

    def describe(self) -> dict[str, Any]:
        return {"engine": self.name, "model": None}


SENTENCES = [Sentence(f"사람{n} 왔다", (), f"s{n}") for n in range(10)]


def test_extraction_is_batched_streamed_and_in_order(klue: Recipe) -> None:
    engine = Echo()
    stream = Extractor(klue, engine, batch_size=4).extract(iter(SENTENCES))
    first = next(stream)
    assert engine.asked == [4]
    assert first.spans == (Span(0, 3, "PS"),)
    assert [extraction.sentence.id for extraction in (first, *stream)] == [s.id for s in SENTENCES]
    assert engine.asked == [4, 4, 2]


def test_plain_strings_are_sentences(klue: Recipe) -> None:
    (extraction,) = Extractor(klue, Echo()).extract(["손흥민 왔다"])
    row = extraction.row()
    assert row["spans"] == [{"start": 0, "end": 3, "label": "PS"}]
    assert row["outcomes"][0]["kind"] == "exact"
    assert row["status"] == "ok"


def test_a_policy_that_does_not_exist_fails_at_once(klue: Recipe) -> None:
    with pytest.raises(TypeError):
        Extractor(klue, Echo(), fuzy=0.9)
    with pytest.raises(InputError, match="batch size 0"):
        Extractor(klue, Echo(), batch_size=0)


def run(klue: Recipe, engine: Echo, output: Path, **options: Any) -> int:
    return run_extraction(Extractor(klue, engine, batch_size=2), SENTENCES, output, source="test", **options)


def test_an_interrupted_run_goes_on_and_ends_as_an_uninterrupted_one(klue: Recipe, tmp_path: Path) -> None:
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
    with pytest.raises(InputError, match=r"another engine; finish it as it was begun, or .* --restart"):
        run(klue, Echo(name="other"), output)
    with pytest.raises(InputError, match="another recipe, recipe_hash"):
        run(Recipe.load("klue-strict"), Echo(), output)
    with pytest.raises(InputError, match=r"partial:1: the interrupted run's sentences are not the input's"):
        run_extraction(Extractor(klue, Echo(), batch_size=2), SENTENCES[1:], output, source="test")
    assert run(klue, Echo(name="other"), output, restart=True) == 10


def test_a_resumed_recorded_run_goes_on_with_the_next_reply(klue: Recipe, tmp_path: Path) -> None:
    replies = tmp_path / "replies.jsonl"
    replies.write_text("".join(f'{{"text": "가", "reply": "PS\\t{n}"}}\n' for n in range(4)))
    same = [Sentence("가")] * 4

    def go(output: Path, sentences: Any) -> int:
        engine = create_generator("recorded", path=replies)
        return run_extraction(Extractor(klue, engine, batch_size=1), sentences, output, source="test")

    def dying() -> Any:
        yield from same[:2]
        raise GenerationError("killed")

    go(tmp_path / "whole", same)
    with pytest.raises(GenerationError):
        go(tmp_path / "broken", dying())
    go(tmp_path / "broken", same)
    assert (tmp_path / "broken").read_bytes() == (tmp_path / "whole").read_bytes()


def test_the_record_of_a_finished_run_stays_until_its_output_is_replaced(klue: Recipe, tmp_path: Path) -> None:
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


def test_kill_9_loses_at_most_the_batch_in_flight(klue: Recipe, tmp_path: Path) -> None:
    """A real process, really killed."""
    script = tmp_path / "run.py"
    script.write_text(
        textwrap.dedent(
            """
            import sys, time
            from pathlib import Path
            sys.path.insert(0, {root!r})
            from tests.test_extraction import Echo, SENTENCES
            from llmner.extraction import Extractor, run_extraction
            from llmner.recipes import Recipe

            class Slow(Echo):
                def generate(self, prompts):
                    time.sleep(float(sys.argv[2]))
                    return super().generate(prompts)

            run_extraction(
                Extractor(Recipe.load("klue"), Slow(), batch_size=2), SENTENCES, Path(sys.argv[1]), source="test"
            )
            """
        ).format(root=str(Path(__file__).resolve().parent.parent))
    )
    output = tmp_path / "out.jsonl"
    partial = tmp_path / "out.jsonl.partial"
    process = subprocess.Popen([sys.executable, str(script), str(output), "0.5"])
    deadline = time.monotonic() + 60
    while not (partial.exists() and partial.stat().st_size > 0):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    kept = partial.read_bytes().count(b"\n")
    assert kept >= 2
    subprocess.run([sys.executable, str(script), str(output), "0"], check=True)
    whole = tmp_path / "whole.jsonl"
    run(klue, Echo(), whole)
    assert output.read_bytes() == whole.read_bytes()
