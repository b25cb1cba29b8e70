"""Writes packages/core/src/ops/*.ts: operator declarations as one line per version, facts only.

Run with a Python that has `onnx` (ai.onnx, ai.onnx.ml) and `onnxruntime` (com.microsoft) installed:
    python peers/ops/schemas.py
"""
import pathlib
import re
import struct

import onnx
import onnx.defs
import onnxruntime
import onnxruntime.capi.onnxruntime_pybind11_state as ort

OLDEST = 13
OUT = pathlib.Path(__file__).resolve().parents[2] / "packages/core/src/ops"

FAMILIES = {
    "elementwise": """Abs Acos Acosh Add And Asin Asinh Atan Atanh BitCast BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor Cast
        CastLike Ceil Celu Clip Cos Cosh Div Dropout Elu Equal Erf Exp Floor Gelu Greater GreaterOrEqual HardSigmoid HardSwish
        Identity IsInf IsNaN LeakyRelu Less LessOrEqual Log Max Mean Min Mish Mod Mul Neg Not Or PRelu Pow Reciprocal Relu Round
        Selu Shrink Sigmoid Sign Sin Sinh Softplus Softsign Sqrt Sub Sum SwiGLU Swish Tan Tanh ThresholdedRelu Where Xor""",
    "reduce": """ArgMax ArgMin CumProd CumSum Hardmax LogSoftmax NegativeLogLikelihoodLoss ReduceL1 ReduceL2 ReduceLogSum
        ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Softmax SoftmaxCrossEntropyLoss TopK""",
    "movement": """CenterCropPad Col2Im Compress Concat Constant ConstantOfShape DepthToSpace Expand EyeLike Flatten Gather
        GatherElements GatherND NonZero OneHot Pad Range Reshape ReverseSequence Scatter ScatterElements ScatterND Shape Size Slice
        SpaceToDepth Split Squeeze TensorScatter Tile Transpose Trilu Unique Unsqueeze""",
    "linalg": "Det Einsum Gemm MatMul",
    "conv": """AffineGrid AveragePool Conv ConvTranspose DeformConv GlobalAveragePool GlobalLpPool GlobalMaxPool GridSample LpPool
        MaxPool MaxRoiPool MaxUnpool NonMaxSuppression Resize RoiAlign Upsample""",
    "norm": """BatchNormalization GroupNormalization InstanceNormalization LayerNormalization LpNormalization LRN
        MeanVarianceNormalization RMSNormalization""",
    "attention": "Attention CausalConvWithState LinearAttention RotaryEmbedding",
    "recurrent": "GRU LSTM RNN",
    "control": "If Loop Scan",
    "quant": """ConvInteger DequantizeLinear DynamicQuantizeLinear MatMulInteger QLinearConv QLinearMatMul QuantizeLinear""",
    "sequence": """ConcatFromSequence Optional OptionalGetElement OptionalHasElement SequenceAt SequenceConstruct SequenceEmpty
        SequenceErase SequenceInsert SequenceLength SequenceMap SplitToSequence""",
    "text": "RegexFullMatch StringConcat StringNormalizer StringSplit TfIdfVectorizer",
    "signal": """Bernoulli BlackmanWindow DFT HammingWindow HannWindow ImageDecoder MelWeightMatrix Multinomial RandomNormal
        RandomNormalLike RandomUniform RandomUniformLike STFT""",
}

