"""Times training steps of a Llama in PyTorch on the CPU: cross-entropy, AdamW. `bench/train-step.ts` runs it beside ours.

usage: train_step.py MODEL BATCH LENGTH STEPS THREADS
"""
import json
import resource
import sys
import time

import torch
import torch.nn.functional as F
from transformers import AutoModelForCausalLM

folder, batch, length, steps, threads = sys.argv[1], *map(int, sys.argv[2:6])
torch.set_num_threads(threads)
model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="sdpa").train()
vocabulary = model.config.vocab_size
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0, fused=True)
row, place = torch.arange(batch)[:, None], torch.arange(length + 1)[None]
tokens = 3 + (7919 * row + 31 * place * place + 17 * place) % (vocabulary - 3)
times, cpu, losses = [], [], []
for _ in range(steps):
    started, used = time.perf_counter(), time.process_time()
    logits = model(tokens[:, :-1], use_cache=False).logits
    loss = F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    times.append(1000 * (time.perf_counter() - started))
    cpu.append(1000 * (time.process_time() - used))
    losses.append(loss.item())
print(json.dumps({"ms": times, "cpu": cpu, "losses": losses, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))
