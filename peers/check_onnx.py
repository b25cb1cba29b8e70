"""Runs the official ONNX checker on files, one line of JSON each.

    python check_onnx.py MODEL.onnx ...

Prints {"path", "ok", "error", "tolerated"} per file and exits with 1 if one is not ok. Full check: structure,
types and strict shape inference, external data found beside the model.

The checker knows the domains of ONNX and accepts any other domain unread. Here only these are accepted:

    com.microsoft          ONNX Runtime's contrib operators (MatMulNBits, GroupQueryAttention, ...)
    com.microsoft.nchwc    what ONNX Runtime writes when it saves an optimised model
    com.ms.internal.nhwc   the same
    ai.onnx.contrib        onnxruntime-extensions (tokenizers)
    any domain for which the model itself defines a function

ONNX Runtime also registers a few contrib operators in the default domain, where the checker rejects them. They are
listed in MISPLACED, reported under "tolerated", and checked as if they were in com.microsoft.
"""

import json
import os
import pathlib
import sys

import onnx

OFFICIAL = {"", "ai.onnx", "ai.onnx.ml", "ai.onnx.preview", "ai.onnx.preview.training", "ai.onnx.training"}
TOLERATED = {"com.microsoft", "com.microsoft.nchwc", "com.ms.internal.nhwc", "ai.onnx.contrib"}
MISPLACED = {"SimplifiedLayerNormalization"}


def all_nodes(nodes):
    for node in nodes:
        yield node
        for attribute in node.attribute:
            for graph in (attribute.g, *attribute.graphs):
                yield from all_nodes(graph.node)


def check(path):
    path = pathlib.Path(path).absolute()
    model = onnx.load(str(path), load_external_data=False)
    nodes = [*all_nodes(model.graph.node)]
    for function in model.functions:
        nodes += all_nodes(function.node)
    known = OFFICIAL | TOLERATED | {function.domain for function in model.functions}
    unknown = {node.domain for node in nodes} - known
    if unknown:
        raise ValueError(f"unknown operator domains: {sorted(unknown)}")
    misplaced = [node for node in nodes if node.domain in ("", "ai.onnx") and node.op_type in MISPLACED]
    if not misplaced:
        onnx.checker.check_model(str(path), full_check=True)
        return []
    for node in misplaced:
        node.domain = "com.microsoft"
    if all(each.domain != "com.microsoft" for each in model.opset_import):
        model.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    here = os.getcwd()
    os.chdir(path.parent)  # an in-memory model finds its external data relative to the current folder
    try:
        onnx.checker.check_model(model, full_check=True)
    finally:
        os.chdir(here)
    return sorted({node.op_type for node in misplaced})


def main():
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    failed = False
    for path in sys.argv[1:]:
        line = {"path": path, "ok": True, "error": None, "tolerated": []}
        try:
            line["tolerated"] = check(path)
        except Exception as error:
            failed = True
            line |= {"ok": False, "error": f"{type(error).__name__}: {error}"}
        print(json.dumps(line), flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
