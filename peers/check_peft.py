"""Judges an adapter that Penjing trained: PEFT loads it onto the Hugging Face base, and its logits are those of the ONNX model that has it merged.

    python check_peft.py BASE_FOLDER ADAPTER_FOLDER MERGED_FOLDER
"""

import json
import pathlib
import sys

import numpy
import onnxruntime
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM


@torch.no_grad()
def main():
    base, adapter, merged = map(pathlib.Path, sys.argv[1:4])
    torch.set_num_threads(1)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()
    ids = torch.randint(3, model.config.vocab_size, (1, 24), generator=torch.Generator().manual_seed(1))
    plain = model(ids, use_cache=False).logits
    adapted = PeftModel.from_pretrained(model, adapter).eval()
    logits = adapted(ids, use_cache=False).logits.numpy()

    session = onnxruntime.InferenceSession(merged / "onnx" / "model.onnx")
    feeds = {"input_ids": ids.numpy(), "attention_mask": numpy.ones_like(ids.numpy()), "position_ids": numpy.arange(ids.shape[1])[None]}
    for value in session.get_inputs():
        if value.name.startswith("past_key_values"):
            feeds[value.name] = numpy.zeros((1, value.shape[1], 0, value.shape[3]), numpy.float32)
    names = {value.name for value in session.get_inputs()}
    (ours,) = session.run(["logits"], {name: feed for name, feed in feeds.items() if name in names})
    result = {
        "tensors": sum("lora_" in name for name, _ in adapted.named_parameters()),
        "changed": float(numpy.abs(logits - plain.numpy()).max()),
        "difference": float(numpy.abs(logits - ours[:, -logits.shape[1] :]).max()),
    }
    print(json.dumps(result))
    sys.exit(0 if result["difference"] < 1e-3 * max(1.0, float(numpy.abs(logits).max())) and result["changed"] > 0.01 else 1)


if __name__ == "__main__":
    main()
