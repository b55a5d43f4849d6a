"""Encoders as ONNX: they say what they said before, without torch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

pytest.importorskip("torch", reason='needs pip install "llmner[baselines]"')
pytest.importorskip("transformers", reason='needs pip install "llmner[baselines]"')
pytest.importorskip("onnxscript", reason='needs pip install "llmner[export]"')
pytest.importorskip("onnxruntime", reason='needs pip install "llmner[onnx]"')

from llmner.baselines import (
    BaselineExtractor,
    EncoderClassifier,
    EncoderClassifierConfig,
    EncoderConfig,
    EncoderTagger,
    load_baseline,
    train_baseline,
)
from llmner.baselines._paths import Edges, best_path, path_marginals
from llmner.cli import app
from llmner.corpora import write_corpus
from llmner.errors import InputError
from llmner.exporting import compare_exported, export_model
from tests.baselines import test_classifier as reviews
from tests.baselines.tiny import SENTENCES, tiny_encoder
from tests.tiny import tiny_model

pytestmark = pytest.mark.slow

TEXTS = [sentence.text for sentence in SENTENCES]
# One that takes many windows, two that hardly have any, and characters that tokenizers take apart.
HARD = [" ".join(TEXTS), "", " ", "👨‍👩‍👧 각 ㎞ \ud800 é" * 9]
KINDS = ["tokens", "characters", "reviews"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("trained")
    shape: dict[str, Any] = {"batch_size": 4, "learning_rate": 3e-3, "epochs": 20}
    short = {"max_length": 40, "stride": 10}
    for head, base in (("tokens", "roberta"), ("characters", "bert")):
        model = str(tiny_encoder(place / base, base))
        config = EncoderConfig(model=model, head=head, **shape, **short)  # type: ignore[arg-type]
        train_baseline(SENTENCES, config, place / head)
    texts = [sentence.text for sentence in reviews.SENTENCES]
    model = str(tiny_encoder(place / "base", texts=texts))
    train_baseline(
        reviews.SENTENCES, EncoderClassifierConfig(model=model, **shape), place / "reviews"
    )
    return {kind: place / kind for kind in KINDS}


@pytest.fixture(scope="module")
def exported(
    trained: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, Path]]:
    place = tmp_path_factory.mktemp("exported")
    return {
        form: {
            kind: export_model(str(trained[kind]), place / f"{kind}-{form}", form).folder
            for kind in KINDS
        }
        for form in ("onnx", "int8")
    }


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def plain(found: Any) -> list[list[Any]]:
    """Answers without their scores."""
    return [
        [(one.label, getattr(one, "start", None), getattr(one, "attributes", None)) for one in own]
        for own in found
    ]


def asked(kind: str) -> list[str]:
    own = [s.text for s in reviews.SENTENCES] if kind == "reviews" else TEXTS
    return [*own, *HARD]


@pytest.mark.parametrize("kind", KINDS)
def test_an_exported_model_answers_as_before(
    trained: dict[str, Path], exported: dict[str, dict[str, Path]], kind: str
) -> None:
    texts = asked(kind)
    before: Any = load_baseline(trained[kind], device="cpu")
    after: Any = load_baseline(exported["onnx"][kind], device="cpu")
    wanted, found = before.tag(texts), after.tag(texts)
    assert plain(found) == plain(wanted)
    assert sum(map(len, wanted)) > 50
    scores = [[one.score for own in answers for one in own] for answers in (found, wanted)]
    assert scores[0] == pytest.approx(scores[1], abs=1e-3)
    assert isinstance(after, EncoderClassifier if kind == "reviews" else EncoderTagger)
    assert (after.kind, after.labels, after.parameters()) == (
        before.kind,
        before.labels,
        before.parameters(),
    )


@pytest.mark.parametrize("kind", KINDS)
def test_eight_bits_are_smaller_and_nearly_the_same(
    trained: dict[str, Path], exported: dict[str, dict[str, Path]], kind: str
) -> None:
    sentences = reviews.SENTENCES if kind == "reviews" else SENTENCES
    before, after = compare_exported(trained[kind], exported["int8"][kind], sentences)
    assert before.same == 1.0
    assert after.same > 0.9
    assert abs(after.f1 - before.f1) < 0.05
    networks = [(exported[form][kind] / "model.onnx").stat().st_size for form in ("onnx", "int8")]
    # The rest of such a small network are the names of its operations.
    assert networks[1] < networks[0] * 0.7


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_but_onnxruntime_and_tokenizers_is_imported(
    exported: dict[str, dict[str, Path]], kind: str
) -> None:
    texts = asked(kind)[:8]
    code = f"""
import sys
for name in ("torch", "transformers", "sklearn", "scipy", "accelerate", "onnx"):
    sys.modules[name] = None
from pathlib import Path
from llmner.baselines import BaselineExtractor
extractor = BaselineExtractor(Path({str(exported["int8"][kind])!r}))
print(sum(len(each.spans) + len(each.labels) for each in extractor.extract({texts!r})))
# Arithmetic of the process is as it was.
assert sys.float_info.min / 2 > 0
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    extractor = BaselineExtractor(exported["int8"][kind])
    found = list(extractor.extract(texts))
    assert int(done.stdout) == sum(len(each.spans) + len(each.labels) for each in found) > 0


