"""What exports cost and gain: an encoder as ONNX, the model in the box as GGUF.

    python benchmarks/exports.py

The encoder is Gemma 3 270M with a head of characters, trained on 900 sentences of KLUE's train part
for one epoch; it is judged on 300 held-out ones of that part. The model in the box is asked about
the first 100 of these, in process and through llama.cpp. Takes three quarters of an hour on two
cores without AMX, most of it training; a tagger that lies in the folder is not trained again. Needs
the extras baselines, export and openai, and xllamacpp.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from _report import klue, micro_figures, write

import llmner
from llmner.baselines import EncoderConfig, train_baseline
from llmner.corpora import read_corpus
from llmner.corpora._held_out import split_held_out
from llmner.exporting import compare_exported, export_model
from llmner.recipes import Recipe
from llmner.scoring import Prediction, evaluate
from llmner.spans import Sentence

TRAINED, JUDGED, ASKED = 900, 300, 100
PACKAGES = ("llmner", "torch", "transformers", "onnxruntime", "gguf", "xllamacpp")


def tagger(folder: Path, sentences: list[Sentence]) -> Path:
    """The encoder, trained if it is not there yet."""
    if not (folder / "baseline.json").exists():
        config = EncoderConfig(
            model="gemma-3-270m",
            epochs=1,
            batch_size=8,
            learning_rate=1e-4,
            head_learning_rate=5e-3,
        )
        train_baseline(sentences, config, folder, report=print)
    return folder


def encoders(work: Path, trained: Path, judged: list[Sentence]) -> dict[str, Any]:
    """Figures of the encoder in torch, and of its exports."""
    figures: dict[str, Any] = {}
    for form in ("onnx", "int8"):
        folder = work / f"tagger-{form}"
        if not folder.exists():
            export_model(str(trained), folder, form, report=print)
        before, after = compare_exported(trained, folder, judged)
        figures.setdefault("torch", []).append(before.to_dict())
        figures[form] = after.to_dict()
    return figures


def language_models(work: Path, asked: list[Sentence]) -> dict[str, Any]:
    """Figures of the model in the box: in process, and as GGUF of two types."""
    import xllamacpp

    figures = {"in process": extracted(asked)}
    for quantization in ("q8_0", "q4_0"):
        folder = work / f"klue-{quantization}"
        if not folder.exists():
            export_model("gemma-3-270m-klue-ner", folder, "gguf", quantization=quantization)
        settings = xllamacpp.CommonParams()
        settings.model.path = str(folder / "model.gguf")
        settings.n_ctx = 8192
        settings.n_parallel = 4
        settings.verbosity = -1
        server = xllamacpp.Server(settings)
        figures[quantization] = {
            "bytes": (folder / "model.gguf").stat().st_size,
            **extracted(
                asked,
                base_url=f"{server.listening_address}/v1",
                model="klue",
                recipe=Recipe.load(folder / "recipe.yaml"),
                concurrency=4,
            ),
        }
        del server
    return figures


def extracted(asked: list[Sentence], **options: Any) -> dict[str, Any]:
    """F1 and speed of one way to ask, without loading."""
    texts = [sentence.text for sentence in asked]
    list(llmner.extract(texts[:4], max_new_tokens=128, **options))
    began = time.perf_counter()
    found = list(llmner.extract(texts, max_new_tokens=128, **options))
    seconds = time.perf_counter() - began
    evaluation = evaluate(asked, [Prediction.of(document) for document in found])
    return {"sentences_a_second": round(len(texts) / seconds, 2), **micro_figures(evaluation)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=Path("build/exports"))
    work = parser.parse_args().work
    sentences = list(read_corpus(klue("klue-ner-v1.1_train_mini.tsv")))
    # The model in the box has not learnt the held-out ones, and the encoder not these.
    _, held_out = split_held_out(sentences, 500, 42)
    learnt = {sentence.text for sentence in sentences[:TRAINED]}
    judged = [sentence for sentence in held_out if sentence.text not in learnt][:JUDGED]
    work.mkdir(parents=True, exist_ok=True)
    trained = tagger(work / "tagger", sentences[:TRAINED])
    figures = {
        "encoder": encoders(work, trained, judged),
        "language model": language_models(work, judged[:ASKED]),
    }
    write("exports", "python benchmarks/exports.py", figures, PACKAGES)


if __name__ == "__main__":
    main()
