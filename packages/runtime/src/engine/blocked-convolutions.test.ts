/** Convolutions by fed weights give the same in the blocked layout. */
import { check, createRng, DenseTensor, type Feeds, GraphBuilder, Model, type Shape, tensorType, type Value } from '@penjing/core';
import { describe, expect, test } from 'vitest';
import { blockedLayoutJob } from '../jobs/blocked-layout-job.js';
import { ortJobs } from '../jobs/ort-jobs.js';
import { blockedConvolutions, hasFedConvolutions } from './blocked-convolutions.js';
import { ortEngine } from './ort-engine.js';

/** Convolutions in a row, of an image of 3 channels: (outputs, kernel, attributes). */
const LAYERS = [
  [32, [3, 3], { pads: [1, 1, 1, 1] }], [16, [1, 1], {}], [64, [3, 2], { strides: [2, 1], pads: [2, 0, 1, 1] }], [32, [3, 3], { dilations: [2, 2], pads: [2, 2, 2, 2] }], [16, [3, 3], { auto_pad: 'SAME_UPPER', strides: [2, 2] }],
] as const;
const WIDTHS = [3, ...LAYERS.map(([outputs]) => outputs)];

function network(): { model: Model; feeds: Feeds } {
  const rng = createRng(3);
  const model = new Model();
  model.opsetImports.set('', 21);
  const b = new GraphBuilder(model.graph);
  const feeds: Record<string, DenseTensor> = {};
  const fed = (name: string, shape: Shape): Value => {
    feeds[name] = DenseTensor.of('float32', shape, Float32Array.from({ length: shape.reduce((x, y) => x * y, 1) }, () => rng.normal()));
    return b.input(name, tensorType('float32', shape));
  };
  let x = fed('x', [2, 3, 13, 11]);
  LAYERS.forEach(([outputs, kernel, attributes], i) => {
    const bias = i % 2 === 0 ? fed(`bias${i}`, [outputs]) : null;
    x = b.op('Conv', [x, fed(`weight${i}`, [outputs, WIDTHS[i]!, ...kernel]), bias], attributes);
    if (i > 0) x = b.op('Relu', [x]);
    if (i === 1) b.output(x, 'middle');
  });
  b.output(x, 'y');
  return { model, feeds };
}

describe('convolutions by fed weights', () => {
  test('give the same in blocks', async () => {
    await using jobs = ortJobs({ threads: 1 });
    const block = await jobs.run(blockedLayoutJob, undefined);
    expect([1, 8, 16]).toContain(block);
    const { model, feeds } = network();
    const blocked = blockedConvolutions(model, block);
    check(blocked);
    const types = [...blocked.graph.nodes()].filter(({ domain }) => domain !== '').map(({ opType }) => opType);
    if (block > 1) expect(types.filter((type) => type === 'Conv')).toHaveLength(LAYERS.length);
    // The second convolution reads what the first one gives in its layout.
    if (block > 1) expect(types.filter((type) => type === 'ReorderInput')).toHaveLength(LAYERS.length - 2);
    const engine = ortEngine({ threads: 1 });
    await using plain = await engine.load(model);
    await using fast = await engine.load(blocked);
    const [wanted, found] = [await plain.run(feeds), await fast.run(feeds)];
    for (const name of ['middle', 'y']) {
      const [a, b] = [wanted[name] as DenseTensor, found[name] as DenseTensor];
      expect(b.shape).toEqual(a.shape);
      const largest = Math.max(...(a.data as Float32Array).map(Math.abs));
      expect(largest).toBeGreaterThan(0);
      expect(Math.max(...(a.data as Float32Array).map((value, i) => Math.abs(value - (b.data[i] as number))))).toBeLessThan(1e-5 * largest);
    }
  });

  test('leaves models without them alone', () => {
    const { model } = network();
    expect(blockedConvolutions(model, 1)).toBe(model);
    for (const input of model.graph.inputs.filter(({ name }) => name !== 'x')) {
      const { shape } = input.type as { shape: readonly number[] };
      input.tensor = DenseTensor.of('float32', shape, new Float32Array(shape.reduce((x, y) => x * y, 1)));
      model.graph.initializers.set(input.name, input);
    }
    model.graph.inputs.splice(1);
    expect(hasFedConvolutions(model)).toBe(false);
    expect(blockedConvolutions(model, 16)).toBe(model);
  });
});
