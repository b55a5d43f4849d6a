"""Labels of a whole text in lines: lists, tables, headings with values below, sentences."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from llmner._budget import Budget
from llmner.replies._attributed import attributes_in
from llmner.replies.labels._words import Token, Vocabulary, value_text
from llmner.schema import Label

__all__ = ["Item", "LabelLines", "is_unasked", "value_in"]

_BULLET = re.compile(r"^\s*(?:[-*+•·‣▪◦]\s+|[•·‣▪◦]\s*|\(?\d{1,3}[.)]\s+|#{1,6}\s+)")
_CHECKED = re.compile(r"^\s*(?:\[[xX✓✔]\]|[✓✔✅☑])\s*")
_UNCHECKED = re.compile(r"^\s*(?:\[\s?\]|[✗✘❌☐])\s*")
_BORDER = re.compile(r"[\s|:+\-=_]*")
_PIECES = re.compile(r"[,，、;；\n]|\s[/|·]\s|\s{2,}|\|")
_UNKNOWN = re.compile(r"\s*([^\d:：=+\-−]{1,30}?)\s*[:：=]\s*(\S.*?)\s*")
_UNKNOWN_NUMBER = re.compile(r"\s*([^\s\d:：=+\-−]{1,10})\s?([+\-−]?\d)\s*")
_SPACED_DASH = re.compile(r"\s-\s+(?=[-−+]?\d)")
# What joins labels that share a value.
_JOINING = frozenset(",/·&、，;|*_`\"'「」【】")
_JOINING_WORDS = frozenset({"and", "및", "와", "과", "와(과)", "그리고", "和", "と", "und"})
# Words beside values that are about no label.
_UNASKED = frozenset(
    "overall total summary confidence reason 전체 전반 전반적 총점 총평 종합 평균 이유 근거 신뢰도 "
    "결과 답 정답 label labels aspect aspects category 라벨 속성 항목 카테고리 sentiment polarity "
    "value "
    "score 감성 감정 점수 값 평가 극성 긍부정 리뷰 review text 텍스트 note 참고 주의".split()
)
_LONGEST_NAME = 40
_LONGEST_LINE = 4000
_NOTHING = frozenset({"없음", "none", "无", "無", "なし"})
_NO = frozenset({"0", "0.0", "x", "no", "false", "n", "아님", "아니오", "아니요", "없다", "부재"})

Item = tuple[str, dict[str, Any]]
"""A label's code, or a word that no label has, with what is said of it."""


def is_unasked(word: str) -> bool:
    """Whether a word beside a value is about no label: overall, 이유.

    >>> is_unasked("Overall"), is_unasked("색감")
    (True, False)
    """
    return "".join(word.casefold().split()) in _UNASKED


