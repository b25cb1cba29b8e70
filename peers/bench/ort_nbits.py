"""How long ONNX Runtime's own matmul_nbits_quantizer takes, loading and saving included.

    python ort_nbits.py MODEL.onnx | CHECKPOINT_FOLDER  [--bits 4] [--block-size 32] [--asymmetric]
                        [--dtype float32|float16|bfloat16] [--runs 3] [--work FOLDER] [--keep]

A checkpoint folder holds model*.safetensors in the Hugging Face layout. Its 2-D weights, embeddings aside, first become
an ONNX model of one MatMul each, [in, out] as ONNX wants them, values in an external file. That is not timed, and
neither is the rounding from bfloat16, so the tool starts from a model that suits it.

Each run is a fresh process on a model that was just read once (a warm page cache):
    load      MatMulNBitsQuantizer(path): parse, read all values into memory
    quantize  .process()
    save      save_model_to_file(..., use_external_data_format=True), then fsync

Prints one JSON object; seconds are those of the run with the median total, peak_rss (bytes) is the largest.
"""

import argparse
import json
import logging
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

TRANSPOSE_CHUNK = 1 << 26  # elements
PAGE = 4096


def build(source, target, dtype):
    """A checkpoint as an ONNX model; one tensor in memory at a time."""
    import onnx
    import torch
    from onnx import TensorProto, helper
    from safetensors import safe_open

    torch_dtype = getattr(torch, dtype)
    onnx_dtype = getattr(TensorProto, dtype.upper() if dtype != "float32" else "FLOAT")
    nodes, inputs, outputs, initializers = [], {}, [], []
    with open(target.with_suffix(".data"), "wb") as data:
        for path in sorted(source.glob("model*.safetensors")):
            with safe_open(path, "pt") as file:
                for name in sorted(file.keys()):
                    shape = file.get_slice(name).get_shape()
                    if len(shape) != 2 or re.search(r"embed|wte|wpe", name):
                        continue
                    n, k = shape
                    weight = file.get_tensor(name).to(torch_dtype).t()
                    data.write(bytes(-data.tell() % PAGE))
                    start = data.tell()
                    step = max(1, TRANSPOSE_CHUNK // n)
                    for row in range(0, k, step):
                        data.write(weight[row : row + step].reshape(-1).view(torch.uint8).numpy())
                    tensor = TensorProto(name=name, data_type=onnx_dtype, dims=[k, n])
                    tensor.data_location = TensorProto.EXTERNAL
                    place = {"location": data_name(target), "offset": start, "length": data.tell() - start}
                    for key, value in place.items():
                        tensor.external_data.add(key=key, value=str(value))
                    initializers.append(tensor)
                    inputs[k] = helper.make_tensor_value_info(f"x{k}", onnx_dtype, ["rows", k])
                    outputs.append(helper.make_tensor_value_info(f"{name}.out", onnx_dtype, ["rows", n]))
                    nodes.append(helper.make_node("MatMul", [f"x{k}", name], [f"{name}.out"], name=name))
    if not nodes:
        sys.exit(f"{source}: no 2-D weights in model*.safetensors")
    graph = helper.make_graph(nodes, "weights", list(inputs.values()), outputs, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    target.write_bytes(model.SerializeToString())


def data_name(target):
    return target.with_suffix(".data").name


def measure(arguments):
    """One run, in this process."""
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    logging.disable(logging.INFO)
    for path in pathlib.Path(arguments.model).parent.iterdir():
        read_once(path)
    output = pathlib.Path(arguments.work) / "quantized"
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir()

    begun = time.perf_counter()
    quantizer = MatMulNBitsQuantizer(
        arguments.model,
        bits=arguments.bits,
        block_size=arguments.block_size,
        is_symmetric=not arguments.asymmetric,
    )
    loaded = time.perf_counter()
    weights, tensors = count(quantizer.model.model.graph)
    if not weights:
        sys.exit("no MatMul with a constant 2-D weight")
    started = time.perf_counter()
    quantizer.process()
    quantized = time.perf_counter()
    quantizer.model.save_model_to_file(str(output / "model.onnx"), use_external_data_format=True)
    for path in output.iterdir():
        with open(path, "rb") as file:
            os.fsync(file.fileno())
    saved = time.perf_counter()
    done = sum(node.op_type == "MatMulNBits" for node in quantizer.model.model.graph.node)
    if done != tensors:
        sys.exit(f"only {done} of {tensors} weights were quantized")
    seconds = {"load": loaded - begun, "quantize": quantized - started, "save": saved - quantized}
    size = sum(path.stat().st_size for path in output.iterdir())
    shutil.rmtree(output)
    return {
        "weights": weights,
        "tensors": tensors,
        **{f"seconds_{name}": round(value, 3) for name, value in seconds.items()},
        "weights_per_second": round(weights / sum(seconds.values())),
        "peak_rss": peak_rss(),
        "output_bytes": size,
    }


def count(graph):
    constant = {tensor.name: tensor.dims for tensor in graph.initializer if len(tensor.dims) == 2}
    used = [node.input[1] for node in graph.node if node.op_type == "MatMul" and node.input[1] in constant]
    return sum(constant[name][0] * constant[name][1] for name in used), len(used)


def read_once(path):
    if path.is_file():
        with open(path, "rb") as file:
            while file.read(1 << 24):
                pass


def peak_rss():
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return None


def versions():
    from importlib.metadata import version

    return {name: version(name) for name in ("onnxruntime", "onnx", "numpy")}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="an ONNX file or a folder of safetensors")
    parser.add_argument("--bits", type=int, default=4, choices=(2, 4, 8))
    parser.add_argument("--block-size", type=int, default=32)
    parser.add_argument("--asymmetric", action="store_true")
    parser.add_argument("--dtype", default="float32", choices=("float32", "float16", "bfloat16"))
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--work", help="where to put the built model and the output (default: a temporary folder)")
    parser.add_argument("--keep", action="store_true", help="keep the built model, and use one that is there")
    parser.add_argument("--step", choices=("build", "measure"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step == "build":
        return build(pathlib.Path(arguments.model), pathlib.Path(arguments.work), arguments.dtype)
    if arguments.step == "measure":
        return print(json.dumps(measure(arguments)))

    def step(name, model, work):
        command = [sys.executable, __file__, model, "--step", name, "--work", work, "--dtype", arguments.dtype]
        command += ["--bits", str(arguments.bits), "--block-size", str(arguments.block_size)]
        command += ["--asymmetric"] if arguments.asymmetric else []
        done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, text=True)
        if done.returncode:
            sys.exit(done.returncode)
        return done.stdout

    work = pathlib.Path(arguments.work or tempfile.mkdtemp(prefix="ort_nbits-"))
    model = pathlib.Path(arguments.model)
    folder = work / f"model-{arguments.dtype}"
    try:
        if model.is_dir():
            if not (folder / "model.onnx").exists():
                folder.mkdir(parents=True, exist_ok=True)
                step("build", model, folder / "model.onnx")
            model = folder / "model.onnx"
        runs = [json.loads(step("measure", model.absolute(), work)) for _ in range(arguments.runs)]
    finally:
        if not arguments.work:
            shutil.rmtree(work)
        elif not arguments.keep:
            shutil.rmtree(folder, ignore_errors=True)
    rate = statistics.median_low(run["weights_per_second"] for run in runs)
    result = next(run for run in runs if run["weights_per_second"] == rate)
    result["peak_rss"] = max(run["peak_rss"] for run in runs)
    result["all_weights_per_second"] = [run["weights_per_second"] for run in runs]
    settings = {"bits": arguments.bits, "block_size": arguments.block_size, "symmetric": not arguments.asymmetric}
    print(json.dumps(result | settings | {"dtype": arguments.dtype, "versions": versions()}))


if __name__ == "__main__":
    main()
