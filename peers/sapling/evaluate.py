"""Measures the packaged model as a user would load it: bfloat16 weights, float32 arithmetic.

    python evaluate.py            print the figures
    python evaluate.py --write    also rewrite expected.json and samples.md in models/sapling
"""

import argparse
import json
import math
import re
import time

import torch
from torch.nn import functional as F
from transformers import AutoModelForCausalLM, AutoTokenizer

import texts

WINDOW = 512
EXCERPT = 20_000  # tokens of heldout.txt, for the figure that tests can afford
GREEDY_TOKENS = 40
SAMPLE_TOKENS = 120
WORD = re.compile(r"[A-Za-z]+(?:['-][A-Za-z]+)*")

GREEDY_PROMPTS = (
    "And it came to pass in those days, that",
    "Prince Andrew looked at the soldiers and",
    "KING RICHARD:\nMy lord, the",
)
SAMPLE_PROMPTS = (
    "ROMEO:\n",
    "First Citizen:\nWhat news",
    "KING HENRY:\nMy lords, I come",
    "JULIET:\nO gentle night,",
    "Second Murderer:\nWhere is",
    "DUKE VINCENTIO:\nThe law",
    "PETRUCHIO:\nGood morrow,",
    "Pierre went into the drawing room",
    "The battle began",
    '"My dear countess," said',
    "Natasha was happy",
    "Napoleon rode along the road",
    "Rostov galloped",
    "Early in the morning the old prince",
    "In the beginning",
    "And the king said unto the prophet,",
    "Blessed are they that",
    "Now there was a man of the tribe of",
    "The fear of the LORD",
    "And Jesus went up into the mountain, and",
)


@torch.no_grad()
def perplexity(model, tokenizer, ids):
    """Non-overlapping windows of 512 tokens, a shorter rest dropped; the first token of each window is not predicted."""
    rows = torch.tensor(ids[: len(ids) // WINDOW * WINDOW]).view(-1, WINDOW)
    total = 0.0
    for batch in rows.split(8):
        logits = model(batch).logits[:, :-1].flatten(0, 1)
        total += F.cross_entropy(logits, batch[:, 1:].flatten(), reduction="sum").double().item()
    predicted = rows[:, 1:].flatten().tolist()
    # Byte-level BPE spells each byte as one character of its alphabet, so a token's length is its bytes.
    size = sum(map(len, tokenizer.convert_ids_to_tokens(predicted)))
    return {
        "tokens": len(ids),
        "windows": len(rows),
        "predictedTokens": len(predicted),
        "meanNll": round(total / len(predicted), 6),
        "perplexity": round(math.exp(total / len(predicted)), 4),
        "bitsPerByte": round(total / math.log(2) / size, 4),
    }


@torch.no_grad()
def greedy(model, tokenizer, prompt):
    ids = tokenizer(prompt, return_tensors="pt").input_ids
    output = model.generate(ids, do_sample=False, max_new_tokens=GREEDY_TOKENS, temperature=None, top_p=None)
    new = output[0, ids.shape[1] :].tolist()
    logits = model(output).logits[0]
    best = logits[ids.shape[1] - 1 : -1].topk(2).values
    first = logits[ids.shape[1] - 1].topk(5)
    return {
        "prompt": prompt,
        "inputIds": ids[0].tolist(),
        "newIds": new,
        "text": tokenizer.decode(new),
        "smallestMargin": round((best[:, 0] - best[:, 1]).min().item(), 4),
        "firstLogits": {"ids": first.indices.tolist(), "values": [round(v, 4) for v in first.values.tolist()]},
    }


def sample(model, tokenizer, prompt, seed):
    torch.manual_seed(seed)
    ids = tokenizer(prompt, return_tensors="pt").input_ids
    # Temperature and top-p are those of generation_config.json.
    output = model.generate(ids, max_new_tokens=SAMPLE_TOKENS, top_k=0)[0, ids.shape[1] :].tolist()
    ended = output[-1] == model.generation_config.eos_token_id
    return tokenizer.decode(output, skip_special_tokens=True), ended, len(output)


def words_of(text):
    return [word.lower() for word in WORD.findall(text)]


def samples(model, tokenizer, vocabulary):
    """Twenty samples, and the share of their words (the prompt and a last, perhaps cut, word left out) that are known."""
    shown, known, all_words, tokens = [], 0, 0, 0
    for seed, prompt in enumerate(SAMPLE_PROMPTS):
        text, ended, count = sample(model, tokenizer, prompt, seed)
        joined = words_of(prompt + text)[len(words_of(prompt)) :]
        counted = joined if ended else joined[:-1]
        known += sum(word in vocabulary for word in counted)
        all_words += len(counted)
        tokens += count
        shown.append((prompt, text, [word for word in counted if word not in vocabulary]))
    return shown, {"tokens": tokens, "words": all_words, "knownWords": known, "share": round(known / all_words, 4)}


def samples_page(shown):
    lines = [
        "# Twenty samples",
        "",
        f"The prompt is in bold. Temperature 0.8, top-p 0.95, at most {SAMPLE_TOKENS} new tokens, the seed is the number less",
        "one; the first and only draw of each. Written by `peers/sapling/evaluate.py --write`.",
    ]
    for number, (prompt, text, _) in enumerate(shown, 1):
        opening = "<br>\n".join(f"**{line.strip()}**" for line in prompt.splitlines() if line)
        joint = "<br>\n" if prompt.endswith("\n") else ""
        paragraphs = (line.strip() if index else line.rstrip() for index, line in enumerate(text.splitlines()))
        body = "<br>\n".join(paragraphs).replace("<br>\n<br>\n", "\n\n")
        lines += ["", f"## {number}", "", opening + joint + body]
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    texts.add_arguments(parser)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    tokenizer = AutoTokenizer.from_pretrained(texts.MODEL)
    model = AutoModelForCausalLM.from_pretrained(texts.MODEL, dtype=torch.float32).eval()
    held_out = (texts.MODEL / "heldout.txt").read_text("utf-8")
    ids = tokenizer(held_out, add_special_tokens=False, verbose=False).input_ids
    training, _, _ = texts.split(texts.load(options))
    vocabulary = {word for source in training.values() for text in source for word in words_of(text)}

    started = time.monotonic()
    expected = {
        "about": "transformers, float32 arithmetic on the bfloat16 weights; heldout.txt encoded whole, no special tokens, "
        "windows of 512 tokens without overlap, a shorter rest dropped, mean over the 511 predicted tokens of each",
        "parameters": model.num_parameters(),
        "heldOut": perplexity(model, tokenizer, ids),
        "heldOutExcerpt": perplexity(model, tokenizer, ids[:EXCERPT]),
        "greedy": [greedy(model, tokenizer, prompt) for prompt in GREEDY_PROMPTS],
    }
    shown, words = samples(model, tokenizer, vocabulary)
    real = words_of(held_out)
    print(json.dumps(expected, indent=2))
    print("samples:", words, "unknown:", [word for _, _, unknown in shown for word in unknown])
    print(f"words of heldout.txt that are in the training text: {sum(w in vocabulary for w in real) / len(real):.4f}")
    print(f"{time.monotonic() - started:.0f} s")
    if options.write:
        (texts.MODEL / "expected.json").write_text(json.dumps(expected, indent=1) + "\n", "utf-8")
        (texts.MODEL / "samples.md").write_text(samples_page(shown), "utf-8")


if __name__ == "__main__":
    main()
