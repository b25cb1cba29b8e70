/** Windows against the obvious: random expressions, evaluated by random rows and whole, give what plain indexing gives. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { blockCodecs, plainKernels, wasmKernels } from '@penjing/kernels';
import { memorySource } from '../bytes.js';
import { byteSize, type DType, dtypes, typedView } from '../dtype.js';
import { elementCount, matrixView, type Shape, stridesOf } from '../shape.js';
import { LazyTensor } from '../lazy.js';
import * as build from './build.js';
import { evaluate } from './evaluate.js';
import { convert, floatsOf, fromFloats } from './evaluate-cast.js';
import type { TensorExpr } from './tensor-expr.js';
import { elementBytes, type EvaluationContext } from './window.js';

const kernels = plainKernels({ arenaBytes: 0 });
const wasm = wasmKernels({ arenaBytes: 1 << 16 });
const fileBytes = Uint8Array.from({ length: 1 << 16 }, (_, i) => (Math.imul(i + 1, 2654435761) >>> 13) & 0xff);
// Bytes of tame floats, so that arithmetic meets few NaN: their payloads are nobody's business.
const fileFloats = new Uint8Array(Float32Array.from({ length: 1 << 14 }, (_, i) => ((Math.imul(i + 1, 40503) >>> 3) % 2001) / 500 - 2).buffer);
const sources = new Map([memorySource(fileBytes, 'bytes'), memorySource(fileFloats, 'floats')].map((source) => [source.uri, source]));
const files = new Map([['bytes', fileBytes], ['floats', fileFloats]]);

function read(key: string, offset: number, length: number, into?: Uint8Array): Uint8Array {
  const bytes = files.get(key)!.subarray(offset, offset + length);
  if (bytes.byteLength !== length) throw new Error('read outside');
  if (!into) return bytes;
  into.set(bytes);
  return into;
}

/** What the conversion helpers need of a context. */
const context = { kernels, alloc: (bytes: number) => new Uint8Array(bytes) } as EvaluationContext;

