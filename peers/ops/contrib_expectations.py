"""Records what ONNX Runtime's CPU provider computes for com.microsoft operators on small seeded inputs.

    python peers/ops/contrib_expectations.py tests/fixtures/reference
"""
import base64
import json
import pathlib
import sys

import numpy as np
import onnxruntime as ort
from onnx import TensorProto, helper

MS = "com.microsoft"
rng = np.random.default_rng(7)
cases = []


def f(*shape, scale=1.0):
    return (rng.standard_normal(shape) * scale).astype(np.float32)


def ints(dtype, *shape):
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max + 1, shape).astype(dtype)


def packed(array):
    return {"dtype": array.dtype.name, "shape": list(array.shape), "data": base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()}


def case(name, op, inputs, attributes=None, outputs=1, domain=MS, tolerance=1e-5, keep=None):
    """`outputs` is a count, or a list where 0 omits an output."""
    wanted = [1] * outputs if isinstance(outputs, int) else outputs
    inputs = [None if array is None else np.asarray(array) for array in inputs]
    names = [f"i{i}" if array is not None else "" for i, array in enumerate(inputs)]
    outs = [f"o{i}" if use else "" for i, use in enumerate(wanted)]
    node = helper.make_node(op, names, outs, domain=domain, **(attributes or {}))
    given = {n: a for n, a in zip(names, inputs) if a is not None}
    infos = [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape) for n, a in given.items()]
    ends = [helper.make_empty_tensor_value_info(n) for n in outs if n]
    model = helper.make_model(helper.make_graph([node], "g", infos, ends), opset_imports=[helper.make_opsetid("", 21), helper.make_opsetid(MS, 1)], ir_version=10)
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        results = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"]).run(None, given)
    except Exception as error:  # recorded on the screen, never in the fixture
        print("not recorded:", name, str(error)[:300])
        return None
    cases.append({
        "name": name, "op": op, "domain": domain, "tolerance": tolerance, "attributes": attributes or {},
        "inputs": [None if a is None else packed(a) for a in inputs],
        "outputs": dict(zip((str(i) for i, n in enumerate(outs) if n), map(packed, results))),
    })
    return results


