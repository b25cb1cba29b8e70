/** Asks ONNX Runtime how many channels its blocked layout keeps together on this processor. */
import { DenseTensor, GraphBuilder, type Job, jobModule, Model, tensorType } from '@penjing/core';
import { BLOCKED } from '../engine/blocked-convolutions.js';

/** More than any processor has, and a multiple of what they have. */
const CHANNELS = 64;

/** 8 or 16; 1 where there is no such layout. */
export const blockedLayoutJob: Job<undefined, number> = {
  module: jobModule(import.meta.url, './blocked-layout-job'),
  name: 'blockedLayoutJob',
  async run(_, { engine }) {
    const model = new Model();
    model.opsetImports.set('', 18);
    model.opsetImports.set(BLOCKED.domain, 1);
    const b = new GraphBuilder(model.graph);
    b.output(b.op('ReorderInput', [b.input('x', tensorType('float32', [1, CHANNELS, 1, 2]))], {}, BLOCKED), 'y', tensorType('float32', [1, CHANNELS, 1, 2]));
    try {
      await using executor = await engine.load(model, { threads: 1 });
      const { y } = await executor.run({ x: DenseTensor.of('float32', [1, CHANNELS, 1, 2], Float32Array.from({ length: 2 * CHANNELS }, (_, i) => i)) });
      // The second pixel of the first channel comes after the first pixel of all channels of its block.
      return Math.max(1, ((y as DenseTensor).data as Float32Array).indexOf(1));
    } catch {
      return 1;
    }
  },
};
