"""The estimate of a run's memory, against what real runs on a small model keep and allocate."""

from __future__ import annotations

import dataclasses
import gc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from llmner.engines._processor import Arithmetic
from llmner.errors import InputError
from llmner.training import TrainingConfig, parse_config
from llmner.training._memory import GIB, estimate
from llmner.training._shape import Shape, shape_of
from tests.tiny import tiny_model

pytest.importorskip("jsonargparse", reason='needs pip install "llmner[train]"')

ROWS, LENGTH = 8, 128

SHAPE = Shape("EXAONE-3.5-7.8B", 32, 4096, 14336, 32, 8, 128, 102400, tied=False)


def configured(**changed: object) -> TrainingConfig:
    return parse_config([f"--{key}={value}" for key, value in changed.items()])


@dataclass
class Measured:
    """Bytes that a run had."""

    weights: int
    adapter: int
    gradients: int
    optimizer: int
    activations: int
    peak: int


def stored(tensors: Iterator[Any]) -> int:
    """Bytes behind tensors, each storage once."""
    return sum(
        {
            s.data_ptr(): s.nbytes() for s in (tensor.untyped_storage() for tensor in tensors)
        }.values()
    )


def frozen(model: Any) -> Iterator[Any]:
    """The base model's numbers, with the scales of those in 4 bits."""
    for weight in model.parameters():
        if weight.requires_grad:
            continue
        yield weight
        state = getattr(weight, "quant_state", None)
        if state is not None:
            yield from (
                state.absmax,
                state.code,
                state.offset,
                state.state2.absmax,
                state.state2.code,
            )


