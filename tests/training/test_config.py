"""Training configurations: files, overrides, what they refuse; and the ones that are shipped."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from llmner.errors import InputError
from llmner.recipes import Recipe
from llmner.training import TrainingConfig, load_config, parse_arguments, parse_config

pytest.importorskip("jsonargparse", reason='needs pip install "llmner[train]"')

CONFIGS = sorted((Path(__file__).parent.parent.parent / "scripts" / "configs").glob("*.yaml"))


def written(folder: Path, **fields: object) -> Path:
    path = folder / "c.yaml"
    path.write_text(yaml.safe_dump(fields), encoding="utf-8")
    return path


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_shipped_configuration_loads_and_its_recipe_exists(path: Path) -> None:
    config = load_config(path)
    Recipe.load(config.data.recipe)
    # What a file says arrives; nothing is taken for a default because of a typo.
    for key, value in yaml.safe_load(path.read_text(encoding="utf-8")).items():
        assert config.flat()[key] == value


def test_five_configurations_are_shipped() -> None:
    assert [path.stem for path in CONFIGS] == [
        "exaone-3.0-7.8b-24gb",
        "exaone-3.0-7.8b-blog",
        "exaone-3.5-7.8b-24gb",
        "exaone-4.0-1.2b",
        "gemma-3-270m-cpu",
    ]


def test_the_blogs_setting_is_the_published_one() -> None:
    config = load_config(next(path for path in CONFIGS if "blog" in path.stem))
    published = {
        "lora_rank": 32,
        "lora_alpha": 16,
        "lora_dropout": 0.05,
        "learning_rate": 2e-4,
        "batch_size": 4,
        "gradient_accumulation": 4,
        "epochs": 1,
        "max_length": 1024,
        "loss_on": "all",
        "optimizer": "paged_adamw_32bit",
        "weight_decay": 0.001,
        "max_grad_norm": 0.3,
        "batching": "length",
        "log_steps": 50,
        "save_steps": 500,
        "held_out": 0,
        "train": "klue-ner-v1_train.tsv",
        "train_limit": None,
    }
    assert {name: config.flat()[name] for name in published} == published
    assert config.batch_rows() == 16


def test_options_override_the_file_and_later_ones_win(tmp_path: Path) -> None:
    path = written(tmp_path, lora_rank=8, learning_rate=0.01)
    config = parse_config(
        [
            "--config",
            str(path),
            "--lora-rank",
            "4",
            "--lora_targets",
            "[q_proj, v_proj]",
            "--held-out=7",
        ]
    )
    assert config.lora.lora_rank == 4
    assert config.lora.lora_targets == ["q_proj", "v_proj"]
    assert config.optim.learning_rate == 0.01
    assert config.data.held_out == 7


def test_scientific_notation_is_a_number(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("learning_rate: 2e-4\n", encoding="utf-8")
    assert load_config(path).optim.learning_rate == 2e-4


def test_flat_fields_read_back_give_an_equal_configuration(tmp_path: Path) -> None:
    config = parse_config(["--epochs", "2", "--eval_steps", "5", "--train_limit", "9"])
    assert load_config(written(tmp_path, **config.flat())) == config


def test_switches_stand_beside_the_configuration() -> None:
    config, given = parse_arguments(["--restart"], {"restart": "x", "other": "y"})
    assert given == {"restart": True, "other": False}
    assert config == TrainingConfig()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--lora_rank", "0"], "lora_rank: Input should be greater than 0"),
        (["--lora_rank", "many"], "lora_rank"),
        (["--lora_dropout", "1"], "lora_dropout"),
        (["--rnak", "3"], "rnak"),
        (["--over_long", "cut"], "over_long"),
        (["--held_out", "1.5"], "held_out: 1.5 is neither a share below 1 nor a whole number"),
        (["--warmup", "2.5"], "warmup: 2.5 is neither"),
        (["--held_out", "0", "--patience", "2"], "patience needs held-out sentences"),
        (["--config", "nowhere.yaml"], "nowhere.yaml"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(arguments: list[str], said: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_config(arguments)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_bad_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"c\.yaml: .*bacth_size"):
        load_config(written(tmp_path, bacth_size=4))
    broken = tmp_path / "broken.yaml"
    broken.write_text("model: [", encoding="utf-8")
    with pytest.raises(InputError, match=r"broken\.yaml"):
        load_config(broken)
