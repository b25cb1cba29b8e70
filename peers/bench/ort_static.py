"""Quantizes with ONNX Runtime's own static quantizer what `bench/int8.ts write FOLDER` left there, with the same samples.

    python ort_static.py FOLDER [NAME]

FOLDER/NAME holds float32.onnx and calibrate.safetensors (each input as (samples, ...)). Beside them go ort-METHOD.onnx and ort-dynamic.onnx:
QDQ, uint8 activations, int8 weights by channel, as on the other side; the rest as it is by default.
"""

import contextlib
import pathlib
import sys
import tempfile

from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_dynamic, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from safetensors.numpy import load_file

METHODS = {"minmax": CalibrationMethod.MinMax, "entropy": CalibrationMethod.Entropy, "percentile": CalibrationMethod.Percentile}


class Reader(CalibrationDataReader):
    def __init__(self, path):
        self.tensors = load_file(path)
        self.count = len(next(iter(self.tensors.values())))
        self.at = 0

    def get_next(self):
        if self.at == self.count:
            return None
        self.at += 1
        return {name: value[self.at - 1] for name, value in self.tensors.items()}


def main():
    folder = pathlib.Path(sys.argv[1]).resolve()
    for place in sorted(path for path in folder.iterdir() if (path / "calibrate.safetensors").exists()):
        if len(sys.argv) > 2 and sys.argv[2] not in place.name:
            continue
        # symbolic shape inference leaves sym_shape_infer_temp.onnx and its data in the working directory when it fails
        with tempfile.TemporaryDirectory() as scratch, contextlib.chdir(scratch):
            prepared = pathlib.Path(scratch) / "prepared.onnx"
            try:
                quant_pre_process(str(place / "float32.onnx"), str(prepared))
            except Exception as error:
                print(place.name, "is not prepared:", str(error).strip().splitlines()[-1][:160], flush=True)
                prepared = place / "float32.onnx"
            for name, method in METHODS.items():
                try:
                    quantize_static(
                        str(prepared), str(place / f"ort-{name}.onnx"), Reader(place / "calibrate.safetensors"), quant_format=QuantFormat.QDQ,
                        per_channel=True, activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8, calibrate_method=method,
                    )
                    print(place.name, name, flush=True)
                except Exception as error:
                    print(place.name, name, "fails:", (str(error).strip().splitlines() or [type(error).__name__])[-1][:160], flush=True)
            try:
                quantize_dynamic(str(prepared), str(place / "ort-dynamic.onnx"), per_channel=True)
            except Exception as error:
                print(place.name, "dynamic fails:", (str(error).strip().splitlines() or [type(error).__name__])[-1][:160], flush=True)


if __name__ == "__main__":
    main()
