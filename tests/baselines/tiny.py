"""A two-layer encoder with random weights and a tokenizer trained on the sample, made on the
spot.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from llmner.corpora import read_corpus
from tests.conftest import ROOT

SENTENCES = list(read_corpus(ROOT / "data" / "sample.tsv"))[:50]


def tiny_encoder(
    folder: Path, kind: str = "bert", places: int = 128, texts: Sequence[str] = ()
) -> Path:
    """Save a random encoder and a WordPiece tokenizer trained on texts, by default the sample's."""
    import torch
    import transformers
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    held = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    held.normalizer = normalizers.BertNormalizer(lowercase=False)
    held.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    # Hardly more than single syllables, so that particles are tokens of their own.
    trainer = trainers.WordPieceTrainer(vocab_size=400, special_tokens=special, show_progress=False)
    held.train_from_iterator(list(texts) or [s.text for s in SENTENCES], trainer)
    held.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=held,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
    )
    fast.model_max_length = places
    fast.save_pretrained(folder)
    shape = {
        "vocab_size": len(fast),
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 128,
        "max_position_embeddings": places,
        "pad_token_id": 0,
    }
    torch.manual_seed(0)
    if kind == "bert":
        model = transformers.BertModel(transformers.BertConfig(**shape))
    else:
        model = transformers.RobertaModel(
            transformers.RobertaConfig(**{**shape, "pad_token_id": 0})
        )
    model.save_pretrained(folder)
    return folder