def nbits():
    for bits, block, k, zeros, bias in [(4, 32, 64, False, False), (4, 16, 40, True, False), (8, 32, 64, True, True), (2, 32, 96, True, False), (2, 16, 32, False, False)]:
        n, blocks = 6, -(-k // block)
        data = ints(np.uint8, n, blocks, block * bits // 8)
        zero = ints(np.uint8, n, -(-blocks * bits // 8)) if zeros else None
        inputs = [f(2, 3, k), data, np.abs(f(n, blocks, scale=0.1)), zero, None, f(n) if bias else None]
        while inputs[-1] is None:
            inputs.pop()
        case(f"MatMulNBits {bits} bits block {block} K {k}{' zero points' if zeros else ''}{' bias' if bias else ''}", "MatMulNBits",
             inputs, {"N": n, "K": k, "bits": bits, "block_size": block}, tolerance=2e-5)
    case("MatMulNBits float zero points", "MatMulNBits", [f(3, 64), ints(np.uint8, 4, 2, 16), f(4, 2), f(4, 2)], {"N": 4, "K": 64, "bits": 4, "block_size": 32}, tolerance=2e-5)
    for kind in (0, 1):
        case(f"MatMulBnb4 type {kind}", "MatMulBnb4", [f(3, 32), ints(np.uint8, 6 * 32 // 2), np.abs(f(12, scale=0.1))], {"N": 6, "K": 32, "block_size": 16, "quant_type": kind}, tolerance=2e-5)
    index = np.array([[0, 4], [2, 1]], np.int64)
    for bits, zeros in [(4, False), (4, True), (8, True), (2, True)]:
        case(f"GatherBlockQuantized {bits} bits{' zero points' if zeros else ''}", "GatherBlockQuantized",
             [ints(np.uint8, 5, 64 * bits // 8), index, f(5, 4), *([ints(np.uint8, 5, -(-4 * bits // 8))] if zeros else [])],
             {"bits": bits, "block_size": 16, "quantize_axis": 1, "gather_axis": 0})


def caches(size, rows=8):
    angles = np.outer(np.arange(rows), 1.0 / 10000 ** (np.arange(size) / size)).astype(np.float32)
    return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)


def attention():
    heads, groups, size, batch = 4, 2, 8, 2
    cos, sin = caches(size // 2)
    wide = caches(8)

    def gqa(name, seq, past, attributes=None, extra=(), packed_qkv=False, batch=batch, outputs=3, lengths=None, size=size):
        q, k, v = f(batch, seq, heads * size), f(batch, seq, groups * size), f(batch, seq, groups * size)
        old = [f(batch, groups, past, size), f(batch, groups, past, size)]
        total = past + seq
        ends = np.array(lengths or [total] * batch, np.int32) - 1
        tail = list(extra)
        inputs = [np.concatenate([q, k, v], 2), None, None] if packed_qkv else [q, k, v]
        inputs += (old if past else [None, None]) + [ends, np.array(total, np.int32)] + tail
        case(f"GroupQueryAttention {name}", "GroupQueryAttention", inputs, {"num_heads": heads, "kv_num_heads": groups, **(attributes or {})}, outputs=outputs)

    gqa("prompt", 5, 0)
    gqa("padded prompt", 5, 0, lengths=[3, 5])
    gqa("decode", 1, 4)
    gqa("chunk", 3, 4, batch=1)
    gqa("packed rotary prompt", 5, 0, {"do_rotary": 1}, [*wide], packed_qkv=True, size=16)
    gqa("rotary decode", 1, 6, {"do_rotary": 1}, [*wide], size=16)
    gqa("interleaved rotary", 4, 0, {"do_rotary": 1, "rotary_interleaved": 1}, [*wide], size=16)
    # In a first prompt ONNX Runtime's CPU kernel counts up from the first position of the first row, whatever the others are.
    ids = np.array([[3, 4, 5, 6], [3, 4, 5, 6]], np.int64)
    gqa("position ids", 4, 0, {"do_rotary": 1}, [*wide, ids], size=16)
    later = np.array([[5, 6]], np.int64)
    gqa("position ids after a past", 2, 3, {"do_rotary": 1}, [*wide, later], batch=1, size=16)
    gqa("window", 6, 0, {"local_window_size": 2})
    gqa("window decode", 1, 6, {"local_window_size": 3})
    gqa("soft cap", 4, 0, {"softcap": 2.0})
    gqa("scale and smooth softmax", 4, 0, {"scale": 0.3, "smooth_softmax": 1})
    gqa("attention bias", 3, 4, None, [None, None, None, f(1, 1, 3, 7)], batch=1)
    gqa("attention bias and soft cap", 4, 0, {"softcap": 3.0}, [None, None, None, f(batch, heads, 4, 4)])
    gqa("head sink", 4, 0, None, [None, None, None, None, f(heads)])
    x = f(2, 3, 32)
    positions = np.array([[0, 1, 2], [5, 6, 7]], np.int64)
    for interleaved in (0, 1):
        case(f"RotaryEmbedding interleaved {interleaved}", "RotaryEmbedding", [x, positions, cos, sin], {"interleaved": interleaved})
        case(f"RotaryEmbedding four axes {interleaved}", "RotaryEmbedding", [f(2, 4, 3, 8), np.array([2], np.int64), cos, sin], {"interleaved": interleaved})
    half_cos, half_sin = caches(2)
    case("RotaryEmbedding partial", "RotaryEmbedding", [x, positions, half_cos, half_sin], {"num_heads": 4, "rotary_embedding_dim": 4})
    q, k, v = f(2, 3, 16), f(2, 3, 16), f(2, 3, 16)
    mask = np.array([[1, 1, 0], [1, 1, 1]], np.int32)
    case("MultiHeadAttention", "MultiHeadAttention", [q, k, v], {"num_heads": 4})
    case("MultiHeadAttention bias and padding", "MultiHeadAttention", [q, k, v, f(48), mask], {"num_heads": 4})
    case("MultiHeadAttention past and bias", "MultiHeadAttention", [q, k, v, None, None, f(1, 4, 3, 5), f(2, 4, 2, 4), f(2, 4, 2, 4)], {"num_heads": 4, "unidirectional": 1}, outputs=3)
    case("Attention", "Attention", [f(2, 3, 16), f(16, 48, scale=0.2), f(48)], {"num_heads": 4})
    case("Attention mask unidirectional", "Attention", [f(2, 3, 16), f(16, 48, scale=0.2), f(48), mask], {"num_heads": 4, "unidirectional": 1})
    for name, ends in [("lengths", [2, 3]), ("ends and starts", [2, 3, 0, 1])]:
        case(f"Attention {name}", "Attention", [f(2, 3, 16), f(16, 48, scale=0.2), f(48), np.array(ends, np.int32)], {"num_heads": 4})
    case("Attention past", "Attention", [f(2, 3, 16), f(16, 48, scale=0.2), f(48), None, f(2, 2, 4, 2, 4)], {"num_heads": 4}, outputs=2)


def norms():
    x, skip, gamma, beta, bias = f(2, 3, 16), f(2, 3, 16), f(16), f(16), f(16)
    case("SkipLayerNormalization", "SkipLayerNormalization", [x, skip, gamma, beta, bias], {"epsilon": 1e-5}, outputs=[1, 0, 0, 1])
    case("SkipSimplifiedLayerNormalization", "SkipSimplifiedLayerNormalization", [x, skip, gamma, bias], {"epsilon": 1e-5}, outputs=[1, 0, 0, 1])
    case("SkipSimplifiedLayerNormalization plain", "SkipSimplifiedLayerNormalization", [x, skip, gamma], {"epsilon": 1e-6})
    case("SimplifiedLayerNormalization", "SimplifiedLayerNormalization", [x, gamma], {"axis": -1, "epsilon": 1e-6}, domain="")
    ids = np.array([[1, 2, 3], [4, 0, 1]], np.int32)
    case("EmbedLayerNormalization", "EmbedLayerNormalization", [ids, ids % 2, f(6, 8), f(5, 8), f(2, 8), f(8), f(8), np.array([[1, 1, 0], [1, 1, 1]], np.int32)], outputs=2)


def small():
    x = f(2, 3, 8)
    for op, inputs in {"Gelu": [x], "FastGelu": [x, f(8)], "BiasGelu": [x, f(8)], "QuickGelu": [x]}.items():
        case(op, op, inputs)
    case("FusedMatMul", "FusedMatMul", [f(2, 4, 3), f(2, 5, 4)], {"transA": 1, "transB": 1, "alpha": 0.5})
    case("FusedGemm", "FusedGemm", [f(3, 4), f(4, 5), f(5)], {"activation": "LeakyRelu", "activation_alpha": 0.2})
    case("FusedConv", "FusedConv", [f(1, 2, 5, 5), f(3, 2, 3, 3), f(3)], {"activation": "Relu", "pads": [1, 1, 1, 1]})
    case("Trilu", "Trilu", [f(3, 4), np.array(1, np.int64)], {"upper": 0})
    case("Unique", "Unique", [np.array([2, 1, 1, 3, 2], np.float32)], outputs=3)
    case("ExpandDims", "ExpandDims", [x, np.array(1, np.int32)])


def quantized():
    def q(dtype, *shape):
        return ints(dtype, *shape), np.float32(rng.uniform(0.01, 0.1)), np.array(rng.integers(0, 20), dtype)

    for dtype in (np.uint8, np.int8):
        kind = np.dtype(dtype).name
        for op in ("QLinearAdd", "QLinearMul"):
            case(f"{op} {kind}", op, [*q(dtype, 3, 4), *q(dtype, 1, 4), np.float32(0.2), np.array(3, dtype)], tolerance=1)
        case(f"QLinearSigmoid {kind}", "QLinearSigmoid", [*q(dtype, 3, 4), np.float32(1 / 256), np.array(0, dtype)], tolerance=1)
        case(f"QLinearLeakyRelu {kind}", "QLinearLeakyRelu", [*q(dtype, 3, 4), np.float32(0.1), np.array(2, dtype)], {"alpha": 0.2}, tolerance=1)
    case("QLinearConcat", "QLinearConcat", [np.float32(0.05), np.array(10, np.uint8), *q(np.uint8, 2, 3), *q(np.uint8, 2, 4)], {"axis": 1}, tolerance=1)
    case("QLinearGlobalAveragePool", "QLinearGlobalAveragePool", [*q(np.uint8, 1, 3, 4, 4), np.float32(0.05), np.array(7, np.uint8)], tolerance=1)
    case("QLinearAveragePool", "QLinearAveragePool", [*q(np.uint8, 1, 2, 5, 5), np.float32(0.05), np.array(7, np.uint8)], {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}, tolerance=1)
    case("QLinearSoftmax", "QLinearSoftmax", [*q(np.uint8, 3, 8), np.float32(1 / 256), np.array(0, np.uint8)], {"opset": 13, "axis": -1}, tolerance=1)
    case("QLinearWhere", "QLinearWhere", [np.array([[True, False, True]]), *q(np.uint8, 2, 3), *q(np.uint8, 2, 3), np.float32(0.07), np.array(1, np.uint8)], tolerance=1)
    a, a_scale, a_zero = q(np.uint8, 3, 8)
    case("QGemm", "QGemm", [a, a_scale, a_zero, ints(np.int8, 5, 8), np.float32(0.02), np.array(0, np.int8), ints(np.int8, 5).astype(np.int32)], {"transB": 1})
    case("QGemm requantized", "QGemm", [a, a_scale, a_zero, ints(np.int8, 8, 5), np.float32(0.02), np.array(0, np.int8), None, np.float32(1.5), np.array(120, np.uint8)], tolerance=1)
    case("MatMulIntegerToFloat", "MatMulIntegerToFloat", [a, ints(np.int8, 8, 5), a_scale, np.abs(f(5)), a_zero, np.zeros(5, np.int8), f(5)])
    case("DynamicQuantizeMatMul", "DynamicQuantizeMatMul", [f(3, 8), ints(np.int8, 8, 5), np.float32(0.03), np.array(2, np.int8), f(5)])
    case("QLinearConv", "QLinearConv", [*q(np.uint8, 1, 2, 5, 5), ints(np.int8, 3, 2, 3, 3), np.abs(f(3, scale=0.02)), np.zeros(3, np.int8), np.float32(0.5), np.array(100, np.uint8), ints(np.int8, 3).astype(np.int32)], {"pads": [1, 1, 1, 1]}, tolerance=1)


def experts():
    tokens, hidden, inter, count = 4, 16, 8, 3
    x, router = f(tokens, hidden), f(tokens, count)
    for activation in ("relu", "gelu", "silu"):
        case(f"MoE {activation}", "MoE", [x, router, f(count, inter, hidden, scale=0.3), f(count, inter), f(count, hidden, inter, scale=0.3), f(count, hidden)],
             {"k": 2, "activation_type": activation, "normalize_routing_weights": 1})
    case("MoE swiglu", "MoE", [x, router, f(count, 2 * inter, hidden, scale=0.3), f(count, 2 * inter), f(count, hidden, inter, scale=0.3), f(count, hidden)],
         {"k": 2, "activation_type": "swiglu", "swiglu_fusion": 1, "normalize_routing_weights": 1, "activation_alpha": 1.702, "activation_beta": 1.0, "swiglu_limit": 7.0})
    for bits in (4, 8):
        pack = 8 // bits
        case(f"QMoE {bits} bits silu", "QMoE",
             [f(tokens, 16), router, ints(np.uint8, count, 16, 16 // pack), np.abs(f(count, 16, scale=0.02)), f(count, 16), ints(np.uint8, count, 16, 16 // pack), np.abs(f(count, 16, scale=0.02)), f(count, 16)],
             {"k": 2, "activation_type": "silu", "expert_weight_bits": bits, "normalize_routing_weights": 1}, tolerance=1e-3)
    case("QMoE 4 bits blocks swiglu", "QMoE",
         [f(tokens, 32), router, ints(np.uint8, count, 64, 16), np.abs(f(count, 64, 2, scale=0.02)), f(count, 64), ints(np.uint8, count, 32, 16), np.abs(f(count, 32, 2, scale=0.02)), f(count, 32)],
         {"k": 2, "activation_type": "swiglu", "swiglu_fusion": 1, "expert_weight_bits": 4, "block_size": 16, "activation_alpha": 1.702, "activation_beta": 1.0, "swiglu_limit": 7.0, "normalize_routing_weights": 1}, tolerance=1e-3)


for group in (nbits, attention, norms, small, quantized, experts):
    group()
out = pathlib.Path(sys.argv[1])
out.mkdir(parents=True, exist_ok=True)
(out / "contrib.json").write_text("[\n" + ",\n".join(json.dumps(item) for item in cases) + "\n]\n")
print(len(cases), "cases, onnxruntime", ort.__version__)