def allocated(work: Callable[[], object]) -> int:
    """The most that PyTorch had allocated at once while something was done, in bytes, on a CPU."""
    import torch

    gc.collect()
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
    ) as profile:
        work()
    events = profile.profiler.kineto_results.events()
    changes = sorted((e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]")
    now = highest = 0
    for _, change in changes:
        now += change
        highest = max(highest, now)
    return highest


def grouped(folder: Path, architecture: str) -> Path:
    """A random model whose attention heads share keys and values, in eight heads and two."""
    import torch
    import transformers

    tiny_model(folder)
    vocabulary = len(transformers.AutoTokenizer.from_pretrained(folder))
    text = "Text" if architecture == "Gemma3" else ""
    config = getattr(transformers, f"{architecture}{text}Config")(
        vocab_size=vocabulary,
        hidden_size=256,
        intermediate_size=896,
        num_hidden_layers=3,
        num_attention_heads=8,
        num_key_value_heads=2,
        head_dim=32,
        max_position_embeddings=2048,
        sliding_window=512,
        layer_types=["full_attention"] * 3,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
    )
    model = getattr(transformers, f"{architecture}ForCausalLM")(config)
    model.generation_config.eos_token_id = [2, 3]
    model.to(torch.bfloat16).save_pretrained(folder)
    return folder


@pytest.fixture(autouse=True, scope="module")
def processor() -> Iterator[dict[str, str]]:
    """A processor with bfloat16, whatever this one has, unless a test says otherwise."""
    pytest.importorskip("torch")
    fast = {"dtype": "bfloat16"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "llmner.engines._processor.cpu_arithmetic", lambda: Arithmetic(fast["dtype"], "")
        )
        yield fast


@pytest.fixture(scope="module")
def trained(
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[..., tuple[TrainingConfig, Measured]]:
    """Trains two steps: tensors kept are counted in the first, allocations in the second."""
    pytest.importorskip("trl", reason='needs pip install "llmner[train]"')
    pytest.importorskip("bitsandbytes", reason='needs pip install "llmner[train]"')
    import torch

    from llmner.recipes import Recipe
    from llmner.training._model import load_for_training
    from llmner.training._prepared import Prepared
    from llmner.training._rows import TokenRow
    from llmner.training._run import trainer_builder

    folders: dict[str, Path] = {}

    def run(architecture: str, **changed: object) -> tuple[TrainingConfig, Measured]:
        if architecture not in folders:
            folders[architecture] = grouped(tmp_path_factory.mktemp("model"), architecture)
        out = tmp_path_factory.mktemp("run")
        config = configured(
            model=folders[architecture],
            batch_size=ROWS,
            max_length=LENGTH,
            held_out=0,
            max_steps=2,
            **changed,
        )
        model, tokenizer = load_for_training(config.model)
        # One row is shorter: with padding there is a mask, which costs more than none.
        lengths = [LENGTH] * (ROWS - 1) + [LENGTH - 9]
        rows = [TokenRow([5 + n % 200 for n in range(size)], [7] * size) for size in lengths * 2]
        recipe = Recipe.load("klue")
        trainer = trainer_builder()(
            config,
            Prepared(recipe, model, tokenizer, tuple(rows)),
            logs=out / "logs",
            checkpoints=out / "checkpoints",
        )
        kept: list[Any] = []
        peaks: list[int] = []
        compute_loss, training_step = trainer.compute_loss, trainer.training_step

        def watched_loss(*args: Any, **settings: Any) -> Any:
            if peaks or kept:
                return compute_loss(*args, **settings)
            with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
                return compute_loss(*args, **settings)

        def keep(tensor: Any) -> Any:
            kept.append(tensor)
            return tensor

        def watched_step(*args: Any, **settings: Any) -> Any:
            if not kept:
                loss = training_step(*args, **settings)
                known = {
                    weight.untyped_storage().data_ptr()
                    for weight in (*model.parameters(), *frozen(model))
                }
                fresh = [
                    tensor for tensor in kept if tensor.untyped_storage().data_ptr() not in known
                ]
                kept[:] = [stored(iter(fresh))]
                return loss
            loss = None

            def step() -> None:
                nonlocal loss
                loss = training_step(*args, **settings)

            peaks.append(allocated(step))
            return loss

        gradients: list[int] = []
        trainer.compute_loss, trainer.training_step = watched_loss, watched_step
        trained = [weight for weight in trainer.model.parameters() if weight.requires_grad]
        trained[0].register_post_accumulate_grad_hook(
            lambda weight: gradients.append(weight.grad.itemsize)
        )
        trainer.train()
        states = trainer.optimizer.state.values()
        # Tables of 256 numbers that all factors share, and counters, are no part of a factor's
        # state.
        moments = [
            value
            for state in states
            for key, value in state.items()
            if isinstance(value, torch.Tensor) and value.dim() and not key.startswith("qmap")
        ]
        return config, Measured(
            weights=stored(frozen(trainer.model)),
            adapter=stored(iter(trained)),
            gradients=gradients[0] * sum(weight.numel() for weight in trained),
            optimizer=stored(iter(moments)),
            activations=kept[0],
            peak=peaks[0],
        )

    return run


@pytest.mark.parametrize(
    ("architecture", "settings"),
    [
        ("Llama", {}),
        ("Llama", {"gradient_checkpointing": True, "lora_dropout": 0.05}),
        ("Llama", {"quantization": "4bit", "lora_dropout": 0.05, "optimizer": "adamw_8bit"}),
        ("Llama", {"quantization": "4bit", "gradient_checkpointing": True, "batching": "packing"}),
        (
            "Llama",
            {
                "quantization": "4bit",
                "lora_targets": '["q_proj","k_proj","v_proj"]',
                "lora_rank": 32,
            },
        ),
        ("Llama", {"attention": "eager"}),
        ("Exaone4", {"gradient_checkpointing": True}),
        ("Gemma3", {}),
    ],
    ids=[
        "lora",
        "checkpointing",
        "4bit",
        "4bit-packing",
        "4bit-attention-only",
        "eager",
        "exaone4",
        "gemma3",
    ],
)
def test_a_run_keeps_what_was_estimated(
    trained: Callable[..., tuple[TrainingConfig, Measured]],
    architecture: str,
    settings: dict[str, object],
) -> None:
    config, measured = trained(architecture, **settings)
    estimated = estimate(config, device="cpu")
    print({"measured": dataclasses.asdict(measured), "estimated": dataclasses.asdict(estimated)})
    for part in ("weights", "adapter", "gradients", "optimizer"):
        assert getattr(estimated, part) == pytest.approx(getattr(measured, part), rel=0.02), part
    loss = (
        LENGTH * ROWS * 2 * 256
    )  # The head keeps a gradient of the hidden state, counted with the loss.
    # Of three layers the first keeps less: its input is the embedding, which nothing trains.
    assert estimated.activations + loss == pytest.approx(measured.activations, rel=0.15)
    passing = (
        estimated.gradients + estimated.activations + max(estimated.workspace, estimated.logits)
    )
    assert passing == pytest.approx(measured.peak, rel=0.15)


@pytest.mark.parametrize("settings", [{}, {"gradient_checkpointing": True, "lora_dropout": 0.05}])
def test_in_float32_a_run_keeps_no_more_than_was_estimated(
    trained: Callable[..., tuple[TrainingConfig, Measured]],
    processor: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    settings: dict[str, object],
) -> None:
    monkeypatch.setitem(processor, "dtype", "float32")
    config, measured = trained("Llama", **settings)
    estimated = estimate(config, device="cpu", float32=True)
    for part in ("weights", "adapter", "gradients", "optimizer"):
        assert getattr(estimated, part) == pytest.approx(getattr(measured, part), rel=0.02), part
    assert measured.activations < estimated.activations * 1.02 < measured.activations * 2
    passing = (
        estimated.gradients + estimated.activations + max(estimated.workspace, estimated.logits)
    )
    assert measured.peak < passing * 1.02 < measured.peak * 2


@pytest.mark.parametrize("tokens", [300, 1024])
def test_the_loss_takes_what_was_estimated(tokens: int) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("trl")
    from llmner.training._cpu_head import AnswerLogProbs

    width, words = 32, 20_000
    weight = torch.randn(words, width, dtype=torch.bfloat16)
    hidden = torch.randn(tokens, width, dtype=torch.bfloat16, requires_grad=True)
    targets = torch.zeros(tokens, dtype=torch.long)
    shape = Shape("head", 1, width, width, 1, 1, width, words, tied=True)
    estimated = estimate(configured(batch_size=1, max_length=tokens), shape, device="cpu").logits
    measured = allocated(lambda: AnswerLogProbs.apply(hidden, weight, targets, None))
    assert estimated == pytest.approx(measured, rel=0.1)


@pytest.mark.parametrize(("quantization", "new"), [("none", 2), ("4bit", 2), ("none", 120)])
def test_answering_takes_what_was_estimated(tmp_path: Path, quantization: str, new: int) -> None:
    torch = pytest.importorskip("torch")
    peft = pytest.importorskip("peft")
    pytest.importorskip("bitsandbytes")
    from llmner.training._model import adapter_config, load_for_training

    tiny_model(tmp_path, width=256, layers=4)
    asked = 96
    config = configured(
        model=tmp_path,
        quantization=quantization,
        eval_batch_size=6,
        max_length=asked,
        max_new_tokens=new,
    )
    model, _ = load_for_training(config.model)
    model = peft.get_peft_model(model, adapter_config(model, config.lora)).eval()
    ids = torch.full((6, asked), 9)
    mask = torch.ones_like(ids)
    mask[0, :5] = 0

    def answer() -> None:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            model.generate(
                input_ids=ids,
                attention_mask=mask,
                max_new_tokens=new,
                min_new_tokens=new,
                do_sample=False,
                use_cache=True,
                pad_token_id=0,
            )

    estimated = estimate(config, device="cpu").answering
    assert estimated == pytest.approx(allocated(answer), rel=0.25)


def test_seven_billions_in_four_bits_by_hand() -> None:
    config = configured(
        quantization="4bit", max_length=1024, batch_size=4, optimizer="paged_adamw_8bit"
    )
    found = estimate(config, SHAPE)
    linear = 32 * (2 * 4096 * 4096 + 2 * 4096 * 1024 + 3 * 4096 * 14336)
    rest = 2 * (2 * 102400 * 4096 + 65 * 4096)
    # Half a byte, a 64th for the scales, four bytes for 256 of those: 4.127 bits.
    assert found.weights == pytest.approx(linear * 4.127 / 8 + rest, rel=1e-3)
    factors = 32 * 16 * (4 * 4096 + 2 * (4096 + 1024) + 3 * (4096 + 14336))
    assert found.adapter == found.gradients == 2 * factors
    assert found.optimizer == pytest.approx(2 * factors, rel=0.02)
    assert found.total == max(found.training, found.evaluating)
    assert found.gib()["total"] == round(found.total / GIB, 3)


def test_what_saves_memory_is_estimated_to_save_memory() -> None:
    def total(**changed: object) -> int:
        return estimate(configured(held_out=0, max_length=512, **changed), SHAPE).total

    plain = total()
    assert total(gradient_checkpointing=True) < plain
    assert total(quantization="4bit") < plain
    assert total(batch_size=4) < plain
    assert total(lora_rank=4) < plain
    assert total(lora_targets='["q_proj"]') < plain
    assert total(attention="flash_attention_2") < plain < total(attention="eager")
    assert total(batching="packing") > plain
    assert total(lora_dropout=0.1) > plain


def test_optimizers_by_the_bytes_of_their_state() -> None:
    def state(name: str, **changed: object) -> int:
        found = estimate(configured(optimizer=name, **changed), SHAPE)
        return round(found.optimizer / (found.adapter / (2 if changed else 4)), 1)

    four = {"quantization": "4bit"}
    assert state("adamw_torch") == state("adamw_torch_fused") == 8
    assert state("adamw_torch", **four) == 4
    assert state("paged_adamw_32bit", **four) == 8
    assert state("paged_adamw_8bit", **four) == state("adamw_8bit") == 2
    assert state("lion_8bit") == 1
    assert state("sgd") == 0


def test_answering_counts_when_there_is_something_to_answer() -> None:
    assert estimate(configured(held_out=0), SHAPE).answering == 0
    few = estimate(configured(eval_sentences=2), SHAPE).answering
    assert few < estimate(configured(eval_sentences=200), SHAPE).answering


def test_a_target_that_matches_nothing_is_an_error_here_too() -> None:
    with pytest.raises(InputError, match=r"lora_targets: fc1 is not one of q_proj, k_proj"):
        estimate(configured(lora_targets='["fc1"]'), SHAPE)
    raw = estimate(configured(lora_targets='["out_proj","c_fc_0"]'), SHAPE)
    assert raw.adapter == estimate(configured(lora_targets='["o_proj","gate_proj"]'), SHAPE).adapter


@pytest.mark.gpu
@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("quantization", ["none", "4bit"])
def test_a_gpu_allocates_what_was_estimated(
    tmp_path: Path, quantization: str, checkpointing: bool
) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("trl")
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    from llmner.recipes import Recipe
    from llmner.training._model import load_for_training
    from llmner.training._prepared import Prepared
    from llmner.training._rows import TokenRow
    from llmner.training._run import trainer_builder

    tiny_model(tmp_path / "model", width=1024, layers=8)
    config = configured(
        model=tmp_path / "model",
        quantization=quantization,
        gradient_checkpointing=checkpointing,
        batch_size=8,
        max_length=1024,
        held_out=0,
        max_steps=3,
    )
    model, tokenizer = load_for_training(config.model)
    rows = [TokenRow([5] * size, [7] * size) for size in ([1024] * 7 + [1000]) * 3]
    trainer = trainer_builder()(
        config,
        Prepared(Recipe.load("klue"), model, tokenizer, tuple(rows)),
        logs=tmp_path / "logs",
        checkpoints=tmp_path / "checkpoints",
    )
    torch.cuda.reset_peak_memory_stats()
    trainer.train()
    estimated = estimate(config, shape_of(config.model.model))
    assert estimated.training - estimated.overhead == pytest.approx(
        torch.cuda.max_memory_allocated(), rel=0.2
    )
