"""Trains Sapling's tokenizer: byte-level BPE, so every string has an encoding and decodes to itself.

    python train_tokenizer.py
"""

import argparse
import json

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

import texts

VOCABULARY = 4096
BEGIN, END, PAD = "<|begin|>", "<|end|>", "<|pad|>"

# A base model has no roles. It does know plays, so a conversation becomes one: each message is a speech.
CHAT_TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}Second Citizen:\n{% elif message['role'] == 'user' %}First Citizen:\n{% endif %}"
    "{{ message['content'] }}\n\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}Second Citizen:\n{% endif %}"
)


def train(documents):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[BEGIN, END, PAD],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(documents, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BEGIN} $A", pair=f"{BEGIN} $A $B", special_tokens=[(BEGIN, tokenizer.token_to_id(BEGIN))]
    )
    return tokenizer


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    texts.add_arguments(parser)
    training, _, held_out = texts.split(texts.load(parser.parse_args()))

    texts.MODEL.mkdir(parents=True, exist_ok=True)
    tokenizer = train(document for documents in training.values() for document in documents)
    tokenizer.save(str(texts.MODEL / "tokenizer.json"))
    (texts.MODEL / "heldout.txt").write_text(held_out, "utf-8")
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": BEGIN,
        "eos_token": END,
        "pad_token": PAD,
        "model_max_length": 512,
        "clean_up_tokenization_spaces": False,
        "chat_template": CHAT_TEMPLATE,
    }
    (texts.MODEL / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n", "utf-8")

    size = len(held_out.encode("utf-8"))
    count = len(tokenizer.encode(held_out, add_special_tokens=False).ids)
    print(f"{tokenizer.get_vocab_size()} tokens; held-out text {size} bytes, {count} tokens, {size / count:.3f} bytes a token")


if __name__ == "__main__":
    main()
