"""Top-1 of the full int8 TensorFlow Lite files that `bench/int8.ts write FOLDER` made, on the LiteRT interpreter, against float32 on ONNX Runtime.

    python litert_digits.py FOLDER

FOLDER/NAME holds penjing.tflite, float32.onnx and test.safetensors (the inputs, and `labels`). Prints for each how many of the digits get the same
first class and how many are right, and how many of the tensors that are computed are int8.
"""

import pathlib
import sys

import numpy as np
import onnxruntime
from ai_edge_litert.interpreter import Interpreter
from safetensors.numpy import load_file


def main():
    for place in sorted(path.parent for path in pathlib.Path(sys.argv[1]).glob("*/penjing.tflite")):
        tensors = load_file(place / "test.safetensors")
        labels = tensors.pop("labels")
        ((name, rows),) = tensors.items()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(str(place / "float32.onnx"), options, providers=["CPUExecutionProvider"])
        wanted = np.array([session.run(None, {name: row})[0].argmax() for row in rows])
        interpreter = Interpreter(model_path=str(place / "penjing.tflite"), num_threads=1)
        interpreter.allocate_tensors()
        runner = interpreter.get_signature_runner("serving_default")
        found = np.array([next(iter(runner(**{name: row}).values())).argmax() for row in rows])
        details = [detail for detail in interpreter.get_tensor_details() if detail["shape"].size > 1]
        floats = [detail["name"] for detail in details if detail["dtype"] == np.float32]
        print(
            f"{place.name}: the same first class for {int((found == wanted).sum())} of {len(rows)} ({100 * (found == wanted).mean():.2f} %), right {int((found == labels).sum())}, "
            f"float32 {int((wanted == labels).sum())}; float tensors: {', '.join(floats) or 'none'}",
            flush=True,
        )


if __name__ == "__main__":
    main()
