"""spaCy's binary corpora (``.spacy``, DocBin), read and written by spaCy itself.

Entities are ``Doc.ents``, labels of the text ``Doc.cats``; span groups are left out. What is
written has tokens that are cut at the
edges of entities, and the text as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from llmner.corpora._blocks import tokenized, tokens_and_tags
from llmner.corpora._format import BROKEN, CorpusFormat, ReadOptions
from llmner.corpora._losses import NESTED, OTHERS
from llmner.corpora._records import cats_of, labels_of_cats, with_label_names
from llmner.errors import CorpusError, MissingExtraError
from llmner.spans import Sentence, Span
from llmner.tagging import tags_to_spans

__all__ = ["FORMATS", "SPACY"]

_ID = "id"


def _spacy(what: str) -> Any:
    try:
        import spacy
    except ImportError:
        raise MissingExtraError("spacy", what) from None
    return spacy


def _read(path: Path, options: ReadOptions) -> Iterator[Sentence]:
    spacy = _spacy(f"reading {str(path)!r}")
    from spacy.tokens import DocBin

    try:
        docs = DocBin(store_user_data=True).from_disk(path)
        vocabulary = spacy.blank("xx").vocab
        # DocBin reads lazily, so what is broken shows here, too.
        read = list(docs.get_docs(vocabulary))
    except (*BROKEN, EOFError, OverflowError, ArithmeticError, AssertionError) as error:
        why = str(error).partition("\n")[0][:200] or type(error).__name__
        raise CorpusError(f"is no DocBin that spaCy can read ({why})", path=path) from None
    for number, doc in enumerate(read, 1):
        try:
            sentence = _sentence(path, number, doc, options)
        except CorpusError as error:
            options.bad(error, f"document {number}")
            continue
        yield sentence


def _sentence(path: Path, number: int, doc: Any, options: ReadOptions) -> Sentence:
    try:
        id = doc.user_data.get(_ID)
        id = id if isinstance(id, str) else None
        text = doc.text
        labels = labels_of_cats(doc.cats)
        spans = [Span(ent.start_char, ent.end_char, ent.label_) for ent in doc.ents if ent.label_]
        groups = [
            f"{name}: {span.label_} {span.text!r}"
            for name, group in doc.spans.items()
            for span in group
        ]
    except BROKEN as error:
        why = str(error).partition("\n")[0][:200]
        raise CorpusError(f"a document is broken ({why})", path=path, line=number) from None
    for example in groups:
        options.lost(NESTED, example, path, number, id)
    for ent in doc.ents:
        if ent.kb_id_:
            options.lost(OTHERS, f"{ent.kb_id_} of {ent.text!r}", path, number, id)
    return options.sentence(path, number, id, text, spans, labels)


def _write(sentences: Iterable[Sentence], stream: BinaryIO) -> None:
    spacy = _spacy("writing a DocBin")
    from spacy.tokens import DocBin

    # Texts and entities are enough; everything else of a document is empty.
    bin = DocBin(attrs=["ENT_IOB", "ENT_TYPE"], store_user_data=True)
    vocabulary = spacy.blank("xx").vocab
    for sentence in sentences:
        bin.add(_document(sentence, vocabulary))
    stream.write(bin.to_bytes())


def _document(sentence: Sentence, vocabulary: Any) -> Any:
    """A document of spaCy with the sentence's own text: white space is in tokens of its own."""
    from spacy.tokens import Doc
    from spacy.tokens import Span as Entity

    places, tags = tokens_and_tags(sentence)
    words: list[str] = []
    spaces: list[bool] = []
    numbers, end = [], 0
    for start, stop in places:
        gap = sentence.text[end:start]
        if gap.startswith(" ") and words:
            spaces[-1] = True
            gap = gap[1:]
        if gap:
            words.append(gap)
            spaces.append(False)
        numbers.append(len(words))
        words.append(sentence.text[start:stop])
        spaces.append(False)
        end = stop
    if end < len(sentence.text):
        words.append(sentence.text[end:])
        spaces.append(False)
    try:
        doc = Doc(vocabulary, words=words, spaces=spaces)
        doc.ents = [
            Entity(doc, numbers[span.start], numbers[span.end - 1] + 1, label=span.label)
            for span in tags_to_spans(tags)[0]
        ]
    except (ValueError, UnicodeEncodeError) as error:
        why = str(error).partition("\n")[0]
        raise CorpusError(
            f"spaCy cannot hold it ({why[:200]})", id=sentence.id, hint="use the spans format"
        ) from None
    doc.cats = cats_of(sentence.labels)
    if sentence.id is not None:
        doc.user_data[_ID] = sentence.id
    return doc


def _kept(sentence: Sentence) -> Sentence:
    return with_label_names(sentence, tokenized(sentence))


SPACY = CorpusFormat(
    "spacy", _read, None, None, suffixes=(".spacy",), write_whole=_write, kept=_kept
)
FORMATS = (SPACY,)