/** Elements of a whole tensor, one byte each below 8 bits, by indexing. */
function naive(expr: TensorExpr): Uint8Array {
  const width = elementBytes(expr.dtype);
  const count = elementCount(expr.shape);
  const out = new Uint8Array(count * width);
  const take = (input: Uint8Array, at: (index: number[]) => number): Uint8Array => {
    const strides = stridesOf(expr.shape);
    for (let i = 0; i < count; i++) {
      const index = strides.map((stride, axis) => Math.floor(i / stride) % expr.shape[axis]!);
      out.set(input.subarray(at(index) * width, (at(index) + 1) * width), i * width);
    }
    return out;
  };
  const offsetIn = (shape: Shape, index: readonly number[]): number => stridesOf(shape).reduce((sum, stride, axis) => sum + stride * index[axis]!, 0);
  const broadcast = (operand: TensorExpr): Float32Array => {
    const floats = floatsOf(operand.dtype, naive(operand), context);
    const skip = expr.shape.length - operand.shape.length;
    const strides = stridesOf(expr.shape);
    return Float32Array.from({ length: count }, (_, i) =>
      floats[offsetIn(operand.shape, operand.shape.map((dim, axis) => (dim === 1 ? 0 : Math.floor(i / strides[axis + skip]!) % expr.shape[axis + skip]!)))]!,
    );
  };
  switch (expr.op) {
    case 'source': {
      const bytes = read(expr.source, expr.offset, byteSize(expr.dtype, count));
      if (width * 8 === dtypes[expr.dtype].bits) return bytes.slice();
      kernels.unpack(dtypes[expr.dtype].bits as 2 | 4, dtypes[expr.dtype].kind === 'int', bytes, out);
      return out;
    }
    case 'constant': return Uint8Array.from(atob(expr.data), (char) => char.charCodeAt(0));
    case 'fill': fromFloats(expr.dtype, new Float32Array(count).fill(expr.value), out, context); return out;
    case 'cast': convert(expr.input.dtype, naive(expr.input), expr.dtype, out, context); return out;
    case 'bitcast': {
      // rows of either type are whole bytes, so the packed bytes are the same
      const bytes = packed(expr.input);
      if (dtypes[expr.dtype].bits >= 8) return bytes;
      kernels.unpack(dtypes[expr.dtype].bits as 2 | 4, dtypes[expr.dtype].kind === 'int', bytes, out);
      return out;
    }
    case 'reshape': return naive(expr.input);
    case 'transpose': return take(naive(expr.input), (index) => offsetIn(expr.input.shape, expr.input.shape.map((_, axis) => index[expr.perm.indexOf(axis)]!)));
    case 'slice': return take(naive(expr.input), (index) => offsetIn(expr.input.shape, index.map((i, axis) => i + expr.starts[axis]!)));
    case 'gather': {
      const indices = [...typedView(expr.indices.dtype, naive(expr.indices))].map(Number);
      return take(naive(expr.input), (index) => offsetIn(expr.input.shape, index.map((i, axis) => (axis === expr.axis ? indices[i]! : i))));
    }
    case 'concat': {
      const parts = expr.inputs.map(naive);
      const strides = stridesOf(expr.shape);
      for (let i = 0; i < count; i++) {
        const index = strides.map((stride, axis) => Math.floor(i / stride) % expr.shape[axis]!);
        let part = 0;
        while (index[expr.axis]! >= expr.inputs[part]!.shape[expr.axis]!) index[expr.axis]! -= expr.inputs[part++]!.shape[expr.axis]!;
        const at = offsetIn(expr.inputs[part]!.shape, index) * width;
        out.set(parts[part]!.subarray(at, at + width), i * width);
      }
      return out;
    }
    case 'multiply': case 'add': {
      const [a, b] = [broadcast(expr.a), broadcast(expr.b)];
      fromFloats(expr.dtype, a.map((x, i) => (expr.op === 'add' ? x + b[i]! : x * b[i]!)), out, context);
      return out;
    }
    case 'matmul': {
      const [m = 0, k = 0] = expr.a.shape;
      const n = expr.b.shape[1]!;
      const [a, b] = [floatsOf(expr.a.dtype, naive(expr.a), context), floatsOf(expr.b.dtype, naive(expr.b), context)];
      const sums = new Float32Array(m * n);
      for (let i = 0; i < m; i++) for (let j = 0; j < n; j++) for (let t = 0; t < k; t++) sums[i * n + j] = sums[i * n + j]! + a[i * k + t]! * b[t * n + j]!;
      out.set(new Uint8Array(sums.buffer));
      return out;
    }
    case 'mask': {
      const keep = broadcast(expr.mask);
      out.set(naive(expr.input));
      keep.forEach((value, i) => { if (value === 0) out.fill(0, i * width, (i + 1) * width); });
      return out;
    }
    case 'sparsify': {
      const floats = floatsOf(expr.dtype, naive(expr.input), context);
      const { rule } = expr;
      const cols = expr.shape.at(-1)!;
      const magnitude = (at: number): number => (Number.isFinite(floats[at]) ? Math.abs(floats[at]!) : -1);
      const stays = (at: number): boolean => {
        if (magnitude(at) < 0) return false;
        if (rule.kind === 'threshold') return magnitude(at) >= rule.least;
        const start = at - ((at % cols) % rule.of);
        const group = Array.from({ length: Math.min(rule.of, cols - (start % cols)) }, (_, i) => start + i);
        return group.sort((a, b) => magnitude(b) - magnitude(a) || a - b).indexOf(at) < rule.keep;
      };
      fromFloats(expr.dtype, floats.map((value, at) => (stays(at) ? value : 0)), out, context);
      return out;
    }
    case 'assign': {
      const weights = floatsOf(expr.input.dtype, naive(expr.input), context);
      const books = floatsOf('float32', naive(expr.codebook), context);
      const [groups = 1, entries = 1] = expr.codebook.shape;
      out.fill(0);
      weights.forEach((weight, at) => {
        const group = Math.floor(at / (weights.length / groups));
        const distances = Array.from({ length: entries }, (_, i) => Math.abs(Math.max(-1e6, Math.min(1e6, weight)) - books[group * entries + i]!));
        const place = Number.isNaN(weight) ? 0 : distances.indexOf(Math.min(...distances));
        out[Math.floor((at * expr.bits) / 8)]! |= ((place >> expr.shift) % (1 << expr.bits)) << ((at * expr.bits) % 8);
      });
      return out;
    }
    case 'decode': {
      kernels.decodeBlocks({ codec: expr.codec, src: naive(expr.input), dst: typedView('float32', out) as Float32Array });
      return out;
    }
    case 'encode': {
      kernels.encodeBlocks({ codec: expr.codec, src: floatsOf(expr.input.dtype, naive(expr.input), context), dst: out });
      return out;
    }
    case 'output': {
      const { scheme, scaleDtype, input, shape } = expr.of;
      const [rows = 0, cols = 0] = shape;
      const blocks = Math.ceil(cols / scheme.blockSize);
      const nbits = scheme.layout === 'nbits';
      if (expr.of.op === 'repack') {
        const { corrected } = blockCodecs[expr.of.codec];
        const [scales, correction] = [new Float32Array(rows * blocks), new Float32Array(corrected ? rows * blocks : 0)];
        const values = new Uint8Array((rows * cols * scheme.bits) / 8);
        const low = { values: values.slice(), scales: scales.slice() };
        kernels.repackBlocks({ codec: expr.of.codec, src: naive(input), values, scales, ...(expr.of.split && { low }), ...(corrected && { correction }) });
        const parts = { values, scales, correction, lowValues: low.values, lowScales: low.scales, zeroPoints: values };
        const part = parts[expr.name];
        if (part instanceof Uint8Array) return part;
        fromFloats(scaleDtype, part, out, context);
        return out;
      }
      const parts = {
        values: new Uint8Array(rows * (nbits ? (blocks * scheme.blockSize * scheme.bits) / 8 : cols)),
        scales: new Uint8Array(rows * blocks * elementBytes(scaleDtype)),
        zeroPoints: new Uint8Array(rows * (nbits ? Math.ceil((blocks * scheme.bits) / 8) : blocks)),
      };
      kernels.quantizeBlocks({
        ...scheme, rows, cols, src: floatsOf(input.dtype, naive(input), context), srcDtype: 'float32', values: parts.values,
        scaleDtype: scaleDtype as 'float32', scales: typedView(scaleDtype, parts.scales) as Float32Array,
        ...(!scheme.symmetric && { zeroPoints: parts.zeroPoints }),
      });
      return parts[expr.name as keyof typeof parts];
    }
    case 'dequantize': {
      const [rows = 0, cols = 0] = expr.shape;
      const dst = new Float32Array(rows * cols);
      kernels.dequantizeBlocks({
        ...expr.scheme, rows, cols, dst, values: naive(expr.values), scales: floatsOf(expr.scales.dtype, naive(expr.scales), context), scaleDtype: 'float32',
        ...(expr.zeroPoints && { zeroPoints: naive(expr.zeroPoints) }),
      });
      fromFloats(expr.dtype, dst, out, context);
      return out;
    }
  }
}