def test_the_command_tells_size_speed_and_f1(trained: dict[str, Path], tmp_path: Path) -> None:
    write_corpus(SENTENCES[:20], tmp_path / "gold.jsonl", "spans")
    done = run(
        *("export", trained["tokens"], "--to", "int8", "-o", tmp_path / "small"),
        *("--gold", tmp_path / "gold.jsonl"),
    )
    assert done.exit_code == 0, done.output
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["MB", "before", "after"]
    record = json.loads((tmp_path / "small" / "baseline.json").read_text("utf-8"))
    assert record["exported"] == {"weights": "int8", "from": "tokens"}
    assert set(record["files"]) == {"model.onnx", "onnx.json", "tokenizer.json"}
    done = run("extract", "--engine", f"baseline:{tmp_path / 'small'}", TEXTS[0])
    assert done.exit_code == 0, done.output
    # What was exported is what is evaluated.
    done = run(
        *("evaluate", "--gold", tmp_path / "gold.jsonl"),
        *("--engine", f"baseline:{tmp_path / 'small'}", "--json"),
    )
    assert done.exit_code == 0, done.output


def test_what_cannot_be_exported_is_told(trained: dict[str, Path], tmp_path: Path) -> None:
    folder = str(trained["tokens"])
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a").touch()
    for arguments, told in (
        ((folder, "--to", "gguf"), "does not become gguf"),
        ((folder, "--to", "onyx"), "unknown form 'onyx'"),
        ((str(tiny_model(tmp_path / "llama")), "--to", "onnx"), "does not become onnx"),
        ((str(tmp_path / "none"), "--to", "int8"), "none"),
    ):
        done = run("export", *arguments, "-o", tmp_path / "out")
        assert done.exit_code != 0
        assert told in done.stderr
        assert not (tmp_path / "out").exists()
    done = run("export", folder, "--to", "onnx", "-o", tmp_path / "full")
    assert "already exists" in done.stderr


def test_an_export_is_not_exported_again(
    exported: dict[str, dict[str, Path]], tmp_path: Path
) -> None:
    done = run("export", exported["onnx"]["tokens"], "--to", "int8", "-o", tmp_path / "again")
    assert "was exported already" in done.stderr


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("onnx.json", b"{}"),
        ("onnx.json", b"[1"),
        ("model.onnx", b"no network"),
        ("model.onnx", None),
        ("tokenizer.json", b"{}"),
        ("head.safetensors", b"\0" * 64),
        ("characters.json", b"{}"),
        ("head.onnx", b""),
    ],
)
def test_broken_exports_are_told(
    exported: dict[str, dict[str, Path]], tmp_path: Path, name: str, content: bytes | None
) -> None:
    for path in exported["onnx"]["characters"].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    record = json.loads((tmp_path / "baseline.json").read_text("utf-8"))
    # Without hashes, so that the files themselves are looked at.
    (tmp_path / "baseline.json").write_text(json.dumps({**record, "files": {}}), "utf-8")
    if content is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError):
        load_baseline(tmp_path)


def test_devices_other_than_the_cpu_are_refused(exported: dict[str, dict[str, Path]]) -> None:
    with pytest.raises(InputError, match="runs on the CPU"):
        load_baseline(exported["onnx"]["tokens"], device="cuda")


def test_a_language_model_as_a_classifier_is_exported(tmp_path: Path) -> None:
    model = tiny_model(tmp_path / "llama")
    config = EncoderClassifierConfig(model=str(model), epochs=6, batch_size=8, learning_rate=3e-3)
    train_baseline(reviews.SENTENCES, config, tmp_path / "trained")
    export_model(str(tmp_path / "trained"), tmp_path / "onnx", "onnx")
    texts = [*asked("reviews")[:20], "", " "]
    wanted = load_baseline(tmp_path / "trained", device="cpu").tag(texts)
    assert plain(load_baseline(tmp_path / "onnx").tag(texts)) == plain(wanted)


def test_the_chain_is_that_of_torch() -> None:
    import numpy as np
    import torch

    from llmner.baselines._chain import LinearChain

    tags = ["O", "B-X", "I-X", "E-X", "S-X"]
    torch.manual_seed(0)
    chain = LinearChain(tags)
    for weights in chain.parameters():
        torch.nn.init.normal_(weights)
    scores = torch.randn(1, 9, 5)
    mask = torch.ones(1, 9, dtype=torch.bool)
    with torch.inference_mode():
        edges = Edges(*(edge.numpy() for edge in chain.edges()))
        assert best_path(scores[0].numpy(), edges) == chain.decode(scores, mask)[0]
        wanted = chain.marginals(scores, mask)[0].numpy()
    assert np.allclose(path_marginals(scores[0].numpy(), edges), wanted, atol=1e-5)
