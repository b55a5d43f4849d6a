"""A seeded noise suite: changes that real models make to names, with the spans that are expected.

After most changes it is still clear which part of the text is meant, and that part is expected.
Other changes leave a mention without a place: hallucinations, wrong digits, surplus copies. Such a
mention must not be placed, and the entity that it replaced is not expected.
"""

from __future__ import annotations

import random
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from llmner.spans import Mention, Sentence, Span

__all__ = ["OPERATIONS", "Case", "gold_by_type", "gold_in_order", "noisy"]

_RATE = 0.45
_LEADS, _VOWELS, _TAILS = 19, 21, 28
_UNITS = (
    (r"(?<=[\d만천억])\s?(?:km|㎞)", (" 킬로미터", "킬로미터", "㎞", "KM", " km")),
    (r"(?<=[\d만천억])\s?킬로미터", ("km", "㎞")),
    (r"(?<=[\d만천억])\s?(?:kg|㎏)", ("킬로그램", "㎏", " kg")),
    (r"(?<=[\d만천억])\s?킬로그램", ("kg", "㎏")),
    (r"(?<=[\d만천억])\s?(?:cm|㎝)", ("센티미터", "㎝", " cm")),
    (r"(?<=[\d만천억])\s?센티미터", ("cm", "㎝")),
    (r"(?<=[\d만천억])\s?(?:mm|㎜)", ("밀리미터", "㎜")),
    (r"(?<=[\d만천억])\s?(?:m|ｍ)(?![a-zA-Z\d²])", ("미터", "ｍ", " m")),
    (r"(?<=[\d만천억])\s?미터", ("m", "ｍ")),
    (r"(?<=\d)\s?(?:㎡|m2)", ("제곱미터", "m²", "㎡")),
    (r"(?<=\d)\s?[%％]", ("퍼센트", " 퍼센트", "％", " %", "%")),
    (r"(?<=\d)\s?퍼센트", ("%", "％")),
)
_MONEY = (
    (r"\$\s?(\d[\d,.]*)$", r"\1달러"),
    (r"^(\d[\d,.]*)\s?달러$", r"$\1"),
)
_PARTICLES = {  # after a consonant, after a vowel
    True: "은 이 을 과 으로 의 에 에서 도 만 까지 부터 에게".split(),
    False: "는 가 를 와 로 의 에 에서 도 만 까지 부터 에게".split(),
}
_TITLES = ("씨", " 씨", "님", " 님")
_PAIRS = (
    ("'", "'"),
    ('"', '"'),
    ("‘", "’"),
    ("“", "”"),
    ("**", "**"),
    ("「", "」"),
    ("[", "]"),
    ("`", "`"),
)
_CURLY = str.maketrans("'\"‘’“”·-", "‘“''\"\"ㆍ–")


@dataclass(frozen=True, slots=True)
class Case:
    """A text, the mentions of a reply, and the spans that are expected.

    Attributes:
        text: The text.
        mentions: The mentions, in the reply's order.
        expected: The spans that a projection should find.
        order: What the order of the mentions means, as ``project`` takes it: ``"text"`` or
            ``"label"``.
        done: Name of the change to each expected span; empty if it was not changed.
    """

    text: str
    mentions: tuple[Mention, ...]
    expected: frozenset[Span]
    order: str
    done: dict[Span, str]


def gold_in_order(sentence: Sentence) -> Case:
    """A perfect reply that lists entities in the order of the text."""
    mentions = tuple(Mention(span.label, sentence.surface(span)) for span in sentence.spans)
    return Case(
        sentence.text,
        mentions,
        frozenset(sentence.spans),
        "text",
        dict.fromkeys(sentence.spans, ""),
    )


def gold_by_type(sentence: Sentence, labels: Sequence[str]) -> Case:
    """A perfect reply that lists entities label by label."""
    spans = sorted(sentence.spans, key=lambda span: (labels.index(span.label), span.start))
    mentions = tuple(Mention(span.label, sentence.surface(span)) for span in spans)
    return Case(sentence.text, mentions, frozenset(spans), "label", dict.fromkeys(spans, ""))


def _hangul(char: str) -> bool:
    return "가" <= char <= "힣"


def _spaces_lost(surface: str, rng: random.Random, after: str) -> str | None:
    return re.sub(r"(?<!\d)\s+|\s+(?!\d)", "", surface)


