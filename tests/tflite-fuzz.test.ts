/** Random small networks to TFLite and back: what our own reader makes of the file computes what the network computes. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type DenseTensor, lazy, memorySource, toDense, type Value } from '@penjing/core';
import { runReference } from '@penjing/core/reference';
import { readTflite } from '@penjing/graph-io';
import { NetworkBuilder, type TfliteCase } from './support/tflite-models.js';
import { convert, worst } from './support/tflite-peer.js';

/** A value under construction: (N, C, H, W). */
interface Image {
  readonly value: Value;
  readonly shape: readonly [number, number, number, number];
}

type Layer = (n: NetworkBuilder, x: Image, choice: number) => Image;

const windowed = (size: number, kernel: number, stride: number, before: number, after: number): number => Math.floor((size + before + after - kernel) / stride) + 1;

function pool(type: 'MaxPool' | 'AveragePool'): Layer {
  return (n, { value, shape: [b, c, h, w] }, choice) => {
    const [kernel, stride, pad] = [2 + (choice % 2), 1 + (choice % 3 === 0 ? 1 : 0), choice % 4 === 1 ? 1 : 0];
    if (Math.min(h, w) + 2 * pad < kernel) return { value, shape: [b, c, h, w] };
    const attributes = { kernel_shape: [kernel, kernel], strides: [stride, stride], pads: [pad, pad, pad, pad], ...(type === 'AveragePool' && { count_include_pad: choice % 2 }) };
    return { value: n.b.op(type, [value], attributes), shape: [b, c, windowed(h, kernel, stride, pad, pad), windowed(w, kernel, stride, pad, pad)] };
  };
}

const same = (op: string, attributes: Readonly<Record<string, number>> = {}): Layer => (n, { value, shape }) => ({ value: n.b.op(op, [value], attributes), shape });

const turned: readonly (readonly [number, number, number, number])[] = [[0, 2, 3, 1], [0, 3, 1, 2], [0, 1, 3, 2], [0, 3, 2, 1], [2, 1, 0, 3]];

/** Every kind of layer; `choice` decides its attributes. */
const layers: readonly Layer[] = [
  (n, { value, shape: [b, c, h, w] }, choice) => {
    const [kernel, stride, out] = [1 + (choice % 3), 1 + (choice % 5 === 0 ? 1 : 0), 1 + (choice % 4)];
    const [before, after] = [choice % 2, Math.floor(choice / 2) % 2];
    if (Math.min(h, w) + before + after < kernel) return { value, shape: [b, c, h, w] };
    const weight = n.weight([out, c, kernel, kernel], 0.5);
    const y = n.b.op('Conv', [value, weight, choice % 3 === 0 ? null : n.weight([out])], { kernel_shape: [kernel, kernel], strides: [stride, stride], pads: [before, after, after, before] });
    return { value: y, shape: [b, out, windowed(h, kernel, stride, before, after), windowed(w, kernel, stride, after, before)] };
  },
  (n, { value, shape: [b, c, h, w] }, choice) => {
    const kernel = 1 + 2 * (choice % 2);
    const y = n.b.op('Conv', [value, n.weight([c * 2, 1, kernel, kernel], 0.5)], { kernel_shape: [kernel, kernel], group: c, pads: Array<number>(4).fill((kernel - 1) / 2) });
    return { value: y, shape: [b, 2 * c, h, w] };
  },
  pool('MaxPool'), pool('AveragePool'), same('Relu'), same('Sigmoid'), same('HardSwish'),
  (n, { value, shape }, choice) => ({ value: n.b.op('Softmax', [value], { axis: choice % 4 }), shape }),
  (n, { value, shape }, choice) => {
    const operand = n.weight(choice % 3 === 0 ? [shape[1], 1, 1] : choice % 3 === 1 ? [shape[3]] : [...shape]);
    return { value: n.b.op(choice % 2 === 0 ? 'Add' : 'Mul', choice % 5 === 0 ? [operand, value] : [value, operand]), shape };
  },
  (n, { value, shape }, choice) => ({ value: n.b.op('Add', [value, n.b.op('Tanh', [choice % 2 === 0 ? value : n.b.op('Relu', [value])])]), shape }),
  (n, { value, shape }, choice) => {
    const perm = turned[choice % turned.length]!;
    return { value: n.b.op('Transpose', [value], { perm: [...perm] }), shape: perm.map((axis) => shape[axis]!) as unknown as Image['shape'] };
  },
  (n, { value, shape: [b, c, h, w] }, choice) => {
    const shape: Image['shape'] = choice % 3 === 0 ? [b, c * h, 1, w] : choice % 3 === 1 ? [b, h, w, c] : [b, 1, c, h * w];
    return { value: n.b.op('Reshape', [value, n.b.constant('int64', [...shape])]), shape };
  },
  (n, { value, shape: [b, c, h, w] }, choice) => ({ value: n.b.op('Concat', [value, choice % 2 === 0 ? value : n.b.op('Relu', [value])], { axis: 1 + (choice % 3) }), shape: [b, c * (choice % 3 === 0 ? 2 : 1), h * (choice % 3 === 1 ? 2 : 1), w * (choice % 3 === 2 ? 2 : 1)] }),
  (n, { value, shape: [b, c, h, w] }, choice) => {
    const axis = 1 + (choice % 3);
    const size = [b, c, h, w][axis]!;
    const keep = Math.max(1, size - 1);
    const y = n.b.op('Slice', [value, n.b.constant('int64', [size - keep]), n.b.constant('int64', [size]), n.b.constant('int64', [axis])]);
    return { value: y, shape: [b, c, h, w].map((dim, i) => (i === axis ? keep : dim)) as unknown as Image['shape'] };
  },
  (n, { value, shape: [b, c, h, w] }) => ({ value: n.b.op('ReduceMean', [value], { axes: [2, 3], keepdims: 1 }), shape: [b, c, h === 0 ? 0 : 1, w === 0 ? 0 : 1] }),
  (n, { value, shape: [b, c, h, w] }) => {
    // A product with a weight over the last axis.
    const out = 1 + (w % 3);
    return { value: n.b.op('MatMul', [value, n.weight([w, out])]), shape: [b, c, h, out] };
  },
  (n, { value, shape: [b, c, h, w] }, choice) => ({
    value: n.b.op('Pad', [value, n.b.constant('int64', [0, choice % 2, 0, 1, 0, 0, 1, 0])], { mode: choice % 3 === 0 ? 'edge' : 'constant' }), shape: [b, c + (choice % 2), h + 1, w + 1],
  }),
];

