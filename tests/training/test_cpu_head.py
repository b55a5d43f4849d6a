"""The loss on a CPU: the same numbers as from all the logits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.tiny import tiny_model

torch = pytest.importorskip("torch", reason='needs pip install "llmner[train]"')
pytest.importorskip("trl", reason='needs pip install "llmner[train]"')
from llmner.training import _cpu_head  # noqa: E402
from llmner.training._cpu_head import AnswerLogProbs, score_answers_only  # noqa: E402


@pytest.mark.parametrize("softcap", [None, 5.0])
def test_log_probabilities_and_gradients_are_those_of_a_softmax(
    softcap: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_cpu_head, "_CHUNK", 3)
    torch.manual_seed(0)
    hidden = torch.randn(8, 16, requires_grad=True)
    weight, targets, weights = torch.randn(50, 16), torch.randint(50, (8,)), torch.randn(8)
    log_probs, entropy, top1 = AnswerLogProbs.apply(hidden, weight, targets, softcap)
    (log_probs * weights).sum().backward()
    ours, hidden.grad = hidden.grad, None
    logits = hidden @ weight.T
    if softcap is not None:
        logits = softcap * torch.tanh(logits / softcap)
    expected = logits.log_softmax(dim=1)
    (expected.gather(1, targets[:, None]).squeeze(1) * weights).sum().backward()
    torch.testing.assert_close(log_probs, expected.gather(1, targets[:, None]).squeeze(1))
    torch.testing.assert_close(ours, hidden.grad, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(entropy, -(expected.exp() * expected).sum(1))
    assert torch.equal(top1, logits.argmax(1) == targets)


def test_a_models_loss_and_gradients_are_its_own(tmp_path: Path) -> None:
    import transformers

    model: Any = transformers.AutoModelForCausalLM.from_pretrained(tiny_model(tmp_path))
    model.get_output_embeddings().requires_grad_(False)
    ids = torch.randint(4, 200, (3, 12))
    labels = ids.clone()
    labels[:, :5] = -100
    labels[1] = -100
    mask = torch.ones_like(ids)
    mask[2, 9:] = 0
    labels[2, 9:] = -100
    plain = model(input_ids=ids, attention_mask=mask, labels=labels).loss
    plain.backward()
    weight = model.model.layers[0].mlp.up_proj.weight
    expected, weight.grad = weight.grad, None
    score_answers_only(model)
    output = model(input_ids=ids, attention_mask=mask, labels=labels, fused_lm_head=True)
    output.loss.backward()
    torch.testing.assert_close(output.loss, plain)
    torch.testing.assert_close(weight.grad, expected, rtol=1e-4, atol=1e-6)
    assert output.log_probs.shape == (3, 11)
    assert int(output.label_mask.sum()) == 7 + 4
    # Asked without labels, it answers as before.
    assert model(input_ids=ids, attention_mask=mask).logits.shape == (
        3,
        12,
        model.config.vocab_size,
    )
