/** Attention in blocks of queries: the losses and gradients of attention in one piece, in ONNX Runtime. */
import { join } from 'node:path';
import { assertSound, cloneModel, denseOf, type DenseTensor, type Model, tensorType } from '@penjing/core';
import { addLoss, causalBlocks, crossEntropy, differentiate, gradientName, makeTrainable, trainableInputs } from '@penjing/distill';
import { convertHuggingFace, openHuggingFaceFolder } from '@penjing/graph-io';
import { openFolder } from '@penjing/graph-io/node';
import { describe, expect, test } from 'vitest';
import { TestSession } from './support/ort-session.js';

const [BATCH, LENGTH, PADDING] = [2, 150, 40];
const ints = (of: (row: number, place: number) => number): DenseTensor => denseOf('int64', [BATCH, LENGTH], Array.from({ length: BATCH * LENGTH }, (_, i) => of(Math.floor(i / LENGTH), i % LENGTH)));
/** The second row is padded on its left. */
const real = (row: number, place: number): boolean => row === 0 || place >= PADDING;
const feeds = {
  input_ids: ints((row, place) => (real(row, place) ? 3 + ((7 * row + place * place) % 60) : 0)),
  attention_mask: ints((row, place) => (real(row, place) ? 1 : 0)),
  position_ids: ints((row, place) => (real(row, place) ? place - row * PADDING : 0)),
  labels: ints((row, place) => (real(row, place) ? 3 + ((11 * row + place * place * place) % 60) : -100)),
};

async function trainable(folder: string): Promise<Model> {
  const { model } = await makeTrainable(await convertHuggingFace(await openHuggingFaceFolder(openFolder(join(import.meta.dirname, 'fixtures', folder)))));
  for (const input of model.graph.inputs) input.type = tensorType('int64', [BATCH, LENGTH]);
  return model;
}

/** The loss and all gradients. */
async function step(model: Model): Promise<ReadonlyMap<string, Float32Array>> {
  addLoss(model, crossEntropy());
  const weights = await trainableInputs(model);
  differentiate(model, { loss: 'loss', of: [...weights.keys()] });
  assertSound(model);
  await using session = await TestSession.load(model, { threads: 2 });
  const all: Record<string, DenseTensor> = { ...feeds, ...Object.fromEntries(weights) };
  const outputs = await session.run(Object.fromEntries(session.inputs.map((name) => [name, all[name]!])));
  return new Map(['loss', ...[...weights.keys()].map(gradientName)].map((name) => [name, outputs[name]!.data as Float32Array]));
}

describe('causal attention in blocks', () => {
  test.each(['llama/mha', 'llama/gqa', 'decoders/gemma2', 'decoders/mistral', 'decoders/phi'])('%s', async (folder) => {
    const model = await trainable(folder);
    const cut = cloneModel(model);
    expect(causalBlocks(cut)).toBeGreaterThan(0);
    const [wanted, found] = [await step(model), await step(cut)];
    const errors = [...wanted].map(([name, values]) => {
      const largest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-6);
      return [name, values.reduce((most, value, i) => Math.max(most, Math.abs(value - found.get(name)![i]!)), 0) / largest] as const;
    });
    expect(errors.filter(([, error]) => !(error < 1e-4))).toEqual([]);
  });

  test('leaves short texts and attention without a mask alone', async () => {
    const short = await trainable('llama/mha');
    for (const input of short.graph.inputs) input.type = tensorType('int64', [BATCH, 100]);
    expect(causalBlocks(short)).toBe(0);
    const unsized = await trainable('llama/mha');
    for (const input of unsized.graph.inputs) input.type = tensorType('int64', ['batch', 'length']);
    expect(causalBlocks(unsized)).toBe(0);
  });
});
