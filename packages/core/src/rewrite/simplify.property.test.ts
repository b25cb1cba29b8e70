import fc from 'fast-check';
import { test } from 'vitest';
import type { GraphBuilder } from '../builder.js';
import type { ValueType } from '../graph/value-type.js';
import type { Value } from '../graph/value.js';
import { floats, randomTensor, rewriteBoth } from './testing.js';

interface Known {
  readonly value: Value;
  /** Sizes while tested; those of axis 0 may be free in the graph. */
  readonly shape: readonly number[];
}

/** Applies an operator to a value chosen before; `pick` gives numbers below a bound. Gives undefined where it does not fit. */
type Step = (b: GraphBuilder, x: Known, pick: (bound: number) => number, other: Known) => Known | undefined;

const ints = (b: GraphBuilder, ...values: number[]): Value => b.constant('int64', values);
const unary = (opType: string): Step => (b, x) => ({ ...x, value: b.op(opType, [x.value]) });
const same = (a: Known, b: Known): boolean => a.shape.join() === b.shape.join();
const binary = (opType: string): Step => (b, x, _, y) => (same(x, y) ? { ...x, value: b.op(opType, [x.value, y.value]) } : undefined);
const byConstant = (opType: string): Step => (b, x, pick) => {
  const numbers = [0, 1, -1, 0.5, 2][pick(5)]!;
  const channels = x.shape.at(-1)!;
  const constant = pick(2) ? b.constant('float32', numbers || 1) : b.constant('float32', Array.from({ length: channels }, (_, i) => (opType === 'Div' ? 1 : numbers) + i * pick(2)));
  return { ...x, value: pick(2) && opType !== 'Div' ? b.op(opType, [constant, x.value]) : b.op(opType, [x.value, constant]) };
};

