import { expect, test } from 'vitest';
import type { Goal, Layout } from '../plan/plan.js';
import type { Planned } from './candidates.js';
import { rank, worthTrying, withTrials } from './rank.js';

const leaf = (threads?: number): Layout => ({ kind: 'device', device: 'a', ...(threads !== undefined && { threads }) });
const data: Layout = { kind: 'data', reduction: 'concat', replicas: [leaf(), leaf()] };
const tensor: Layout = { kind: 'tensor', devices: ['a', 'b'] };
const pipeline = (microBatches: number): Layout => ({ kind: 'pipeline', microBatches, stages: [] });

function planned(name: string, latency: number, complexity = 1, layout = leaf()): Planned {
  return { name, layout, complexity, timeline: [], forecast: { latency, throughput: 1 / latency, memory: { a: latency }, bubble: 0, efficiency: 1 } };
}
const names = (all: readonly Planned[]): string[] => all.map(({ name }) => name);
const goals: Goal[] = ['latency', 'throughput', 'memory'];

test.each(goals)('the best first by %s, and a simpler one before one that is hardly better', (goal) => {
  expect(names(rank([planned('slow', 2), planned('best', 1, 3), planned('simple', 1.02), planned('next', 1.5)], goal))).toEqual(['simple', 'best', 'next', 'slow']);
});

test('what was measured goes before what was not, by what it gave', () => {
  const all = [planned('a', 1), planned('b', 1.2), planned('c', 1.4), planned('d', 1.1)];
  const { fitting, refused } = withTrials(all, [{ name: 'a', measured: { latency: 3 } }, { name: 'c', measured: { latency: 2 } }, { name: 'd', failed: 'too large' }]);
  expect(names(rank(fitting, 'latency'))).toEqual(['c', 'a', 'b']);
  expect(refused).toEqual([{ name: 'd', complexity: 1, refused: 'does not run: too large', failed: 'too large' }]);
  expect(fitting.find(({ name }) => name === 'c')).toMatchObject({ forecast: { latency: 1.4 }, measured: { latency: 2 } });
});

test('one of each kind is tried before a second one of any, and none that is far behind', () => {
  const all = [planned('pipeline 8', 1, 2, pipeline(8)), planned('pipeline 4', 1.1, 2, pipeline(4)), planned('data', 1.3, 1, data), planned('tensor', 1.9, 3, tensor), planned('one', 2.5, 0)];
  expect(names(worthTrying(all, 'latency', 2))).toEqual(['pipeline 8', 'data']);
  expect(names(worthTrying(all, 'latency', 9))).toEqual(['pipeline 8', 'data', 'tensor', 'pipeline 4']);
});

test('replicas that do what one device does are not tried beside it', () => {
  expect(names(worthTrying([planned('one', 1, 0), planned('data', 1, 1, data), planned('all cores', 0.9, 0.5, leaf(2))], 'latency', 9))).toEqual(['one', 'all cores']);
  expect(worthTrying([], 'latency', 4)).toEqual([]);
});
