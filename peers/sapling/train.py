"""Trains Sapling, or the larger Pine, and writes weights and configuration into models/.

    python train.py --minutes 55
    python train.py --shape pine --device cuda --long-from 0 --dropout 0.35 --steps 6000

The learning rate follows a cosine over whichever runs out first, the steps or the minutes, so a busy machine gives a
shorter training and never an unfinished one. Progress is saved at every validation; the same command goes on from it.
"""

import argparse
import json
import math
import shutil
import time
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch.nn import functional as F
from transformers import LlamaConfig, LlamaForCausalLM

import texts

SAPLING = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": 4096,
    "hidden_size": 256,
    "intermediate_size": 768,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 32,
    "hidden_act": "silu",
    "max_position_embeddings": 512,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "attention_bias": False,
    "mlp_bias": False,
    "tie_word_embeddings": True,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 2,
}
# The same tree grown on: 14.7 million parameters, for measurements that a small model cannot carry.
PINE = {**SAPLING, "hidden_size": 512, "intermediate_size": 1536, "num_attention_heads": 16, "num_key_value_heads": 8}
SHAPES = {"sapling": SAPLING, "pine": PINE}
GENERATION = {
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 2,
    "do_sample": True,
    "temperature": 0.8,
    "top_p": 0.95,
    "max_new_tokens": 120,
}

SHORT, LONG = 256, 512
TOKENS_PER_STEP = 32 * SHORT


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    texts.add_arguments(parser)
    parser.add_argument("--shape", choices=SHAPES, default="sapling")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--work", type=Path, default=Path("sapling-work"), help="folder for checkpoints and the log")
    parser.add_argument("--steps", type=int, default=4200)
    parser.add_argument("--minutes", type=float, default=math.inf)
    parser.add_argument("--learning-rate", type=float, default=2.5e-3)
    parser.add_argument("--warmup", type=int, default=150, help="steps")
    parser.add_argument("--weight-decay", type=float, default=0.1)
    parser.add_argument("--long-from", type=float, default=0.88, help="share of the training from which windows are long")
    parser.add_argument("--start", type=Path, metavar="CHECKPOINT", help="begin a new schedule with these weights")
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--validate-every", type=int, default=200, help="steps")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument("--package", type=Path, metavar="CHECKPOINT", help="only write the model from a checkpoint")
    return parser.parse_args()


def build(shape, dropout):
    model = LlamaForCausalLM(LlamaConfig(**shape))
    drop = lambda module, _, output: F.dropout(output, dropout, module.training)  # noqa: E731
    model.model.embed_tokens.register_forward_hook(drop)
    for layer in model.model.layers:
        for branch in (layer.self_attn.o_proj, layer.mlp.down_proj):
            # Two branches a layer add to the residual stream: keep its variance independent of depth.
            branch.weight.data /= math.sqrt(2 * shape["num_hidden_layers"])
            branch.register_forward_hook(drop)
    return model


