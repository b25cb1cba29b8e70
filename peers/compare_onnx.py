"""Are two ONNX files the same model? Proves that a rewriter is faithful.

    python compare_onnx.py A.onnx B.onnx [--limit N]

Every field of the two protobufs must be equal, names and order too; fields that this version of onnx does not know
must have the same bytes. Tensors are compared by name, type, shape and value, wherever and however the values are
stored (raw, typed fields, external file). An absent scalar equals its default; an absent message (a shape, say)
does not equal an empty one.

Prints one line of JSON per difference {"where", "a", "b"}, then {"equal", "differences", "tensors", "bytes"}.
Exits with 0 if equal, 1 if not, 2 if a file cannot be read.
"""

import argparse
import json
import pathlib
import sys

import numpy as np
import onnx
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.unknown_fields import UnknownFieldSet
from onnx import TensorProto, numpy_helper

STORAGE = {
    "raw_data",
    "float_data",
    "int32_data",
    "string_data",
    "int64_data",
    "double_data",
    "uint64_data",
    "external_data",
    "data_location",
}
CHUNK = 1 << 24


class Comparison:
    def __init__(self, folders):
        self.folders = folders
        self.differences = []
        self.tensors = 0
        self.bytes = 0

    def differ(self, where, a, b):
        self.differences.append({"where": where, "a": show(a), "b": show(b)})

    def message(self, where, a, b):
        descriptor = a.DESCRIPTOR
        is_tensor = descriptor.name == "TensorProto"
        for field in descriptor.fields:
            if is_tensor and field.name in STORAGE:
                continue
            self.field(f"{where}.{field.name}" if where else field.name, field, a, b)
        for oneof in descriptor.oneofs:
            one, other = a.WhichOneof(oneof.name), b.WhichOneof(oneof.name)
            if one != other:
                self.differ(f"{where}.{oneof.name}", one, other)
        unknown_a, unknown_b = unknown(a), unknown(b)
        if unknown_a != unknown_b:
            self.differ(f"{where} (unknown fields)", unknown_a, unknown_b)
        if is_tensor:
            self.values(where, a, b)

    def field(self, where, field, a, b):
        is_message = field.type == FieldDescriptor.TYPE_MESSAGE
        one, other = getattr(a, field.name), getattr(b, field.name)
        if field.is_repeated:
            if len(one) != len(other):
                self.differ(f"{where}.length", len(one), len(other))
            for i, (left, right) in enumerate(zip(one, other)):
                if is_message:
                    self.message(f"{where}[{i}]", left, right)
                elif not same_scalar(left, right):
                    self.differ(f"{where}[{i}]", left, right)
        elif is_message:
            present = a.HasField(field.name), b.HasField(field.name)
            if present[0] != present[1]:
                self.differ(where, *("present" if each else "absent" for each in present))
            elif present[0]:
                self.message(where, one, other)
        elif not same_scalar(one, other):
            self.differ(where, one, other)

    def values(self, where, a, b):
        self.tensors += 1
        if a.data_type != b.data_type or list(a.dims) != list(b.dims):
            return  # told already
        if a.data_type == TensorProto.STRING:
            if list(a.string_data) != list(b.string_data):
                self.differ(f"{where} (values)", list(a.string_data)[:4], list(b.string_data)[:4])
            return
        left, right = raw(a, self.folders[0]), raw(b, self.folders[1])
        if left is None or right is None:
            left, right = (numpy_helper.to_array(embed(t, f)) for t, f in zip((a, b), self.folders))
            left, right = (np.ascontiguousarray(each).reshape(-1).view(np.uint8) for each in (left, right))
        self.bytes += len(left)
        if len(left) != len(right):
            self.differ(f"{where} (bytes of values)", len(left), len(right))
            return
        for start in range(0, len(left), CHUNK):
            unequal = np.flatnonzero(left[start : start + CHUNK] != right[start : start + CHUNK])
            if len(unequal):
                at = start + int(unequal[0])
                self.differ(f"{where} (values, first unequal byte {at})", int(left[at]), int(right[at]))
                return


def external(tensor, folder):
    """The bytes of external data, mapped rather than read."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    path = pathlib.Path(folder) / entries["location"]
    offset = int(entries.get("offset", 0))
    length = int(entries.get("length", path.stat().st_size - offset))
    if length == 0:
        return np.zeros(0, np.uint8)
    return np.memmap(path, np.uint8, mode="r", offset=offset, shape=(length,))


def raw(tensor, folder):
    """Little-endian bytes if that is how the tensor is stored, otherwise None."""
    if tensor.data_location == TensorProto.EXTERNAL:
        return external(tensor, folder)
    return np.frombuffer(tensor.raw_data, np.uint8) if tensor.HasField("raw_data") else None


def embed(tensor, folder):
    if tensor.data_location != TensorProto.EXTERNAL:
        return tensor
    inside = TensorProto()
    inside.CopyFrom(tensor)
    del inside.external_data[:]
    inside.ClearField("data_location")
    inside.raw_data = external(tensor, folder).tobytes()
    return inside


def same_scalar(a, b):
    return a == b or (a != a and b != b)


def unknown(message):
    def data(field):
        return unknown_list(field.data) if field.wire_type == 3 else field.data  # 3: a group

    def unknown_list(fields):
        return [(field.field_number, field.wire_type, data(field)) for field in fields]

    return unknown_list(UnknownFieldSet(message))


def show(value):
    text = value if isinstance(value, (int, float, str)) or value is None else repr(value)
    return text[:200] + "…" if isinstance(text, str) and len(text) > 200 else text


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("a")
    parser.add_argument("b")
    parser.add_argument("--limit", type=int, default=100, help="print at most so many differences")
    arguments = parser.parse_args()
    try:
        models = [onnx.load(path, load_external_data=False) for path in (arguments.a, arguments.b)]
        comparison = Comparison([pathlib.Path(path).parent for path in (arguments.a, arguments.b)])
        comparison.message("", *models)
    except Exception as error:
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}))
        sys.exit(2)
    for difference in comparison.differences[: arguments.limit]:
        print(json.dumps(difference, ensure_ascii=False))
    count = len(comparison.differences)
    summary = {"equal": count == 0, "differences": count, "tensors": comparison.tensors, "bytes": comparison.bytes}
    print(json.dumps(summary))
    sys.exit(0 if count == 0 else 1)


if __name__ == "__main__":
    main()
