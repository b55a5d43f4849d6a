"""Compares the replies of vLLM's server with those of the transformers engine, on one model.

    make bench-vllm-server

It starts ``scripts/serve_vllm.sh`` with the embedded model and its adapter. ``llmner extract`` asks
it about 200 sentences of KLUE dev v1.1, free and grounded, and the transformers engine answers the
same questions. Where two replies differ, the margin between the first two tokens that differ is
measured. In bfloat16 two orders of summation give logits that differ by some tenths. The exit
status is 1 if a margin is wider than that, if a sentence has no answer, or if a grounded mention is
not in its text.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from _report import ROOT, klue, vllm_package, write
from _ties import margin

from llmner.corpora import read_corpus, write_corpus
from llmner.engines import create_generator
from llmner.engines.adapters import PACKAGED_ADAPTER, find_adapter
from llmner.engines.embedded import EMBEDDED_MODEL
from llmner.extraction import Extractor
from llmner.recipes.chat import build_prompt
from llmner.scoring import score
from llmner.spans import Sentence, Span

# The widest margin that rounding can explain. Logits of this model are near 20, where adjacent
# numbers in bfloat16 are 0.125 apart.
TIE = 0.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--limit", type=int, default=200)
    parser.add_argument("--port", type=int, default=8765)
    arguments = parser.parse_args()
    folder = ROOT / "build" / "vllm-server"
    folder.mkdir(parents=True, exist_ok=True)
    sentences = list(read_corpus(klue("klue-ner-v1.1_dev.tsv")))[: arguments.limit]
    write_corpus(sentences, folder / "sentences.jsonl", "spans")
    results: dict[str, Any] = {"sentences": len(sentences)}
    started = time.perf_counter()
    environment = {
        **os.environ,
        "PYTHON": sys.executable,
        "PORT": str(arguments.port),
        "CONTEXT": "2048",
    }
    server = subprocess.Popen(
        [ROOT / "scripts" / "serve_vllm.sh", EMBEDDED_MODEL, PACKAGED_ADAPTER],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=environment,
    )
    try:
        assert server.stdout is not None
        ready = server.stdout.readline()
        if not ready.startswith("ready:"):
            sys.exit("vLLM's server did not start")
        results["seconds_to_ready"] = round(time.perf_counter() - started, 1)
        served = {way: extracted(folder, way, arguments.port) for way in ("free", "grounded")}
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(60)
    adapter = find_adapter(PACKAGED_ADAPTER)
    generator = create_generator("transformers", adapter=adapter, batch_size=64, max_new_tokens=128)
    for way, (rows, seconds) in served.items():
        results[way] = compared(
            sentences,
            rows,
            Extractor(adapter.recipe, generator, grounded=way == "grounded", batch_size=256),
            seconds,
        )
    write(
        "vllm_server",
        "make bench-vllm-server",
        results,
        ("llmner", "torch", "transformers", vllm_package(), "openai"),
    )
    wide = [row for way in served for row in results[way]["different"] if row["margin"] > TIE]
    lost = (
        sum(results[way]["without_answer"] for way in served)
        + results["grounded"]["mentions_not_in_the_text"]
    )
    sys.exit(1 if wide or lost else 0)


def extracted(folder: Path, way: str, port: int) -> tuple[list[dict[str, Any]], float]:
    """Run ``llmner extract``.

    Returns:
        The rows that it wrote, and its seconds.
    """
    output = folder / f"{way}.jsonl"
    command = [
        Path(sys.executable).with_name("llmner"),
        "extract",
        "--input",
        folder / "sentences.jsonl",
        "--output",
        output,
        "--engine",
        "openai",
        "--base-url",
        f"http://127.0.0.1:{port}/v1",
        "--model",
        PACKAGED_ADAPTER,
        "--adapter",
        PACKAGED_ADAPTER,
        "--max-new-tokens",
        "128",
        "--restart",
    ]
    started = time.perf_counter()
    subprocess.run([*command, "--grounded"] if way == "grounded" else command, check=True)
    seconds = time.perf_counter() - started
    return [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()], seconds


def compared(
    sentences: list[Sentence], rows: list[dict[str, Any]], extractor: Extractor, seconds: float
) -> dict[str, Any]:
    extractions = list(extractor.extract(sentences))
    model, tokenizer = extractor.generator.load()  # type: ignore[attr-defined]
    different = []
    for extraction, row in zip(extractions, rows, strict=True):
        if extraction.reply.text != row["reply"]:
            prompt = build_prompt(extractor.recipe, extraction.sentence)
            difference = margin(model, tokenizer, prompt, extraction.reply.text, row["reply"])
            different.append({"id": extraction.sentence.id, "margin": round(difference, 3)})
    return {
        "seconds": round(seconds, 1),
        "same_replies": len(rows) - len(different),
        "different": different,
        "without_answer": sum("error" in row for row in rows),
        "mentions_not_in_the_text": sum(
            outcome["kind"] in ("not_found", "unknown_label")
            for row in rows
            for outcome in row["outcomes"]
        ),
        "spans_with_a_score": sum("score" in span for row in rows for span in row["spans"]),
        "spans": sum(len(row["spans"]) for row in rows),
        "micro_f1": {
            "vllm": f1(sentences, rows),
            "transformers": round(
                score([s.spans for s in sentences], [e.spans for e in extractions]).micro.f1, 4
            ),
        },
    }


def f1(sentences: list[Sentence], rows: list[dict[str, Any]]) -> float:
    predicted = [
        [Span(span["start"], span["end"], span["label"]) for span in row["spans"]] for row in rows
    ]
    return round(score([sentence.spans for sentence in sentences], predicted).micro.f1, 4)


if __name__ == "__main__":
    main()