CONTRIB = """Attention BiasAdd BiasGelu BiasSoftmax BiasSplitGelu ComplexMul ConvTransposeWithDynamicPads DecoderMaskedMultiHeadAttention
    DecoderMaskedSelfAttention DequantizeLinear DynamicQuantizeLSTM DynamicQuantizeMatMul EmbedLayerNormalization ExpandDims FastGelu
    FusedConv FusedGemm FusedMatMul GatedRelativePositionBias GatherBlockQuantized GatherND GemmFastGelu Gelu GemmaRotaryEmbedding
    GreedySearch BeamSearch Sampling WhisperBeamSearch GridSample GroupNorm GroupQueryAttention Inverse Irfft IsAllFinite
    LongformerAttention MatMulBnb4 MatMulFpQ4 MatMulInteger16 MatMulIntegerToFloat MatMulNBits MaxpoolWithMask MoE MulInteger
    MultiHeadAttention MurmurHash3 NGramRepeatBlock NhwcConv NhwcFusedConv NhwcMaxPool PackedAttention PackedMultiHeadAttention Pad
    PagedAttention QAttention QEmbedLayerNormalization QGemm QLinearAdd QLinearAveragePool QLinearConcat QLinearConv
    QLinearGlobalAveragePool QLinearLeakyRelu QLinearMul QLinearReduceMean QLinearSigmoid QLinearSoftmax QLinearWhere QMoE
    QuantizeLinear QuickGelu Range ReduceSumInteger RelativePositionBias RemovePadding RestorePadding Rfft RotaryEmbedding SampleOp
    SkipGroupNorm SkipLayerNormalization SkipSimplifiedLayerNormalization SparseAttention SparseToDenseMatMul SwiGLU Tokenizer
    TransposeMatMul Trilu Unique WordConvEmbedding""".split()

HEADERS = {
    "elementwise": "element-wise operators",
    "reduce": "operators that reduce, rank or scan along axes",
    "movement": "operators that make, move or select elements",
    "linalg": "matrix operators",
    "conv": "convolution, pooling and image operators",
    "norm": "normalization operators",
    "attention": "attention operators",
    "recurrent": "recurrent operators",
    "control": "control flow operators",
    "quant": "quantization operators",
    "sequence": "sequence and optional operators",
    "text": "text operators",
    "signal": "signal, image decoding and random operators",
    "ml": "ai.onnx.ml operators",
    "contrib": "com.microsoft operators",
}

GROUPS = [
    ("any", "float16 float32 float64 int8 int16 int32 int64 uint8 uint16 uint32 uint64 bool string complex64 complex128"),
    ("float", "float16 float32 float64"),
    ("int", "int8 int16 int32 int64"),
    ("uint", "uint8 uint16 uint32 uint64"),
    ("complex", "complex64 complex128"),
    ("float8", "float8e4m3fn float8e4m3fnuz float8e5m2 float8e5m2fnuz"),
]
NAMES = {"float": "float32", "double": "float64"}


def compact(types):
    """['tensor(float)', 'seq(tensor(float))'] -> 'float32 seq(float32)'."""
    plain, wrapped = [], {}
    for text in types:
        if match := re.fullmatch(r"(seq|optional|map|sparse_tensor)\((.*)\)", text):
            kind, inner = match.groups()
            if kind == "map":
                key, value = inner.split(",", 1)
                plain.append(f"map({NAMES.get(key.strip(), key.strip())},{compact([value.strip()])})")
            else:
                wrapped.setdefault(kind, []).append(inner)
        else:
            name = re.sub(r"^tensor\((.*)\)$", r"\1", text)
            plain.append(NAMES.get(name, name))
    out, left = [], list(dict.fromkeys(plain))
    for group, members in GROUPS:
        if all(member in left for member in members.split()):
            out.append(group)
            left = [name for name in left if name not in members.split()]
    out += left
    for kind, inner in wrapped.items():
        out.append(f"{ {'optional': 'opt', 'sparse_tensor': 'sparse'}.get(kind, kind) }({compact(inner)})")
    return " ".join(out)


def either(thing, *names):
    """The two packages spell the same fields differently."""
    return next(getattr(thing, name) for name in names if hasattr(thing, name))


def parameters(schema, params, least):
    words = []
    constraints = {item.type_param_str for item in schema.type_constraints}
    for index, param in enumerate(params):
        option = param.option.name.lower()
        mark = ""
        if option == "optional":
            mark = "?"
        elif option == "variadic":
            mark = "+" if least > index else "*"
            if not either(param, "is_homogeneous", "isHomogeneous"):
                mark += "~"
        text = either(param, "type_str", "typeStr")
        kind = text if text in constraints else compact([text])
        words.append(f"{param.name}{mark}:{kind}")
    return " ".join(words)


