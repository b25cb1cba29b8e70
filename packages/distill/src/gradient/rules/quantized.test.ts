/** Straight-through gradients against their definitions: nothing that central differences could tell. */
import { assertSound, type DenseTensor, denseOf, GraphBuilder, Model, tensorType } from '@penjing/core';
import { referenceEngine } from '@penjing/core/reference';
import { expect, test } from 'vitest';
import { trainableInputs } from '../../trainable-inputs.js';
import { differentiate } from '../differentiate.js';

const x = [-30, -1.26, -0.1, 0, 0.24, 1.3, 12.7, 40];
const weights = [1, -2, 3, 0.5, -1, 2, 4, -3];

test.each([['uint8', 128, [0, 255], [0.25]], ['int8', 0, [-128, 127], [0.1]], ['int8', 3, [-128, 127], [0.1, 0.25, 0.5, 0.05]]] as const)('%s, zero point %i', async (dtype, zero, [lowest, highest], scales) => {
  const model = new Model();
  model.opsetImports.set('', 21);
  const b = new GraphBuilder(model.graph);
  const scale = b.initializer('scale', denseOf('float32', [scales.length], scales));
  const parameters = [scale, b.initializer('zero', denseOf(dtype, [scales.length], scales.map(() => zero)))];
  const codes = b.op('QuantizeLinear', [b.input('x', tensorType('float32', [2, 4])), ...parameters]);
  const y = b.op('DequantizeLinear', [codes, ...parameters], {}, { outputs: ['y'] });
  b.output(b.op('ReduceSum', [b.op('Mul', [y, b.initializer('w', denseOf('float32', [2, 4], weights))])], { keepdims: 0 }), 'loss');
  const trained = await trainableInputs(model, { select: (name) => name === 'scale' });
  differentiate(model, { loss: 'loss', of: ['x', 'scale'] });
  assertSound(model);
  await using executor = await referenceEngine().load(model);
  const outputs = await executor.run({ x: denseOf('float32', [2, 4], x), ...Object.fromEntries(trained) });
  const numbers = (name: string): number[] => Array.from((outputs[name] as DenseTensor).data, Number);

  const step = (i: number): number => Math.fround(scales.length === 1 ? scales[0] : scales[i % 4]!);
  const within = x.map((value, i) => value / step(i) >= lowest - zero && value / step(i) <= highest - zero);
  expect(within.filter((inside) => !inside).length).toBeGreaterThan(0);
  expect(numbers('gradient/x')).toEqual(weights.map((weight, i) => (within[i] ? expect.closeTo(weight, 5) as number : 0)));
  // LSQ: round(v) − v within, the end of the grid beyond.
  const lsq = scales.map(() => 0);
  x.forEach((value, i) => {
    const v = value / step(i);
    const q = Math.max(lowest - zero, Math.min(highest - zero, Math.round(v)));
    lsq[scales.length === 1 ? 0 : i % 4]! += weights[i]! * (within[i] ? q - v : q);
  });
  numbers('gradient/scale').forEach((sum, i) => expect(sum).toBeCloseTo(lsq[i]!, 2));
});
