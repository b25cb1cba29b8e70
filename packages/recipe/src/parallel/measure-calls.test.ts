import { type ChainStage, type Engine, type EngineOptions, Model } from '@penjing/core';
import { expect, test } from 'vitest';
import { oneThreaded, stepOf } from './measure-calls.js';

test('engines of probes have one thread each, those of chains too', async () => {
  const seen: unknown[] = [];
  const executor = { inputs: [], outputs: [], run: () => Promise.resolve({}), [Symbol.asyncDispose]: () => Promise.resolve() };
  const loadChain = (stages: readonly ChainStage[]) => Promise.resolve(void seen.push(...stages.map(({ threads }) => threads))).then(() => executor);
  const load = (_: Model, options?: EngineOptions) => Promise.resolve(void seen.push(options?.threads)).then(() => executor);
  const engine: Engine = { name: 'counting', load, loadChain };
  const model = new Model();
  const one = oneThreaded(engine);
  await one.load(model, { threads: 4 });
  await one.loadChain!([{ model, threads: 4 }, { model }], { outputs: [] });
  expect(seen).toEqual([1, 1, 1]);
  expect(oneThreaded({ name: engine.name, load }).loadChain).toBeUndefined();
});

test('a step is what is left of a request through two without the answer', () => {
  // Half a step, a step, and half a call: what `layoutTasks` makes of it again.
  expect(stepOf(5e-3, 1e-3)).toBeCloseTo(3e-3, 9);
  expect(stepOf(1e-6, 1e-3)).toBeGreaterThan(0);
});