@dataclass(slots=True)
class LabelLines:
    """Reads lines one after the other, and keeps what earlier ones leave open.

    Attributes:
        words: The vocabulary.
        answers: What lines say that are answers.
        sentences: Labels of other lines.
        repairs: The kinds of repair that were made, in order; the values mean nothing.
    """

    words: Vocabulary
    answers: list[Item] = field(default_factory=list)
    sentences: list[Item] = field(default_factory=list)
    repairs: dict[str, None] = field(default_factory=dict)
    _pending: list[str] = field(default_factory=list)
    _heading: Token | None = None
    _signs: bool = False
    _names: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        for name, attribute in self.words.attributes:
            self._names |= {word for word in (name, attribute.name, *attribute.aliases) if word}

    def read(self, part: str, budget: Budget) -> list[Item]:
        """The labels in lines of text; none if there are none.

        Lines that are an answer count; if there is none, sentences that name labels do.
        """
        dashes = len(_SPACED_DASH.findall(part))
        if (dashes > 1 and dashes == len(re.findall(r"[-−]\s*\d", part))) or "- -" in part:
            # 디자인 - 1, 배송 - 2: all dashes part, and none is a sign.
            part = _SPACED_DASH.sub(" : ", part)
        for line in part.split("\n"):
            budget.spend(1 + len(line) // 4)
            if not line.strip() or len(line) > _LONGEST_LINE or _BORDER.fullmatch(line):
                continue
            self._line(line)
        found = self.answers or self.sentences
        if not self.answers and self.sentences:
            self.repairs["prose"] = None
        last = dict(found)
        return list(last.items())

    def _line(self, line: str) -> None:
        body = _BULLET.sub("", line.replace("**", "").strip().strip("|"))
        if not self.words.has_values:
            if _UNCHECKED.match(body):
                return
            body = _CHECKED.sub("", body)
        tokens = self.words.tokens(body)
        self._signs = self._signs or any(
            token.text[:1] == "+" for token in tokens if token.kind == "sign"
        )
        labels = [token for token in tokens if token.kind == "label"]
        if not self.words.has_values:
            self._plain_line(tokens)
            return
        values = [token for token in tokens if token.kind in ("value", "sign", "absent")]
        others = sum(len(token.text) for token in tokens if token.kind == "other")
        if labels and values:
            self._pending, self._heading = [], None
            self.answers += self._items(tokens)
        elif labels:
            self._label_line(labels, tokens, others)
        elif values and others <= 8:
            self._value_line(values)
        if not labels or values:
            self.answers += self._unknown(body)

    def _label_line(self, labels: list[Token], tokens: list[Token], others: int) -> None:
        """A line of labels without values: they stand above, or below."""
        codes = [token.code for token in labels]
        if self._heading is not None and others <= 8:
            self.answers += [(code, self._attributes(code, [self._heading])) for code in codes]
            return
        items = self._items(tokens)
        if items:
            self.answers += items
        elif others == 0:
            self._pending += codes

    def _value_line(self, values: list[Token]) -> None:
        """A line of values without labels: these stand above, or below."""
        if self._pending:
            for code in self._pending:
                self.answers.append((code, self._attributes(code, values)))
            self._pending = []
        else:
            self._heading = values[0] if values[0].kind == "value" else None

    def _plain_line(self, tokens: list[Token]) -> None:
        """A line about labels that have no attributes."""
        items: list[Item] = []
        rest = 0
        for number, token in enumerate(tokens):
            following = tokens[number + 1 : number + 4]
            if token.kind == "label" and not _is_denial(token, tokens[max(0, number - 2) : number]):
                if not _is_denied(following):
                    items.append((token.code, {}))
            elif token.kind == "other":
                rest += len(token.text)
        whole = sum(len(token.text) for token in tokens)
        if items and rest * 4 <= whole + 8:
            self.answers += items
        else:
            self.sentences += items

    def _items(self, tokens: list[Token]) -> list[Item]:
        """The labels of a line with values."""
        places = [number for number, token in enumerate(tokens) if token.kind == "label"]
        before = [token for token in tokens[: places[0]] if token.kind == "value"]
        after = [t for t in tokens[places[-1] + 1 :] if t.kind in ("value", "sign", "absent")]
        if before and not after:
            return self._values_first(tokens)
        items: list[Item] = []
        sharing: list[str] = []
        ends = [*places[1:], len(tokens)]
        for place, end in zip(places, ends, strict=True):
            code, between = tokens[place].code, tokens[place + 1 : end]
            label = self.words.schema.text_label(code)
            if label is not None and len(label.attributes) == 1:
                between = _own(between, self._names)
            if end < len(tokens) and all(_joins(token) for token in between):
                sharing.append(code)
                continue
            for each in (*sharing, code):
                attributes = self._attributes(each, between)
                if attributes is not None:
                    items.append((each, attributes))
            sharing = []
        return items

    def _values_first(self, tokens: list[Token]) -> list[Item]:
        """The labels of a line whose values stand before them: 긍정: 디자인, 가격 / 부정: 배송."""
        items: list[Item] = []
        values: list[Token] = []
        is_open = False
        for token in tokens:
            if token.kind == "value":
                values = [*values, token] if is_open else [token]
                is_open = True
            elif token.kind == "label":
                is_open = False
                attributes = self._attributes(token.code, values)
                if attributes is not None:
                    items.append((token.code, attributes))
        return items

    def _attributes(self, code: str, between: Sequence[Token]) -> Any:
        """What tokens say of a label; ``None`` if they say that the text does not have it, or
        nothing.
        """
        label = self.words.schema.text_label(code)
        assert label is not None
        if not label.attributes:
            return None if _is_denied(between) else {}
        return attributes_of(label, between, minus=self._signs)

    def _unknown(self, line: str) -> list[Item]:
        """Names that no label has, with a value behind: 색감: 1."""
        closed = [(name, own) for name, own in self.words.attributes[:1] if own.values]
        items: list[Item] = []
        for piece in _PIECES.split(line):
            if not closed or len(piece) > _LONGEST_NAME:
                continue
            match = _UNKNOWN.fullmatch(piece) or _UNKNOWN_NUMBER.fullmatch(piece)
            if (
                match is None
                or len(match[1].split()) > 3
                or is_unasked(match[1].strip("「」【】\"' "))
            ):
                continue
            tokens = self.words.tokens(piece)
            if any(token.kind == "label" for token in tokens) or tokens[0].kind != "other":
                continue
            name, attribute = closed[0]
            word = match[2].strip(" .()")
            names = [self.words.schema.text_labels[0].resolve_attribute(match[1])]
            if names == [None] and attribute.takes(word):
                items.append((match[1].strip(), {name: word}))
        return items


def _own(between: list[Token], names: set[str]) -> list[Token]:
    """The tokens up to where another name begins: of -1, 색감 1 the first number.

    Args:
        between: The tokens between a label and the next.
        names: Words for attributes, which begin no other name.
    """
    said = False
    for number, token in enumerate(between[:-1]):
        said = said or token.kind in ("value", "sign", "absent", "other")
        if said and token.kind == "mark" and token.text in ",;、|·":
            following = between[number + 1]
            is_name = following.kind == "other" and following.text not in names
            if is_name and any(each.kind == "value" for each in between[number + 2 : number + 5]):
                return between[:number]
    return between


def _joins(token: Token) -> bool:
    return (token.kind == "mark" and token.text in _JOINING) or token.text in _JOINING_WORDS


def _is_denied(following: Sequence[Token]) -> bool:
    """Whether what follows a label says that the text does not have it."""
    marked = False
    for token in following:
        if token.kind == "mark" and token.text in ":=(|-":
            marked = True
            continue
        if marked and token.text in _NOTHING:
            return True
        if token.kind == "absent" or token.text in _NO:
            return True
        return token.text[:3] in ("지않음", "하지않") or token.text[:2] in ("아님", "않음", "지않")
    return False


def _is_denial(token: Token, before: Sequence[Token]) -> bool:
    """Whether a label that means "none" denies the one before it: 슬픔: 없음."""
    if token.text not in _NOTHING:
        return False
    marks = [each.text for each in before if each.kind == "mark"]
    return any(each.kind == "label" for each in before) and all(mark in ":=(|" for mark in marks)


def attributes_of(label: Label, between: Sequence[Token], *, minus: bool) -> Any:
    """The attributes that tokens give a label; ``None`` if it is absent or nothing is said.

    Args:
        label: The label.
        between: The tokens.
        minus: Whether a lone minus is a value; where nobody writes a plus it says that there is
            none.
    """
    said = [token for token in between if token.kind in ("value", "sign")]
    if len(label.attributes) > 1:
        words = [token.code or token.text for token in said if token.kind == "value"]
        words += [token.text for token in between if token.kind == "other"]
        found = attributes_in(words, label)
        return {n: v for n, v in found.items() if label.attributes[n].takes(v)} or None
    ((name, attribute),) = label.attributes.items()
    numbers = [token.code for token in said if token.number]
    words = [token.code for token in said if token.kind == "value" and not token.number]
    signs = [token.text for token in said if token.kind == "sign"]
    absent = any(token.kind == "absent" for token in between)
    for candidates in (numbers, words):
        codes = {
            str(attribute.read(word).value): word for word in candidates if attribute.takes(word)
        }
        if len(codes) == 1:
            return {name: next(iter(codes.values()))}
        if codes:
            return {name: ", ".join(candidates)}
    if signs and (minus or signs[0] != "-") and attribute.takes(signs[0]):
        return {name: signs[0]}
    if absent or signs or (numbers and all(float(number) == 0 for number in numbers)):
        return None
    text = value_text(token for token in between if token.kind != "mark")
    marked = bool(between) and between[0].kind == "mark" and between[0].text in ":=("
    if numbers or words or (marked and text):
        return {name: text}
    return None


def value_in(text: str, label: Label, words: Vocabulary) -> Any:
    """The attributes in a string that stands under a label; ``None`` if it says there are none.

    >>> from llmner.schema import LabelSchema
    >>> schema = LabelSchema(text_labels=(Label(code="a", attributes={"tone": [-1, 1]}),))
    >>> value_in("1점", schema.text_labels[0], Vocabulary(schema))
    {'tone': '1'}
    """
    first = next(iter(label.attributes), None)
    if first is None:
        return {}
    if len(label.attributes) == 1 and label.attributes[first].takes(text):
        return {first: text}
    tokens = [Token("mark", ":"), *words.tokens(text)]
    return attributes_of(label, tokens, minus=True)
