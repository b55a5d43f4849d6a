"""What the usual values of attributes mean in any language: good and bad, yes and no, nothing."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from llmner._unicode import normalized

__all__ = ["answer_meaning", "is_no_answer"]

_WORDS: Final = {
    "positive": "positive pos good favorable favourable + 긍정 긍정적 긍정적임 좋음 좋다 만족 肯定 "
    "肯定的 👍 正面 好评 好評 积极 積極的 ポジティブ 良い positiv",
    "negative": "negative neg bad unfavorable unfavourable - 부정 부정적 부정적임 나쁨 나쁘다 불만 "
    "불만족 否定 否定的 👎 负面 負面 差评 消极 ネガティブ 悪い negativ",
    "neutral": "neutral neu 중립 중립적 보통 中立 中性 中立的 普通 ニュートラル",
    "very positive": "very_positive 매우긍정 매우긍정적 매우좋음 매우만족 아주긍정 아주좋음 "
    "강한긍정 非常正面 非常好 とても良い strongly_positive sehr_positiv ++",
    "very negative": "very_negative 매우부정 매우부정적 매우나쁨 매우불만 아주부정 아주나쁨 "
    "강한부정 非常负面 非常差 とても悪い strongly_negative sehr_negativ --",
    "mixed": "mixed conflict conflicting both 혼합 복합 엇갈림 양면 混合 賛否 gemischt",
    "yes": "yes true y on 1 o ○ ✓ ✔ 예 네 참 맞음 있음 是 对 真 はい ja wahr",
    "no": "no false n off 0 x × ✗ ✘ 아니오 아니요 거짓 아님 否 不是 假 いいえ nein falsch",
}
_MEANINGS: Final = {
    spelling: meaning
    for meaning, words in _WORDS.items()
    for word in words.split()
    for spelling in (word, word.replace("_", ""))
}
_NOTHING: Final = frozenset(
    "none null nil n/a na - – — unknown unspecified 없음 해당없음 모름 미상 無 无 なし 不明 keine "
    "unbekannt".split()
)


@lru_cache(maxsize=1024)
def answer_meaning(word: str) -> str | None:
    """What a word for a value means: ``positive``, ``very negative``, ``yes``, ...

    >>> answer_meaning("긍정"), answer_meaning("Negative"), answer_meaning("blue")
    ('positive', 'negative', None)
    """
    if len(word) > 60:
        return None
    # "very positive", "매우 긍정": words for one meaning have no spaces here.
    return _MEANINGS.get("".join(_fold(word).replace("_", " ").split()))


def is_no_answer(word: str) -> bool:
    """Whether a word says that there is no value: 없음, none, -.

    >>> is_no_answer("없음"), is_no_answer("")
    (True, True)
    """
    return len(word) <= 20 and ((key := _fold(word)) in _NOTHING or not key)


def _fold(word: str) -> str:
    return normalized("NFKC", word).casefold().replace("\u2212", "-").strip(" \t\r\n*_`'\"“”‘’.!")