def _space_added(surface: str, rng: random.Random, after: str) -> str | None:
    if rng.random() < 0.4:
        return " ".join(unicodedata.normalize("NFC", surface))
    places = [
        n for n in range(1, len(surface)) if not (surface[n].isdigit() and surface[n - 1].isdigit())
    ]
    if not places:
        return None
    index = rng.choice(places)
    return surface[:index] + " " + surface[index:]


def _nfkc(surface: str, rng: random.Random, after: str) -> str | None:
    return unicodedata.normalize("NFKC", surface)


def _wide(surface: str, rng: random.Random, after: str) -> str | None:
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in surface)


def _nfd(surface: str, rng: random.Random, after: str) -> str | None:
    return unicodedata.normalize("NFD", surface)


def _unit(surface: str, rng: random.Random, after: str) -> str | None:
    for pattern, others in _UNITS:
        if re.search(pattern, surface):
            return re.sub(pattern, rng.choice(others), surface, count=1)
    for pattern, other in _MONEY:
        if re.search(pattern, surface):
            return re.sub(pattern, other, surface, count=1)
    return None


def _thousands(surface: str, rng: random.Random, after: str) -> str | None:
    return re.sub(r"(?<=\d),(?=\d{3})", "", surface)


def _quoted(surface: str, rng: random.Random, after: str) -> str | None:
    other = surface.translate(_CURLY)
    if other != surface and rng.random() < 0.7:
        return other
    left, right = rng.choice(_PAIRS)
    return left + surface + right


def _case(surface: str, rng: random.Random, after: str) -> str | None:
    return rng.choice((surface.upper(), surface.lower(), surface.title()))


def _particle(surface: str, rng: random.Random, after: str) -> str | None:
    last = surface[-1:]
    if not _hangul(last) or len(surface) < 2:
        return None
    return surface + rng.choice(_PARTICLES[(ord(last) - 0xAC00) % _TAILS != 0])


def _over_wide(surface: str, rng: random.Random, after: str) -> str | None:
    """Add the particle that follows the name in the text."""
    rest = re.match(r"[가-힣]+", after)
    if rest is None or len(surface) < 2 or not _hangul(surface[-1:]):
        return None
    return (
        surface + rest.group()
        if rest.group() in {p for ps in _PARTICLES.values() for p in ps}
        else None
    )


def _title(surface: str, rng: random.Random, after: str) -> str | None:
    return surface + rng.choice(_TITLES) if len(surface) > 1 and _hangul(surface[-1:]) else None


def _too_narrow(surface: str, rng: random.Random, after: str) -> str | None:
    """Leave out the last letter of a long word. The shorter part is what is expected."""
    if (
        len(surface) < 5
        or " " in surface
        or any(c.isdigit() for c in surface)
        or after[:1].isalpha()
    ):
        return None
    if unicodedata.category(surface[-1])[0] == "M":
        return None
    return surface[:-1]


def _jamo(surface: str, rng: random.Random, after: str) -> str | None:
    places = [n for n, c in enumerate(surface) if _hangul(c)]
    if (
        len(re.sub(r"\s", "", surface)) < 3
        or not places
        or re.search(r"[일이삼사오육칠팔구십백천만억]\s?\S?$", surface)
    ):
        return None
    index = rng.choice(places)
    if (index and surface[index - 1].isdigit()) or (
        surface[index] in "일이삼사오육칠팔구십백천만억한두세네"
    ):
        return None
    syllable = ord(surface[index]) - 0xAC00
    lead, vowel, tail = syllable // 588, syllable // 28 % 21, syllable % 28
    part = rng.randrange(3)
    if part == 0:
        lead = rng.choice([n for n in range(_LEADS) if n != lead])
    elif part == 1:
        vowel = rng.choice([n for n in range(_VOWELS) if n != vowel])
    else:
        tail = rng.choice([n for n in (0, 1, 4, 8, 16, 17, 21) if n != tail])
    return surface[:index] + chr(0xAC00 + lead * 588 + vowel * 28 + tail) + surface[index + 1 :]


def _letter(surface: str, rng: random.Random, after: str) -> str | None:
    """Change or leave out one Latin letter, kana or ideograph of a longer name."""
    places = [n for n, c in enumerate(surface) if c.isalpha() and not _hangul(c)]
    if len(places) < 5 or unicodedata.normalize("NFC", surface) != surface:
        return None
    index = rng.choice(places[1:-1])
    if rng.random() < 0.5:
        return surface[:index] + surface[index + 1 :]
    return (
        surface[:index]
        + rng.choice([c for c in "aeiort" if c != surface[index].lower()])
        + surface[index + 1 :]
    )


