"""Reading the labels of a whole text from any reply: lists, lines, tables, JSON, sentences."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from llmner._budget import UNBOUNDED, Budget
from llmner._unicode import normalized
from llmner.attributes import Attribute
from llmner.languages import answer_meaning, is_no_answer
from llmner.replies._attributed import attributes_in
from llmner.replies._clean import drop_end_of_turn, drop_reasoning, split_fences
from llmner.replies._interpret import LABEL_KEYS, normalize_key
from llmner.replies._json import find_values
from llmner.replies._json_values import Pairs
from llmner.replies._mentions import is_nothing
from llmner.replies._types import ReadReply, Status
from llmner.replies.labels.json import EVIDENCE
from llmner.schema import Label, LabelSchema
from llmner.spans import Mention

__all__ = ["read_labels"]

_EVIDENCE_KEYS = frozenset(
    "evidence text span spans quote quotes reason highlight highlights words phrase 근거 근거문장 "
    "표현 인용 하이라이트 根拠 依据 依據".split()
)
_VALUE_KEYS = ("value", "score", "polarity", "sentiment", "점수", "값", "감성", "감정")
_BULLET = re.compile(r"^\s*(?:[-*+•·‣▪◦]\s+|[•·‣▪◦]\s*|\(?\d{1,3}[.)]\s+|#{1,6}\s+)")
_BORDER = re.compile(r"[\s|:+\-=_]*")
_PIECES = re.compile(r"[,，、;；\n]|\s[/|·]\s|\s{2,}")
# What may stand between a label and its value. A minus sign belongs to a number.
_SEPARATORS = " \t:：=,，、;；/|·•()（）[]{}<>\"'“”‘’*`~_→"
_ARROW = re.compile(r"^(?:->|=>|-(?!\s*[\d.+-]))+")
_NUMBER = re.compile(r"[+-]?\s*\d+(?:\.\d+)?")
_UNKNOWN = re.compile(r"\s*([^\d:：=+\-−]{1,30}?)\s*[:：=]\s*(\S.*?)\s*")
_UNKNOWN_NUMBER = re.compile(r"\s*([^\s\d:：=+\-−]{1,10})\s?([+\-−]?\d)\s*")
# Of a name that no schema has, before a value: at most so many characters.
_LONGEST_NAME = 40
_LONGEST_LINE = 4000


@dataclass(slots=True)
class _Found:
    """What was read so far.

    Attributes:
        schema: Has the labels.
        mentions: The labels, each with what the reply says of it.
        repairs: The kinds of repair that were made, in order; the values mean nothing.
    """

    schema: LabelSchema
    mentions: list[Mention] = field(default_factory=list)
    repairs: dict[str, None] = field(default_factory=dict)

    def add(self, word: str, attributes: Mapping[str, Any]) -> None:
        code = self.schema.resolve_text_label(word)
        if code is not None and code != word:
            self.repairs["label-name"] = None
        self.mentions.append(Mention(code or word.strip(), "", dict(attributes)))


def read_labels(
    reply: str,
    schema: LabelSchema,
    *,
    text: str | None = None,
    budget: Budget | None = None,
) -> ReadReply:
    """Read which labels a reply gives a whole text, in any style; no string raises an error.

    Args:
        reply: The raw reply.
        schema: Its ``text_labels`` are the labels.
        text: The text that was asked about, for telling reasoning from answers.
        budget: The steps of work that it may take.

    Returns:
        The labels as mentions without a surface, in ``labels``.

    >>> schema = LabelSchema.model_validate(
    ...     {"text_labels": [{"code": "디자인", "attributes": {"sentiment": [-1, 0, 1]}}]}
    ... )
    >>> read_labels("디자인은 긍정이에요", schema).labels[0].attributes
    {'sentiment': '긍정'}
    """
    work = budget or UNBOUNDED
    work.spend(1 + len(reply) // 16)
    repairs: list[str] = []
    answer = drop_end_of_turn(drop_reasoning(reply, repairs, text), repairs)
    blocks, outside = split_fences(answer, repairs)
    if not answer.strip():
        return ReadReply(status="unreadable" if repairs else "empty", repairs=tuple(repairs))
    parts = [part for part in (*blocks, outside) if part.strip()]
    for part in parts:
        found = _read_json(part, schema, work) or _read_text(part, schema, work)
        if found is not None:
            told = tuple(dict.fromkeys([*repairs, *found.repairs]))
            status: Status = "repaired" if told else "ok"
            return ReadReply((), status, told, "labels", "none", labels=tuple(found.mentions))
    if is_nothing(answer):
        return ReadReply(
            status="repaired" if answer.strip() != "-" else "ok", repairs=("none-word",)
        )
    return ReadReply(status="unreadable", repairs=tuple(dict.fromkeys(repairs)))


def _read_json(part: str, schema: LabelSchema, budget: Budget) -> _Found | None:
    """The labels in JSON; ``None`` if there is no JSON that names any, or that is empty."""
    values = find_values(part, budget) if any(sign in part for sign in "[{") else []
    best: _Found | None = None
    for value in values:
        found = _Found(schema)
        _interpret(value.value, found)
        for repair in value.repairs:
            found.repairs[repair] = None
        if found.mentions or (not value.value and value.complete and best is None):
            rest = part[: value.start] + part[value.end :]
            if rest.strip():
                found.repairs["prose"] = None
            if best is not None and best.mentions and len(values) > 1 and not _repeats(best, found):
                # An object a line.
                found.mentions = [*best.mentions, *found.mentions]
            best = found
    return best


def _repeats(first: _Found, second: _Found) -> bool:
    labels = {mention.label for mention in first.mentions}
    return any(mention.label in labels for mention in second.mentions)


def _interpret(value: Any, found: _Found) -> None:
    if isinstance(value, Pairs):
        _read_object(value, found)
    elif isinstance(value, list):
        strings = [item for item in value if isinstance(item, str)]
        if len(value) == len(strings) == 2 and found.schema.resolve_text_label(strings[0]):
            label = _label(strings[0], found.schema)
            is_pair = found.schema.resolve_text_label(strings[1]) is None
            if label is not None and label.attributes and is_pair:
                # ["디자인", "긍정"]
                found.add(strings[0], attributes_in([strings[1]], label))
                return
        for item in value:
            if isinstance(item, str):
                read = _read_text(item, found.schema, UNBOUNDED)
                if read is not None:
                    found.mentions += read.mentions
            else:
                _interpret(item, found)


def _read_object(pairs: Pairs, found: _Found) -> None:
    schema = found.schema
    plain = {str(key): value for key, value in pairs if key is not None}
    label_key = next(
        (
            key
            for key, value in plain.items()
            if isinstance(value, str)
            and (
                schema.resolve_text_label(value)
                or (normalize_key(key) in LABEL_KEYS and not is_no_answer(value))
            )
        ),
        None,
    )
    if label_key is not None and schema.resolve_text_label(label_key) is None:
        word = plain.pop(label_key)
        found.add(word, _attributes_of(plain, _label(word, schema)))
        return
    for key, value in plain.items():
        label = _label(key, schema)
        if label is not None:
            _read_key(key, label, value, found)
        elif isinstance(value, Pairs | list):
            grouped = [item for item in value if isinstance(item, str)]
            if not isinstance(value, Pairs) and grouped and _is_any_value(key, schema):
                # {"긍정": ["디자인", "가격"]}
                for word in grouped:
                    own = _label(word, schema)
                    found.add(word, {} if own is None else attributes_in([key], own))
                continue
            found.repairs["wrapped"] = None
            _interpret(value, found)
        elif _is_any_value(value, schema) and not is_no_answer(str(value)):
            found.add(key, {"value": value})


def _read_key(key: str, label: Label, value: Any, found: _Found) -> None:
    """Read a label as a key, with what stands under it."""
    if isinstance(value, Pairs):
        found.add(key, _attributes_of({str(name): item for name, item in value}, label))
    elif not label.attributes:
        if not _denies(value):
            found.add(key, {EVIDENCE: value} if isinstance(value, list) and label.evidence else {})
    elif isinstance(value, list):
        objects = [item for item in value if isinstance(item, Pairs)]
        for item in objects:
            found.add(key, _attributes_of({str(name): part for name, part in item}, label))
        if not objects and value:
            first = next(iter(label.attributes))
            found.add(key, {first: value[0] if len(value) == 1 else value})
    elif value is not None and not (isinstance(value, str) and _is_absent(value, label)):
        found.add(
            key, attributes_in([value], label) if isinstance(value, str) else {"value": value}
        )


def _denies(value: Any) -> bool:
    """Whether a value under a label says that the text does not have it."""
    if value is None or value is False or value == []:
        return True
    return isinstance(value, str) and (is_no_answer(value) or answer_meaning(value) == "no")


def _is_absent(value: str, label: Label) -> bool:
    return is_no_answer(value) and not any(
        attribute.read(value).kind in ("exact", "normalized")
        for attribute in label.attributes.values()
    )


def _attributes_of(plain: Mapping[str, Any], label: Label | None) -> dict[str, Any]:
    """The attributes in an object about one label, with its evidence."""
    attributes: dict[str, Any] = {}
    for key, value in plain.items():
        name = None if label is None else label.resolve_attribute(key)
        if name is not None:
            attributes[name] = value
        elif normalize_key(key) in _EVIDENCE_KEYS and label is not None and label.evidence:
            attributes[EVIDENCE] = value
        elif isinstance(value, Pairs):
            attributes |= _attributes_of({str(k): v for k, v in value}, label)
        else:
            attributes[key] = value
    return attributes


def _label(word: str, schema: LabelSchema) -> Label | None:
    code = schema.resolve_text_label(word)
    return None if code is None else schema.text_label(code)


def _is_any_value(value: Any, schema: LabelSchema) -> bool:
    return any(
        _is_value(attribute, value)
        for label in schema.text_labels[:1]
        for attribute in label.attributes.values()
        if attribute.values
    )


def _is_value(attribute: Attribute, value: Any) -> bool:
    return attribute.read(value).kind in ("exact", "normalized")


def _squash(text: str) -> str:
    """A text without white space, in normal width and lower case."""
    folded = normalized("NFKC", text).casefold().translate({0x2212: "-", 0x2013: "-", 0x2014: "-"})
    return "".join(folded.split())


@lru_cache(maxsize=64)
def _words(words: tuple[str, ...]) -> re.Pattern[str]:
    by_length = sorted({_squash(word) for word in words if _squash(word)}, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, by_length)) or "(?!)")


def _label_words(schema: LabelSchema) -> re.Pattern[str]:
    return _words(tuple(word for label in schema.text_labels for word in label.words if word))


def _codes(schema: LabelSchema) -> dict[str, str]:
    """The codes of the labels by their words without white space."""
    return {_squash(word): label.code for label in schema.text_labels for word in label.words}


def _read_text(part: str, schema: LabelSchema, budget: Budget) -> _Found | None:
    """The labels in lines of text; ``None`` if there are none.

    Lines that are an answer count; if there is none, sentences that name labels do.
    """
    answers, sentences = _Found(schema), _Found(schema)
    for line in part.split("\n"):
        budget.spend(1 + len(line) // 8)
        if not line.strip() or len(line) > _LONGEST_LINE or _BORDER.fullmatch(line):
            continue
        body = _BULLET.sub("", line.replace("**", "").strip().strip("|"))
        items, is_answer, is_exact = _read_line(body, schema)
        chosen = answers if is_answer else sentences
        for word, attributes in items:
            chosen.add(word, attributes)
        if items and not is_exact:
            chosen.repairs["line-style"] = None
        if sentences.mentions and is_answer:
            answers.repairs["prose"] = None
    found = answers if answers.mentions else sentences
    if not found.mentions:
        return None
    if found is sentences:
        found.repairs["prose"] = None
    found.mentions = _last_of_each(found.mentions)
    return found


def _last_of_each(mentions: Iterable[Mention]) -> list[Mention]:
    """Each label once, with what was said of it last; models correct themselves."""
    last = {mention.label: mention for mention in mentions}
    return list(last.values())


def _read_line(
    line: str, schema: LabelSchema
) -> tuple[list[tuple[str, dict[str, Any]]], bool, bool]:
    """The labels of a line; whether it is an answer, and whether it is written as a list should be.

    A line is an answer if values follow its labels, or, where labels have none, if it is hardly
    more than labels.
    """
    squashed = _squash(line)
    codes = _codes(schema)
    matches = list(_label_words(schema).finditer(squashed))
    items: list[tuple[str, dict[str, Any]]] = []
    values = unread = 0
    rest = squashed[: matches[0].start()] if matches else ""
    ends = [*[match.start() for match in matches[1:]], len(squashed)][: len(matches)]
    for match, end in zip(matches, ends, strict=True):
        label = schema.text_label(codes[match[0]])
        between = squashed[match.end() : end]
        if label is None:
            continue
        if not label.attributes:
            rest += between
            if not _denied(between):
                items.append((codes[match[0]], {}))
            continue
        attributes, is_read, left = _values_in(between, label)
        rest += left
        if is_read:
            values += 1
            items.append((codes[match[0]], attributes))
        elif between[:1] in (":", "=") and between.strip(_SEPARATORS + "-."):
            if is_no_answer(between.strip(_SEPARATORS)):
                continue
            unread += 1
            first = next(iter(label.attributes))
            items.append((codes[match[0]], {first: between.strip(_SEPARATORS)}))
    items += _unknown(line, schema)
    letters = re.sub(r"[\W_]+", "", rest)
    if any(label.attributes for label in schema.text_labels):
        return items, values + unread > 0, not letters
    return items, len(letters) <= len(squashed) // 4, not letters


def _denied(between: str) -> bool:
    """Whether what follows a label without attributes says that the text does not have it."""
    word = between.strip(_SEPARATORS + ".")
    return bool(word) and between[:1] in ":=(" and _denies(word)


def _values_in(between: str, label: Label) -> tuple[dict[str, Any], bool, str]:
    """The attributes between a label and the next one, whether any was read, and what is left."""
    body = _ARROW.sub("", between.lstrip(_SEPARATORS)).lstrip(_SEPARATORS)
    body = body.rstrip(_SEPARATORS + ".-!")
    attributes: dict[str, Any] = {}
    left = body
    if len(label.attributes) > 1:
        cells = [cell for cell in re.split(r"[/|,()]", body) if cell.strip(_SEPARATORS)]
        attributes = attributes_in(cells, label)
        known = any(_is_value(label.attributes[n], v) for n, v in attributes.items())
        return attributes, known, ""
    (name, attribute), *_ = label.attributes.items()
    if _is_value(attribute, body):
        return {name: body}, True, ""
    named = re.match(rf"{re.escape(_squash(name))}[:=]?", body)
    if named is not None and named.end() < len(body):
        body = body[named.end() :]
    number = _NUMBER.match(body)
    if number is not None and _is_value(attribute, number[0]):
        return {name: number[0]}, True, body[number.end() :]
    words = _words(tuple(_words_of(attribute)))
    first = words.match(body)
    if first is not None:
        return {name: first[0]}, True, body[first.end() :]
    inside = {match[0] for match in words.finditer(body) if len(match[0]) > 1}
    codes = {str(attribute.read(word).value) for word in inside}
    if len(codes) == 1:
        return {name: inside.pop()}, True, left
    return {}, False, left


def _words_of(attribute: Attribute) -> Iterable[str]:
    """Words for an attribute's values, in any language, that are no numbers."""
    for value in attribute.values:
        yield from (word for word in value.words if _NUMBER.fullmatch(word) is None)
    yield from (
        word
        for word in _ANSWERS
        if attribute.values and _is_value(attribute, word) and len(word) > 1
    )


