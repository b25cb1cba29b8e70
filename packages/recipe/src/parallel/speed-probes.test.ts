/** Probes can be built for machines with any number of cores; nothing runs here. */
import { expect, test } from 'vitest';
import { callProbe, givingProbe, nodeProbe, pairsProbe, speedProbes, stepsProbe, takingProbe } from './speed-probes.js';

test.each([...Array.from({ length: 16 }, (_, i) => i + 1), 24, 48, 1000])('pairs of products are cut for %i cores', (cores) => {
  const { graph } = pairsProbe(2, cores);
  const shapes = [...graph.initializers.values()].map(({ tensor }) => tensor!.shape);
  const columns = shapes[0]![1]!;
  expect(shapes).toEqual([[512, columns], [columns, 512], [512, columns], [columns, 512]]);
  expect(columns).toBeGreaterThanOrEqual(512 / cores);
  expect(columns).toBeLessThan(512 / cores + 1);
});

test('every probe is a graph with an output', () => {
  const models = [...[...speedProbes, nodeProbe, callProbe].map((probe) => probe.make()), takingProbe(), givingProbe(), stepsProbe()];
  expect(models.filter(({ graph }) => graph.outputs.length === 0)).toEqual([]);
});
