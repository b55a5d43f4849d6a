"""Token classifiers that llmner did not train: folders that ``save_pretrained`` wrote."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason='needs pip install "llmner[baselines]"')
pytest.importorskip("sklearn_crfsuite", reason='needs pip install "llmner[baselines]"')

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from llmner._mishaps import Mishap, attempt
from llmner.asking import AskOptions
from llmner.asking.building import build_baseline
from llmner.baselines import BaselineExtractor, find_baseline, load_baseline
from llmner.baselines._store import fingerprint, read_baseline_record, size_on_disk
from llmner.baselines._tag_names import tag_names
from llmner.errors import GenerationError, InputError
from llmner.hub.taggers import push_baseline
from llmner.tagging import tags_to_spans
from tests.baselines.tiny import SENTENCES

pytestmark = pytest.mark.filterwarnings("ignore")

TEXTS = [
    *(sentence.text for sentence in SENTENCES[:20]),
    "입장료는 3,000명 기준 1인당 ５,０００원이다.",
    "  두 칸  띄운   글 ",
    "Müller flew from Zürich to São Paulo 😀 on 3.5.2024.",
    "Ines flew to Tallinn with 3,000 others, and paid $5.",
    "On Monday  the team of Leeds lost again; nobody asked why.",
]
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
IOB2 = ["O", "B-PS", "I-PS", "B-LC", "I-LC"]


def wordpiece() -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False, strip_accents=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return trained(tokenizer, trainers.WordPieceTrainer)


def byte_level() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    return trained(tokenizer, trainers.BpeTrainer, initial_alphabet=alphabet)


def sentencepiece() -> Tokenizer:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    return trained(tokenizer, trainers.UnigramTrainer, unk_token="<unk>")


def trained(tokenizer: Tokenizer, trainer: Callable[..., Any], **options: Any) -> Tokenizer:
    given = trainer(vocab_size=600, special_tokens=SPECIAL, show_progress=False, **options)
    tokenizer.train_from_iterator(TEXTS, given)
    return tokenizer


TOKENIZERS = {"##": wordpiece, "Ġ": byte_level, "▁": sentencepiece}


def saved(folder: Path, names: list[str], tokenizer: str = "##", *, roberta: bool = False) -> Path:
    """A folder as transformers writes it: random weights, classes with these names."""
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=TOKENIZERS[tokenizer](), pad_token="<pad>", unk_token="<unk>"
    )
    fast.save_pretrained(folder)
    torch.manual_seed(3)
    sizes = {
        "vocab_size": len(fast),
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "max_position_embeddings": 256,
        "pad_token_id": 1,
        "id2label": dict(enumerate(names)),
        "label2id": {name: number for number, name in enumerate(names)},
    }
    kind = "Roberta" if roberta else "Bert"
    config = getattr(transformers, f"{kind}Config")(**sizes)
    model = getattr(transformers, f"{kind}ForTokenClassification")(config)
    # Tags that change from token to token.
    model.classifier.weight.data.mul_(30)
    model.save_pretrained(folder)
    return folder


def places(folder: Path) -> list[list[tuple[int, int, str]]]:
    return [
        [(span.start, span.end, span.label) for span in spans]
        for spans in load_baseline(folder, device="cpu").tag(TEXTS)
    ]


@pytest.mark.parametrize("names", [IOB2, ["O", "PS", "LC"]], ids=["IOB2", "bare"])
@pytest.mark.parametrize("tokenizer", TOKENIZERS)
@pytest.mark.parametrize("roberta", [False, True], ids=["BERT", "RoBERTa"])
def test_a_folder_finds_what_the_pipeline_finds_and_words_are_as_in_the_text(
    tmp_path: Path, names: list[str], tokenizer: str, roberta: bool
) -> None:
    folder = saved(tmp_path / "theirs", names, tokenizer, roberta=roberta)
    pipeline = transformers.pipeline(
        "token-classification", str(folder), aggregation_strategy="simple", device="cpu"
    )
    found = places(folder)
    assert sum(map(len, found)) > 100
    for text, ours in zip(TEXTS, found, strict=True):
        # Where a character is several tokens, as ㎡ of which a tokenizer makes m2, entities of theirs
        # may begin and end inside it.
        if text.isascii() or (tokenizer != "Ġ" and "㎡" not in text):
            theirs = []
            for entity in pipeline(text):
                start, end = int(entity["start"]), int(entity["end"])
                word = text[start:end]
                # Some tokenizers count the space before a word in; some tokens are nothing else.
                start += len(word) - len(word.lstrip())
                if entity["word"].strip():
                    theirs.append((start, start + len(word.strip()), entity["entity_group"]))
            assert ours == theirs
        assert all(text[start:end].strip() == text[start:end] for start, end, _ in ours)


@pytest.mark.parametrize(
    "names",
    [
        ["O", "PS-B", "PS-I", "LC-B", "LC-I"],
        ["O", "B_PS", "I_PS", "B_LC", "I_LC"],
        ["o", "b-PS", "i-PS", "b-LC", "i-LC"],
        ["[PAD]", "B-PS", "I-PS", "B-LC", "I-LC"],
    ],
)
def test_other_spellings_of_the_same_tags(tmp_path: Path, names: list[str]) -> None:
    folder = saved(tmp_path / "theirs", IOB2)
    expected = places(folder)
    assert places(changed(folder, id2label=dict(enumerate(names)))) == expected


@pytest.mark.parametrize("names", ["OBIES", "OBILU", "OBMEW"])
def test_tags_that_end_entities(tmp_path: Path, names: str) -> None:
    tags = ["O", *(f"{prefix}-PS" for prefix in names[1:])]
    folder = saved(tmp_path / "ends", tags)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForTokenClassification.from_pretrained(folder)
    for text, ours in zip(TEXTS[:20], places(folder), strict=False):
        encoded = tokenizer(text, return_tensors="pt", return_offsets_mapping=True)
        offsets = encoded.pop("offset_mapping")[0].tolist()
        best = model(**encoded).logits[0].argmax(-1).tolist()
        spans, _ = tags_to_spans([tags[number] for number in best], scheme="bioes")
        assert ours == [(offsets[span.start][0], offsets[span.end - 1][1], "PS") for span in spans]


@pytest.mark.parametrize(
    ("names", "tags"),
    [
        (["O", "B-PER", "X", "[CLS]", "[SEP]"], ["O", "B-PER", "O", "O", "O"]),
        (["OTHER", "street", "city"], ["O", "I-street", "I-city"]),
        (["O", "OTHER", "PER"], ["O", "I-OTHER", "I-PER"]),
        (["O", "B-ORG", "event"], ["O", "B-ORG", "I-event"]),
        (["O", "B-X"], ["O", "B-X"]),
    ],
)
def test_names_of_classes(names: list[str], tags: list[str]) -> None:
    assert tag_names(names)[0] == tags


def test_it_is_a_baseline_like_any_other(tmp_path: Path) -> None:
    folder = saved(tmp_path / "theirs", IOB2)
    assert find_baseline(str(folder)) == folder
    tagger = build_baseline(AskOptions.of(engine=f"baseline:{folder}", device="cpu"))
    assert isinstance(tagger, BaselineExtractor)
    assert tagger.labels == ("LC", "PS")
    rows = [extraction.row() for extraction in tagger.extract(TEXTS)]
    assert len(rows) == len(TEXTS)
    described = tagger.describe()
    assert (described["kind"], described["model"]) == ("encoder", "theirs")
    assert size_on_disk(folder) > (folder / "model.safetensors").stat().st_size
    before = fingerprint(folder)
    torch.manual_seed(9)
    saved(folder, ["O", "B-PS", "I-PS", "B-OG", "I-OG"])
    assert fingerprint(folder) != before
    with pytest.raises(InputError, match="was not trained by llmner"):
        push_baseline(folder, "me/theirs", dry_run=True)


def test_older_weights(tmp_path: Path) -> None:
    folder = saved(tmp_path / "theirs", IOB2)
    expected = places(folder)
    model = transformers.AutoModelForTokenClassification.from_pretrained(folder)
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    assert places(folder) == expected
    assert size_on_disk(folder) > (folder / "pytorch_model.bin").stat().st_size


def changed(folder: Path, **fields: Any) -> Path:
    path = folder / "config.json"
    config = json.loads(path.read_text("utf-8")) | fields
    path.write_text(json.dumps({key: v for key, v in config.items() if v is not None}), "utf-8")
    return folder


def test_what_cannot_tag_says_so(tmp_path: Path) -> None:
    folder = saved(tmp_path / "theirs", IOB2)
    with pytest.raises(InputError, match="is a BertForMaskedLM, which classifies neither tokens"):
        read_baseline_record(changed(folder, architectures=["BertForMaskedLM"]))
    changed(folder, architectures=["BertForTokenClassification"])
    with pytest.raises(InputError, match=r"classes have no names \(LABEL_0, LABEL_1\)"):
        read_baseline_record(changed(folder, id2label={"0": "LABEL_0", "1": "LABEL_1"}))
    with pytest.raises(InputError, match="does not name the classes"):
        read_baseline_record(changed(folder, id2label=None))


@pytest.mark.parametrize(
    "fields",
    [
        {"id2label": []},
        {"id2label": {"0": ["O"], "1": None, "2": {"a": 1}, "3": 7, "4": "\x1b[31m"}},
        {"id2label": {"a": "O", "b": "B-PS"}},
        {"architectures": "BertForTokenClassification"},
        {"architectures": [None]},
        {"architectures": ["BertForTokenClassification\n" * 100], "num_hidden_layers": 10**9},
        {"max_position_embeddings": -1},
        {"model_type": "nothing"},
    ],
)
def test_a_broken_configuration_is_one_line_that_names_it(
    tmp_path: Path, fields: dict[str, Any]
) -> None:
    folder = changed(saved(tmp_path / "theirs", IOB2), **fields)
    # What a tagger of characters has beside it means nothing here.
    (folder / "characters.json").write_text("{}")
    found = attempt(lambda: list(BaselineExtractor(folder, device="cpu").extract(TEXTS[:2])))
    if isinstance(found, Mishap):
        assert isinstance(found.error, InputError | GenerationError)
        assert str(found.error).isprintable()
        assert "theirs" in str(found.error)
    else:
        assert len(found) == 2


def test_a_slow_tokenizer_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = saved(tmp_path / "theirs", IOB2)
    monkeypatch.setattr(transformers.PreTrainedTokenizerFast, "is_fast", False)
    with pytest.raises(InputError, match=r"theirs: its tokenizer \(\w+\) is a slow one"):
        load_baseline(folder, device="cpu")
