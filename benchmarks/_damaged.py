"""Makes up the replies of a mediocre model: gold entities with noise, in damaged replies.

The noise suite changes the mentions. Then some labels are confused, and replies are put into code
fences, introduced with a sentence, cut off or refused. Each mention has a confidence that is too
high. The same sentences and the same seed give the same replies.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence

from _noise import noisy

from llmner.spans import Sentence

__all__ = ["damaged_replies"]

# Which label is confused with which, as models do on KLUE.
_CONFUSED = {"LC": "OG", "OG": "LC", "DT": "TI", "TI": "DT", "QT": "DT", "PS": "OG"}
_REFUSAL = "죄송하지만 이 문장에서는 무엇을 찾아야 하는지 알 수 없습니다."


def damaged_replies(
    sentences: Sequence[Sentence], labels: Sequence[str], seed: int = 20
) -> list[str]:
    """A reply to each sentence, in the format ``json-list``."""
    rng = random.Random(seed)
    replies = []
    for case in noisy(sentences, labels, seed):
        items = []
        surfaces = {case.text[span.start : span.end] for span in case.expected}
        for mention in case.mentions:
            label = _CONFUSED[mention.label] if rng.random() < 0.08 else mention.label
            confidence = (
                rng.uniform(0.75, 1.0) if mention.text in surfaces else rng.uniform(0.4, 0.95)
            )
            items.append({"text": mention.text, "type": label, "confidence": round(confidence, 2)})
        reply = json.dumps(items, ensure_ascii=False)
        roll = rng.random()
        if roll < 0.02:
            reply = _REFUSAL
        elif roll < 0.05 and len(items) > 1:
            reply = reply[: rng.randint(len(reply) // 3, len(reply) - 5)]
        elif roll < 0.5:
            reply = f"```json\n{reply}\n```"
        elif roll < 0.6:
            reply = f"다음은 문장에서 찾은 개체명입니다.\n{reply}"
        replies.append(reply)
    return replies
