"""An encoder behind the server, against transformers' pipeline and the bare forward pass.

    python benchmarks/served_tagger.py

The encoder has the size of klue/roberta-base and random weights; it is saved with
``save_pretrained`` and served as it is (``llmner serve --engine baseline:FOLDER``). 32 clients ask
``/infer`` for one sentence each, again as soon as they have their answer. The pipeline
(``aggregation_strategy="simple"``) gets all sentences at once, in batches of 8, 16 and 32, of which
the fastest counts; so it does for the forward pass, which gets tokens and gives scores, and does
nothing else. Each is measured three times in turn, and the fastest round counts.

Sentences are those of KLUE's training part if they are there, else the sample's. Counted as well is
in how many entities the word is the text's own.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import aiohttp
from _report import KLUE, ROOT, write
from serving import server

from llmner.corpora import read_corpus

CLIENTS = 32
TAGS = ["O", *(f"{p}-{label}" for label in ("DT", "LC", "OG", "PS", "QT", "TI") for p in "BI")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sentences", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--port", type=int, default=8182)
    arguments = parser.parse_args()
    texts = sentences(arguments.sentences)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "roberta"
        encoder(folder, texts, arguments.layers)
        figures = measured(folder, texts, arguments.rounds, arguments.port)
    write(
        "served_tagger",
        "python benchmarks/served_tagger.py",
        {
            "encoder": f"RoBERTa, {arguments.layers} layers of 768, random weights, float32",
            "sentences": len(texts),
            "characters_a_sentence": round(sum(map(len, texts)) / len(texts), 1),
            "clients": CLIENTS,
            **figures,
        },
        ("llmner", "torch", "transformers", "fastapi", "uvicorn"),
    )
    rates = figures["sentences_a_second"]
    reached = rates["server"] >= rates["pipeline"] and figures["server_of_forward_pass"] >= 0.9
    sys.exit(0 if reached else 1)


def sentences(count: int) -> list[str]:
    path = KLUE / "klue-ner-v1.1_train_mini.tsv"
    if not path.exists():
        path = ROOT / "data" / "sample.tsv"
    return [sentence.text for sentence in read_corpus(path)][:count]


def encoder(folder: Path, texts: Sequence[str], layers: int) -> None:
    """Save a random RoBERTa for token classification and a WordPiece tokenizer."""
    import torch
    import transformers
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

    special = ["[CLS]", "[PAD]", "[SEP]", "[UNK]", "[MASK]"]
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False, strip_accents=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(
        vocab_size=32_000, special_tokens=special, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 0), ("[SEP]", 2)]
    )
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", model_max_length=512
    ).save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.RobertaConfig(
        vocab_size=32_000,
        num_hidden_layers=layers,
        max_position_embeddings=514,
        pad_token_id=1,
        id2label=dict(enumerate(TAGS)),
        label2id={tag: number for number, tag in enumerate(TAGS)},
    )
    model = transformers.RobertaForTokenClassification(config)
    # Tags that change from token to token, so that there are entities.
    model.classifier.weight.data.mul_(30)
    model.save_pretrained(folder)


def measured(folder: Path, texts: Sequence[str], rounds: int, port: int) -> dict[str, Any]:
    import torch
    import transformers

    model = transformers.AutoModelForTokenClassification.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    pipeline = transformers.pipeline(
        "token-classification", model=model, tokenizer=tokenizer, aggregation_strategy="simple"
    )

    def forward(size: int) -> Callable[[], Any]:
        batches = [
            tokenizer(list(texts[start : start + size]), padding=True, return_tensors="pt")
            for start in range(0, len(texts), size)
        ]

        def run() -> None:
            with torch.inference_mode():
                for batch in batches:
                    model(**batch)

        return run

    def piped(size: int) -> Callable[[], Any]:
        return lambda: pipeline(list(texts), batch_size=size)

    sizes = (8, 16, 32)
    ways: dict[str, list[Callable[[], Any]]] = {
        "forward pass": [forward(size) for size in sizes],
        "pipeline": [piped(size) for size in sizes],
    }
    best: dict[str, float] = {}
    answers: dict[str, list[Any]] = {"pipeline": pipeline(list(texts))}
    with server(port, "--engine", f"baseline:{folder}"):
        ways["server"] = [lambda: asyncio.run(asked(texts, port))]
        answers["server"] = asyncio.run(asked(texts, port))
        for _ in range(rounds):
            for name, runs in ways.items():
                for run in runs:
                    started = time.perf_counter()
                    run()
                    rate = len(texts) / (time.perf_counter() - started)
                    best[name] = max(best.get(name, 0.0), rate)
    return {
        "sentences_a_second": {name: round(rate, 2) for name, rate in best.items()},
        "server_of_pipeline": round(best["server"] / best["pipeline"], 3),
        "server_of_forward_pass": round(best["server"] / best["forward pass"], 3),
        "entities": {name: sum(map(len, found)) for name, found in answers.items()},
        "words_as_in_the_text": {
            name: round(as_in_the_text(texts, found), 4) for name, found in answers.items()
        },
    }


def as_in_the_text(texts: Sequence[str], answers: Sequence[Any]) -> float:
    """The share of entities whose word is that of the text at their offsets."""
    pairs = [(text, entity) for text, found in zip(texts, answers, strict=True) for entity in found]
    same = sum(entity["word"] == text[entity["start"] : entity["end"]] for text, entity in pairs)
    return same / len(pairs)


async def asked(texts: Sequence[str], port: int) -> list[Any]:
    """The answers to all sentences, asked for by many clients."""
    answers: list[Any] = [None] * len(texts)
    left = iter(range(len(texts)))

    async def client(session: aiohttp.ClientSession) -> None:
        for number in left:
            async with session.post(
                f"http://127.0.0.1:{port}/infer", json={"text": texts[number]}
            ) as answer:
                answers[number] = (await answer.json())["result"]

    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(client(session) for _ in range(CLIENTS)))
    return answers


if __name__ == "__main__":
    main()
