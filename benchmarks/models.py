"""Compares the kinds of models that a user can choose from, with ``llmner compare-models``.

    python benchmarks/models.py

It trains a CRF and a BiLSTM-CRF on 5,000 of KLUE's training sentences. These and the packaged
adapter are evaluated on all 5,000 sentences of dev v1.1. It takes an hour on two cores. The figures
go to ``results/models.json``, the loss curves to ``results/models.png``. The report, which contains
KLUE's texts, goes to ``build/models/``.
"""

from __future__ import annotations

import shutil
import sys

import yaml
from _report import RESULTS, ROOT, klue, write

from llmner.comparison import ComparedModel, ModelsConfig, compare_models, write_models

FOLDER = ROOT / "build" / "models"


def main() -> None:
    settings = yaml.safe_load((ROOT / "benchmarks" / "models.yaml").read_text(encoding="utf-8"))
    for part in ("train", "gold"):
        settings[part]["path"] = str(klue(settings[part]["path"]))
    config = ModelsConfig.model_validate(settings)
    models = compare_models(
        config, FOLDER, report=lambda line: print(line, file=sys.stderr, flush=True)
    )
    write_models(config, models, FOLDER)
    if (FOLDER / "curves.png").is_file():
        shutil.copyfile(FOLDER / "curves.png", RESULTS / "models.png")
    write(
        "models",
        "python benchmarks/models.py",
        {"models": [figures(model) for model in models], "published": settings["published"]},
        (
            "llmner",
            "python-crfsuite",
            "sklearn-crfsuite",
            "torch",
            "transformers",
            "peft",
            "seqeval",
        ),
    )


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
