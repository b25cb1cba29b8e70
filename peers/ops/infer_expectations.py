"""Records what onnx.shape_inference says of the outputs of the ONNX backend tests, once their declared types are taken away.

    python peers/ops/infer_expectations.py ../shared/data/onnx-backend tests/fixtures/infer
"""
import json
import pathlib
import sys
import tarfile

import onnx
from onnx import TypeProto, shape_inference

GROUPS = ["node", "simple", "pytorch-converted", "pytorch-operator"]
NAMES = {code: name.lower() for name, code in onnx.TensorProto.DataType.items()}
NAMES |= {1: "float32", 11: "float64", 17: "float8e4m3fn", 18: "float8e4m3fnuz", 19: "float8e5m2", 20: "float8e5m2fnuz"}


def text(kind):
    """The same text as formatType of @penjing/core."""
    which = kind.WhichOneof("value")
    if which in ("tensor_type", "sparse_tensor_type"):
        body = getattr(kind, which)
        dims = ""
        if body.HasField("shape"):
            dims = f"[{','.join(dim(d) for d in body.shape.dim)}]"
        return ("sparse " if which[0] == "s" else "") + NAMES.get(body.elem_type, "?") + dims
    if which in ("sequence_type", "optional_type"):
        return f"{which.split('_')[0]}<{text(getattr(kind, which).elem_type)}>"
    return "?"


def dim(d):
    # Symbols that shape inference makes up say no more than "unknown".
    return str(d.dim_value) if d.HasField("dim_value") else d.dim_param if d.dim_param and not d.dim_param.startswith("unk__") else "?"


def main(data, out):
    result = {}
    for group in GROUPS:
        with tarfile.open(data / f"{group}.tar.gz") as archive:
            for member in sorted(archive.getmembers(), key=lambda m: m.name):
                if not member.name.endswith("/model.onnx"):
                    continue
                model = onnx.load_from_string(archive.extractfile(member).read())
                for value in model.graph.output:
                    value.type.CopyFrom(TypeProto())
                try:
                    model = shape_inference.infer_shapes(model, data_prop=True)
                except Exception:  # what it cannot do is no expectation
                    continue
                name = member.name.removesuffix("/model.onnx").split("/")[-1]
                known = {value.name: text(value.type) for value in model.graph.output if value.type.WhichOneof("value")}
                result[f"{group}/{name}"] = known
    out.mkdir(parents=True, exist_ok=True)
    lines = [f"{json.dumps(name)}: {json.dumps(known)}" for name, known in result.items()]
    (out / "onnx-backend.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(len(result), "models")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
