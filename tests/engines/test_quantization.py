"""Models in 4 bits, with an adapter beside the weights as it was trained."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason='needs pip install "llmner[local]"')
peft = pytest.importorskip("peft", reason='needs pip install "llmner[local]"')
transformers = pytest.importorskip("transformers", reason='needs pip install "llmner[local]"')
pytest.importorskip("bitsandbytes", reason='needs pip install "llmner[train]"')

from llmner import Extractor, Recipe  # noqa: E402
from llmner.asking import AskOptions  # noqa: E402
from llmner.asking.building import build_engine, prepare  # noqa: E402
from llmner.engines._quantization import four_bits  # noqa: E402
from llmner.engines.transformers_engine import TransformersGenerator  # noqa: E402
from llmner.errors import InputError  # noqa: E402
from tests.tiny import EXAONE, tiny_model  # noqa: E402

IDS = torch.arange(3, 40)[None]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # bitsandbytes packs blocks of 64 weights.
    return tiny_model(tmp_path_factory.mktemp("model"), EXAONE, width=64)


@pytest.fixture(scope="module")
def adapter(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("adapter")
    base = transformers.AutoModelForCausalLM.from_pretrained(model)
    torch.manual_seed(0)
    config = peft.LoraConfig(target_modules="all-linear", init_lora_weights=False, r=4)
    peft.get_peft_model(base, config).save_pretrained(folder)
    return folder


def test_weights_are_in_four_bits_and_the_signature_says_so(model: Path) -> None:
    engine = TransformersGenerator(str(model), quantization="nf4", device="cpu", max_new_tokens=4)
    loaded, _ = engine.load()
    assert loaded.is_quantized
    assert loaded.config.quantization_config.bnb_4bit_quant_type == "nf4"
    assert engine.describe()["quantization"] == "nf4"
    whole = TransformersGenerator(str(model), device="cpu")
    assert "quantization" not in whole.describe()
    assert engine.model_size()["bytes"] < whole.model_size()["bytes"]


@pytest.mark.parametrize("grounded", [False, True])
def test_it_answers_with_and_without_grounding(model: Path, adapter: Path, grounded: bool) -> None:
    engine = TransformersGenerator(
        str(model), adapter=str(adapter), quantization="nf4", device="cpu", max_new_tokens=8
    )
    texts = ["손흥민은 춘천에서 왔다.", "비가 온다."]
    rows = list(Extractor(Recipe.load("klue-mini"), engine, grounded=grounded).extract(texts))
    assert [row.reply.error for row in rows] == [None, None]
    assert all(row.reply.completion_tokens for row in rows)


def test_the_adapter_stays_beside_the_weights_as_it_was_trained(model: Path, adapter: Path) -> None:
    base = transformers.AutoModelForCausalLM.from_pretrained(
        model, quantization_config=four_bits(), dtype=torch.bfloat16
    )
    expected = peft.PeftModel.from_pretrained(base, adapter).eval()
    engine = TransformersGenerator(
        str(model), adapter=str(adapter), quantization="nf4", device="cpu"
    )
    loaded, _ = engine.load()
    plain, _ = TransformersGenerator(str(model), quantization="nf4", device="cpu").load()
    with torch.inference_mode():
        logits = loaded(IDS).logits
        torch.testing.assert_close(logits, expected(IDS).logits)
        assert not torch.allclose(logits, plain(IDS).logits, atol=1e-2)


def test_what_does_not_go_together_is_told(model: Path) -> None:
    with pytest.raises(InputError, match="quantization 'int3' is unknown; use none or nf4"):
        TransformersGenerator(str(model), quantization="int3").load()
    with pytest.raises(InputError, match="a model in nf4 computes in bfloat16, not in float32"):
        TransformersGenerator(str(model), quantization="nf4", dtype="float32").load()
    options = AskOptions.of(engine="openai", model="m", quantization="nf4", base_url="http://x/v1")
    with pytest.raises(InputError, match="quantization"):
        build_engine(prepare(options))
    options = AskOptions.of(model=str(model), quantization="nf4")
    engine = build_engine(prepare(options))
    assert isinstance(engine, TransformersGenerator)
    assert engine.quantization == "nf4"
