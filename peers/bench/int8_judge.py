"""Judges the int8 models that `bench/int8.ts write FOLDER` and `ort_static.py FOLDER` made, all on onnxruntime, against float32.

    python int8_judge.py FOLDER DATA_FOLDER

Digits 512-5,999 for the MNIST networks, with counts and McNemar's exact test of what changed; the recorded input for the others. `bench/int8.ts
judge FOLDER` does the same on Node, on more data.
"""

import gzip
import pathlib
import sys
from math import comb

import numpy as np
import onnxruntime
from safetensors.numpy import load_file

RECORDED = {
    "ultraface": ("models/ultraface/version-RFB-320_expected.safetensors", "in.input"),
    "resnet-20": ("models/resnet20-cifar10/resnet20_expected.safetensors", "input"),
    "super-resolution": ("models/super-resolution/expected.safetensors", "in.input"),
}
DIGITS = {"mnist-cntk": lambda x: x, "mnist-burn": lambda x: (x / 255 - 0.1307) / 0.3081}


def load(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def models(place):
    yield "float32", load(place / "float32.onnx")
    for path in sorted(place.glob("*.onnx")):
        if path.stem != "float32":
            yield path.stem, load(path)


def run(session, rows):
    name = session.get_inputs()[0].name
    outputs = [session.run(None, {name: row[None]}) for row in rows]
    return {output.name: np.concatenate(values) for output, values in zip(session.get_outputs(), zip(*outputs))}


def snr(wanted, found):
    return 10 * np.log10((wanted.astype(np.float64) ** 2).sum() / max(1e-30, ((wanted - found).astype(np.float64) ** 2).sum()))


def mcnemar(lost, won):
    n = lost + won
    return min(1, 2 * sum(comb(n, k) for k in range(min(lost, won) + 1)) / 2**n) if n else 1


def main():
    folder, data = map(pathlib.Path, sys.argv[1:3])
    read = lambda name: np.frombuffer(gzip.open(data / f"datasets/mnist/mnist-t10k-first6000-{name}-ubyte.gz").read(), np.uint8)
    pixels, labels = read("images-idx3")[16:].reshape(-1, 1, 28, 28), read("labels-idx1")[8:][512:]
    for name, normalize in DIGITS.items():
        rows = normalize(pixels.astype(np.float32)).astype(np.float32)[512:]
        wanted = None
        for kind, session in models(folder / name):
            (found,) = run(session, rows).values()
            wanted = found if wanted is None else wanted
            before, after = wanted.argmax(1) == labels, found.argmax(1) == labels
            lost, won = int((before & ~after).sum()), int((after & ~before).sum())
            print(f"{name} {kind}: {snr(wanted, found):.1f} dB, right {after.sum()} of {len(rows)}, {after[4488:].sum()} of 5,000-5,999, lost {lost} won {won}, p {mcnemar(lost, won):.2f}", flush=True)
    for name, (path, key) in RECORDED.items():
        rows = load_file(data / path)[key]
        wanted = None
        for kind, session in models(folder / name):
            found = run(session, rows)
            wanted = found if wanted is None else wanted
            print(name, kind, ", ".join(f"{output} {snr(wanted[output], value):.1f} dB (largest {np.abs(wanted[output] - value).max():.2g})" for output, value in found.items()), flush=True)


if __name__ == "__main__":
    main()
