"""Whether two replies of one model differ only by rounding: the margin where they diverge."""

from __future__ import annotations

from typing import Any

from llmner.engines.transformers_engine import encode_prompt
from llmner.recipes.chat import Prompt


def margin(model: Any, tokenizer: Any, prompt: Prompt, one: str, other: str) -> float:
    """How much the model prefers one reply over the other where they diverge.

    Returns:
        The absolute difference of the logits of the first two tokens that differ, in nats.
    """
    import torch

    question = encode_prompt(tokenizer, prompt)
    ends = [tokenizer.eos_token_id]
    first, second = (
        list(tokenizer(text, add_special_tokens=False)["input_ids"]) + ends for text in (one, other)
    )
    split = next(n for n, (a, b) in enumerate(zip(first, second, strict=False)) if a != b)
    with torch.inference_mode():
        logits = (
            model(torch.tensor([question + first[:split]], device=model.device))
            .logits[0, -1]
            .float()
        )
    return abs(float(logits[first[split]] - logits[second[split]]))
