"""Runs the file of bench/tflite-large.ts on LiteRT, its weights mapped from the file, and compares with NumPy.

    python tflite_large.py FOLDER
"""

import pathlib
import resource
import sys

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType


def main():
    folder = pathlib.Path(sys.argv[1])
    path = folder / "model.tflite"
    # XNNPACK packs a copy of the weights: the kernels without it read them where they lie.
    interpreter = Interpreter(model_path=str(path), num_threads=1, experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES)
    interpreter.allocate_tensors()
    weights = np.fromfile(folder / "weights.bin", np.float32).reshape(8192, 8192)
    x = np.sin(np.arange(8192, dtype=np.float32))[None]
    actual = next(iter(interpreter.get_signature_runner("serving_default")(x=x).values()))
    layers = sum(1 for operator in interpreter._get_ops_details() if operator["op_name"] == "FULLY_CONNECTED")
    for i in range(layers):
        x = np.tanh(x @ (weights.T * np.float32(1 + i / 10)))
    print(f"{path.stat().st_size} bytes, {layers} layers, differs by {np.max(np.abs(x - actual)):.1e}, peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB")


main()
