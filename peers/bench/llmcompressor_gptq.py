"""What the GPTQ of llm-compressor reaches on the layers of tests/fixtures/weight-only, beside ours from the paper.

Its package wants far more than this one function, so the modules are loaded without it:
    pip install --no-deps --target FOLDER llmcompressor==0.14.0.1 compressed-tensors==0.20.1 loguru==0.7.3
usage: llmcompressor_gptq.py FOLDER
"""
import json
import sys
import types
from pathlib import Path

import torch
from safetensors.torch import load_file

folder = Path(sys.argv[1])
for name in ["llmcompressor", "llmcompressor.modifiers", "llmcompressor.modifiers.gptq"]:
    package = types.ModuleType(name)
    package.__path__ = [str(folder.joinpath(*name.split(".")))]
    sys.modules[name] = package
sys.path[:0] = [str(folder), str(Path(__file__).parents[1])]
from compressed_tensors.quantization import QuantizationArgs  # noqa: E402
from compressed_tensors.quantization.utils import calculate_qparams  # noqa: E402
from compression.weight_only import objective  # noqa: E402
from llmcompressor.modifiers.gptq.gptq_quantize import quantize_weight  # noqa: E402

torch.set_num_threads(1)
fixture = Path(__file__).parents[2] / "tests" / "fixtures" / "weight-only"
tensors = load_file(fixture / "layers.safetensors")
for case in json.loads((fixture / "expected.json").read_text()):
    layer, bits, block, symmetric = case["layer"], case["bits"], case["blockSize"], case["symmetric"]
    w, h = tensors[f"{layer}.weight"], tensors[f"{layer}.hessian"]
    if w.shape[1] % block:
        continue  # it wants whole blocks
    for actorder, ours in [(None, None), ("weight", "gptq inputs")]:
        args = QuantizationArgs(num_bits=bits, type="int", symmetric=symmetric, strategy="group", group_size=block, actorder=actorder)
        groups = w.reshape(w.shape[0], -1, block)
        scale, zero = calculate_qparams(groups.amin(-1), groups.amax(-1), args)
        q, _, _ = quantize_weight(w[None].clone(), h[None] / 1000, scale[None], zero[None], None, args)
        print(json.dumps({"layer": layer, "bits": bits, "block": block, "symmetric": symmetric, "actorder": actorder, "objective": objective(w, q[0], h), "paper": ours and case["objective"][ours]}))
