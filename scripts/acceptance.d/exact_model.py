"""Makes the exact model: a 6 MB GGUF with hand-built weights whose greedy answer to any prompt is `SENTENCE`.

It is a real llama-architecture model for a real engine (tokenizer, KV cache, sampler, stream writer), yet it
says the same words each time in a millisecond or two a token. Attention and feed-forward weights are zero and
each token's embedding is one-hot, so the next token depends on the last one alone: from any token outside the
sentence to its first word, from each word to the one after it, and from the last word to the end of text.
"""

import itertools

import gguf
import numpy as np

# Each word once: a repeated one would send the model round in a circle.
SENTENCE = (
    "the quick brown fox jumps over a lazy dog and counts "
    "one two three four five six seven eight nine ten then stops"
)

# SentencePiece writes a space as this character.
SPACE = "\u2581"
# Weight of the one right next token. Every other logit is 0, so sampling at any usual temperature agrees.
GAIN = 12.0
HEAD_DIM = 32
CONTEXT = 4096
FEED_FORWARD = 64
CHAT_TEMPLATE = (
    "{% for m in messages %}"
    "{{ '<|im_start|>' + m['role'] + '\n' + (m['content'] or '') + '<|im_end|>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


class Vocabulary:
    """Tokens, scores and kinds in the order of their ids."""

    def __init__(self):
        kinds = gguf.TokenType
        self.tokens, self.scores, self.kinds = [], [], []
        self.unknown = self.add("<unk>", 0.0, kinds.UNKNOWN)
        self.begin = self.add("<s>", 0.0, kinds.CONTROL)
        self.end = self.add("</s>", 0.0, kinds.CONTROL)
        self.add("<|im_start|>", 0.0, kinds.CONTROL)
        self.add("<|im_end|>", 0.0, kinds.CONTROL)
        for byte in range(256):
            self.add(f"<0x{byte:02X}>", 0.0, kinds.BYTE)
        known = {SPACE, *map(chr, range(33, 127))}
        for piece in sorted(known):
            self.add(piece, -100.0, kinds.NORMAL)
        words = [SPACE + word for word in SENTENCE.split()]
        self.chain = [self.add(word, -1.0 - 0.001 * place, kinds.NORMAL) for place, word in enumerate(words)]
        known.update(words)
        # The tokenizer merges pairs upwards: every prefix of a word must be a token for the word to be
        # reached.
        for word in words:
            for length in range(2, len(word)):
                if word[:length] not in known:
                    known.add(word[:length])
                    self.add(word[:length], -50.0 + length, kinds.NORMAL)
        while len(self.tokens) % HEAD_DIM:
            self.add(f"<unused{len(self.tokens)}>", 0.0, kinds.UNUSED)

    def add(self, text, score, kind):
        """Appends a token and returns its id."""
        self.tokens.append(text.encode())
        self.scores.append(score)
        self.kinds.append(int(kind))
        return len(self.tokens) - 1


def write(path):
    """Writes the model to `path`."""
    vocabulary = Vocabulary()
    size = len(vocabulary.tokens)
    # One dimension per token and a constant one, rounded up to whole attention heads.
    width = (size // HEAD_DIM + 1) * HEAD_DIM
    embedding = np.zeros((size, width), np.float32)
    embedding[np.arange(size), np.arange(size)] = 1.0
    embedding[:, width - 1] = 1.0
    output = np.zeros((size, width), np.float32)
    chain = vocabulary.chain
    for word, after in itertools.pairwise([*chain, vocabulary.end]):
        output[after, word] = GAIN
    output[chain[0], [token for token in range(size) if token not in set(chain)]] = GAIN

    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("exact")
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(width)
    writer.add_block_count(1)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(width // HEAD_DIM)
    writer.add_head_count_kv(width // HEAD_DIM)
    writer.add_rope_dimension_count(HEAD_DIM)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(size)
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(vocabulary.tokens)
    writer.add_token_scores(vocabulary.scores)
    writer.add_token_types(vocabulary.kinds)
    writer.add_bos_token_id(vocabulary.begin)
    writer.add_eos_token_id(vocabulary.end)
    writer.add_unk_token_id(vocabulary.unknown)
    writer.add_add_bos_token(True)
    writer.add_add_space_prefix(True)
    writer.add_chat_template(CHAT_TEMPLATE)
    writer.add_tensor("token_embd.weight", embedding)
    writer.add_tensor("output.weight", output)
    writer.add_tensor("output_norm.weight", np.ones(width, np.float32))
    writer.add_tensor("blk.0.attn_norm.weight", np.ones(width, np.float32))
    writer.add_tensor("blk.0.ffn_norm.weight", np.ones(width, np.float32))
    for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
        writer.add_tensor(f"blk.0.{name}.weight", np.zeros((width, width), np.float32))
    for name, shape in (
        ("ffn_gate", (FEED_FORWARD, width)),
        ("ffn_up", (FEED_FORWARD, width)),
        ("ffn_down", (width, FEED_FORWARD)),
    ):
        writer.add_tensor(f"blk.0.{name}.weight", np.zeros(shape, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
