"""The aligners that projection is measured against, each behind ``(text, mentions) → spans``.

Peers are installed by ``make bench-projection`` from the dependency group ``peers``; nothing in the
package uses them. Each is given the setting that serves it best on Korean.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from llmner.spans import Mention, Span

__all__ = ["Aligner", "aligners"]

Aligner = Callable[[str, Sequence[Mention]], set[Span]]


def first_find(text: str, mentions: Sequence[Mention]) -> set[Span]:
    """Each mention at its first occurrence."""
    spans = set()
    for mention in mentions:
        at = text.find(mention.text)
        if at >= 0 and mention.text:
            spans.add(Span(at, at + len(mention.text), mention.label))
    return spans


def longest_first(text: str, mentions: Sequence[Mention]) -> set[Span]:
    """Longer mentions first, each at its first occurrence that is not taken yet."""
    spans: set[Span] = set()
    used = bytearray(len(text))
    for mention in sorted(mentions, key=lambda m: -len(m.text)):
        size = len(mention.text)
        at = text.find(mention.text) if size else -1
        while at >= 0 and any(used[at : at + size]):
            at = text.find(mention.text, at + 1)
        if at >= 0:
            used[at : at + size] = b"\1" * size
            spans.add(Span(at, at + size, mention.label))
    return spans


def _langextract() -> Aligner:
    from langextract.core.data import Extraction
    from langextract.core.tokenizer import UnicodeTokenizer
    from langextract.resolver import WordAligner

    tokenizer = UnicodeTokenizer()

    def align(text: str, mentions: Sequence[Mention]) -> set[Span]:
        extractions = [Extraction(m.label, m.text) for m in mentions if m.text.strip()]
        if not extractions or not text.strip():
            return set()
        try:
            groups = WordAligner().align_extractions(
                [extractions], text, tokenizer_impl=tokenizer, accept_match_lesser=False
            )
        except ValueError:
            return set()
        return {
            Span(e.char_interval.start_pos, e.char_interval.end_pos, e.extraction_class)
            for group in groups
            for e in group
            if e.char_interval is not None and e.char_interval.start_pos < e.char_interval.end_pos
        }

    return align


def _annotations4all() -> Aligner:
    from annotations4all.utils.response_parser import parse_region_response

    def align(text: str, mentions: Sequence[Mention]) -> set[Span]:
        reply = "\n".join(f"<<{m.label}>>{m.text}</{m.label}>>" for m in mentions)
        found = parse_region_response(reply, text)
        return {Span(f["start"], f["end"], f["label"]) for f in found if f["start"] < f["end"]}

    return align


def _fuzzysearch() -> Aligner:
    from fuzzysearch import find_near_matches

    def align(text: str, mentions: Sequence[Mention]) -> set[Span]:
        """Longest first, the nearest match that is free, one edit in five letters."""
        spans: set[Span] = set()
        used = bytearray(len(text))
        for mention in sorted(mentions, key=lambda m: -len(m.text)):
            if not mention.text:
                continue
            matches = find_near_matches(
                mention.text, text, max_l_dist=min(len(mention.text) // 3, 3)
            )
            for match in sorted(matches, key=lambda match: (match.dist, match.start)):
                if match.start < match.end and not any(used[match.start : match.end]):
                    used[match.start : match.end] = b"\1" * (match.end - match.start)
                    spans.add(Span(match.start, match.end, mention.label))
                    break
        return spans

    return align


def _rapidfuzz() -> Aligner:
    from rapidfuzz.fuzz import partial_ratio_alignment

    def align(text: str, mentions: Sequence[Mention]) -> set[Span]:
        spans = set()
        for mention in mentions:
            found = partial_ratio_alignment(mention.text, text, score_cutoff=80)
            if found is not None and found.dest_start < found.dest_end:
                spans.add(Span(found.dest_start, found.dest_end, mention.label))
        return spans

    return align


def _spacy_llm() -> Aligner:
    from spacy_llm.tasks.util.parsing import find_substrings

    def align(text: str, mentions: Sequence[Mention]) -> set[Span]:
        """As its NER tasks do: every occurrence of what a label lists."""
        listed: dict[str, list[str]] = {}
        for mention in mentions:
            listed.setdefault(mention.label, []).append(mention.text)
        return {
            Span(start, end, label)
            for label, surfaces in listed.items()
            for start, end in find_substrings(text, surfaces)
            if start < end
        }

    return align


def aligners() -> dict[str, Aligner]:
    """The peers by name; a missing one is an ImportError that names its package."""
    return {
        "langextract": _langextract(),
        "annotations4all": _annotations4all(),
        "fuzzysearch, greedy": _fuzzysearch(),
        "rapidfuzz partial_ratio": _rapidfuzz(),
        "spacy-llm find_substrings": _spacy_llm(),
        "first find()": first_find,
        "longest first": longest_first,
    }