function packed(expr: TensorExpr): Uint8Array {
  const elements = naive(expr);
  const { bits } = dtypes[expr.dtype];
  if (bits >= 8) return elements;
  const out = new Uint8Array(byteSize(expr.dtype, elements.length));
  kernels.pack(bits as 2 | 4, elements, out);
  return out;
}

/** Draws numbers for building an expression. */
type Draw = (bound: number) => number;

const floatTypes: readonly DType[] = ['float32', 'float16', 'bfloat16'];
const leafTypes: readonly DType[] = [...floatTypes, 'int8', 'uint8', 'int4', 'uint2', 'int64', 'float64'];

function leaf(draw: Draw, shape: Shape, dtype = leafTypes[draw(leafTypes.length)]!): TensorExpr {
  if (dtype === 'float32') return build.source('floats', draw(64) * 4, dtype, shape);
  if (floatTypes.includes(dtype)) return build.cast(leaf(draw, shape, 'float32'), dtype);
  if (draw(8) === 0) return build.fill(dtype, shape, draw(3));
  return build.source('bytes', draw(99), dtype, shape);
}

function isFloat(expr: TensorExpr): boolean {
  return floatTypes.includes(expr.dtype);
}

const grow: readonly ((expr: TensorExpr, draw: Draw) => TensorExpr)[] = [
  (expr, draw) => (dtypes[expr.dtype].bits === 64 ? expr : build.cast(expr, isFloat(expr) ? floatTypes[draw(3)]! : 'float32')),
  (expr, draw) => {
    const perm = expr.shape.map((_, i) => i);
    for (let i = perm.length - 1; i > 0; i--) {
      const j = draw(i + 1);
      [perm[i], perm[j]] = [perm[j]!, perm[i]!];
    }
    return build.transpose(expr, perm);
  },
  (expr, draw) => {
    const shape = expr.shape.map((dim) => 1 + draw(dim));
    return build.slice(expr, shape.map((size, axis) => draw(expr.shape[axis]! - size + 1)), shape);
  },
  (expr, draw) => {
    const count = elementCount(expr.shape);
    const divisors = [1, 2, 3, 4, 5, 6, 7, 8, 12, 16].filter((d) => count % d === 0);
    const first = divisors[draw(divisors.length)]!;
    const rest = divisors.filter((d) => (count / first) % d === 0);
    const second = rest[draw(rest.length)]!;
    return build.reshape(expr, [[first, count / first], [first, second, count / first / second], [count]][draw(3)]!);
  },
  (expr, draw) => build.concat([expr, leaf(draw, expr.shape, 'float32')].map((part) => (part.dtype === expr.dtype ? part : build.cast(part, expr.dtype))), draw(expr.shape.length)),
  (expr, draw) => {
    const axis = draw(expr.shape.length);
    const indices = Int32Array.from({ length: 1 + draw(6) }, () => draw(expr.shape[axis]!));
    return build.gather(expr, build.constant('int32', [indices.length], new Uint8Array(indices.buffer)), axis);
  },
  (expr, draw) => {
    if (!isFloat(expr)) return expr;
    const other = leaf(draw, expr.shape.map((dim) => (draw(2) === 0 ? 1 : dim)).slice(draw(expr.shape.length)), 'float32');
    return draw(2) === 0 ? build.multiply(expr, other) : build.add(expr, other);
  },
  (expr, draw) => build.mask(expr, build.source('bytes', draw(99), 'uint8', expr.shape.map((dim) => (draw(3) === 0 ? 1 : dim)))),
  (expr, draw) => {
    if (!isFloat(expr)) return expr;
    const of = 2 + draw(7);
    return build.sparsify(expr, expr.shape.length === 2 && draw(2) === 0 ? { kind: 'pattern', keep: 1 + draw(of - 1), of } : { kind: 'threshold', least: draw(4) / 2 });
  },
  (expr, draw) => {
    const bits = ([1, 2, 4, 8] as const)[draw(4)]!;
    if (!isFloat(expr) || expr.shape.length !== 2 || (expr.shape[1]! * bits) % 8 !== 0) return expr;
    const groups = draw(2) === 0 ? 1 : expr.shape[0]!;
    const entries = 1 + draw(9);
    const codebook = Float32Array.from({ length: groups * entries }, (_, i) => (i % entries) - 3 + draw(8) / 8);
    return build.assign(expr, build.constant('float32', [groups, entries], new Uint8Array(codebook.buffer)), { shift: draw(9 - bits), bits });
  },
  (expr, draw) => {
    if (!isFloat(expr) || expr.shape.length !== 2) return expr;
    const scheme = { bits: ([2, 4, 8] as const)[draw(3)]!, blockSize: [8, 16, 32][draw(3)]!, symmetric: draw(2) === 0, layout: draw(2) === 0 ? 'nbits' : 'linear' } as const;
    const { values, scales, zeroPoints } = build.quantize(expr, scheme);
    if (draw(2) === 0) return build.dequantize({ values, scales, zeroPoints, scheme, shape: expr.shape, dtype: floatTypes[draw(3)]! });
    return [values, scales, zeroPoints ?? values][draw(3)]!;
  },
  (expr, draw) => {
    const to = (['uint8', 'uint4', 'int4', 'uint2', 'int32', 'uint16', 'int64'] as const)[draw(7)]!;
    const [a, b] = [dtypes[expr.dtype].bits, dtypes[to].bits];
    const whole = expr.shape.length >= 2 && (expr.shape.at(-1)! * a) % b === 0 && (a >= 8 || b >= 8);
    return whole ? build.bitcast(expr, to) : expr;
  },
  (expr, draw) => {
    if (!isFloat(expr) || expr.shape.length !== 2) return expr;
    return build.matmul(expr, leaf(draw, [expr.shape[1]!, 1 + draw(9)], floatTypes[draw(3)]));
  },
  // NVFP4 is finite whatever the bytes.
  (_, draw) => {
    const bytes = 36 * (1 + draw(2));
    return build.decode(build.source('bytes', draw(99), 'uint8', [[bytes], [1 + draw(9), bytes], [2, 1 + draw(3), bytes]][draw(3)]!), 'NVFP4');
  },
  (expr, draw) => (isFloat(expr) && expr.shape.length > 1 && expr.shape.at(-1)! % 32 === 0 ? build.encode(expr, draw(2) === 0 ? 'Q8_0' : 'Q4_0') : expr),
  (expr, draw) => {
    if (expr.op !== 'decode' || expr.shape.length !== 2) return expr;
    const { planes } = build.repack(expr, { scaleDtype: draw(2) === 0 ? 'float32' : 'float16', split: draw(2) === 0 });
    const { values, scales } = planes[draw(planes.length)]!;
    return draw(2) === 0 ? values : scales;
  },
];

