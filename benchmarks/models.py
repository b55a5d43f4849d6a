"""Compares the kinds of models that a user can choose from, with ``llmner compare-models``.

    python benchmarks/models.py [--only NAME]

It trains a CRF, a BiLSTM-CRF and a tagger made of Gemma 3 270M on 5,000 of KLUE's training
sentences. These and the packaged adapter are evaluated on all 5,000 sentences of dev v1.1. It takes
two hours on two cores. The figures go to ``results/models.json``, the loss curves to
``results/models.png``. The report, which contains KLUE's texts, goes to ``build/models/``.

``--only`` measures one model anew, and leaves the others' figures, each with its machine, and the
curves as they are.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
from typing import Any

import yaml
from _report import RESULTS, ROOT, klue, write

from llmner.comparison import ComparedModel, ModelsConfig, compare_models, write_models
from llmner.engines._processor import processor_name

FOLDER = ROOT / "build" / "models"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=_HELP)
    parser.add_argument("--only", metavar="NAME", help="measure this model alone")
    only = parser.parse_args().only
    settings = yaml.safe_load((ROOT / "benchmarks" / "models.yaml").read_text(encoding="utf-8"))
    for part in ("train", "gold"):
        settings[part]["path"] = str(klue(settings[part]["path"]))
    names = [model["name"] for model in settings["models"]]
    if only is not None:
        settings["models"] = [model for model in settings["models"] if model["name"] == only]
    config = ModelsConfig.model_validate(settings)
    models = compare_models(
        config, FOLDER, report=lambda line: print(line, file=sys.stderr, flush=True)
    )
    write_models(config, models, FOLDER)
    rows = [figures(model) | {"machine": machine()} for model in models]
    command = "python benchmarks/models.py"
    if only is not None:
        command += f" --only '{only}'"
        kept = {row["name"]: row for row in earlier()} | {row["name"]: row for row in rows}
        rows = [kept[name] for name in names if name in kept]
    elif (FOLDER / "curves.png").is_file():
        shutil.copyfile(FOLDER / "curves.png", RESULTS / "models.png")
    write(
        "models",
        command,
        {"models": rows, "published": settings["published"]},
        (
            "llmner",
            "python-crfsuite",
            "sklearn-crfsuite",
            "torch",
            "transformers",
            "peft",
        ),
    )


_HELP = argparse.RawDescriptionHelpFormatter


def machine() -> str:
    """The processor that a model was measured on."""
    return f"{platform.machine()}, {os.cpu_count()} cores of {processor_name()}"


def earlier() -> list[dict[str, Any]]:
    """The rows that were measured before, each with its machine."""
    report = json.loads((RESULTS / "models.json").read_text(encoding="utf-8"))
    rows: list[dict[str, Any]] = report["figures"]["models"]
    return [{"machine": report["machine"].partition(" ")[2], **row} for row in rows]


def figures(model: ComparedModel) -> dict[str, object]:
    """The figures of the table, and the epochs; of many epochs every tenth."""
    row = model.to_dict()
    keys = (
        "name",
        "sentences",
        "micro",
        "macro",
        "weighted",
        "klue",
        "intervals",
        "per_label",
        "facts",
        "signature",
    )
    result = {key: row[key] for key in keys}
    scores = ("micro.f1", "macro.f1", "weighted.f1", "klue.entity_f1", "klue.char_f1")
    result["intervals"] = {name: row["intervals"][name] for name in scores}
    epochs = row["epochs"]
    result["epochs"] = epochs if len(epochs) < 50 else epochs[9::10]
    if row["calibration"] is not None:
        result["ece"] = row["calibration"]["ece"]
    return result


if __name__ == "__main__":
    main()
