"""Replies about whole texts as models write them: one right answer, damaged in many ways."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence

from llmner.schema import LabelSchema

__all__ = ["DAMAGES", "SCHEMA", "damaged"]

_ALIASES = {
    "배송": ["배달", "택배"],
    "가격": ["가성비", "값"],
    "디자인": ["외관", "생김새"],
    "사이즈": ["크기", "치수"],
    "색상": ["색", "컬러"],
    "소재": ["재질", "원단"],
    "품질": ["퀄리티", "완성도"],
    "포장": ["패키지"],
    "착용감": ["핏"],
    "성능": ["기능"],
    "맛": ["풍미"],
    "서비스": ["응대", "고객센터"],
}
SCHEMA = LabelSchema.model_validate(
    {
        "text_labels": [
            {
                "code": code,
                "aliases": aliases,
                "attributes": {"sentiment": {"values": [-2, -1, 0, 1, 2], "required": True}},
            }
            for code, aliases in _ALIASES.items()
        ]
    }
)
"""Twelve aspects of a product, each with a sentiment from -2 to 2."""

Answer = dict[str, int]
_WORDS = {
    -2: ["매우 부정", "아주 나쁨", "very negative"],
    -1: ["부정", "부정적", "negative", "나쁨"],
    0: ["중립", "보통", "neutral"],
    1: ["긍정", "긍정적", "positive", "좋음"],
    2: ["매우 긍정", "아주 좋음", "very positive"],
}
_REMARKS = [
    "리뷰를 분석한 결과입니다.",
    "다음은 요청하신 속성별 감성입니다:",
    "Here is the answer:",
    "결과:",
    "네, 알겠습니다!",
]
_ENDS = ["이상입니다.", "도움이 되었길 바랍니다!", "더 궁금한 점이 있으면 말씀해 주세요.", "(끝)"]


def _plain(answer: Answer, rng: random.Random) -> str:
    return ", ".join(f"{label}{value}" for label, value in answer.items())


def _each(write: Callable[[str, int, random.Random], str], separators: Sequence[str]) -> Damage:
    def damage(answer: Answer, rng: random.Random) -> str:
        separator = rng.choice(separators)
        return separator.join(write(label, value, rng) for label, value in answer.items())

    return damage


def _spaced(label: str, value: int, rng: random.Random) -> str:
    text = f"{label}{value}"
    return "".join(char + " " * (rng.random() < 0.3) for char in text).strip()


def _wide(label: str, value: int, rng: random.Random) -> str:
    wide = str(value).translate({ord(digit): ord(digit) + 0xFEE0 for digit in "0123456789"})
    return f"{label}{rng.choice(['：', ':', ' ', ''])}{wide.replace('-', rng.choice('－−-'))}"


def _signed(label: str, value: int, rng: random.Random) -> str:
    sign = "+" if value > 0 else "−" if value < 0 else ""
    return f"{label}{rng.choice([' ', '', ': '])}{sign}{abs(value)}"


def _worded(label: str, value: int, rng: random.Random) -> str:
    word = rng.choice(_WORDS[value])
    return rng.choice(["{}: {}", "{} {}", "{}({})", "{}={}", "{} -> {}"]).format(label, word)


def _aliased(label: str, value: int, rng: random.Random) -> str:
    return f"{rng.choice(_ALIASES[label])}{rng.choice([': ', '', ' '])}{value}"


def _listed(answer: Answer, rng: random.Random) -> str:
    bullet = rng.choice(["- {}", "* {}", "• {}", "1. {}", "- **{}**"])
    between = rng.choice([": ", " : ", " → ", " "])
    return "\n".join(f"{bullet.format(label)}{between}{v}" for label, v in answer.items())


def _table(answer: Answer, rng: random.Random) -> str:
    rows = [f"| {label} | {value} |" for label, value in answer.items()]
    return "\n".join(["| 속성 | 감성 |", "| --- | --- |", *rows])


def _object(answer: Answer, rng: random.Random) -> str:
    value = {label: rng.choice([v, str(v), rng.choice(_WORDS[v])]) for label, v in answer.items()}
    wrapped = rng.choice([value, {"result": value}, {"aspects": value}])
    return json.dumps(wrapped, ensure_ascii=False, indent=rng.choice([None, 2]))


def _objects(answer: Answer, rng: random.Random) -> str:
    label_key = rng.choice(["label", "aspect", "속성", "category"])
    value_key = rng.choice(["sentiment", "polarity", "감성", "score"])
    rows = [{label_key: label, value_key: value} for label, value in answer.items()]
    return json.dumps(rows, ensure_ascii=False)


def _fenced(answer: Answer, rng: random.Random) -> str:
    return f"```json\n{_object(answer, rng)}\n```"


def _remarked(answer: Answer, rng: random.Random) -> str:
    inner = rng.choice([_plain, _listed, _table])(answer, rng)
    before = f"{rng.choice(_REMARKS)}\n" if rng.random() < 0.7 else ""
    return f"{before}{inner}\n{rng.choice(_ENDS)}"


def _sentence(answer: Answer, rng: random.Random) -> str:
    return " ".join(
        f"{label}은(는) {rng.choice(_WORDS[v][:1])}입니다." for label, v in answer.items()
    )


def _commented(label: str, value: int, rng: random.Random) -> str:
    return f"{label}: {value} ({rng.choice(['만족한 듯', '아쉽다고 함', '언급함'])})"


Damage = Callable[[Answer, random.Random], str]
DAMAGES: dict[str, Damage] = {
    "plain": _plain,
    "no spaces": _each(lambda label, value, _: f"{label}{value}", [",", ""]),
    "spaces": _each(_spaced, [", ", " , ", "  "]),
    "full width": _each(_wide, [", ", "，", "、"]),
    "signs": _each(_signed, [", ", "; "]),
    "words": _each(_worded, [", ", "\n", " / "]),
    "aliases": _each(_aliased, [", ", "\n"]),
    "separators": _each(lambda label, value, _: f"{label}:{value}", ["|", " / ", ";", "\n", " · "]),
    "list": _listed,
    "table": _table,
    "object": _object,
    "objects": _objects,
    "fence": _fenced,
    "remark": _remarked,
    "sentence": _sentence,
    "comment": _each(_commented, [", ", "\n"]),
}
"""Ways to write an answer, by name."""


def damaged(count: int, seed: int = 42) -> list[tuple[str, str, Answer]]:
    """(name of the damage, reply, right answer), each damage as often as the others.

    >>> damaged(1)[0][0]
    'plain'
    """
    rng = random.Random(seed)
    names = list(DAMAGES)
    rows = []
    for number in range(count):
        labels = rng.sample(list(_ALIASES), rng.randint(1, 5))
        answer = {label: rng.randint(-2, 2) for label in labels}
        name = names[number % len(names)]
        rows.append((name, DAMAGES[name](answer, rng), answer))
    return rows
