"""The words of a reply about a whole text: labels, values, denials, and everything else.

A line is read without its white space, since models lose and add some, but where it stood is kept:
it parts words. So 맛 is no label in 다양한 맛집, and 만족 no value in 만족도.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from llmner._unicode import normalized
from llmner.attributes import Attribute
from llmner.schema import Label, LabelSchema

__all__ = ["Token", "Vocabulary", "is_absent"]

# What may follow a word in Korean without making another word of it.
_AFTER_LABEL = re.compile(
    r"(?:은\(?는?\)?|는|이\(?가?\)?|가|을|를|과|와|의|도|에|에는|에선|에서는|부분은?|측면은?|쪽은?|"
    r"관련|감성|점수|평가|상태|만족도|값)?(?![가-힣])"
)
_AFTER_VALUE = re.compile(
    r"(?:적|스러|스럽|하|했)?(?:인|임|이|이다|입니다|이에요|예요|이고|이며|인데|으로|로|함|다|요|고|며|음|"
    r"합니다|한|해요|했다|했어요|습니다|어요|움|스러움|편|편임|편입니다|평가)?(?![가-힣])"
)
_NUMBER = re.compile(r"(?<![\d.])[+-]?\d{1,4}(?:\.\d{1,4})?(?![\d.]*\d)")
_UNIT = re.compile(r"(?:점|点|분)(?:이|입니다|이고|이며|임|으로|짜리)?(?![가-힣])")
_VERB = re.compile(r"(?:입니다|이다|임|이고|이며|로|으로|이에요|예요|인|이)(?![가-힣])")
_FULL_MARKS = re.compile(r"(?:점)?만점|/\d|outof")
_LATIN = re.compile(r"[^\W\d_가-힣\u3040-\u30ff\u4e00-\u9fff]")
_ABSENT = re.compile(
    r"(?:언급|해당|관련|내용|정보|평가|의견)?(?:이|은|가|사항|내용)*(?:없음|없다|없습니다|없어요)|"
    r"(?:언급|해당|관련|평가)(?:이|은)?(?:되지|하지|안)(?:는|도)?(?:않음|않았음|않습니다|않다|됨|함)|"
    r"x(?![^\W\d_])|"
    r"not(?:mentioned|applicable|discussed|present|stated|available|found)|nomention|n/?a|none|null|"
    r"unknown|absent|無|无|なし|言及なし|未提及|没有提到|[×✗✘❌]",
)
_DENIED = re.compile(r"(?:지(?:는|도|가)?)?(?:않|못|아니|아님|없)|(?:언급|내용|평가)(?:이|은)?없")
_DENYING = re.compile(r"(?:not|no|never|isn't|wasn't|nicht|kein|不|没|안|비|非)$")
_SIGNS = str.maketrans("−–—﹣–", "-----")


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of a line.

    Attributes:
        kind: ``label``; ``value``, a word or number for one; ``sign``, a lone plus or minus;
            ``absent``, which says that there is none; ``other`` words; ``mark``, punctuation.
        text: The piece, without white space, in normal width and lower case.
        code: The label's code.
        number: Whether a value is a number.
    """

    kind: Literal["label", "value", "sign", "absent", "other", "mark"]
    text: str
    code: str = ""
    number: bool = False


@lru_cache(maxsize=64)
def _pattern(words: tuple[str, ...]) -> re.Pattern[str]:
    by_length = sorted(set(words), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, by_length)) or "(?!)")


def squash(text: str) -> tuple[str, list[bool]]:
    """A text in normal width and lower case without white space, and before which characters some
    stood.
    """
    folded = normalized("NFKC", text).casefold().translate(_SIGNS)
    chars: list[str] = []
    spaced: list[bool] = []
    after_space = True
    for char in folded:
        if char.isspace():
            after_space = True
            continue
        chars.append(char)
        spaced.append(after_space)
        after_space = False
    return "".join(chars), spaced


def is_absent(text: str) -> bool:
    """Whether a text says that something is not there: 언급 없음, not mentioned.

    >>> is_absent("언급 없음"), is_absent("Not mentioned."), is_absent("좋음")
    (True, True, False)
    """
    plain = squash(text)[0].strip(".()[]\"'*-!")
    return not plain or _ABSENT.fullmatch(plain) is not None


