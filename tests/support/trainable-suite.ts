/** What holds of a model that was made trainable: the outputs of the deployable one, the names of its weights, a gradient for each of them. */
import { assertSound, cloneModel, type DenseTensor, GraphBuilder, type Model, tensorType } from '@penjing/core';
import { differentiate, gradientName, makeTrainable, trainableInputs } from '@penjing/distill';
import { afterAll, describe, expect, test } from 'vitest';
import { maxDifference } from './hf-decoder.js';
import { TestSession } from './ort-session.js';
import { emptyCaches, type Tensors, type TrainableCase } from './trainable-cases.js';

const TOLERANCE = 1e-5;

export function trainableSuite(cases: readonly TrainableCase[]): void {
  const lacking: string[] = [];

  describe('made trainable', () => {
    test.each(cases.map((item) => [item.name, item] as const))('%s', async (name, { make, feeds, mask }) => {
      const deployed = await make();
      const { model, missing } = await makeTrainable(cloneModel(deployed));
      assertSound(model);
      if (missing.length > 0) lacking.push(`${name}: ${missing.join(', ')}`);
      expect(missing).toEqual([]);
      expect(namesOf(model).filter((weight) => !deployed.graph.initializers.has(weight))).toEqual([]);

      const given = await feeds();
      const [wanted, got] = [await run(deployed, given), await run(model, given)];
      const real = mask === undefined ? undefined : given[mask];
      for (const { name: output } of model.graph.outputs) {
        const byToken = real && got[output]!.shape.slice(0, 2).join() === real.shape.join();
        expect([output, difference(got[output]!, wanted[output]!, byToken ? real : undefined)]).toEqual([output, expect.toSatisfy((error: number) => error < TOLERANCE)]);
      }

      const weights = await trainableInputs(model);
      expect([...weights.keys()].filter((weight) => !deployed.graph.initializers.has(weight))).toEqual([]);
      addMeanSquare(model);
      differentiate(model, { loss: 'loss', of: [...weights.keys()] });
      assertSound(model);
      const gradients = await run(model, { ...given, ...Object.fromEntries(weights) });
      const wrong = [...weights.keys()].filter((weight) => !(gradients[gradientName(weight)]!.data as Float32Array).every(Number.isFinite));
      expect(wrong).toEqual([]);
      expect([...weights.keys()].some((weight) => (gradients[gradientName(weight)]!.data as Float32Array).some((value) => value !== 0))).toBe(true);
    });
  });

  afterAll(() => {
    console.log(`${cases.length - lacking.length} of ${cases.length} converted graphs are trainable${lacking.length > 0 ? `; not:\n${lacking.join('\n')}` : ''}`);
  });
}

const namesOf = (model: Model): string[] => [...model.graph.initializers.keys()].filter((name) => !/^constant_[\d_]+$|\/none$/.test(name));

async function run(model: Model, feeds: Tensors): Promise<Readonly<Record<string, DenseTensor>>> {
  await using session = await TestSession.load(model);
  const batch = Object.values(feeds)[0]!.shape[0]!;
  const all: Tensors = { ...emptyCaches(model, batch), ...feeds };
  return await session.run(Object.fromEntries(session.inputs.map((name) => [name, all[name]!])));
}

/** The mean square of all floating-point outputs, so that every weight on the way to one has a gradient. */
function addMeanSquare(model: Model): void {
  const outputs = model.graph.outputs.splice(0).filter(({ type }) => type?.kind === 'tensor' && type.dtype === 'float32');
  const b = new GraphBuilder(model.graph);
  const parts = outputs.map((output) => b.op('ReduceMean', [b.op('Mul', [output, output])], { keepdims: 0 }));
  b.output(b.op('Sum', parts), 'loss', tensorType('float32', []));
}

/** The largest difference, against the largest magnitude or 1. */
function difference(actual: DenseTensor, expected: DenseTensor, real?: DenseTensor): number {
  if (actual.shape.join() !== expected.shape.join()) return Infinity;
  const floats = ({ data, shape }: DenseTensor) => ({ data: data as Float32Array, shape: shape.length === 2 && real ? [...shape, 1] : shape });
  const largest = (expected.data as Float32Array).reduce((most, value) => Math.max(most, Math.abs(value)), 1);
  return maxDifference(floats(actual), floats(expected), real && { data: real.data as BigInt64Array, shape: real.shape }) / largest;
}
