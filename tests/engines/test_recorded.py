from __future__ import annotations

import json
from pathlib import Path

import pytest

from llmner.engines import create_generator
from llmner.errors import CorpusError, MismatchError, UnknownNameError
from llmner.recipes import Recipe
from llmner.recipes.chat import build_prompt
from llmner.spans import Sentence


def record(tmp_path: Path, *rows: object) -> Path:
    path = tmp_path / "replies.jsonl"
    path.write_text(
        "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8"
    )
    return path


def test_replies_are_found_by_id_whatever_the_order(tmp_path: Path, klue: Recipe) -> None:
    path = record(
        tmp_path, {"id": "a", "text": "가", "reply": "1"}, {"id": "b", "text": "나", "reply": "2"}
    )
    engine = create_generator("recorded", path=path)
    prompts = [
        build_prompt(klue, Sentence("나", (), "b")),
        build_prompt(klue, Sentence("가", (), "a")),
    ]
    assert [reply.text for reply in engine.generate(prompts)] == ["2", "1"]
    assert engine.describe()["model"] == "replies.jsonl"


def test_rows_without_ids_are_found_by_text_in_file_order(tmp_path: Path, klue: Recipe) -> None:
    path = record(tmp_path, {"text": "가", "reply": "1"}, {"text": "가", "reply": "2"})
    engine = create_generator("recorded", path=path)
    assert [r.text for r in engine.generate([build_prompt(klue, Sentence("가"))] * 2)] == ["1", "2"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"id": "a", "text": "가"}, r"replies.jsonl:1: no 'reply'"),
        ({"id": "a", "reply": 3}, r"replies.jsonl:1: 'reply' is not a string"),
        ({"reply": "x"}, r"replies.jsonl:1: neither 'id' nor 'text'"),
    ],
)
def test_broken_rows(tmp_path: Path, row: object, message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        create_generator("recorded", path=record(tmp_path, row))


def test_an_empty_record(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="holds no reply"):
        create_generator("recorded", path=record(tmp_path))


def test_a_reply_for_another_text_is_refused(tmp_path: Path, klue: Recipe) -> None:
    engine = create_generator(
        "recorded", path=record(tmp_path, {"id": "a", "text": "7.2km", "reply": "1"})
    )
    with pytest.raises(MismatchError, match=r"id 'a'\): the recorded reply is for another text"):
        engine.generate([build_prompt(klue, Sentence("7.2㎞", (), "a"))])
    with pytest.raises(MismatchError, match="no recorded reply for '다'"):
        engine.generate([build_prompt(klue, Sentence("다", (), "z"))])


def test_engines_by_name() -> None:
    with pytest.raises(
        UnknownNameError,
        match="unknown engine 'gpt'; expected one of transformers, vllm, openai, recorded",
    ):
        create_generator("gpt")


def test_it_knows_which_sentences_it_has_a_reply_to(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text(
        '{"id": "a", "text": "가", "reply": "1"}\n{"text": "나", "reply": "2"}\n', encoding="utf-8"
    )
    asked = [("a", "가"), ("a", "가"), (None, "나"), ("c", "나"), (None, "다")]
    assert create_generator("recorded", path=path).covers(asked) == [
        True,
        False,
        True,
        False,
        False,
    ]
