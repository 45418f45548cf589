"""Makes models that say what they are told to: 6 MB GGUFs with hand-built weights and one greedy answer.

Each is a real llama-architecture model for a real engine (tokenizer, KV cache, sampler, stream writer), yet
it says the same words each time in a millisecond or two a token. Attention and feed-forward weights are zero
and each token's embedding is one-hot, so the next token depends on the last one alone: from any token outside
what is said to the first piece, from each piece to the one after it, and from the last piece to the end of
text.
"""

import itertools
from dataclasses import dataclass

import gguf
import numpy as np

# Each word once: a repeated one would send the model round in a circle.
SENTENCE = (
    "the quick brown fox jumps over a lazy dog and counts "
    "one two three four five six seven eight nine ten then stops"
)

# What the calling model calls each time it is asked, and what it says when it gets the result.
TOOL = "get_weather"
ARGUMENTS = {"city": "Paris"}
REPLY = "sunny with some clouds"

# SentencePiece writes a space as this character.
SPACE = "\u2581"
# Weight of the one right next token. Every other logit is 0, so sampling at any usual temperature agrees.
GAIN = 12.0
HEAD_DIM = 32
CONTEXT = 16384
FEED_FORWARD = 64
# Ends the prompt of the calling model behind the result of a tool.
RESULT = "<|result|>"
CHAT_TEMPLATE = (
    "{% for m in messages %}"
    "{{ '<|im_start|>' + m['role'] + '\n' + (m['content'] or '') + '<|im_end|>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
# With the marks by which llama.cpp knows how the model calls tools.
TOOL_TEMPLATE = (
    "{% if tools %}{{ '<|im_start|>system\nCall a tool as <tool_call>\n"
    '{"name": <name>, "arguments": <arguments>}\n</tool_call>. Tools:\n\' }}'
    "{% for tool in tools %}{{ tool | tojson }}{{ '\n' }}{% endfor %}{{ '<|im_end|>\n' }}{% endif %}"
    "{% for m in messages %}"
    "{{ '<|im_start|>' + m['role'] + '\n' }}"
    "{% if m['content'] %}{{ m['content'] }}{% endif %}"
    "{% if m['tool_calls'] %}{% for call in m['tool_calls'] %}"
    "{{ '<tool_call>\n{\"name\": \"' + call['function']['name'] + '\", \"arguments\": ' }}"
    "{{ call['function']['arguments'] | tojson }}{{ '}\n</tool_call>' }}"
    "{% endfor %}{% endif %}"
    "{{ '<|im_end|>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}"
    "{% if messages[-1]['role'] == 'tool' %}{{ '" + RESULT + "' }}{% endif %}{% endif %}"
)


@dataclass(frozen=True)
class Wording:
    """What a model says: `pieces` to any prompt, from its start again when it is `endless`, but `reply` to a
    prompt that ends with RESULT. All pieces differ."""

    pieces: tuple
    reply: tuple = ()
    endless: bool = False
    template: str = CHAT_TEMPLATE


def words(text):
    """The words of a text as pieces, each with the space before it."""
    return tuple(f" {word}" for word in text.split())


EXACT = Wording(words(SENTENCE))
ENDLESS = Wording(words(SENTENCE), endless=True)
CALLING = Wording(
    (
        "<tool_call>",
        '\n{"name": "',
        TOOL,
        '", "arguments": ',
        '{"city": "',
        "Paris",
        '"}',
        "}\n",
        "</tool_call>",
    ),
    words(REPLY),
    template=TOOL_TEMPLATE,
)


class Vocabulary:
    """Tokens, scores and kinds in the order of their ids."""

    def __init__(self, wording):
        kinds = gguf.TokenType
        self.tokens, self.scores, self.kinds = [], [], []
        self.unknown = self.add("<unk>", 0.0, kinds.UNKNOWN)
        self.begin = self.add("<s>", 0.0, kinds.CONTROL)
        self.end = self.add("</s>", 0.0, kinds.CONTROL)
        self.add("<|im_start|>", 0.0, kinds.CONTROL)
        self.add("<|im_end|>", 0.0, kinds.CONTROL)
        self.result = self.add(RESULT, 0.0, kinds.CONTROL)
        for byte in range(256):
            self.add(f"<0x{byte:02X}>", 0.0, kinds.BYTE)
        self.known = {SPACE, *map(chr, range(33, 127))}
        for piece in sorted(self.known):
            self.add(piece, -100.0, kinds.NORMAL)
        self.chain = self.add_chain(wording.pieces)
        self.reply = self.add_chain(wording.reply)
        while len(self.tokens) % HEAD_DIM:
            self.add(f"<unused{len(self.tokens)}>", 0.0, kinds.UNUSED)

    def add(self, text, score, kind):
        """Appends a token and returns its id."""
        self.tokens.append(text.encode())
        self.scores.append(score)
        self.kinds.append(int(kind))
        return len(self.tokens) - 1

    def add_chain(self, pieces):
        """Appends the pieces as tokens and returns their ids."""
        normal = gguf.TokenType.NORMAL
        texts = [piece.replace(" ", SPACE) for piece in pieces]
        chain = [self.add(text, -1.0 - 0.001 * place, normal) for place, text in enumerate(texts)]
        self.known.update(texts)
        # The tokenizer merges pairs upwards: every prefix of a piece must be a token for the piece to be
        # reached.
        for text in texts:
            for length in range(2, len(text)):
                if text[:length] not in self.known:
                    self.known.add(text[:length])
                    self.add(text[:length], -50.0 + length, normal)
        return chain


def write(path, wording):
    """Writes the model that says `wording` to `path`."""
    vocabulary = Vocabulary(wording)
    size = len(vocabulary.tokens)
    # One dimension per token and a constant one, rounded up to whole attention heads.
    width = (size // HEAD_DIM + 1) * HEAD_DIM
    embedding = np.zeros((size, width), np.float32)
    embedding[np.arange(size), np.arange(size)] = 1.0
    embedding[:, width - 1] = 1.0

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
    writer.add_chat_template(wording.template)
    writer.add_tensor("token_embd.weight", embedding)
    writer.add_tensor("output.weight", output_weights(vocabulary, width, wording.endless))
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


def output_weights(vocabulary, width, endless):
    """The weights that lead from each token to the one that follows it."""
    chain, reply, end = vocabulary.chain, vocabulary.reply, vocabulary.end
    after_last = chain[0] if endless else end
    weights = np.zeros((len(vocabulary.tokens), width), np.float32)
    for piece, after in itertools.pairwise([*chain, after_last]):
        weights[after, piece] = GAIN
    said = {*chain, *reply}
    if reply:
        said.add(vocabulary.result)
        for piece, after in itertools.pairwise([vocabulary.result, *reply, end]):
            weights[after, piece] = GAIN
    weights[chain[0], [token for token in range(len(vocabulary.tokens)) if token not in said]] = GAIN
    return weights
