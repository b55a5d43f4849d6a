"""Whether two replies of one model differ by no more than rounding: how sure it was where they
part.
"""

from __future__ import annotations

from typing import Any

from llmner.engines.transformers_engine import encode_prompt
from llmner.recipes.chat import Prompt


def margin(model: Any, tokenizer: Any, prompt: Prompt, one: str, other: str) -> float:
    """The difference of the two next tokens' logits where the replies part, in nats, as the model
    has them.
    """
    import torch

    question = encode_prompt(tokenizer, prompt)
    ends = [tokenizer.eos_token_id]
    first, second = (
        list(tokenizer(text, add_special_tokens=False)["input_ids"]) + ends for text in (one, other)
    )
    at = next(n for n, (a, b) in enumerate(zip(first, second, strict=False)) if a != b)
    with torch.inference_mode():
        logits = (
            model(torch.tensor([question + first[:at]], device=model.device)).logits[0, -1].float()
        )
    return abs(float(logits[first[at]] - logits[second[at]]))
