"""Makes a model of llama's architecture that real servers load: two layers of random weights, some hundred KB."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
from gguf import GGUFWriter, TokenType

WORDS: Final = (
    "river",
    "water",
    "wheel",
    "mill",
    "stone",
    "bend",
    "bank",
    "flow",
    "sand",
    "silt",
    "über",
    "日本",
    "🌊",
)
"""What the model can say, each with a space before it."""

CONTEXT: Final = 16384

_WIDTH: Final = 64
_HEADS: Final = 4
_LAYERS: Final = 2
_HIDDEN: Final = 128
_SEED: Final = 7

_SPECIAL: Final = ("<unk>", "<s>", "</s>")
_BYTES: Final = tuple(f"<0x{number:02X}>" for number in range(256))
_CHAT_TEMPLATE: Final = "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}"


def make_model(path: Path) -> None:
    """Write the model as GGUF. Any text goes in; at temperature 0 the same words come out, on and on."""
    writer = GGUFWriter(path, "llama")
    _describe(writer)
    _add_vocabulary(writer)
    _add_weights(writer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _describe(writer: GGUFWriter) -> None:
    writer.add_name("tiny")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(_WIDTH)
    writer.add_block_count(_LAYERS)
    writer.add_feed_forward_length(_HIDDEN)
    writer.add_head_count(_HEADS)
    writer.add_head_count_kv(_HEADS)
    writer.add_rope_dimension_count(_WIDTH // _HEADS)
    writer.add_layer_norm_rms_eps(1e-5)


def _add_vocabulary(writer: GGUFWriter) -> None:
    """SentencePiece's kind: special tokens, one for each byte so that nothing is unknown, words."""
    words = [f"▁{word}" for word in WORDS]
    tokens = [*_SPECIAL, *_BYTES, *words]
    types = [TokenType.UNKNOWN, TokenType.CONTROL, TokenType.CONTROL]
    types += [TokenType.BYTE] * len(_BYTES) + [TokenType.NORMAL] * len(words)
    writer.add_tokenizer_model("llama")
    writer.add_vocab_size(len(tokens))
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * len(tokens))
    writer.add_token_types(types)
    writer.add_bos_token_id(_SPECIAL.index("<s>"))
    writer.add_eos_token_id(_SPECIAL.index("</s>"))
    writer.add_unk_token_id(_SPECIAL.index("<unk>"))
    writer.add_chat_template(_CHAT_TEMPLATE)


def _add_weights(writer: GGUFWriter) -> None:
    random = np.random.default_rng(_SEED)

    def draw(*shape: int) -> np.ndarray[Any, np.dtype[np.float32]]:
        return random.normal(0, shape[-1] ** -0.5, shape).astype(np.float32)

    unsayable = len(_SPECIAL) + len(_BYTES)
    output = draw(unsayable + len(WORDS), _WIDTH)
    # A word's score is nearly always above zero for some word, so neither a lone byte nor the end is ever the best.
    output[:unsayable] = 0
    writer.add_tensor("token_embd.weight", draw(unsayable + len(WORDS), _WIDTH))
    writer.add_tensor("output_norm.weight", np.ones(_WIDTH, np.float32))
    writer.add_tensor("output.weight", output)
    for layer in range(_LAYERS):
        for norm in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"blk.{layer}.{norm}.weight", np.ones(_WIDTH, np.float32))
        for square in ("attn_q", "attn_k", "attn_v", "attn_output"):
            writer.add_tensor(f"blk.{layer}.{square}.weight", draw(_WIDTH, _WIDTH))
        for inward in ("ffn_gate", "ffn_up"):
            writer.add_tensor(f"blk.{layer}.{inward}.weight", draw(_HIDDEN, _WIDTH))
        writer.add_tensor(f"blk.{layer}.ffn_down.weight", draw(_WIDTH, _HIDDEN))
