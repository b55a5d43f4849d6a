"""Baselines, calibrations and recorded replies of which something is broken: one line, whatever
it is.
"""

from __future__ import annotations

import json
import random
import shutil
import struct
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason='needs pip install "llmner[baselines]"')
pytest.importorskip("sklearn_crfsuite", reason='needs pip install "llmner[baselines]"')

from llmner.baselines import (
    BaselineExtractor,
    BilstmCrfConfig,
    CrfConfig,
    EncoderConfig,
    load_baseline,
    train_baseline,
)
from llmner.baselines._crfsuite import check_crfsuite
from llmner.engines import create_generator
from llmner.errors import GenerationError, InputError
from llmner.extraction.confidence import Calibrator
from tests.baselines.tiny import SENTENCES, tiny_encoder
from tests.corruption import outcomes

pytestmark = pytest.mark.filterwarnings("ignore")

CONFIGS: dict[str, Any] = {
    "crf": CrfConfig(max_iterations=3),
    "bilstm-crf": BilstmCrfConfig(hidden=8, epochs=1, min_frequency=4),
    "encoder": EncoderConfig(epochs=1, max_length=64, stride=8),
    "characters": EncoderConfig(
        epochs=1, max_length=64, stride=8, head="characters", hidden=8, log_steps=9
    ),
}


@pytest.fixture(scope="module", params=sorted(CONFIGS))
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("baselines")
    config = CONFIGS[request.param]
    if isinstance(config, EncoderConfig):
        config = config.model_copy(update={"model": str(tiny_encoder(place / "base"))})
    train_baseline(SENTENCES[:12], config, place / request.param)
    return place / request.param


def use(folder: Path) -> Any:
    """All that a command does with a baseline."""
    extractor = BaselineExtractor(folder, device="cpu")
    extractor.describe()
    assert isinstance(extractor.labels, tuple)
    return [extraction.row() for extraction in extractor.extract(["손흥민이 왔다."])]


@pytest.mark.slow
@pytest.mark.parametrize("hashed", [True, False], ids=["hashed", "unhashed"])
def test_a_baseline_however_broken_is_one_line_that_names_it(
    folder: Path, tmp_path: Path, hashed: bool
) -> None:
    """Those of earlier releases have no hashes of their files, and are looked at all the same."""
    good = tmp_path / "good"
    shutil.copytree(folder, good, ignore=shutil.ignore_patterns("runs"))
    record = json.loads((good / "baseline.json").read_text("utf-8"))
    assert set(record["files"]) == {path.name for path in good.iterdir()} - {"baseline.json"} - {
        "README.md"
    }
    keep = ("kind", "labels", "config") + (("files",) if hashed else ())
    (good / "baseline.json").write_text(json.dumps({key: record[key] for key in keep}), "utf-8")
    # A network is made for each.
    one_in = {"crf": 1, "bilstm-crf": 5, "encoder": 13}[record["kind"]]
    count: Counter[str] = Counter()
    for name, result in outcomes(good, tmp_path, use, one_in=one_in):
        if isinstance(result, Exception):
            line = str(result)
            assert isinstance(result, InputError | GenerationError), (name, result)
            assert line.isprintable(), (name, line)
            assert "broken" in line, (name, line)
            assert len(line) < 700
            count["refused"] += 1
        else:
            assert len(result) == 1
            count["tagged"] += 1
            # What is not that of the record is not used.
            assert not hashed or name.startswith("baseline.json"), name
    assert count["refused"] > 30


