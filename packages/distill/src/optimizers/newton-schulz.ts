/** Orthogonal factors of matrices by products alone, for Muon: an engine multiplies, a stack of matrices at a time. */
import { DenseTensor, type Engine, type Executor, GraphBuilder, Model, tensorType, type Value } from '@penjing/core';

/** Matrices of one shape, (count, rows, cols) row-major, each of Frobenius norm 1 at most. */
export interface MatrixStack {
  readonly data: Float32Array;
  readonly count: number;
  readonly rows: number;
  readonly cols: number;
}

export interface Orthogonalizer extends AsyncDisposable {
  /** U S′ Vᵀ for each U S Vᵀ of the stack, in a fresh array of its shape: S′ is near 1 wherever S is not near 0, and what is 0 stays 0. */
  orthogonalize(stack: MatrixStack): Promise<Float32Array>;
}

/** x ← a x + b x³ + c x⁵ on singular values, which takes small ones up fastest: Jordan et al. 2024, kellerjordan.github.io/posts/muon. */
const [A, B, C] = [3.4445, -4.775, 2.0315];
const ITERATIONS = 5;

/**
 * Five iterations of Newton and Schulz in the quintic form of Muon: X ← p X with p = a I + b G + c G², G = X Xᵀ, on the shorter side of X. Loads one small graph for each shape, when it is first needed.
 */
export function newtonSchulz(engine: Engine): Orthogonalizer {
  const executors = new Map<string, Promise<Executor>>();
  return {
    async orthogonalize({ data, count, rows, cols }) {
      const key = `${rows} ${cols}`;
      let executor = executors.get(key);
      if (!executor) executors.set(key, (executor = engine.load(iterationModel(rows, cols))));
      const { u } = await (await executor).run({ x: DenseTensor.of('float32', [count, rows, cols], data) });
      return (u as DenseTensor).data as Float32Array;
    },
    async [Symbol.asyncDispose]() {
      for (const executor of executors.values()) await (await executor)[Symbol.asyncDispose]();
    },
  };
}

/**
 * With G scaled by √c once, p = G (G + b/√c I) + a I is one product and two sums, and stays so in every iteration. All matrices of an iteration are polynomials of the first G: they commute and are symmetric.
 * So a long X need not take part: G ← p G p follows X, the p are multiplied up, and X meets their product at the end. That is 17 products of m³ and two of m² n, against five times (2 m² n + m³).
 */
function iterationModel(rows: number, cols: number): Model {
  const model = new Model();
  model.irVersion = 8;
  model.opsetImports.set('', 17);
  const b = new GraphBuilder(model.graph);
  const product = (x: Value, y: Value): Value => b.op('MatMul', [x, y]);
  const times = (x: Value, factor: number): Value => b.op('Mul', [x, b.constant('float32', factor)]);
  const turned = (x: Value): Value => b.op('Transpose', [x], { perm: [0, 2, 1] });
  const wide = rows <= cols;
  const [short, long] = wide ? [rows, cols] : [cols, rows];
  const gram = (x: Value): Value => (wide ? product(x, turned(x)) : product(turned(x), x));
  const apply = (p: Value, x: Value): Value => (wide ? product(p, x) : product(x, p));

  const places = Array.from({ length: short }, (_, i) => i);
  const onDiagonal = b.op('Equal', [b.op('Unsqueeze', [b.constant('int64', places), b.constant('int64', [0])]), b.op('Unsqueeze', [b.constant('int64', places), b.constant('int64', [1])])]);
  const diagonal = (value: number): Value => b.op('Where', [onDiagonal, b.constant('float32', value), b.constant('float32', 0)]);
  const [inner, outer] = [diagonal(B / Math.sqrt(C)), diagonal(A)];
  const polynomial = (g: Value): Value => b.op('Add', [product(g, b.op('Add', [g, inner])), outer]);

  const x = b.input('x', tensorType('float32', ['count', rows, cols]));
  b.output(2 * long > 3 * short ? throughGrams(x) : directly(x), 'u', tensorType('float32', ['count', rows, cols]));
  return model;

  function throughGrams(x: Value): Value {
    let g = times(gram(x), Math.sqrt(C));
    let all = polynomial(g);
    let p = all;
    for (let i = 1; i < ITERATIONS; i++) {
      g = product(p, product(p, g));
      p = polynomial(g);
      all = product(p, all);
    }
    return apply(all, x);
  }

  function directly(x: Value): Value {
    let scaled = times(x, C ** 0.25);
    for (let i = 0; i < ITERATIONS; i++) scaled = apply(polynomial(gram(scaled)), scaled);
    return times(scaled, C ** -0.25);
  }
}
