"""Loads .pth files as torch.load(weights_only=True) does: one line of JSON per file, with every tensor's type, shape and digest.

    python check_torch.py FILE...
"""

import hashlib
import json
import sys
import warnings
import zipfile

import torch


def described(tensor):
    values = tensor.dequantize() if tensor.is_quantized else tensor
    raw = values.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
    return {"dtype": str(tensor.dtype).removeprefix("torch."), "shape": list(tensor.shape), "sha256": hashlib.sha256(raw).hexdigest()}


def main():
    warnings.simplefilter("ignore")
    for path in sys.argv[1:]:
        try:
            state = torch.load(path, weights_only=True)
            shared = len({tensor.untyped_storage().data_ptr() for tensor in state.values()})
            # CRCs: what unzip would say.
            damaged = zipfile.ZipFile(path).testzip()
            print(json.dumps({"file": path, "type": type(state).__name__, "storages": shared, "damaged": damaged, "tensors": {name: described(tensor) for name, tensor in state.items()}}))
        except Exception as error:  # noqa: BLE001
            print(json.dumps({"file": path, "error": f"{type(error).__name__}: {error}"}))


if __name__ == "__main__":
    main()
