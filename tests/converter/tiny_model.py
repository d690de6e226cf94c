"""A 1-layer BERT SentenceTransformer with random weights, written file by file: torch would take 10 s to do it."""

import json
from pathlib import Path
from typing import Any, Final

import numpy as np
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

DIM: Final = 32
LETTERS: Final = "abcdefghijklmnopqrstuvwxyz0123456789.,?!:#"
SPECIAL: Final = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
MODULES: Final = (
    ("", "sentence_transformers.models.Transformer"),
    ("1_Pooling", "sentence_transformers.models.Pooling"),
    ("2_Normalize", "sentence_transformers.models.Normalize"),
)


def write_tiny_model(folder: Path) -> None:
    """Write the model as `SentenceTransformer.save` does, with a length of 48 tokens and mean pooling."""
    for path, _ in MODULES:
        (folder / path).mkdir(parents=True, exist_ok=True)
    words = [*SPECIAL.values(), *LETTERS, *(f"##{letter}" for letter in LETTERS)]
    files: dict[str, Any] = {
        "modules.json": [
            {"idx": at, "name": str(at), "path": path, "type": kind} for at, (path, kind) in enumerate(MODULES)
        ],
        "sentence_bert_config.json": {"max_seq_length": 48, "do_lower_case": False},
        "1_Pooling/config.json": {"word_embedding_dimension": DIM, "pooling_mode_mean_tokens": True},
        "tokenizer_config.json": {
            **SPECIAL,
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": 48,
            "clean_up_tokenization_spaces": False,
        },
        "config.json": {
            "architectures": ["BertModel"],
            "model_type": "bert",
            "vocab_size": len(words),
            "hidden_size": DIM,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "intermediate_size": 2 * DIM,
            "max_position_embeddings": 64,
            "type_vocab_size": 2,
        },
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content, indent=2))
    _tokenizer(words).save(str(folder / "tokenizer.json"))
    save_file(_weights(len(words)), folder / "model.safetensors", metadata={"format": "pt"})


def _tokenizer(words: list[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece({word: at for at, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.add_special_tokens(list(SPECIAL.values()))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[(name, words.index(name)) for name in ("[CLS]", "[SEP]")]
    )
    return tokenizer


def _weights(words: int) -> dict[str, np.ndarray[Any, Any]]:
    rng = np.random.default_rng(7)
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings": (words, DIM),
        "embeddings.position_embeddings": (64, DIM),
        "embeddings.token_type_embeddings": (2, DIM),
    }
    for name in ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"):
        shapes[f"encoder.layer.0.{name}"] = (DIM, DIM)
    shapes["encoder.layer.0.intermediate.dense"] = (2 * DIM, DIM)
    shapes["encoder.layer.0.output.dense"] = (DIM, 2 * DIM)
    shapes["pooler.dense"] = (DIM, DIM)
    made = {}
    for name, shape in shapes.items():
        made[f"{name}.weight"] = rng.normal(0, 0.02, shape).astype(np.float32)
        if not name.startswith("embeddings."):
            made[f"{name}.bias"] = np.zeros(shape[0], np.float32)
    for norm in ("embeddings", "encoder.layer.0.attention.output", "encoder.layer.0.output"):
        made[f"{norm}.LayerNorm.weight"] = np.ones(DIM, np.float32)
        made[f"{norm}.LayerNorm.bias"] = np.zeros(DIM, np.float32)
    return made
