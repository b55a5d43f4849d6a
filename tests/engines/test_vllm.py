"""vLLM, where it is installed: in process and behind its own server, against the transformers
engine.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from llmner.corpora import read_corpus
from llmner.engines import create_generator
from llmner.engines.adapters import PACKAGED_ADAPTER, Adapter, find_adapter
from llmner.engines.grammars import is_answer, reply_grammar
from llmner.engines.vllm_engine import VllmGenerator, _max_lora_rank
from llmner.errors import GenerationError, InputError, MissingExtraError
from llmner.recipes import Recipe
from llmner.recipes.chat import Prompt, build_prompt
from tests.conftest import ROOT, shared

HERE = find_spec("vllm") is not None
needs_vllm = pytest.mark.skipif(not HERE, reason="vLLM is not installed here (make test-vllm)")
# vLLM and what it loads warn of what is old in themselves.
others_warnings = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def prompts() -> list[Prompt]:
    recipe = find_adapter(PACKAGED_ADAPTER).recipe
    return [
        build_prompt(recipe, sentence)
        for sentence in list(read_corpus(ROOT / "data" / "sample.tsv"))[:24]
    ]


@pytest.fixture(scope="module")
def engine() -> VllmGenerator:
    return VllmGenerator(
        adapter=find_adapter(PACKAGED_ADAPTER),
        max_new_tokens=96,
        max_model_len=1024,
        max_num_seqs=32,
        options={"enforce_eager": True},
    )


@pytest.fixture(scope="module")
def other() -> Any:
    return create_generator(
        "transformers", adapter=PACKAGED_ADAPTER, batch_size=24, max_new_tokens=96
    )


@needs_vllm
@pytest.mark.vllm
@others_warnings
@pytest.mark.parametrize("way", ["free", "grounded"])
def test_both_engines_answer_alike(
    engine: VllmGenerator, other: Any, prompts: list[Prompt], way: str
) -> None:
    sys.path.insert(0, str(ROOT / "benchmarks"))
    from _ties import margin

    if way == "grounded":
        recipe = find_adapter(PACKAGED_ADAPTER).recipe
        prompts = [
            replace(p, grammar=reply_grammar(p.text, recipe.reply_format, recipe.schema_))
            for p in prompts
        ]
    ours, theirs = engine.generate(prompts), other.generate(prompts)
    model, tokenizer = other.load()
    for prompt, one, another in zip(prompts, ours, theirs, strict=True):
        assert one.prompt_tokens == another.prompt_tokens
        if prompt.grammar is not None:
            assert is_answer(one.text, prompt.grammar)
        if one.text != another.text:
            assert margin(model, tokenizer, prompt, one.text, another.text) < 0.5
            continue
        assert (one.finish_reason, one.completion_tokens) == (
            another.finish_reason,
            another.completion_tokens,
        )
        assert one.tokens is not None
        assert another.tokens is not None
        assert [(t.start, t.end) for t in one.tokens] == [(t.start, t.end) for t in another.tokens]
        if way == "free":
            for token, same in zip(one.tokens, another.tokens, strict=True):
                assert token.logprob == pytest.approx(same.logprob, abs=0.5)


@needs_vllm
@pytest.mark.vllm
@others_warnings
def test_what_does_not_fit_has_no_answer_and_holds_up_no_other(
    engine: VllmGenerator, prompts: list[Prompt]
) -> None:
    long = replace(prompts[0], completion="가나다 " * 900, id="long")
    assert not engine.fits(long)
    refused, answered = engine.generate([long, prompts[0]])
    assert refused.finish_reason == "error"
    assert "(id 'long')" in str(refused.error)
    assert answered.error is None
    assert engine.fits(prompts[0])


@needs_vllm
@pytest.mark.vllm
@others_warnings
def test_draws_are_those_of_seed_and_sample(engine: VllmGenerator, prompts: list[Prompt]) -> None:
    engine.temperature = 1.5
    try:
        asked = [replace(prompts[0], sample=number) for number in range(6)]
        drawn = engine.generate(asked)
        assert len({reply.text for reply in drawn}) > 1
        assert engine.describe()["decoding"] == "t=1.5"
    finally:
        engine.temperature = 0.0


@needs_vllm
@pytest.mark.vllm
@others_warnings
def test_what_is_no_grammar_is_told_in_a_line(engine: VllmGenerator, prompts: list[Prompt]) -> None:
    with pytest.raises(GenerationError, match="unknown name"):
        engine.generate([replace(prompts[0], grammar="start: reply\nreply: nothing\n")])
    assert engine.generate(prompts[:1])[0].error is None


@needs_vllm
@pytest.mark.vllm
@others_warnings
@pytest.mark.slow
def test_vllms_own_server_end_to_end(tmp_path: Path) -> None:
    shared("klue-ner/klue-ner-v1.1_dev.tsv")
    kept = ROOT / "benchmarks" / "results" / "vllm_server.json"
    before = kept.read_bytes() if kept.exists() else None
    try:
        ran = subprocess.run([sys.executable, ROOT / "benchmarks" / "vllm_server.py"], check=False)
        found = json.loads(kept.read_text(encoding="utf-8"))["figures"]
    finally:
        if before is not None:
            kept.write_bytes(before)
    assert ran.returncode == 0
    for way in ("free", "grounded"):
        assert found[way]["without_answer"] == 0
        assert found[way]["spans_with_a_score"] == found[way]["spans"] > 0


@pytest.mark.skipif(HERE, reason="vLLM is installed here")
def test_without_vllm_the_extra_is_named() -> None:
    engine = create_generator("vllm", model="gpt2")
    with pytest.raises((MissingExtraError, GenerationError), match=r"vllm|cannot"):
        engine.generate([Prompt((), "가", "\n", "가")])


def quantised(folder: Path, method: str) -> Path:
    folder.mkdir()
    held = {"model_type": "llama", "quantization_config": {"quant_method": method}}
    (folder / "config.json").write_text(json.dumps(held), encoding="utf-8")
    return folder


def test_what_vllm_cannot_load_is_told_with_the_way_out(tmp_path: Path) -> None:
    prompt = Prompt((), "가", "\n", "가")
    with pytest.raises(
        GenerationError, match=r"quantised by bitsandbytes, .* with --adapter, .* llmner merge"
    ):
        VllmGenerator(str(quantised(tmp_path / "four-bit", "bitsandbytes"))).generate([prompt])
    with pytest.raises(GenerationError, match=r"nowhere cannot be loaded: no such folder"):
        VllmGenerator(str(tmp_path / "nowhere")).generate([prompt])
    exaone = tmp_path / "exaone"
    exaone.mkdir()
    (exaone / "config.json").write_text(
        json.dumps({"model_type": "exaone", "architectures": ["ExaoneForCausalLM"]})
    )
    with pytest.raises(GenerationError, match=r"exaone cannot be loaded: .* holds no safetensors"):
        VllmGenerator(str(exaone)).generate([prompt])
    with pytest.raises(InputError, match="no such folder"):
        VllmGenerator(adapter="/nowhere").generate([prompt])


@pytest.mark.parametrize(("rank", "room"), [(1, 8), (8, 8), (24, 32), (64, 64), (512, 512)])
def test_vllm_gets_room_for_an_adapters_rank(tmp_path: Path, rank: int, room: int) -> None:
    (tmp_path / "adapter_config.json").write_text(json.dumps({"r": 4, "rank_pattern": {"q": rank}}))
    assert _max_lora_rank(Adapter("a", tmp_path, None, Recipe.load("klue"))) == (
        room if rank > 4 else 8
    )


def test_a_rank_that_vllm_does_not_take(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text(json.dumps({"r": 1024}))
    with pytest.raises(
        GenerationError, match="rank 1024, and vLLM takes at most 512; use llmner merge"
    ):
        _max_lora_rank(Adapter("a", tmp_path, None, Recipe.load("klue")))


def test_the_server_script_tells_how_it_is_used_and_what_is_missing(tmp_path: Path) -> None:
    script = ROOT / "scripts" / "serve_vllm.sh"
    told = subprocess.run([script], capture_output=True, text=True, check=False)
    assert told.returncode == 2
    assert "scripts/serve_vllm.sh MODEL [ADAPTER]" in told.stderr
    environment = {"PATH": "/usr/bin:/bin", "PYTHON": sys.executable, "LOG": str(tmp_path / "log")}
    wrong = subprocess.run(
        [script, str(tmp_path / "nowhere")],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        cwd=ROOT,
    )
    assert wrong.returncode == 1
    assert wrong.stderr.splitlines()[-1].startswith("error: ")
    assert "no such folder" in wrong.stderr