def shortest(value):
    """The shortest decimal that reads back as the same float32."""
    if isinstance(value, int):
        return str(value)
    single = struct.pack("f", value)
    return repr(next(float(text) for digits in range(1, 10) if struct.pack("f", float(text := f"{value:.{digits}g}")) == single))


def default(attribute):
    proto = getattr(attribute, "default_value", None)
    if proto is None:
        proto = onnx.AttributeProto.FromString(attribute._default_value)
    if not proto.name:
        return None
    value = onnx.helper.get_attribute_value(proto)
    if isinstance(value, bytes):
        return value.decode() or "''"
    if isinstance(value, float):
        return shortest(value)
    if isinstance(value, (list, tuple)):
        return ",".join(item.decode() if isinstance(item, bytes) else shortest(item) for item in value) or "[]"
    return str(value)


def attributes(schema):
    words = []
    for name, attribute in sorted(schema.attributes.items()):
        kind = {"sparse_tensor": "sparseTensor", "type_proto": "type"}.get(k := attribute.type.name.lower(), k)
        value = None if attribute.required else default(attribute)
        text = f"{name}:{kind}" + ("!" if attribute.required else "" if value is None else f"={value}")
        assert " " not in text and "|" not in text, text
        words.append(text)
    return " ".join(words)


def row(schema):
    if schema.deprecated:
        return f"{schema.since_version} deprecated"
    inputs = parameters(schema, schema.inputs, schema.min_input)
    outputs = parameters(schema, schema.outputs, schema.min_output)
    kinds = "; ".join(f"{c.type_param_str}={compact(c.allowed_type_strs)}" for c in schema.type_constraints)
    parts = [f"{schema.since_version} {inputs} -> {outputs}".replace("  ", " "), kinds, attributes(schema)]
    while len(parts) > 1 and not parts[-1]:
        parts.pop()
    return " | ".join(parts)


def in_force(schemas):
    """The version that opset 13 uses, and all later ones."""
    ordered = sorted(schemas, key=lambda schema: schema.since_version)
    older = [schema for schema in ordered if schema.since_version <= OLDEST]
    return older[-1:] + [schema for schema in ordered if schema.since_version > OLDEST]


def write(family, table, source):
    lines = [
        f"/** Declarations of the {HEADERS[family]}, made by peers/ops/schemas.py from {source}. */",
        "import type { OpRows } from './schema.js';",
        "",
        f"export const {family} = {{",
    ]
    for name, schemas in sorted(table.items(), key=lambda item: item[0].lower()):
        rows = ["'" + row(schema).replace("'", "\\'") + "'" for schema in schemas]
        if len(rows) == 1:
            lines.append(f"  {name}: [{rows[0]}],")
        else:
            lines += [f"  {name}: [", *(f"    {text}," for text in rows), "  ],"]
    lines += ["} satisfies OpRows;", ""]
    (OUT / f"{family}.ts").write_text("\n".join(lines))


def main():
    history = {}
    for schema in onnx.defs.get_all_schemas_with_history():
        history.setdefault((schema.domain, schema.name), []).append(schema)
    contrib = {}
    for schema in ort.get_all_operator_schema():
        contrib.setdefault((schema.domain, schema.name), []).append(schema)
    onnx_source = f"onnx {onnx.__version__}"
    placed = set()
    for family, names in FAMILIES.items():
        table = {name: in_force(history["", name]) for name in names.split()}
        placed |= set(table)
        if family == "norm":  # ONNX Runtime keeps this one in the default domain
            table["SimplifiedLayerNormalization"] = contrib["", "SimplifiedLayerNormalization"]
        write(family, table, onnx_source)
    missing = {name for domain, name in history if domain == ""} - placed
    assert not missing, missing
    write("ml", {n: sorted(s, key=lambda x: x.since_version) for (d, n), s in history.items() if d == "ai.onnx.ml"}, onnx_source)
    write("contrib", {name: contrib["com.microsoft", name] for name in CONTRIB}, f"ONNX Runtime {onnxruntime.__version__}")


if __name__ == "__main__":
    main()
