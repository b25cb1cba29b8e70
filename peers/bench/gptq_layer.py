"""Times GPTQ of one layer in PyTorch on the CPU, once for every line it reads: `INPUTS OUTPUTS BITS BLOCK`. `bench/gptq-peer.ts` runs it in turn with ours.

usage: gptq_layer.py [THREADS]
"""
import json
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
from compression.weight_only import gptq  # noqa: E402

torch.set_num_threads(int(sys.argv[1]) if len(sys.argv) > 1 else 2)
torch.manual_seed(1)
hessians = {}
for line in sys.stdin:
    inputs, outputs, bits, block = map(int, line.split())
    if inputs not in hessians:
        hessians.clear()
        x = torch.randn(inputs + 64, inputs) * (1 + 3 * (torch.arange(inputs) % 7 == 3)) + torch.randn(inputs + 64, 1)
        hessians[inputs] = x.T @ x
    weights = torch.rand(outputs, inputs) - 0.5
    started, cpu = time.perf_counter(), time.process_time()
    with torch.no_grad():
        rounded = gptq(weights, hessians[inputs], bits, block, symmetric=False, order="blocks")
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    print(json.dumps({"seconds": seconds, "cpu": cpu, "finite": bool(torch.isfinite(rounded).all())}), flush=True)
