/** One small model with every place a quantized weight can stand in, and what its outputs must be once it is quantized. */
import {
  attribute, createRng, DenseTensor, denseOf, expr, Graph, GraphBuilder, lazy, LazyTensor, Model, type Tensor, tensorType, toDense, typedView, type Value,
} from '@penjing/core';

export type FloatType = 'float32' | 'float16';

export interface Scheme {
  readonly bits: 2 | 4 | 8;
  readonly blockSize: 16 | 32 | 64 | 128 | 256;
  readonly symmetric: boolean;
}

/** Every combination, in order. */
export const schemes: readonly Scheme[] = ([2, 4, 8] as const).flatMap((bits) =>
  ([16, 32, 64, 128, 256] as const).flatMap((blockSize) => [true, false].map((symmetric) => ({ bits, blockSize, symmetric }))),
);

/** Ragged for every block size, and smaller than the largest. */
const K = 200;
const N = 24;
const ROWS = 40;
const WIDTH = 256;

const DOMAIN = 'test.functions';

export interface TestModel {
  readonly model: Model;
  readonly feeds: Readonly<Record<string, DenseTensor>>;
  /** Outputs in float64, from weights that went through `round`. */
  readonly expected: (round: (matrix: Tensor) => Promise<Float64Array>) => Promise<Record<string, Float64Array>>;
}

/**
 * MatMul, Gemm with and without bias in both orientations, a lookup, a table that is looked up and multiplied by, an
 * outer weight inside both branches of an If, weights of the branches themselves, and one inside a function; `branches`
 * false leaves the If and the function out.
 */
export async function quantizableModel(dtype: FloatType, opset: number, condition: boolean, branches = true): Promise<TestModel> {
  const rng = createRng(11);
  const random = async (shape: readonly number[]): Promise<DenseTensor> => {
    const count = shape.reduce((a, b) => a * b, 1);
    const floats = DenseTensor.of('float32', shape, Float32Array.from({ length: count }, () => rng.normal()));
    return toDense(lazy.cast(floats, dtype));
  };
  const w = {
    plain: await random([K, N]), turned: await random([N, K]), table: await random([ROWS, WIDTH]),
    outer: await random([K, N]), then: await random([K, N]), function: await random([K, N]),
  };
  const bias = await random([N]);
  const x = await random([3, K]);
  const ids = [0, 39, 7, -1, 1, 0];

  const model = new Model();
  model.irVersion = opset >= 25 ? 13 : 10;
  model.opsetImports.set('', opset);
  model.opsetImports.set(DOMAIN, 1);
  const b = new GraphBuilder(model.graph);
  const xValue = b.input('x', tensorType(dtype, [3, K]));
  const idsValue = b.input('ids', tensorType('int64', [2, 3]));
  const conditionValue = b.input('condition', tensorType('bool', []));
  const weight = (builder: GraphBuilder, name: keyof typeof w): Value => builder.initializer(`w.${name}`, w[name]);
  const give = (value: Value, name: string, shape: readonly number[]): Value => b.output(value, name, tensorType(dtype, shape));

  give(b.op('MatMul', [xValue, weight(b, 'plain')]), 'matmul', [3, N]);
  const turned = weight(b, 'turned');
  give(b.op('Gemm', [xValue, turned, b.initializer('bias', bias)], { transB: 1 }), 'gemm', [3, N]);
  give(b.op('MatMul', [xValue, b.op('Transpose', [turned], { perm: [1, 0] })]), 'turned', [3, N]);
  const outer = weight(b, 'outer');
  give(b.op('Gemm', [xValue, outer]), 'gemm_plain', [3, N]);
  const table = weight(b, 'table');
  const found = give(b.op('Gather', [table, idsValue], { axis: 0 }), 'lookup', [2, 3, WIDTH]);
  give(b.op('MatMul', [found, b.op('Transpose', [table], { perm: [1, 0] })]), 'tied', [2, 3, ROWS]);

  if (branches) {
    const branch = (name: string, body: (inner: GraphBuilder) => Value): Graph => {
      const graph = new Graph(name);
      const inner = new GraphBuilder(graph);
      inner.output(body(inner), `${name}_y`, tensorType(dtype, [3, N]));
      return graph;
    };
    const sum = (inner: GraphBuilder, name: string, data: Value): Value =>
      inner.op('Add', [inner.op('MatMul', [xValue, data], {}, { name: `${name}.first` }), inner.op('MatMul', [xValue, weight(inner, 'then')], {}, { name: `${name}.second` })], {}, { name: `${name}.sum` });
    const chosen = b.op('If', [conditionValue], {
      then_branch: attribute.graph(branch('then', (inner) => sum(inner, 'then', outer))),
      else_branch: attribute.graph(branch('else', (inner) => inner.op('MatMul', [xValue, outer], {}, { name: 'else.product' }))),
    });
    give(chosen, 'branch', [3, N]);

    const body = new Graph('body');
    const f = new GraphBuilder(body);
    const argument = f.input('argument', tensorType(dtype, [3, K]));
    const flag = f.input('flag', tensorType('bool', []));
    const product = (name: string, weightName: keyof typeof w): Graph => branch(name, (inner) => inner.op('MatMul', [argument, weight(inner, weightName)], {}, { name: `${name}.product` }));
    f.output(f.op('If', [flag], { then_branch: attribute.graph(product('f_then', 'function')), else_branch: attribute.graph(product('f_else', 'plain')) }), 'result');
    model.functions.push({ domain: DOMAIN, name: 'Choose', overload: '', body, attributes: [], attributeDefaults: new Map(), opsetImports: new Map([['', opset]]), extra: undefined });
    give(b.op('Choose', [xValue, conditionValue], {}, { domain: DOMAIN }), 'function', [3, N]);
  }

  return {
    model,
    feeds: { x, ids: denseOf('int64', [2, 3], ids), condition: denseOf('bool', [], [Number(condition)]) },
    async expected(round) {
      const xs = await floats(x);
      const shift = await floats(bias);
      // (rows, cols): one row per output.
      const by = async (tensor: DenseTensor, turn: boolean): Promise<Float64Array> => multiply(xs, await round(turn ? lazy.transpose(tensor, [1, 0]) : tensor), K);
      const tableRows = await round(w.table);
      const lookup = Float64Array.from(ids.flatMap((id) => [...tableRows.subarray(((id + ROWS) % ROWS) * WIDTH, (((id + ROWS) % ROWS) + 1) * WIDTH)]));
      const outerProduct = await by(w.outer, true);
      const then = await by(w.then, true);
      const turnedProduct = await by(w.turned, false);
      return {
        matmul: await by(w.plain, true),
        gemm: turnedProduct.map((v, i) => v + shift[i % N]!),
        turned: turnedProduct,
        gemm_plain: outerProduct,
        lookup,
        tied: multiply(lookup, tableRows, WIDTH),
        ...(branches && {
          branch: condition ? outerProduct.map((v, i) => v + then[i]!) : outerProduct,
          function: await by(condition ? w.function : w.plain, true),
        }),
      };
    },
  };
}

