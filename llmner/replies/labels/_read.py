"""Reading the labels of a whole text from any reply: lists, lines, tables, JSON, sentences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from llmner._budget import UNBOUNDED, Budget
from llmner.languages import answer_meaning, is_no_answer
from llmner.replies._clean import drop_end_of_turn, drop_reasoning, split_fences
from llmner.replies._interpret import LABEL_KEYS, normalize_key
from llmner.replies._json import find_values
from llmner.replies._json_values import Number, Pairs
from llmner.replies._mentions import is_nothing
from llmner.replies._types import ReadReply, Status
from llmner.replies.labels._text import Item, LabelLines, is_unasked, value_in
from llmner.replies.labels._words import Vocabulary, is_absent
from llmner.replies.labels.json import EVIDENCE
from llmner.schema import Label, LabelSchema
from llmner.spans import Mention

__all__ = ["read_labels"]

_EVIDENCE_KEYS = frozenset(
    "evidence text span spans quote quotes reason highlight highlights words phrase 근거 근거문장 "
    "표현 인용 하이라이트 根拠 依据 依據".split()
)
_LABEL_KEYS = frozenset(
    {*LABEL_KEYS, "aspect", "aspects", "labels", "속성", "항목", "emotion", "감정"}
)
_SAYS_WHETHER = frozenset({"mentioned", "present", "언급", "언급여부", "exists"})
_BESIDE = frozenset({"index", "id", "start", "end", "confidence", "신뢰도"})


@dataclass(slots=True)
class _Found:
    """What was read so far.

    Attributes:
        words: The vocabulary.
        items: The labels, each with what the reply says of it.
        repairs: The kinds of repair that were made, in order; the values mean nothing.
    """

    words: Vocabulary
    items: list[Item] = field(default_factory=list)
    repairs: dict[str, None] = field(default_factory=dict)

    def add(self, word: str, attributes: Mapping[str, Any] | None) -> None:
        """Add a label; nothing if its attributes say that the text does not have it."""
        if attributes is None:
            return
        label = self.words.label(word)
        if label is not None and label.code != word:
            self.repairs["label-name"] = None
        self.items.append((word.strip() if label is None else label.code, dict(attributes)))

    def rest_on(self, code: str, evidence: Any) -> None:
        """Add what a label rests on to what was said of it last, which is what counts."""
        for number in range(len(self.items) - 1, -1, -1):
            own, said = self.items[number]
            if own == code:
                self.items[number] = own, {**said, EVIDENCE: evidence}
                return

    def mentions(self) -> tuple[Mention, ...]:
        """The labels as mentions, each once with what was said of it last."""
        last = dict(self.items)
        return tuple(Mention(code, "", attributes) for code, attributes in last.items())


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
    words = Vocabulary(schema)
    for part in (*blocks, outside):
        if not part.strip():
            continue
        found = _read_json(part, words, work) or _read_text(part, words, work)
        if found is not None:
            told = tuple(dict.fromkeys([*repairs, *found.repairs]))
            status: Status = "truncated" if "truncated" in told else "repaired" if told else "ok"
            return ReadReply((), status, told, "labels", "none", labels=found.mentions())
    if is_nothing(answer) or is_absent(answer):
        return ReadReply(status="repaired", repairs=("none-word",))
    return ReadReply(status="unreadable", repairs=tuple(dict.fromkeys(repairs)))


def _read_text(part: str, words: Vocabulary, budget: Budget) -> _Found | None:
    lines = LabelLines(words)
    items = lines.read(part, budget)
    if not items:
        return None
    lines.repairs.setdefault("line-style")
    return _Found(words, items, lines.repairs)


def _read_json(part: str, words: Vocabulary, budget: Budget) -> _Found | None:
    """The labels in JSON; ``None`` if there is no JSON that names any, or that is empty."""
    values = find_values(part, budget) if any(sign in part for sign in "[{") else []
    best: _Found | None = None
    for value in values:
        found = _Found(words)
        _interpret(value.value, found)
        cut = not value.complete and words.has_values
        if cut and found.items and not found.items[-1][1]:
            # An object that was cut off before its value.
            found.items.pop()
        for repair in value.repairs:
            found.repairs[repair] = None
        if not value.complete:
            found.repairs["truncated"] = None
        rest = part[: value.start] + part[value.end :]
        is_empty = not value.value and value.complete and best is None
        if found.items or (is_empty and not any(map(words.names_label, rest.split("\n")))):
            if rest.strip():
                found.repairs["prose"] = None
            if best is not None and best.items and not _repeats(best, found):
                # An object a line.
                found.items = [*best.items, *found.items]
            best = found
    return best


def _repeats(first: _Found, second: _Found) -> bool:
    labels = {code for code, _ in first.items}
    return any(code in labels for code, _ in second.items)


def _interpret(value: Any, found: _Found) -> None:
    if isinstance(value, Pairs):
        _read_object(value, found)
    elif isinstance(value, list):
        strings = [item for item in value if isinstance(item, str)]
        if len(value) == len(strings) == 2:
            label = found.words.label(strings[0])
            if label is not None and label.attributes and found.words.label(strings[1]) is None:
                # ["디자인", "긍정"]
                found.add(strings[0], value_in(strings[1], label, found.words))
                return
        for item in value:
            if isinstance(item, str):
                _read_string(item, found)
            else:
                _interpret(item, found)


def _read_string(text: str, found: _Found) -> None:
    """Read a string that stands where a label is expected: 디자인1, 배송: 부정."""
    if found.words.label(text) is not None:
        found.add(text, {})
        return
    items = LabelLines(found.words).read(text, UNBOUNDED)
    if items:
        found.items += items
    elif not is_no_answer(text) and not is_absent(text):
        found.add(text, {})


def _read_object(pairs: Pairs, found: _Found) -> None:
    plain = {str(key): value for key, value in pairs if key is not None}
    key = _label_key(plain, found.words)
    if key is not None:
        said = plain.pop(key)
        for word in _names(said, found.words):
            label = found.words.label(word)
            found.add(word, _attributes_of(plain, label, found.words))
        return
    labels = {name: own for name in plain if (own := found.words.label(name)) is not None}
    for name, value in plain.items():
        if name in labels:
            _read_key(name, labels[name], value, found)
        elif labels and normalize_key(name) in _EVIDENCE_KEYS:
            # {"디자인": 1, "evidence": ["예쁘고"]}; of several labels, nobody says which.
            first = next(iter(labels.values()))
            if first.evidence and len(labels) == 1:
                found.rest_on(first.code, value)
        elif isinstance(value, Pairs) and _is_any_value(name, found.words):
            # {"긍정": {"디자인": true}}
            for word, whether in value.to_dict().items():
                own = found.words.label(word)
                if own is not None and not _denies(whether):
                    found.add(word, value_in(name, own, found.words))
        elif isinstance(value, str | list) and _is_any_value(name, found.words):
            # {"긍정": ["디자인", "가격"]}
            for word in _names(value, found.words):
                own = found.words.label(word)
                found.add(word, {} if own is None else value_in(name, own, found.words))
        elif isinstance(value, Pairs | list):
            found.repairs["wrapped"] = None
            _interpret(value, found)
        elif isinstance(value, str) and not _is_any_value(value, found.words):
            if found.words.label(value) is not None or (
                not is_unasked(name) and _mentions_labels(value, found.words)
            ):
                found.repairs["wrapped"] = None
                _read_string(value, found)
        elif _is_any_value(value, found.words) and not is_unasked(name) and name not in _BESIDE:
            found.add(name, {_first_name(found.words): value})


def _label_key(plain: Mapping[str, Any], words: Vocabulary) -> str | None:
    """The key whose value is a label: one that says so, else one with a label under it."""
    if any(words.label(key) is not None for key in plain):
        return None
    named = [key for key in plain if normalize_key(key) in _LABEL_KEYS]
    for key in named:
        names = plain[key] if isinstance(plain[key], list) else [plain[key]]
        if any(isinstance(name, str) and _mentions_labels(name, words) for name in names):
            return key if len(plain) > 1 or isinstance(plain[key], str) else None
    for key, value in plain.items():
        is_about = isinstance(value, str) and normalize_key(key) not in _EVIDENCE_KEYS
        is_about = is_about and words.has_values and not _is_any_value(key, words)
        if is_about and words.label(value) is not None:
            return key
    for key in named:
        value = plain[key]
        values = [other for name, other in plain.items() if name != key]
        if isinstance(value, str) and any(_is_any_value(other, words) for other in values):
            return key if not is_no_answer(value) and not _is_any_value(value, words) else None
    return None


def _mentions_labels(text: str, words: Vocabulary) -> bool:
    return len(text) < 200 and words.names_label(text)


def _names(said: Any, words: Vocabulary) -> Iterable[str]:
    """The labels that a string or a list names."""
    for item in said if isinstance(said, list) and not isinstance(said, Pairs) else [said]:
        if isinstance(item, Pairs):
            plain = item.to_dict()
            key = _label_key(plain, words)
            if key is not None:
                yield from _names(plain[key], words)
        elif isinstance(item, str):
            tokens = [] if words.label(item) is not None else words.tokens(item)
            codes = [token.code for token in tokens if token.kind == "label"]
            yield from codes or [item]


def _first_name(words: Vocabulary) -> str:
    return words.attributes[0][0] if words.attributes else "value"


def _read_key(key: str, label: Label, value: Any, found: _Found) -> None:
    """Read a label as a key, with what stands under it."""
    if isinstance(value, Pairs):
        found.add(key, _attributes_of(value.to_dict(), label, found.words))
    elif not label.attributes:
        if not _denies(value):
            listed = isinstance(value, list) and label.evidence
            found.add(key, {EVIDENCE: value} if listed else {})
    elif isinstance(value, list):
        objects = [item for item in value if isinstance(item, Pairs)]
        for item in objects:
            found.add(key, _attributes_of(item.to_dict(), label, found.words))
        if not objects and value:
            # [1, "예쁘고"]
            quoted = [item for item in value[1:] if isinstance(item, str)]
            rests = label.evidence and quoted and not any(map(partial(_is_value, label), quoted))
            said = value[:1] if rests else value
            found.add(key, value_in(" ".join(map(str, said)), label, found.words))
            if rests:
                found.rest_on(label.code, quoted)
    elif not isinstance(value, bool) and value is not None:
        found.add(key, _value(value, label, found.words))


def _is_value(label: Label, value: Any) -> bool:
    return any(own.takes(value) for own in label.attributes.values())


def _value(value: Any, label: Label, words: Vocabulary) -> dict[str, Any] | None:
    """The attributes in a plain value under a label; ``None`` if it says there are none."""
    text = str(value)
    if is_absent(text) and not _is_value(label, value):
        return None
    if isinstance(value, Number) and _is_zero(text) and not _has_room(label, value):
        return None
    found = value_in(text, label, words)
    return found if found is None or found else {next(iter(label.attributes)): value}


def _is_zero(text: str) -> bool:
    try:
        return float(text) == 0
    except ValueError:
        return False


def _has_room(label: Label, value: Any) -> bool:
    """Whether an attribute reads a value, be it as none."""
    return any(own.read(value).kind != "unknown" for own in label.attributes.values())


def _denies(value: Any) -> bool:
    """Whether a value under a label says that the text does not have it."""
    if value is None or value is False or value == []:
        return True
    if not isinstance(value, str):
        return False
    return is_absent(value) or answer_meaning(value) == "no" or value in ("0", "0.0")


def _attributes_of(
    plain: Mapping[str, Any], label: Label | None, words: Vocabulary
) -> dict[str, Any] | None:
    """The attributes in an object about one label, with its evidence; ``None`` if it is absent."""
    attributes: dict[str, Any] = {}
    for key, value in plain.items():
        name = None if label is None else label.resolve_attribute(key)
        plain_key = normalize_key(key)
        if plain_key in _SAYS_WHETHER and _denies(value):
            return None
        if label is not None and label.attributes and value is None and plain_key not in _BESIDE:
            continue
        if name is not None:
            attributes[name] = value
        elif plain_key in _EVIDENCE_KEYS:
            if label is not None and label.evidence:
                attributes[EVIDENCE] = value
        elif isinstance(value, Pairs):
            inner = _attributes_of(value.to_dict(), label, words)
            attributes |= inner or {}
        elif plain_key not in _SAYS_WHETHER:
            attributes[key] = value
    if label is None or not label.attributes:
        whether = attributes.get("value", attributes.get("score"))
        return (
            None if label is not None and whether is not None and _denies(whether) else attributes
        )
    return _without_absent(attributes, label, words) if plain else None


def _without_absent(
    attributes: dict[str, Any], label: Label, words: Vocabulary
) -> dict[str, Any] | None:
    """The attributes, with strings read; ``None`` if all that is said is that there is none."""
    read: dict[str, Any] = {}
    said = 0
    for name, value in attributes.items():
        if name == EVIDENCE or not isinstance(value, str):
            read[name] = value
            continue
        said += 1
        own = label.attributes.get(name)
        known = own is None or own.takes(value)
        if not known and own is not None and own.values and len(label.attributes) == 1:
            found = _value(value, label, words)
            if found is None:
                said -= 1
                continue
            read |= found
        elif known or not is_absent(value):
            read[name] = value
        else:
            said -= 1
    nothing = not any(name != EVIDENCE for name in read)
    required = any(own.required for own in label.attributes.values())
    return None if nothing and required else read


def _is_any_value(value: Any, words: Vocabulary) -> bool:
    return any(own.values and own.takes(value) for _, own in words.attributes[:3])