_ANSWERS = (
    "매우긍정 매우부정 매우좋음 매우나쁨 매우만족 매우불만 긍정 부정 중립 좋음 나쁨 보통 "
    "만족 불만 혼합 verypositive verynegative positive negative neutral mixed conflict pos neg "
    "neu good bad "
    "非常正面 非常负面 正面 负面 中性 好评 差评 肯定 否定 中立 ポジティブ ネガティブ".split()
)


def _is_known(piece: str, schema: LabelSchema) -> bool:
    """Whether a piece of a line names a label with a value; 색감1 is no 색 with the value 감1."""
    codes = _codes(schema)
    for match in _label_words(schema).finditer(piece):
        label = schema.text_label(codes[match[0]])
        after = piece[match.end() :]
        is_named = not after[:1].isalnum() or _values_in(after, label)[1] if label else True
        if is_named:
            return True
    return False


def _unknown(line: str, schema: LabelSchema) -> list[tuple[str, dict[str, Any]]]:
    """Names that no label has, with a value behind: 색감: 1."""
    closed = [
        (name, attribute)
        for label in schema.text_labels[:1]
        for name, attribute in label.attributes.items()
        if attribute.values
    ]
    items = []
    for piece in _PIECES.split(line):
        if not closed or len(piece) > _LONGEST_NAME or _is_known(_squash(piece), schema):
            continue
        match = _UNKNOWN.fullmatch(piece) or _UNKNOWN_NUMBER.fullmatch(piece)
        if match is None or len(match[1].split()) > 3:
            continue
        for name, attribute in closed:
            if _is_value(attribute, match[2].strip(_SEPARATORS)):
                items.append((match[1], {name: match[2].strip(_SEPARATORS)}))
                break
    return items
