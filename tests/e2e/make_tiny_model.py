"""Make a language model of random weights: `make_tiny_model.py FILE`, half a megabyte of GGUF.

It knows nothing, but it is a real model to llama.cpp: it has the llama architecture, a SentencePiece
vocabulary and a chat template. The output weights favour whole words, so a stream of it reads as words,
and the end-of-turn token is out of reach, so an answer goes on until it is stopped or its limit is met.
The same file comes out each time.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import sys

import gguf
import numpy as np

WORDS = [
    *("the", "a", "one", "some", "this", "quick", "lazy", "small", "river", "stone", "window", "garden"),
    *("editor", "server", "token", "model", "writes", "reads", "opens", "closes", "finds", "keeps", "sends"),
    *("returns", "over", "under", "behind", "with", "and", "or", "then", "again", "slowly", "quietly"),
]
CHARACTERS = [chr(code) for code in range(0x21, 0x7F)] + ["\n", "\u2581"]
CONTEXT, WIDTH, LAYERS, HEADS, FEED_FORWARD = 32768, 64, 2, 4, 128  # tokens; the rest counts weights
SEED = 20
UNREACHABLE = 0.001  # scales a token's output row: its logit stays near 0, a word's spreads by about 8
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

Token = tuple[str, float, gguf.TokenType]


def vocabulary() -> list[Token]:
    """Return every token as text, score and type; the words come first after the four control tokens."""
    kind = gguf.TokenType
    control = [
        ("<unk>", 0.0, kind.UNKNOWN),
        *((text, 0.0, kind.CONTROL) for text in ("<s>", "</s>", "<|im_start|>", "<|im_end|>")),
    ]
    words = [(f"\u2581{word}", -float(rank), kind.NORMAL) for rank, word in enumerate(WORDS)]
    characters = [(text, -100.0 - rank, kind.NORMAL) for rank, text in enumerate(CHARACTERS)]
    octets = [(f"<0x{value:02X}>", 0.0, kind.BYTE) for value in range(256)]
    return [*control, *words, *characters, *octets]


def write_vocabulary(writer: gguf.GGUFWriter, tokens: list[Token]) -> None:
    """Describe the tokenizer and the chat template."""
    writer.add_tokenizer_model("llama")
    writer.add_token_list([text for text, _, _ in tokens])
    writer.add_token_scores([score for _, score, _ in tokens])
    writer.add_token_types([int(kind) for _, _, kind in tokens])
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_bos_token(value=True)
    writer.add_add_space_prefix(value=False)
    writer.add_chat_template(CHAT_TEMPLATE)


def write_shape(writer: gguf.GGUFWriter, vocabulary_size: int) -> None:
    """Describe the network."""
    writer.add_name("tiny random words")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(vocabulary_size)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)


def write_weights(writer: gguf.GGUFWriter, tokens: list[Token]) -> None:
    """Draw the weights, and steer the output to the words."""
    random = np.random.default_rng(SEED)

    def add(name: str, *shape: int, spread: float = 0.3) -> None:
        writer.add_tensor(f"{name}.weight", random.normal(0, spread, shape).astype(np.float32))

    def add_ones(name: str) -> None:
        writer.add_tensor(f"{name}.weight", np.ones(WIDTH, np.float32))

    output = random.normal(0, 1, (len(tokens), WIDTH)).astype(np.float32)
    is_word = np.array([len(text) > 1 and text.startswith("\u2581") for text, _, _ in tokens])
    output[~is_word] *= UNREACHABLE
    writer.add_tensor("output.weight", output)
    add("token_embd", len(tokens), WIDTH, spread=1.0)
    add_ones("output_norm")
    for layer in range(LAYERS):
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            add(f"blk.{layer}.{name}", WIDTH, WIDTH)
        for name in ("ffn_gate", "ffn_up"):
            add(f"blk.{layer}.{name}", FEED_FORWARD, WIDTH)
        add(f"blk.{layer}.ffn_down", WIDTH, FEED_FORWARD)
        add_ones(f"blk.{layer}.attn_norm")
        add_ones(f"blk.{layer}.ffn_norm")


def main(path: str) -> None:
    """Write the model to `path`."""
    tokens = vocabulary()
    writer = gguf.GGUFWriter(path, "llama")
    write_shape(writer, len(tokens))
    write_vocabulary(writer, tokens)
    write_weights(writer, tokens)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main(sys.argv[1])
