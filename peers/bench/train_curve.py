"""A run of `penjing finetune` on text again in PyTorch: the same initial weights, windows in the same order, the same optimizers.

    python train_curve.py init FOLDER            # a Sapling with random weights, as peers/sapling draws them
    penjing finetune FOLDER -o tuned --data train.txt --validation val.txt --optimizer muon --rate 0.02 --adamw-rate 3e-3 --weight-decay 0.1 \\
      --length 64 --batch 4 --steps 200 --seed 1 --json > ours.json
    python train_curve.py run FOLDER train.txt val.txt ours.json [--length 64] [--batch 4] [--rate 0.02] [--adamw-rate 3e-3] [--seed 1]

Prints losses of both side by side. The optimizer is Muon's of torch, in float32 instead of bfloat16.
"""
import argparse
import json
import math
import shutil
import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM

sys.path.append(str(Path(__file__).parents[1] / "sapling"))
WORD = 0xFFFFFFFF


class Rng:
    """xoshiro128** seeded through splitmix32, as packages/core/src/rng.ts."""

    def __init__(self, seed):
        self.state, words = seed & WORD, []
        for _ in range(4):
            self.state = (self.state + 0x9E3779B9) & WORD
            z = self.state
            z = ((z ^ (z >> 16)) * 0x85EBCA6B) & WORD
            z = ((z ^ (z >> 13)) * 0xC2B2AE35) & WORD
            words.append((z ^ (z >> 16)) & WORD)
        self.a, self.b, self.c, self.d = words

    def below(self, bound):
        rotl = lambda x, k: ((x << k) | (x >> (32 - k))) & WORD  # noqa: E731
        result = (rotl((self.b * 5) & WORD, 7) * 9) & WORD
        t = (self.b << 9) & WORD
        self.c ^= self.a
        self.d ^= self.b
        self.b ^= self.c
        self.a ^= self.d
        self.c ^= t
        self.d = rotl(self.d, 11)
        return math.floor(result / 2**32 * bound)


def permutation(size, seed, epoch):
    rng = Rng((seed ^ ((epoch + 1) * 0x9E3779B1)) & WORD)
    order = list(range(size))
    for i in range(size - 1, 0, -1):
        j = rng.below(i + 1)
        order[i], order[j] = order[j], order[i]
    return order


def init(folder):
    import texts
    import train

    torch.manual_seed(20)
    model = train.build(train.SAPLING, 0)
    model.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(texts.MODEL / name, folder / name)


def windows(path, tokenizer, length):
    ids = tokenizer.encode(path.read_text("utf-8")).ids
    end = tokenizer.token_to_id("<|end|>") if tokenizer.token_to_id("<|end|>") is not None else 1
    if ids[-1] != end:
        ids.append(end)
    count = (len(ids) - 1) // length
    cut = lambda ahead: torch.tensor(ids[ahead : ahead + count * length]).view(count, length)  # noqa: E731
    return cut(0), cut(1)


def loss_of(model, inputs, labels):
    return F.cross_entropy(model(inputs, use_cache=False).logits.flatten(0, 1), labels.flatten())


@torch.no_grad()
def validate(model, rows, batch):
    inputs, labels = (part[[i * len(rows[0]) // min(512, len(rows[0])) for i in range(min(512, len(rows[0])))]] for part in rows)
    losses = [loss_of(model, x, y) * len(x) for x, y in zip(inputs.split(batch), labels.split(batch))]
    return (sum(losses) / len(inputs)).item()


def run(options):
    torch.set_num_threads(1)
    ours = json.loads(options.ours.read_text())["training"][0]
    model = AutoModelForCausalLM.from_pretrained(options.folder, dtype=torch.float32).train()
    torch.bfloat16 = torch.float32  # what Muon multiplies in
    tokenizer = Tokenizer.from_file(str(options.folder / "tokenizer.json"))
    (inputs, labels), held = windows(options.data, tokenizer, options.length), windows(options.validation, tokenizer, options.length)
    hidden = [p for name, p in model.named_parameters() if name.endswith("proj.weight")]
    table = [model.model.embed_tokens.weight]
    gains = [p for p in model.parameters() if p.ndim == 1]
    muon = torch.optim.Muon(hidden, lr=0, weight_decay=0.1, momentum=0.95)
    groups = [{"params": table, "weight_decay": 0.1}, {"params": gains, "weight_decay": 0.0}]
    adamw = torch.optim.AdamW(groups, lr=0, betas=(0.9, 0.95))
    order, epoch = [], -1
    measured = {entry["step"]: entry["loss"] for entry in ours["validations"]}
    for step, rate in enumerate(ours["rates"]):
        if step in measured:
            print(f"step {step}: validation {validate(model, held, options.batch):.4f}, ours {measured[step]:.4f}", flush=True)
        rows = []
        for k in range(step * options.batch, (step + 1) * options.batch):
            if k // len(inputs) != epoch:
                epoch = k // len(inputs)
                order = permutation(len(inputs), options.seed, epoch)
            rows.append(order[k % len(inputs)])
        for optimizer, highest in ((muon, options.rate), (adamw, options.adamw_rate)):
            for group in optimizer.param_groups:
                group["lr"] = rate / options.rate * highest
        loss = loss_of(model, inputs[rows], labels[rows])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in (muon, adamw):
            optimizer.step()
            optimizer.zero_grad()
        if step < 5 or step % 20 == 0:
            print(f"step {step}: loss {loss.item():.5f}, ours {ours['losses'][step]:.5f}", flush=True)
    step = len(ours["rates"])
    print(f"step {step}: validation {validate(model, held, options.batch):.4f}, ours {measured[step]:.4f}")


parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
commands = parser.add_subparsers(dest="command", required=True)
commands.add_parser("init").add_argument("folder", type=Path)
runner = commands.add_parser("run")
for name in ("folder", "data", "validation", "ours"):
    runner.add_argument(name, type=Path)
for name, kind, value in (("length", int, 64), ("batch", int, 4), ("rate", float, 0.02), ("adamw-rate", float, 3e-3), ("seed", int, 1)):
    runner.add_argument(f"--{name}", type=kind, default=value)
options = parser.parse_args()
init(options.folder) if options.command == "init" else run(options)