def optimizer_of(model, options):
    matrices = [p for p in model.parameters() if p.ndim > 1]
    gains = [p for p in model.parameters() if p.ndim == 1]
    groups = [{"params": matrices, "weight_decay": options.weight_decay}, {"params": gains, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=options.learning_rate, betas=(0.9, 0.95), fused=True)


def encode(documents, tokenizer):
    begin, end = SAPLING["bos_token_id"], SAPLING["eos_token_id"]
    encodings = tokenizer.encode_batch(documents, add_special_tokens=False)
    return [torch.tensor([begin, *encoding.ids, end]) for encoding in encodings]


def windows(documents, length, generator=None):
    """Lays the documents end to end and cuts windows of length + 1; a generator shuffles both."""
    if generator is not None:
        documents = [documents[i] for i in torch.randperm(len(documents), generator=generator)]
    stream = torch.cat(documents)
    cut = stream[: len(stream) // (length + 1) * (length + 1)].view(-1, length + 1)
    return cut if generator is None else cut[torch.randperm(len(cut), generator=generator)]


class Batches:
    """Endless batches of TOKENS_PER_STEP tokens, each epoch in a fresh order; says how many epochs it has dealt."""

    def __init__(self, documents, generator):
        self.documents, self.generator = documents, generator
        self.epochs, self.length, self.pool = 0.0, None, None

    def next(self, length):
        rows = TOKENS_PER_STEP // length
        if self.length != length or len(self.pool) < rows:
            self.length, self.pool = length, windows(self.documents, length, self.generator)
            self.share = rows / len(self.pool)
        batch, self.pool = self.pool[:rows], self.pool[rows:]
        self.epochs += self.share
        return batch


def mean_loss(model, batch):
    states = model.model(input_ids=batch[:, :-1], use_cache=False).last_hidden_state
    logits = model.lm_head(states).flatten(0, 1).float()
    return F.cross_entropy(logits, batch[:, 1:].flatten())


@torch.no_grad()
def validate(model, documents, length):
    model.eval()
    rows = windows(documents, length).to(model.device)
    with torch.autocast(model.device.type, torch.bfloat16):
        losses = [mean_loss(model, batch) * len(batch) for batch in rows.split(TOKENS_PER_STEP // length)]
    model.train()
    return (sum(losses) / len(rows)).item()


def learning_rate(options, step, progress):
    warm = min(1.0, (step + 1) / options.warmup)
    return options.learning_rate * warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))


def package(state, shape):
    """Beside the weights: the tokenizer and the held-out text, which all shapes share."""
    folder = texts.MODEL.parent / shape
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("tokenizer.json", "tokenizer_config.json", "heldout.txt"):
        if folder != texts.MODEL:
            shutil.copyfile(texts.MODEL / name, folder / name)
    weights = {name: value.to("cpu", torch.bfloat16).contiguous() for name, value in state.items() if name != "lm_head.weight"}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    for name, content in (("config", {**SHAPES[shape], "torch_dtype": "bfloat16"}), ("generation_config", GENERATION)):
        (folder / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n", "utf-8")


def train(options):
    torch.manual_seed(options.seed)
    torch.set_num_threads(options.threads)
    options.work.mkdir(parents=True, exist_ok=True)
    latest = options.work / "latest.pt"

    tokenizer = Tokenizer.from_file(str(texts.MODEL / "tokenizer.json"))
    by_source, validation, _ = texts.split(texts.load(options))
    documents = encode([text for source in by_source.values() for text in source], tokenizer)
    validation = encode(validation, tokenizer)

    model = build(SHAPES[options.shape], options.dropout).to(options.device).train()
    optimizer = optimizer_of(model, options)
    batches = Batches(documents, torch.Generator().manual_seed(options.seed))
    step, spent = 0, 0.0
    if latest.exists() or options.start:
        saved = torch.load(latest if latest.exists() else options.start, weights_only=True)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
    if latest.exists():
        step, spent, batches.epochs = saved["step"], saved["seconds"], saved["epochs"]
        batches.generator.manual_seed(options.seed + step)
    fast_loss = torch.compile(mean_loss, dynamic=False)

    print(f"{model.num_parameters()} parameters, {sum(map(len, documents))} training tokens, resuming at step {step}", flush=True)
    started = time.monotonic() - spent
    progress, smooth = 0.0, None
    while progress < 1:
        seconds = time.monotonic() - started
        progress = min(1.0, max((step + 1) / options.steps, seconds / (60 * options.minutes)))
        length = SHORT if progress < options.long_from else LONG
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(options, step, progress)
        with torch.autocast(options.device, torch.bfloat16):
            loss = fast_loss(model, batches.next(length).to(options.device))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        step += 1
        smooth = loss.item() if smooth is None else 0.98 * smooth + 0.02 * loss.item()

        if step % options.validate_every == 0 or progress == 1:
            held = validate(model, validation, length)
            record = {
                "step": step,
                "seconds": round(time.monotonic() - started),
                "epochs": round(batches.epochs, 2),
                "window": length,
                "train": round(smooth, 4),
                "validation": round(held, 4),
            }
            print(json.dumps(record), flush=True)
            with (options.work / "log.jsonl").open("a") as log:
                log.write(json.dumps(record) + "\n")
            saved = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step}
            torch.save({**saved, "seconds": time.monotonic() - started, "epochs": batches.epochs}, latest)
            torch.save(model.state_dict(), options.work / f"step-{step:05d}.pt")
    package(model.state_dict(), options.shape)


def main():
    options = parse()
    if options.package:
        saved = torch.load(options.package, weights_only=True)
        package(saved.get("model", saved), options.shape)
    else:
        train(options)


if __name__ == "__main__":
    main()
