"""The aligners that projection is compared with, each as a function ``(text, mentions) → spans``.

``make bench-projection`` installs them from the dependency group ``peers``. The package itself uses
none of them. Each has the settings that suit it best on Korean.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from llmner.spans import Mention, Span

__all__ = ["Aligner", "aligners"]

Aligner = Callable[[str, Sequence[Mention]], set[Span]]


def first_find(text: str, mentions: Sequence[Mention]) -> set[Span]:
    """Place each mention at its first occurrence."""
    spans = set()
    for mention in mentions:
        start = text.find(mention.text)
        if start >= 0 and mention.text:
            spans.add(Span(start, start + len(mention.text), mention.label))
    return spans


def longest_first(text: str, mentions: Sequence[Mention]) -> set[Span]:
    """Place longer mentions first, each at its first occurrence that is still free."""
    spans: set[Span] = set()
    used = bytearray(len(text))
    for mention in sorted(mentions, key=lambda m: -len(m.text)):
        size = len(mention.text)
        start = text.find(mention.text) if size else -1
        while start >= 0 and any(used[start : start + size]):
            start = text.find(mention.text, start + 1)
        if start >= 0:
            used[start : start + size] = b"\1" * size
            spans.add(Span(start, start + size, mention.label))
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
        rows = parse_region_response(reply, text)
        return {Span(r["start"], r["end"], r["label"]) for r in rows if r["start"] < r["end"]}

    return align


def _fuzzysearch() -> Aligner:
    from fuzzysearch import find_near_matches

    def align(text: str, mentions: Sequence[Mention]) -> set[Span]:
        """Place longer mentions first, each at the free match with the fewest edits.

        A mention may have one edit for every three letters, and three at most.
        """
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
            match = partial_ratio_alignment(mention.text, text, score_cutoff=80)
            if match is not None and match.dest_start < match.dest_end:
                spans.add(Span(match.dest_start, match.dest_end, mention.label))
        return spans

    return align


def _spacy_llm() -> Aligner:
    from spacy_llm.tasks.util.parsing import find_substrings

    def align(text: str, mentions: Sequence[Mention]) -> set[Span]:
        """Place every occurrence of each surface of a label, as spacy-llm's NER tasks do."""
        surfaces_by_label: dict[str, list[str]] = {}
        for mention in mentions:
            surfaces_by_label.setdefault(mention.label, []).append(mention.text)
        return {
            Span(start, end, label)
            for label, surfaces in surfaces_by_label.items()
            for start, end in find_substrings(text, surfaces)
            if start < end
        }

    return align


def aligners() -> dict[str, Aligner]:
    """The aligners by name.

    Raises:
        ImportError: One of the packages is not installed.
    """
    return {
        "langextract": _langextract(),
        "annotations4all": _annotations4all(),
        "fuzzysearch, greedy": _fuzzysearch(),
        "rapidfuzz partial_ratio": _rapidfuzz(),
        "spacy-llm find_substrings": _spacy_llm(),
        "first find()": first_find,
        "longest first": longest_first,
    }