/** A matrix (rows, cols) as a scheme stores it, taken back by the expression that undoes it. */
export async function dequantized(matrix: Tensor, scheme: Scheme, layout: 'nbits' | 'linear'): Promise<Float64Array> {
  const full = { ...scheme, layout };
  const source = lazy.cast(lazy.cast(matrix, 'float32'), matrix.dtype) as LazyTensor;
  const { values, scales, zeroPoints } = lazy.quantize(source, full, matrix.dtype);
  const { expr: valuesExpr, sources } = values as LazyTensor;
  const undone = expr.dequantize({
    values: valuesExpr,
    scales: (scales as LazyTensor).expr,
    zeroPoints: (zeroPoints as LazyTensor | undefined)?.expr,
    scheme: full,
    shape: matrix.shape,
  });
  return floats(new LazyTensor(undone, sources));
}

/** Any float tensor as numbers. */
export async function floats(tensor: Tensor): Promise<Float64Array> {
  const { bytes } = await toDense(lazy.cast(tensor, 'float32'));
  return Float64Array.from(typedView('float32', bytes) as Float32Array);
}

/** (m, k) by the rows of (n, k). */
function multiply(a: Float64Array, rows: Float64Array, k: number): Float64Array {
  const [m, n] = [a.length / k, rows.length / k];
  return Float64Array.from({ length: m * n }, (_, at) => {
    let total = 0;
    for (let i = 0; i < k; i++) total += a[Math.floor(at / n) * k + i]! * rows[(at % n) * k + i]!;
    return total;
  });
}

/** Largest difference, as a share of the largest expected value; NaN counts as infinite. */
export function relativeError(actual: Float64Array, expected: Float64Array): number {
  if (actual.length !== expected.length) return Infinity;
  const scale = expected.reduce((top, v) => Math.max(top, Math.abs(v)), Number.MIN_VALUE);
  return actual.reduce((top, v, i) => (Math.abs(v - expected[i]!) <= top * scale ? top : Number.isNaN(v) ? Infinity : Math.abs(v - expected[i]!) / scale), 0);
}