const steps: Readonly<Record<string, Step>> = {
  relu: unary('Relu'), tanh: unary('Tanh'), identity: unary('Identity'), abs: unary('Abs'), sigmoid: unary('Sigmoid'),
  add: binary('Add'), sub: binary('Sub'), mul: binary('Mul'), max: binary('Max'),
  'add constant': byConstant('Add'), 'mul constant': byConstant('Mul'), 'div constant': byConstant('Div'), 'sub constant': byConstant('Sub'),
  transpose(b, x, pick) {
    const perm = x.shape.map((_, i) => i);
    for (let i = perm.length - 1; i > 0; i--) { const k = pick(i + 1); [perm[i], perm[k]] = [perm[k]!, perm[i]!]; }
    return { value: b.op('Transpose', [x.value], { perm }), shape: perm.map((axis) => x.shape[axis]!) };
  },
  flatten: (b, x) => ({ value: b.op('Reshape', [x.value, ints(b, -1)]), shape: [x.shape.reduce((p, q) => p * q, 1)] }),
  reshape(b, x, pick) {
    const count = x.shape.reduce((p, q) => p * q, 1);
    const rows = [1, 2, 3, 4, 6].filter((n) => count % n === 0);
    const row = rows[pick(rows.length)]!;
    return { value: b.op('Reshape', [x.value, pick(2) ? ints(b, -1, row) : ints(b, count / row, row)]), shape: [count / row, row] };
  },
  'reshape to its own size'(b, x, pick) {
    const sizes = x.shape.map((_, i) => b.op('Gather', [b.op('Shape', [x.value]), ints(b, i)]));
    const at = pick(sizes.length);
    return { ...x, value: b.op('Reshape', [x.value, b.op('Concat', sizes.map((size, i) => (i === at ? ints(b, -1) : size)), { axis: 0 })]) };
  },
  unsqueeze(b, x, pick) {
    const axis = pick(x.shape.length + 1);
    return x.shape.length > 4 ? undefined : { value: b.op('Unsqueeze', [x.value, ints(b, axis)]), shape: [...x.shape.slice(0, axis), 1, ...x.shape.slice(axis)] };
  },
  squeeze(b, x) {
    const axis = x.shape.indexOf(1, 1);
    return axis < 1 ? undefined : { value: b.op('Squeeze', [x.value, ints(b, axis)]), shape: x.shape.filter((_, i) => i !== axis) };
  },
  slice(b, x, pick) {
    const axis = pick(x.shape.length);
    const size = x.shape[axis]!;
    const [start, end] = [pick(size), pick(2) ? 99 : size];
    const shape = x.shape.map((dim, i) => (i === axis ? size - start : dim));
    return { value: b.op('Slice', [x.value, ints(b, start), ints(b, end), ints(b, axis)]), shape };
  },
  concat(b, x, pick, y) {
    const axis = pick(x.shape.length);
    if (!same(x, y) || x.shape[axis]! > 6) return undefined;
    return { value: b.op('Concat', [x.value, y.value], { axis }), shape: x.shape.map((dim, i) => (i === axis ? 2 * dim : dim)) };
  },
  cast: (b, x) => ({ ...x, value: b.op('Cast', [b.op('Cast', [x.value], { to: 11 })], { to: 1 }) }),
  clip: (b, x, pick) => ({ ...x, value: b.op('Clip', [x.value, b.constant('float32', -pick(3) / 2), b.constant('float32', pick(3) / 2)]) }),
  pad(b, x, pick) {
    const axis = pick(x.shape.length);
    const pads = Array.from({ length: 2 * x.shape.length }, (_, i) => (i % x.shape.length === axis ? 1 : 0));
    return x.shape[axis]! > 6 ? undefined : { value: b.op('Pad', [x.value, ints(b, ...pads)]), shape: x.shape.map((dim, i) => (i === axis ? dim + 2 : dim)) };
  },
  mean(b, x, pick) {
    const axis = pick(x.shape.length);
    return { value: b.op('ReduceMean', [x.value], { axes: [axis] }), shape: x.shape.map((dim, i) => (i === axis ? 1 : dim)) };
  },
  softmax: (b, x, pick) => ({ ...x, value: b.op('Softmax', [x.value], { axis: pick(x.shape.length) }) }),
  matmul(b, x, pick) {
    const [rows, columns] = [x.shape.at(-1)!, 1 + pick(4)];
    if (x.shape.length < 2) return undefined;
    return { value: b.op('MatMul', [x.value, b.initializer('weight', randomTensor([rows, columns], rows + columns, 0.5))]), shape: [...x.shape.slice(0, -1), columns] };
  },
  gather(b, x, pick) {
    const axis = pick(x.shape.length);
    return x.shape.length < 2 ? undefined : { value: b.op('Gather', [x.value, b.constant('int64', pick(x.shape[axis]!))], { axis }), shape: x.shape.filter((_, i) => i !== axis) };
  },
  attend(b, x) {
    if (x.shape.length !== 3) return undefined;
    const scores = b.op('Mul', [b.op('MatMul', [x.value, b.op('Transpose', [x.value], { perm: [0, 2, 1] })]), b.constant('float32', 0.5)]);
    return { ...x, value: b.op('MatMul', [b.op('Softmax', [scores], { axis: -1 }), x.value]) };
  },
  heads(b, x) {
    if (x.shape.length !== 3 || x.shape[2]! % 2 === 1) return undefined;
    const size = x.shape[2]! / 2;
    const split = (of: Value): Value => b.op('Transpose', [b.op('Reshape', [of, ints(b, 0, 0, 2, size)])], { perm: [0, 2, 1, 3] });
    const scores = b.op('MatMul', [split(x.value), b.op('Transpose', [split(b.op('Tanh', [x.value]))], { perm: [0, 1, 3, 2] })]);
    const mixed = b.op('MatMul', [b.op('Softmax', [scores], { axis: -1 }), split(b.op('Abs', [x.value]))]);
    return { ...x, value: b.op('Reshape', [b.op('Transpose', [mixed], { perm: [0, 2, 1, 3] }), ints(b, 0, 0, 2 * size)]) };
  },
};

const names = Object.keys(steps);
const plan = fc.record({
  shape: fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 4 }),
  free: fc.boolean(),
  opset: fc.constantFrom(13, 17),
  fusions: fc.constantFrom('none', 'standard', 'onnxruntime'),
  allowGrowth: fc.boolean(),
  steps: fc.array(fc.record({ name: fc.constantFrom(...names), seed: fc.integer({ min: 1, max: 1 << 30 }) }), { minLength: 1, maxLength: 9 }),
  outputs: fc.integer({ min: 1, max: 3 }),
});

test('random graphs give what they gave, in a main graph and in the branches of an If', async () => {
  await fc.assert(
    fc.asyncProperty(plan, async ({ shape, free, opset, fusions, allowGrowth, steps: list, outputs }) => {
      const type: ValueType = floats(...shape.map((dim, i) => (free && i === 0 ? 'n' : dim)));
      await rewriteBoth({
        opset, options: { fusions, allowGrowth }, feeds: { x: randomTensor(shape, 5) },
        build(b, input) {
          const known: Known[] = [{ value: input('x', type), shape }];
          for (const { name, seed } of list) {
            let state = seed;
            const pick = (bound: number): number => { state = (state * 48271) % 2147483647; return state % bound; };
            const made = steps[name]!(b, known[Math.max(0, known.length - 1 - pick(2))]!, pick, known[pick(known.length)]!);
            if (made) known.push(made);
          }
          const last = known.slice(-outputs).map(({ value }) => value).filter((value) => value.producer);
          return last.length > 0 ? last : b.op('Neg', [known[0]!.value]);
        },
      });
    }),
    { numRuns: 120 },
  );
}, 600_000);