class Vocabulary:
    """The words of a schema's labels and of their values.

    Args:
        schema: The schema.
    """

    def __init__(self, schema: LabelSchema) -> None:
        self.schema = schema
        self.codes: dict[str, str] = {}
        for label in schema.text_labels:
            for word in label.words:
                if squashed := squash(word)[0]:
                    self.codes.setdefault(squashed, label.code)
        self._labels = _pattern(tuple(self.codes))
        self.attributes = [
            (name, attribute)
            for label in schema.text_labels
            for name, attribute in label.attributes.items()
        ]
        # Most labels share their attributes.
        closed = dict.fromkeys(attribute for _, attribute in self.attributes if attribute.values)
        self.has_values = bool(self.attributes)
        words = dict.fromkeys(word for attribute in closed for word in _words_of(attribute))
        self._values = _pattern(tuple(words))

    def label(self, word: str) -> Label | None:
        """The label that a word means; ``None`` for any other."""
        code = self.codes.get(squash(word)[0]) or self.schema.resolve_text_label(word)
        return None if code is None else self.schema.text_label(code)

    def names_label(self, line: str) -> bool:
        """Whether a line has a word for a label. O(length)."""
        return len(line) < 4000 and any(token.kind == "label" for token in self.tokens(line))

    def tokens(self, line: str) -> list[Token]:
        """The pieces of a line. O(length)."""
        text, spaced = squash(line)
        tokens: list[Token] = []
        other = 0
        at = 0

        def flush(end: int) -> None:
            if other < end:
                tokens.append(Token("other", text[other:end]))

        while at < len(text):
            token = self._at(text, spaced, at, tokens, other < at)
            if token is None:
                at += 1
                continue
            flush(at)
            tokens.append(token)
            at += len(token.text)
            other = at
        flush(at)
        return tokens

    def _at(
        self, text: str, spaced: list[bool], at: int, tokens: list[Token], in_word: bool
    ) -> Token | None:
        """The token that begins at a place; ``None`` if it is of other words."""
        char = text[at]
        begins = not in_word or spaced[at] or not text[at - 1].isalnum() or not char.isalnum()
        if begins:
            match = self._labels.match(text, at)
            if match is not None and _ends(text, spaced, match.end(), _AFTER_LABEL, self._values):
                after = _AFTER_LABEL.match(text, match.end())
                # The particle belongs to the label.
                end = match.end() if after is None else after.end()
                hangul = "가" <= text[match.end() - 1] <= "힣"
                return Token(
                    "label", text[at : end if hangul else match.end()], self.codes[match[0]]
                )
            match = (
                _ABSENT.match(text, at)
                if at == 0 or not text[at - 1].isalpha() or spaced[at]
                else None
            )
            if match is not None and _parted(text, spaced, match.end()):
                return Token("absent", match[0])
            match = self._values.match(text, at)
            if match is not None and _ends(text, spaced, match.end(), _AFTER_VALUE, self._labels):
                after = _AFTER_VALUE.match(text, match.end())
                end = match.end() if after is None else after.end()
                hangul = "가" <= text[match.end() - 1] <= "힣"
                whole = text[at : end if hangul else match.end()]
                if _is_denied(text, at, at + len(whole)):
                    return None
                return Token("value", whole, match[0])
        number = _NUMBER.match(text, at)
        if number is not None and self.has_values:
            end = number.end()
            unit = _UNIT.match(text, end)
            if unit is not None:
                end = unit.end()
            elif text[end : end + 1].isalpha() and not spaced[end]:
                # 2일 is no value; but a label may follow without a space, and a particle's verb.
                said = self._labels.match(text, end) or _VERB.match(text, end)
                if said is None:
                    return None
            if _FULL_MARKS.match(text, number.end()) is not None:
                return None
            return Token("value", text[at:end], number[0], number=True)
        if char in "+-" and self.has_values and not text[at + 1 : at + 2].isalnum():
            end = at + 2 if text[at + 1 : at + 2] == char else at + 1
            return Token("sign", text[at:end])
        if not char.isalnum():
            return Token("mark", char)
        return None


def _parted(text: str, spaced: list[bool], end: int) -> bool:
    """Whether a word ends at a place."""
    if end >= len(text) or spaced[end]:
        return True
    return not (text[end - 1].isalpha() and text[end].isalpha())


def _ends(
    text: str,
    spaced: list[bool],
    end: int,
    particles: re.Pattern[str],
    following: re.Pattern[str] | None,
) -> bool:
    """Whether a word ends at a place, or only a particle or a value follows it there."""
    if _parted(text, spaced, end):
        return True
    if following is not None and following.match(text, end) is not None:
        return True
    last, first = text[end - 1], text[end]
    if not ("가" <= last <= "힣"):
        # Latin words end where other letters begin; of Chinese and Japanese no end is seen.
        return _LATIN.match(last) is None or _LATIN.match(first) is None
    found = particles.match(text, end)
    if found is not None and found.end() > end:
        return True
    # A space may have parted the particle from what follows: 디자인은 좋고.
    rest = text[end:]
    for size in (1, 2, 3):
        if end + size < len(text) and spaced[end + size]:
            return particles.fullmatch(rest[:size]) is not None
    return False


def _is_denied(text: str, start: int, end: int) -> bool:
    """Whether a word is denied: 긍정적이지 않음, not good."""
    before = text[max(0, start - 6) : start]
    return _DENIED.match(text[end : end + 12]) is not None or _DENYING.search(before) is not None


_ANSWERS = (
    "매우긍정 매우부정 매우좋음 매우나쁨 매우만족 매우불만 아주긍정 아주좋음 아주나쁨 강한긍정 "
    "강한부정 긍정 부정 중립 좋음 나쁨 보통 만족 불만 불만족 혼합 verypositive verynegative "
    "positive negative neutral mixed conflict pos neg neu good bad 非常正面 非常负面 正面 负面 "
    "中性 好评 差评 肯定 否定 中立 ポジティブ ネガティブ 👍 👎"
).split()


@lru_cache(maxsize=256)
def _words_of(attribute: Attribute) -> tuple[str, ...]:
    """Words for an attribute's values, in any language, that are no numbers, without white space.

    Kept, because the attributes of a schema are the same for every reply.
    """
    own = [word for value in attribute.values for word in value.words]
    words = [word for word in own if _NUMBER.fullmatch(word) is None]
    words += [word for word in _ANSWERS if attribute.takes(word)]
    return tuple(filter(None, dict.fromkeys(squash(word)[0] for word in words)))


def value_text(tokens: Iterable[Token]) -> Any:
    """The text of tokens, for outcomes.

    >>> value_text([Token("other", "보라")])
    '보라'
    """
    return "".join(token.text for token in tokens).strip(" :=-,.()")