const expression = fc.tuple(fc.array(fc.nat(), { minLength: 120, maxLength: 120 }), fc.integer({ min: 1, max: 3 }), fc.nat(5)).map(([numbers, rank, depth]) => {
  let at = 0;
  const draw: Draw = (bound) => numbers[at++ % numbers.length]! % bound;
  let expr = leaf(draw, Array.from({ length: rank }, () => 1 + draw(rank === 2 ? 40 : 9)));
  for (let i = 0; i < depth; i++) {
    const next = grow[draw(grow.length)]!(expr, draw);
    if (elementCount(next.shape) <= 4000) expr = next;
  }
  return { expr, splits: [draw(50), draw(50)] };
});

function same(a: Uint8Array, b: Uint8Array): boolean {
  return a.byteLength === b.byteLength && a.every((byte, i) => byte === b[i]);
}

function byRows(expr: TensorExpr, splits: readonly number[], by: typeof kernels): Uint8Array {
  const { rows, cols } = matrixView(expr.shape);
  const { bits } = dtypes[expr.dtype];
  const borders = [...new Set([0, ...splits.map((split) => split % (rows + 1)), rows])].filter((row) => row === rows || (row * cols * bits) % 8 === 0).sort((a, b) => a - b);
  const parts = borders.slice(1).map((end, i) => {
    const mark = by.arena.mark();
    const bytes = evaluate([{ expr, rows: { start: borders[i]!, end } }], read, by).bytes[0]!.slice();
    by.arena.release(mark);
    return bytes;
  });
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.byteLength;
  }
  return all;
}

