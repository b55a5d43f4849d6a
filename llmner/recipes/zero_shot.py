"""Prompts for labels that no recipe has: written here, in the language of the texts.

They say what each label means, that mentions are copied as they stand, and how an answer looks, by
an example that is made of the labels themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

__all__ = ["PROMPT_LANGUAGES", "zero_shot_fields"]

_LABELS: Final = (
    "{% for label in labels %}- {{ label.code }}"
    "{% if label.name %} ({{ label.name }}){% endif %}"
    "{% if label.description %}: {{ label.description }}{% endif %}\n{% endfor %}"
)

_PROMPTS: Final[Mapping[str, tuple[str, tuple[str, str], tuple[str, str]]]] = {
    "en": (
        "Find every mention of the labels below in the text that you are given.\n"
        f"{_LABELS}"
        "Copy each mention exactly as the text has it, in the order of the text, and once for each "
        "time it occurs. Leave out what fits no label.\n"
        "Answer in this form and with nothing else: {{ examples[0].answer }}\n"
        "If there is no mention, {% if empty %}answer {{ empty }}{% else %}give the text as it is"
        "{% endif %}.",
        ("first mention", "second mention"),
        ("Text: ", "Answer: "),
    ),
    "ko": (
        "주어진 글에서 아래 유형에 해당하는 표현을 모두 찾는다.\n"
        f"{_LABELS}"
        "표현은 글에 적힌 그대로, 조사는 빼고 옮긴다. 글에 나온 순서대로 적고, 여러 번 나오면 나온 "
        "만큼 적는다. 어느 유형에도 맞지 않는 것은 적지 않는다.\n"
        "다음 형식으로만 답한다: {{ examples[0].answer }}\n"
        "찾은 것이 없으면 {% if empty %}{{ empty }} 로 답한다{% else %}글을 그대로 적는다"
        "{% endif %}.",
        ("첫째 표현", "둘째 표현"),
        ("글: ", "답: "),
    ),
    "ja": (
        "与えられた文章から、次の種類に当てはまる表現をすべて抜き出してください。\n"
        f"{_LABELS}"
        "表現は文章にあるとおりに、出てくる順に、出てくる回数だけ書き写してください。"
        "どの種類にも当てはまらないものは書かないでください。\n"
        "次の形式だけで答えてください: {{ examples[0].answer }}\n"
        "何もなければ{% if empty %} {{ empty }} と答えて{% else %}文章をそのまま書いて"
        "{% endif %}ください。",
        ("最初の表現", "次の表現"),
        ("文章: ", "答え: "),
    ),
    "zh": (
        "请从给出的文本中找出属于下列类型的所有表述。\n"
        f"{_LABELS}"
        "按文本中的顺序逐字照抄，同一表述出现几次就写几次。不属于任何类型的内容不要写。\n"
        "只按以下格式回答：{{ examples[0].answer }}\n"
        "如果没有，就{% if empty %}回答 {{ empty }}{% else %}照抄原文{% endif %}。",
        ("第一个表述", "第二个表述"),
        ("文本：", "回答："),
    ),
}

PROMPT_LANGUAGES: Final = tuple(_PROMPTS)
"""The languages that prompts are written in; the first one stands in for all others."""


def zero_shot_fields(codes: list[str], language: str) -> dict[str, Any]:
    """The fields of a recipe that asks for labels without worked examples.

    Args:
        codes: The codes of the labels.
        language: The BCP 47 code of the language of the texts.

    >>> zero_shot_fields(["PERSON"], "ko-KR")["completion"]["output"]
    '답: '
    """
    code = language.partition("-")[0].lower()
    system, mentions, (input, output) = _PROMPTS.get(code, _PROMPTS[PROMPT_LANGUAGES[0]])
    # An answer of the first two labels shows the form, whatever the format.
    example = " ".join(
        f"<{mention}:{label}>" for mention, label in zip(mentions, codes, strict=False)
    )
    return {
        "system": system,
        "examples": (example,),
        "examples_as": "system",
        "completion": {"input": input, "output": output},
    }