interface Plan {
  readonly seed: number;
  readonly shape: Image['shape'];
  readonly steps: readonly (readonly [layer: number, choice: number])[];
  readonly flatten: boolean;
}

const plans: fc.Arbitrary<Plan> = fc.record({
  seed: fc.integer({ min: 1, max: 1 << 20 }),
  shape: fc.tuple(fc.integer({ min: 1, max: 2 }), fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 6 }), fc.integer({ min: 1, max: 6 })),
  steps: fc.array(fc.tuple(fc.integer({ min: 0, max: layers.length - 1 }), fc.nat(30)), { minLength: 1, maxLength: 7 }),
  flatten: fc.boolean(),
});

/** Networks beyond this many elements would only take time. */
const MAX_ELEMENTS = 20_000;

function network({ seed, shape, steps, flatten }: Plan): TfliteCase {
  const n = new NetworkBuilder(seed);
  let x: Image = { value: n.input('x', shape), shape };
  for (const [layer, choice] of steps) {
    const next = layers[layer]!(n, x, choice);
    if (next.shape.reduce((a, b) => a * b, 1) > MAX_ELEMENTS) break;
    x = next;
  }
  if (flatten) {
    const [rows, ...rest] = x.shape;
    const features = rest.reduce((a, b) => a * b, 1);
    if (features <= 2048) x = { value: n.gemm(n.b.op('Flatten', [x.value]), features, 3), shape: [rows, 3, 1, 1] };
  }
  return n.done('random', n.b.op('Neg', [x.value]));
}

const runs = process.env['PENJING_FULL'] === '1' ? 2000 : 80;

test('a network through a TFLite file and our own reader is the same network', async () => {
  await fc.assert(fc.asyncProperty(plans, fc.constantFrom('channels-first' as const, 'channels-last' as const), async (plan, images) => {
    const { model, feeds } = network(plan);
    const read = await readTflite(memorySource(await convert(model, { images })));
    const [expected] = (await runReference(model, feeds)) as DenseTensor[];
    const last = images === 'channels-last';
    const [actual] = (await runReference(read, last ? { x: await moved(feeds['x']!, [0, 2, 3, 1]) } : feeds)) as DenseTensor[];
    const wanted = last && expected!.shape.length === 4 ? await moved(expected!, [0, 2, 3, 1]) : expected!;
    expect(worst(actual!, wanted)).toBeLessThanOrEqual(1e-4 * Math.max(1, ...Array.from(wanted.data as Float32Array, Math.abs)));
  }), { numRuns: runs, seed: 20261128 });
}, 60_000);

const moved = (tensor: DenseTensor, perm: readonly number[]): Promise<DenseTensor> => toDense(lazy.transpose(tensor, perm));