describe('evaluate', () => {
  test('reads the nibbles of words, lowest first, after turning them', () => {
    // int32 [2, 3]: word (k, n) holds nibbles 8k … 8k + 7 of row n
    const words = Int32Array.from([0x76543210, 0x11111111, 0x22222222, -0x10fedcbb, 0x33333333, 0x44444444]);
    const turned = build.transpose(build.constant('int32', [2, 3], new Uint8Array(words.buffer)), [1, 0]);
    const nibbles = build.bitcast(turned, 'uint4');
    expect(nibbles.shape).toEqual([3, 16]);
    const order = build.constant('int32', [2], new Uint8Array(Int32Array.of(7, 1).buffer));
    const rows = { start: 0, end: 1 };
    expect([...evaluate([{ expr: nibbles, rows }], read, kernels).bytes[0]!].map((byte) => byte.toString(16))).toEqual(['10', '32', '54', '76', '45', '23', '1', 'ef']);
    const picked = build.bitcast(build.gather(nibbles, order, 1), 'uint8');
    expect([...evaluate([{ expr: picked, rows }], read, kernels).bytes[0]!]).toEqual([0x17]);
  });

  test('gives what indexing gives, however the rows are cut', () => {
    fc.assert(
      fc.property(expression, ({ expr, splits }) => {
        const wanted = packed(expr);
        expect(same(byRows(expr, splits, kernels), wanted)).toBe(true);
        expect(same(byRows(expr, splits, wasm), wanted)).toBe(true);
      }),
      { numRuns: 1500 },
    );
  });

  test('through asynchronous sources too', async () => {
    await fc.assert(
      fc.asyncProperty(expression, async ({ expr }) => {
        expect(same(await new LazyTensor(expr, sources).load(), packed(expr))).toBe(true);
      }),
      { numRuns: 200 },
    );
  });

  test('broadcasts over a window of one column', () => {
    const input = build.constant('float32', [1, 2, 2], new Uint8Array(Float32Array.of(1, 2, 3, 4).buffer));
    const factors = build.constant('float32', [1, 1, 2], new Uint8Array(Float32Array.of(10, 100).buffer));
    const turned = build.transpose(build.multiply(input, factors), [2, 0, 1]);
    expect([...(typedView('float32', evaluate([{ expr: turned, rows: { start: 1, end: 2 } }], read, kernels).bytes[0]!) as Float32Array)]).toEqual([200, 400]);
  });

  test('measures what a pruning loses, unless something above it rounds', () => {
    const weights = Float32Array.of(3, -1, 2, 0.5, NaN, 4, Infinity, 1);
    const input = build.constant('float32', [2, 4], new Uint8Array(weights.buffer));
    const rows = { start: 0, end: 2 };
    const pattern = build.sparsify(input, { kind: 'pattern', keep: 2, of: 4 });
    const { bytes, stats } = evaluate([{ expr: build.transpose(build.transpose(pattern, [1, 0]), [1, 0]), rows }], read, wasm);
    expect([...(typedView('float32', bytes[0]!) as Float32Array)]).toEqual([3, 0, 2, 0, 0, 4, 0, 1]);
    expect(stats).toEqual({ sumSquares: 9 + 1 + 4 + 0.25 + 16 + 1, sumSquaredError: 1.25, maxError: 1, nonFinite: 2 });
    const { values } = build.quantize(build.sparsify(input, { kind: 'threshold', least: 2 }), { bits: 8, blockSize: 16, symmetric: true, layout: 'nbits' });
    expect(evaluate([{ expr: values, rows }], read, wasm).stats!.sumSquares).toBe(9 + 4 + 16);
    expect(() => build.sparsify(input, { kind: 'pattern', keep: 4, of: 4 })).toThrow(/4:4 is no pattern/);
    expect(() => build.sparsify(build.reshape(input, [8]), { kind: 'pattern', keep: 2, of: 4 })).toThrow(/rows of a matrix/);
    expect(() => build.sparsify(input, { kind: 'threshold', least: NaN })).toThrow(/no magnitude/);
    expect(() => build.sparsify(build.cast(input, 'int8'), { kind: 'threshold', least: 1 })).toThrow(/int8/);
  });

  test('measures what a palette loses, once, with the lowest bits', () => {
    const input = build.constant('float32', [1, 8], new Uint8Array(Float32Array.of(0, 0.4, 0.6, 1, 3, 2.5, -9, 2).buffer));
    const codebook = build.constant('float32', [1, 5], new Uint8Array(Float32Array.of(-1, 0, 1, 2, 3).buffer));
    const rows = { start: 0, end: 1 };
    const low = evaluate([{ expr: build.assign(input, codebook, { shift: 0, bits: 2 }), rows }], read, wasm);
    expect([...low.bytes[0]!]).toEqual([0b10100101, 0b11001100]); // places 1 1 2 2, 4 3 0 3
    expect(low.stats!.sumSquaredError).toBeCloseTo(0.16 + 0.16 + 0.25 + 64);
    const high = evaluate([{ expr: build.assign(input, codebook, { shift: 2, bits: 1 }), rows }], read, wasm);
    expect([...high.bytes[0]!]).toEqual([0b00010000]);
    expect(high.stats).toBeUndefined();
    expect(() => build.assign(input, codebook, { shift: 7, bits: 2 })).toThrow(/no whole bytes/);
    expect(() => build.assign(build.reshape(input, [2, 4]), codebook, { shift: 0, bits: 1 })).toThrow(/no whole bytes/);
    expect(() => build.assign(input, build.reshape(codebook, [5, 1]), { shift: 0, bits: 1 })).toThrow(/do not fit/);
  });

  test('computes the outputs of a quantization once, with what it lost', () => {
    const { values, scales, zeroPoints } = build.quantize(build.source('floats', 0, 'float32', [8, 64]), { bits: 4, blockSize: 32, symmetric: false, layout: 'nbits' });
    let calls = 0;
    const counting = { ...kernels, quantizeBlocks: (args: Parameters<typeof kernels.quantizeBlocks>[0]) => (calls++, kernels.quantizeBlocks(args)) };
    const rows = { start: 2, end: 6 };
    const { bytes, stats } = evaluate([values, scales, zeroPoints!].map((expr) => ({ expr, rows })), read, counting);
    expect(calls).toBe(1);
    expect(bytes.map((part) => part.byteLength)).toEqual([4 * 32, 4 * 2 * 4, 4]);
    expect(stats!.sumSquares).toBeGreaterThan(stats!.sumSquaredError);
  });

  test('reads a half float matrix once and as it is, under a cast that widens', () => {
    const input = build.cast(build.source('bytes', 0, 'bfloat16', [4, 64]), 'float32');
    const { values } = build.quantize(input, { bits: 4, blockSize: 32, symmetric: true, layout: 'nbits' });
    const reads: number[] = [];
    const seen: string[] = [];
    const watching = { ...kernels, quantizeBlocks: (args: Parameters<typeof kernels.quantizeBlocks>[0]) => (seen.push(args.srcDtype), kernels.quantizeBlocks(args)) };
    evaluate([{ expr: values, rows: { start: 0, end: 4 } }], (key, offset, length, into) => (reads.push(length), read(key, offset, length, into)), watching);
    expect([reads, seen]).toEqual([[4 * 64 * 2], ['bfloat16']]);
  });

  test('measures what narrowing floats loses', () => {
    const half = build.cast(build.source('floats', 0, 'float32', [10, 10]), 'float16');
    const { stats } = evaluate([{ expr: half, rows: { start: 0, end: 10 } }], read, kernels);
    expect(stats!.sumSquaredError).toBeGreaterThan(0);
    const widened = build.cast(build.source('bytes', 0, 'bfloat16', [10, 10]), 'float32');
    expect(evaluate([{ expr: widened, rows: { start: 0, end: 10 } }], read, kernels).stats).toBeUndefined();
  });

  test('keeps large integers exact', () => {
    const big = build.constant('int64', [2], new Uint8Array(BigInt64Array.of(2n ** 53n + 1n, -7n).buffer));
    const whole = { start: 0, end: 2 };
    const cast = (dtype: DType): unknown => [...typedView(dtype, evaluate([{ expr: build.cast(big, dtype), rows: whole }], read, kernels).bytes[0]!)];
    expect(cast('uint64')).toEqual([2n ** 53n + 1n, 2n ** 64n - 7n]);
    expect(cast('int32')).toEqual([1, -7]);
    expect(cast('float64')).toEqual([2 ** 53, -7]);
  });

  test('repacks any blocks of any rows, also turned', () => {
    // Zeros everywhere but in the integer scales: finite whatever the rest.
    const bytes = fileBytes.slice(0, 7 * 2 * 144);
    for (let at = 0; at < bytes.length; at += 144) bytes.set([0x11, 0x20, 0x33, 0x1c], at);
    files.set('q4_k', bytes);
    const { planes: [plane], correction } = build.repack(build.decode(build.source('q4_k', 0, 'uint8', [7, 288]), 'Q4_K'));
    const { values, scales } = plane!;
    for (const output of [values, scales, correction!]) {
      const turned = output.shape.length === 2 ? build.transpose(output, [1, 0]) : output;
      for (const expr of [output, turned]) expect(same(byRows(expr, [3, 5], kernels), packed(expr))).toBe(true);
    }
  });

  test('moves rows and blocks below their decoding, and nothing else', () => {
    const blocks = build.decode(build.source('bytes', 0, 'uint8', [4, 3, 72]), 'NVFP4');
    const rows = build.constant('int32', [2], new Uint8Array(Int32Array.of(2, 0).buffer));
    const moved = [
      build.slice(blocks, [1, 0, 64], [2, 3, 64]), build.gather(blocks, rows, 1), build.concat([blocks, blocks], 1), build.reshape(blocks, [12, 128]), build.reshape(blocks, [6, 256]),
    ];
    for (const expr of moved) expect([expr.op, expr.shape]).toEqual(['decode', expr.shape]);
    expect(moved.map(({ shape }) => shape)).toEqual([[2, 3, 64], [4, 2, 128], [4, 6, 128], [12, 128], [6, 256]]);
    const kept = [build.slice(blocks, [0, 0, 1], [4, 3, 64]), build.gather(blocks, rows, 2), build.concat([blocks, blocks], 2), build.reshape(blocks, [48, 32])];
    expect(kept.map(({ op }) => op)).toEqual(['slice', 'gather', 'concat', 'reshape']);
    for (const expr of [...moved, ...kept]) expect(same(byRows(expr, [1], kernels), packed(expr))).toBe(true);
    expect(() => build.decode(build.source('bytes', 0, 'uint8', [35]), 'NVFP4')).toThrow(/whole blocks/);
  });

  test('refuses indices and rows outside', () => {
    const indices = build.constant('int32', [1], new Uint8Array(Int32Array.of(9).buffer));
    const outside = build.gather(build.source('floats', 0, 'float32', [4, 4]), indices);
    expect(() => evaluate([{ expr: outside, rows: { start: 0, end: 1 } }], read, kernels)).toThrow(/index 9/);
    const nibbles = build.source('bytes', 0, 'uint4', [3, 3]);
    expect(() => evaluate([{ expr: nibbles, rows: { start: 1, end: 3 } }], read, kernels)).toThrow(/fall on bytes/);
  });
});
