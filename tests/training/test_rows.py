"""Training rows: what is learnt, what is not, what is too long, what is kept apart."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from llmner.corpora._held_out import split_held_out
from llmner.errors import InputError
from llmner.markup import parse_markup
from llmner.recipes import Recipe
from llmner.recipes.chat import build_prompt
from llmner.spans import Sentence
from tests.tiny import EXAONE, NO_SYSTEM, tiny_model

transformers = pytest.importorskip("transformers", reason='needs pip install "llmner[local]"')
from llmner.engines.transformers_engine import encode_prompt  # noqa: E402
from llmner.training._rows import IGNORED, build_rows, end_of_turn  # noqa: E402


def sentence(markup: str, id: str | None = None) -> Sentence:
    text, spans = parse_markup(markup)
    return Sentence(text, spans, id)


GOLD = sentence("<손흥민:PS>은 <춘천:LC>에서 태어났다.", "a")


@pytest.fixture(scope="module", params=["plain", "exaone", "gemma"])
def tokenizer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    template = {"plain": None, "exaone": EXAONE, "gemma": NO_SYSTEM + "</s>"}[request.param]
    folder = tiny_model(tmp_path_factory.mktemp(request.param), template)
    return transformers.AutoTokenizer.from_pretrained(folder)


def test_the_question_is_what_the_engine_asks_and_only_the_answer_is_learnt(tokenizer: Any) -> None:
    recipe = Recipe.load("klue-sft")
    end = end_of_turn(tokenizer, [2, 3])
    (row,), over = build_rows([GOLD], recipe, tokenizer, end, max_length=2000)
    asked = encode_prompt(tokenizer, build_prompt(recipe, GOLD))
    assert row.input_ids[: len(asked)] == asked
    assert row.labels[: len(asked)] == [IGNORED] * len(asked)
    learnt = row.labels[len(asked) :]
    assert learnt == row.input_ids[len(asked) :]
    assert tokenizer.decode(learnt[: -len(end)]) == '{"PS": ["손흥민"], "LC": ["춘천"]}'
    assert (over, row.id) == (0, "a")


def test_all_tokens_are_learnt_where_that_is_asked_for(tokenizer: Any) -> None:
    rows, _ = build_rows(
        [GOLD], Recipe.load("klue-sft"), tokenizer, [2], max_length=2000, loss_on="all"
    )
    assert rows[0].labels == rows[0].input_ids


def test_an_answer_ends_with_the_templates_own_token(tmp_path: Path) -> None:
    read = transformers.AutoTokenizer.from_pretrained
    exaone = read(tiny_model(tmp_path / "exaone", EXAONE))
    assert exaone.convert_ids_to_tokens(end_of_turn(exaone, [2, 3])) == ["[|endofturn|]"]
    plain = read(tiny_model(tmp_path / "plain"))
    assert plain.convert_ids_to_tokens(end_of_turn(plain, [2])) == ["</s>"]


def test_a_template_whose_end_stops_nothing_is_refused(tmp_path: Path) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_model(tmp_path / "m", EXAONE))
    with pytest.raises(
        InputError, match=r"endofturn.*at which generation does not stop.*eos_token_id"
    ):
        end_of_turn(tokenizer, [2])


def test_long_rows_are_counted_and_refused_or_left_out_but_never_cut(tokenizer: Any) -> None:
    recipe = Recipe.load("klue-mini")
    sentences = [GOLD, sentence("긴 " * 200 + "<춘천:LC>", "long")]
    with pytest.raises(
        InputError, match=r"1 of 2 rows are longer than max_length 300 .* --over_long drop"
    ):
        build_rows(sentences, recipe, tokenizer, [2], max_length=300)
    rows, over = build_rows(sentences, recipe, tokenizer, [2], max_length=300, over_long="drop")
    assert ([row.id for row in rows], over) == (["a"], 1)
    with pytest.raises(InputError, match="2 of 2"):
        build_rows(sentences, recipe, tokenizer, [2], max_length=3, over_long="drop")


def test_held_out_sentences_are_chosen_by_the_seed_and_share_no_text() -> None:
    sentences = [Sentence(f"문장 {number % 80}", (), str(number)) for number in range(100)]
    train, held = split_held_out(sentences, 0.1, 42)
    assert split_held_out(sentences, 0.1, 42) == (train, held)
    assert split_held_out(sentences, 0.1, 43) != (train, held)
    assert Counter(s.id for s in train + held) == Counter(s.id for s in sentences)
    assert not {s.text for s in train} & {s.text for s in held}
    assert 10 <= len(held) <= 11
    assert len(split_held_out(sentences, 7, 0)[1]) in (7, 8)
    assert split_held_out(sentences, 0, 0) == (sentences, [])
    with pytest.raises(InputError, match="leaves none of 100"):
        split_held_out(sentences, 100, 0)
