"""Writes data/sample-replies.jsonl for the guides: made-up replies to data/sample.tsv.

python benchmarks/sample_replies.py
"""

from __future__ import annotations

import json

from _damaged import damaged_replies
from _report import ROOT

from llmner.corpora import read_corpus
from llmner.recipes import Recipe


def main() -> None:
    sentences = list(read_corpus(ROOT / "data" / "sample.tsv"))
    replies = damaged_replies(sentences, Recipe.load("klue").schema_.codes)
    with (ROOT / "data" / "sample-replies.jsonl").open("w", encoding="utf-8") as stream:
        for sentence, reply in zip(sentences, replies, strict=True):
            row = {"id": sentence.id, "text": sentence.text, "reply": reply}
            stream.write(json.dumps(row, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