OPERATIONS: dict[str, Callable[[str, random.Random, str], str | None]] = {
    "spaces lost": _spaces_lost,
    "space added": _space_added,
    "NFKC": _nfkc,
    "full width": _wide,
    "NFD": _nfd,
    "unit": _unit,
    "thousands": _thousands,
    "quotes": _quoted,
    "case": _case,
    "particle": _particle,
    "title": _title,
    "one jamo": _jamo,
    "one letter": _letter,
    "over-wide": _over_wide,
    "too narrow": _too_narrow,
}

_PEOPLE = ("PS", "PER")
_COMMON = ("NFD", "quotes", "full width", "space added", "particle", "title")


def _wrong_digit(surface: str, rng: random.Random) -> str | None:
    places = [n for n, c in enumerate(surface) if c.isdigit()]
    if not places:
        return None
    index = rng.choice(places)
    old = unicodedata.normalize("NFKC", surface[index])
    digit = rng.choice([d for d in "0123456789" if d != old])
    wrong = surface[:index] + digit + surface[index + 1 :]
    return _wide(wrong, rng, "") if rng.random() < 0.5 else wrong


def _plain(text: str) -> str:
    return re.sub(r"\s", "", unicodedata.normalize("NFKC", text).casefold())


def noisy(sentences: Sequence[Sentence], labels: Sequence[str], seed: int = 20) -> list[Case]:
    """One case for each sentence. The same seed gives the same cases."""
    rng = random.Random(seed)
    surfaces = sorted({(span.label, s.surface(span)) for s in sentences for span in s.spans})
    return [_disturb(sentence, surfaces, labels, rng) for sentence in sentences]


def _disturb(
    sentence: Sentence, surfaces: list[tuple[str, str]], labels: Sequence[str], rng: random.Random
) -> Case:
    text = sentence.text
    plain = _plain(text)
    claims: list[tuple[Span | None, Mention]] = []
    done: dict[Span, str] = {}
    repeats = [_plain(sentence.surface(span)) for span in sentence.spans]
    for number, span in enumerate(sentence.spans):
        surface = sentence.surface(span)
        roll = rng.random()
        if roll < 0.03 and (wrong := _wrong_digit(surface, rng)) and _plain(wrong) not in plain:
            claims.append((None, Mention(span.label, wrong)))
            continue
        if (
            repeats[number] in repeats[:number]
            and repeats[number] not in repeats[number + 1 :]
            and roll < 0.2
        ):
            continue  # the last of several copies is lost
        done[span] = ""
        if roll < _RATE and repeats.count(repeats[number]) == 1:
            # One of the changes that apply to this surface, chosen at random. Rare kinds, which
            # apply to few surfaces, are preferred.
            for name in sorted(
                OPERATIONS, key=lambda name: rng.random() * (3 if name in _COMMON else 1)
            ):
                changed = OPERATIONS[name](surface, rng, text[span.end :])
                if (
                    not changed
                    or changed == surface
                    or (name == "title" and span.label not in _PEOPLE)
                ):
                    continue
                surface = changed
                if name == "too narrow":
                    del done[span]
                    span = Span(span.start, span.start + len(surface), span.label)
                done[span] = name
                break
        claims.append((span, Mention(span.label, surface)))
        if rng.random() < 0.04 and plain.count(_plain(text[span.start : span.end])) == 1:
            claims.append((None, Mention(span.label, surface)))  # a copy too many
    for _ in range(2):
        if rng.random() < 0.1:
            label, surface = rng.choice(surfaces)
            if (
                len(surface) > 1
                and _plain(surface)[:2] not in plain
                and _plain(surface)[-2:] not in plain
            ):
                claims.insert(rng.randint(0, len(claims)), (None, Mention(label, surface)))
    order = "text"
    roll = rng.random()
    if roll < 0.2:
        rng.shuffle(claims)
    elif roll < 0.6:
        claims.sort(key=lambda claim: labels.index(claim[1].label))
        order = "label"
    mentions = tuple(mention for _, mention in claims)
    return Case(
        text, mentions, frozenset(span for span, _ in claims if span is not None), order, done
    )
