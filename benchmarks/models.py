"""The models a user would weigh against each other, on the same sentences: ``llmner
compare-models``.

    python benchmarks/models.py

Trains CRF and BiLSTM-CRF on 5,000 sentences of KLUE's train part and evaluates them and the
packaged adapter on all 5,000 of dev v1.1; an hour on two cores. Figures go to
``results/models.json``, loss curves to ``results/models.png``, the report, which holds KLUE's
texts, to ``build/models/``.
"""

from __future__ import annotations

import shutil
import sys

import yaml
from _report import RESULTS, ROOT, klue, write

from llmner.comparison import ComparedModel, ModelsConfig, compare_models, write_models

FOLDER = ROOT / "build" / "models"


def main() -> None:
    given = yaml.safe_load((ROOT / "benchmarks" / "models.yaml").read_text(encoding="utf-8"))
    for part in ("train", "gold"):
        given[part]["path"] = str(klue(given[part]["path"]))
    config = ModelsConfig.model_validate(given)
    models = compare_models(
        config, FOLDER, report=lambda line: print(line, file=sys.stderr, flush=True)
    )
    write_models(config, models, FOLDER)
    if (FOLDER / "curves.png").is_file():
        shutil.copyfile(FOLDER / "curves.png", RESULTS / "models.png")
    write(
        "models",
        "python benchmarks/models.py",
        {"models": [figures(model) for model in models], "published": given["published"]},
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
    """What the table shows, and the epochs; of the CRF's hundred iterations every tenth."""
    held = model.to_dict()
    kept = (
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
    found = {key: held[key] for key in kept}
    wanted = ("micro.f1", "macro.f1", "weighted.f1", "klue.entity_f1", "klue.char_f1")
    found["intervals"] = {name: held["intervals"][name] for name in wanted}
    epochs = held["epochs"]
    found["epochs"] = epochs if len(epochs) < 50 else epochs[9::10]
    if held["calibration"] is not None:
        found["ece"] = held["calibration"]["ece"]
    return found


if __name__ == "__main__":
    main()
