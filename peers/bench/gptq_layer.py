"""Times one layer in PyTorch on the CPU, once for every line it reads: `gptq INPUTS OUTPUTS BITS BLOCK` or `sparsegpt INPUTS OUTPUTS GOAL`,
a goal being a share of zeros or a pattern such as 2:4. `bench/gptq-peer.ts` runs it in turn with ours.

usage: gptq_layer.py [THREADS]
"""
import json
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
from compression.pruning import damped, sparsegpt  # noqa: E402
from compression.weight_only import gptq  # noqa: E402


def quantized(w, h, bits, block):
    return gptq(w, h, int(bits), int(block), symmetric=False, order="blocks")


def pruned(w, h, goal):
    target = {"pattern": tuple(map(int, goal.split(":")))} if ":" in goal else {"sparsity": float(goal)}
    return sparsegpt(w, damped(h), **target)


METHODS = {"gptq": quantized, "sparsegpt": pruned}

torch.set_num_threads(int(sys.argv[1]) if len(sys.argv) > 1 else 2)
torch.manual_seed(1)
hessians = {}
for line in sys.stdin:
    method, inputs, outputs, *options = line.split()
    inputs, outputs = int(inputs), int(outputs)
    if inputs not in hessians:
        hessians.clear()
        x = torch.randn(inputs + 64, inputs) * (1 + 3 * (torch.arange(inputs) % 7 == 3)) + torch.randn(inputs + 64, 1)
        hessians[inputs] = x.T @ x
    weights = torch.rand(outputs, inputs) - 0.5
    started, cpu = time.perf_counter(), time.process_time()
    with torch.no_grad():
        made = METHODS[method](weights, hessians[inputs], *options)
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    print(json.dumps({"seconds": seconds, "cpu": cpu, "finite": bool(torch.isfinite(made).all())}), flush=True)