def test_a_file_that_was_changed_is_told_by_its_hash(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    name = next(name for name in ("model.crfsuite", "model.safetensors") if (copy / name).exists())
    raw = bytearray((copy / name).read_bytes())
    raw[len(raw) // 2] ^= 1
    (copy / name).write_bytes(bytes(raw))
    with pytest.raises(
        InputError, match=rf"{name}: cannot be loaded: it is not the file that was trained"
    ):
        load_baseline(copy)


@pytest.mark.parametrize(
    "config", [{"hidden": 10**9}, {"layers": 10**9}, {"hidden": 9}, {"layers": 2}]
)
def test_a_network_that_no_machine_has_room_for_is_not_made(
    tmp_path: Path, config: dict[str, int]
) -> None:
    train_baseline(SENTENCES[:12], CONFIGS["bilstm-crf"], tmp_path / "t")
    for name, key in (("baseline.json", "files"), ("vocabulary.json", "config")):
        held = json.loads((tmp_path / "t" / name).read_text("utf-8"))
        held[key] = {} if key == "files" else held[key] | config
        (tmp_path / "t" / name).write_text(json.dumps(held), "utf-8")
    with pytest.raises(
        InputError, match=r"'config' is invalid|does not fit the vocabulary\.json beside it"
    ):
        load_baseline(tmp_path / "t")


# In a process of its own: what is not caught kills it.
_TAG = """
import sys
from pathlib import Path
from llmner.baselines.crf import CrfTagger
from llmner.errors import InputError
opened = 0
for path in map(Path, sys.argv[1:]):
    try:
        tagger = CrfTagger(path, outside_penalty=1.0)
    except InputError:
        continue
    tagger.tag(["손흥민이 춘천에서 태어났다.", "x" * 50])
    opened += 1
    try:
        tagger.parameters()
    except InputError:
        pass
print(opened)
"""


def test_no_file_of_crfsuites_leads_its_c_code_astray(tmp_path: Path) -> None:
    train_baseline(SENTENCES[:12], CONFIGS["crf"], tmp_path / "t")
    raw = (tmp_path / "t" / "model.crfsuite").read_bytes()
    check_crfsuite(tmp_path / "t" / "model.crfsuite")
    dice = random.Random(0)
    paths: list[Path] = []
    for number in range(300):
        changed = bytearray(raw)
        # Header and tables are most of what leads anywhere.
        reach = (48, 4096, len(raw))[number % 3]
        for _ in range(dice.choice((1, 1, 4, 16))):
            at = dice.randrange(reach - 4)
            some = (
                b"\xff\xff\xff\xff",
                bytes(4),
                dice.randbytes(1),
                dice.randbytes(4),
                b"\x01\0\0\0",
            )
            piece = dice.choice((*some, dice.randrange(len(raw)).to_bytes(4, "little")))
            changed[at : at + len(piece)] = piece
        paths.append(tmp_path / f"{number}.crfsuite")
        paths[-1].write_bytes(bytes(changed))
    # A table that is somewhere and has no room; one that leads back from more numbers than there
    # are.
    for name, at, value in (
        ("table", 24 + 8 * 3, 99),
        ("empty", 24 + 8 * 3 + 4, 0),
        ("back", 16, 2**31),
    ):
        changed = bytearray(raw)
        (tags,) = struct.unpack("<I", raw[32:36])
        changed[tags + at : tags + at + 4] = struct.pack("<I", value)
        paths.append(tmp_path / f"{name}.crfsuite")
        paths[-1].write_bytes(bytes(changed))
    done = subprocess.run(
        [sys.executable, "-c", _TAG, *paths],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, (done.returncode, done.stderr[-500:])
    assert 0 < int(done.stdout) < 300


@pytest.mark.parametrize(
    "held",
    ["[" * 10**5, "", "5", "[]", "{}", '{"scores": 5, "precisions": 5}', '{"scores": "01", "precisions": "01"}',
     '{"scores": {"0": 1}, "precisions": [1]}', '{"scores": [null], "precisions": [1]}',
     '{"scores": ["0"], "precisions": ["1"]}', '{"scores": [true], "precisions": [true]}',
     '{"scores": [NaN], "precisions": [1]}', '{"scores": [0], "precisions": [1e999]}',
     '{"scores": [' + "9" * 4000 + '], "precisions": [1]}', '{"scores": [' + "9" * 5000 + '], "precisions": [1]}',
     '{"scores": [0, 1], "precisions": [1]}', '{"scores": [1, 0], "precisions": [0, 1]}',
     '{"scores": [], "precisions": []}', '{"scores": [0.5], "precisions": [-0.1]}'],
    ids=lambda held: held[:40],
)  # fmt: skip
def test_what_is_no_calibration_is_told(tmp_path: Path, held: str) -> None:
    path = tmp_path / "broken.json"
    path.write_text(held)
    with pytest.raises(InputError, match=r"broken\.json: is not a calibration: ") as caught:
        Calibrator.load(path)
    assert str(caught.value).isprintable()


def test_a_calibration_however_broken_is_one_line(tmp_path: Path) -> None:
    good = tmp_path / "good"
    good.mkdir()
    Calibrator((0.0, 0.5, 1.0), (0.1, 0.5, 0.9)).save(good / "c.json")
    for name, result in outcomes(good, tmp_path, lambda at: Calibrator.load(at / "c.json")(0.5)):
        if isinstance(result, Exception):
            assert isinstance(result, InputError), name
            assert "c.json" in str(result), name
            assert str(result).isprintable()
        else:
            assert 0 <= result <= 1, name


def test_recorded_replies_however_broken_are_one_line(tmp_path: Path) -> None:
    """One row to a file, so that the replacements of JSON files are made to it."""
    good = tmp_path / "good"
    good.mkdir()
    (good / "replies.json").write_text(
        json.dumps({"id": "s0", "text": "가", "reply": "{}"}), "utf-8"
    )
    count: Counter[str] = Counter()
    for name, result in outcomes(
        good,
        tmp_path,
        lambda at: create_generator("recorded", path=at / "replies.json").describe(),
        # Replies may come through a pipe: whoever reads one waits for its writer.
        skip="replies.json-pipe",
    ):
        if isinstance(result, Exception):
            assert isinstance(result, InputError), name
            assert "replies.json" in str(result), name
            assert str(result).isprintable()
            count["refused"] += 1
        else:
            json.dumps(result)
    assert count["refused"] > 20
