import { denseOf, type Feeds, type Model } from '@penjing/core';
import { extractModel } from '@penjing/core/calibrate';
import { referenceEngine } from '@penjing/core/reference';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Part } from '../plan/plan.js';
import { cutBlocks } from './cut-blocks.js';
import { bytesOfWeights, cutStages, findCuts } from './cut-stages.js';
import { residualModel } from '../testing/residual-model.js';

const feeds: Feeds = { x: denseOf('float32', [2, 4], [1, -2, 3, 0.5, 0, 1, -1, 2]), scale: denseOf('float32', [2, 1], [-0.5, 2]) };

async function runChain(model: Model, parts: readonly Part[]): Promise<Feeds> {
  const known: Record<string, Feeds[string]> = { ...feeds };
  for (const part of parts) {
    await using executor = await referenceEngine().load(extractModel(model, part.inputs, part.outputs));
    Object.assign(known, await executor.run(Object.fromEntries(part.inputs.map((name) => [name, known[name]!]))));
  }
  return known;
}

test('stages one after the other give what the model gives, bit for bit', async () => {
  const model = residualModel({ hidden: [3, 8, 5, 2, 7] });
  await using whole = await referenceEngine().load(model);
  const { y } = await whole.run(feeds);
  for (let stages = 1; stages <= cutBlocks(model).length; stages++) {
    const parts = cutStages(model, { stages });
    expect(parts).toHaveLength(stages);
    expect((await runChain(model, parts)).y).toEqual(y);
  }
});

test('weights never cross a border, and each belongs to the stage that reads it', () => {
  const model = residualModel({ hidden: [3, 8, 5] });
  const parts = cutStages(model, { stages: 3 });
  const weights = parts.map(({ inputs, outputs }) => [...extractModel(model, inputs, outputs).graph.initializers.keys()]);
  expect(weights.flat().sort()).toEqual([...model.graph.initializers.keys()].sort());
  expect(parts.map(({ inputs }) => inputs.length)).toEqual([2, 2, 2]);
  expect(bytesOfWeights(cutBlocks(model).flatMap((block) => block.weights))).toBe([...model.graph.initializers.values()].reduce((sum, { tensor }) => sum + tensor!.byteLength, 0));
});

test('no cut is better than the one found', () => {
  const hidden = fc.array(fc.integer({ min: 1, max: 12 }), { minLength: 2, maxLength: 6 });
  fc.assert(
    fc.property(hidden, fc.integer({ min: 1, max: 3 }), fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 3, maxLength: 3 }), (widths, wanted, speeds) => {
      const blocks = cutBlocks(residualModel({ hidden: widths }));
      const stages = Math.min(wanted, blocks.length);
      const costOf = (block: (typeof blocks)[number], stage: number): number => bytesOfWeights(block.weights) / speeds[stage]!;
      const worst = (borders: readonly number[]): number =>
        Math.max(...borders.slice(1).map((to, stage) => blocks.slice(borders[stage], to).reduce((sum, block) => sum + costOf(block, stage), 0)));
      const found = findCuts(blocks, { stages, costOf });
      expect(found.map(({ from }) => from)).toEqual([0, ...found.slice(0, -1).map(({ to }) => to)]);
      const all = allBorders(blocks.length, stages).map(worst);
      expect(worst([0, ...found.map(({ to }) => to)])).toBeCloseTo(Math.min(...all), 9);
    }),
    { numRuns: 60 },
  );
});

test('a stage takes no more weights than it has room for', () => {
  const blocks = cutBlocks(residualModel({ hidden: [8, 8, 1, 1] }));
  const bytes = blocks.map((block) => bytesOfWeights(block.weights));
  const total = bytes.reduce((a, b) => a + b, 0);
  const cuts = findCuts(blocks, { stages: 2, memoryBytes: [bytes[0]!, total] });
  expect(cuts[0]).toEqual({ from: 0, to: 1 });
  expect(() => findCuts(blocks, { stages: 2, memoryBytes: [bytes[0]! - 1, total] })).toThrow(expect.objectContaining({ code: 'E_MEMORY' }));
  expect(() => findCuts(blocks, { stages: 99 })).toThrow(expect.objectContaining({ code: 'E_PLAN' }));
  expect(() => findCuts(blocks, { stages: 0 })).toThrow(expect.objectContaining({ code: 'E_OPTION' }));
});

function allBorders(count: number, stages: number): number[][] {
  const extend = (prefix: number[]): number[][] => {
    if (prefix.length === stages) return [[...prefix, count]];
    const last = prefix[prefix.length - 1]!;
    return Array.from({ length: count - last }, (_, i) => last + 1 + i).filter((at) => at < count).flatMap((at) => extend([...prefix, at]));
  };
  return extend([0]);
}
