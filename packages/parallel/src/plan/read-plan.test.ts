import fc from 'fast-check';
import { isPenjingError } from '@penjing/core';
import { expect, test } from 'vitest';
import type { Layout, Plan } from './plan.js';
import { readDevices, readPlan } from './read-plan.js';

const plan: Plan = {
  version: 1,
  goal: 'throughput',
  model: { name: 'm', weightBytes: 10, sizes: { batch: 4 } },
  devices: ['a', 'b'].map((name) => ({ name, host: 'h', memoryBytes: 1e9, flops: 1e9, memoryBandwidth: 1e9, cores: 1 })),
  links: [{ from: 'h', to: 'h', latency: 1e-5, bandwidth: 1e9 }],
  layout: {
    kind: 'pipeline',
    microBatches: 2,
    stages: [
      { inputs: ['x'], outputs: ['h'], layout: { kind: 'device', device: 'a', threads: 1 } },
      { inputs: ['h'], outputs: ['y'], layout: { kind: 'data', reduction: 'concat', replicas: [{ kind: 'device', device: 'b' }] } },
    ],
  },
  forecast: { latency: 1, throughput: 1, memory: { a: 10 }, bubble: 0.1, efficiency: 0.9 },
  reasons: ['because'],
  considered: [{ name: 'one device', refused: 'too small' }],
};

const changed = (edit: (copy: Record<string, never>) => void): string => {
  const copy = structuredClone(plan) as unknown as Record<string, never>;
  edit(copy);
  return JSON.stringify(copy);
};
const withLayout = (layout: unknown): string => JSON.stringify({ ...plan, layout });
const leaf: Layout = { kind: 'device', device: 'a' };

test('what was written is read back', () => {
  expect(readPlan(JSON.stringify(plan))).toEqual(plan);
  const engine = { threads: 1, flops: { product: [[1, 1e9], [64, 2e9]] }, bandwidth: [[1, 1e9]], nodeSeconds: 0, callSeconds: 1e-6 };
  const listed = (version: number, measured: object): string => JSON.stringify({ version, devices: [{ ...plan.devices[0], measured }], links: [] });
  const second = { engines: [engine], together: { ...engine, outputs: [[1, 1e9]] }, caller: { callSeconds: 1e-5, stepSeconds: 2e-5, chainSeconds: 3e-5, copy: [[1, 1e9]] }, sums: [[1024, 1e-5]] };
  expect(readDevices(listed(2, second)).devices[0]!.measured).toEqual(second);
  const first = { engines: [engine], sideBySide: { compute: 0.5, memory: 0.25 } };
  expect(readDevices(listed(1, first)).devices[0]!.measured).toEqual({ engines: [engine], together: { ...engine, flops: { product: [[1, 0.5e9], [64, 1e9]] }, bandwidth: [[1, 0.25e9]] } });
  expect(() => readDevices(listed(3, second))).toThrow(expect.objectContaining({ code: 'E_PLAN' }));
});

const nested = (depth: number): unknown => (depth === 0 ? leaf : { kind: 'data', reduction: 'concat', replicas: [nested(depth - 1)] });
const part = (inputs: string[], outputs: string[]): unknown => ({ inputs, outputs, layout: leaf });

test.each<[string, string, string]>([
  ['no JSON', '{', 'E_PLAN'],
  ['a list', '[]', 'E_PLAN'],
  ['nesting that overflows the stack', '['.repeat(200_000), 'E_PLAN'],
  ['another version', JSON.stringify({ ...plan, version: 2 }), 'E_PLAN'],
  ['an unknown field', JSON.stringify({ ...plan, run: 'rm' }), 'E_PLAN'],
  ['a prototype', JSON.stringify(plan).replace('{', '{"__proto__":{"x":1},'), 'E_PLAN'],
  ['an unknown goal', JSON.stringify({ ...plan, goal: 'speed' }), 'E_PLAN'],
  ['the same device twice', JSON.stringify({ ...plan, devices: [plan.devices[0], plan.devices[0]] }), 'E_PLAN'],
  ['no devices', JSON.stringify({ ...plan, devices: [] }), 'E_PLAN'],
  ['a speed of nothing', JSON.stringify({ ...plan, devices: [{ ...plan.devices[0], flops: 0 }] }), 'E_PLAN'],
  ['a speed that is no number', JSON.stringify(plan).replace('1000000000', '1e999'), 'E_PLAN'],
  ['a link to nowhere', JSON.stringify({ ...plan, links: [{ from: 'a', to: 'z', latency: 0, bandwidth: 1 }] }), 'E_PLAN'],
  ['an unknown kind of layout', withLayout({ kind: 'constructor' }), 'E_PLAN'],
  ['a device that is not listed', withLayout({ kind: 'device', device: 'c' }), 'E_PLAN'],
  ['too deep a layout', withLayout(nested(9)), 'E_LIMIT'],
  ['too wide a layout', withLayout({ kind: 'data', reduction: 'concat', replicas: Array(20_000).fill(leaf) }), 'E_LIMIT'],
  ['no replicas', withLayout({ kind: 'data', reduction: 'concat', replicas: [] }), 'E_PLAN'],
  ['half a micro-batch', withLayout({ kind: 'pipeline', microBatches: 1.5, stages: [part(['x'], ['y'])] }), 'E_PLAN'],
  ['a shard twice', withLayout({ kind: 'tensor', devices: ['a', 'a'] }), 'E_PLAN'],
  ['a value that is made twice', withLayout({ kind: 'tasks', parts: [part(['x'], ['y']), part(['x'], ['y'])] }), 'E_PLAN'],
  ['a cycle', withLayout({ kind: 'tasks', parts: [part(['q'], ['p']), part(['p'], ['q'])] }), 'E_PLAN'],
  ['a part that gives nothing', withLayout({ kind: 'tasks', parts: [part(['x'], [])] }), 'E_PLAN'],
  ['an input named twice', withLayout({ kind: 'tasks', parts: [part(['x', 'x'], ['y'])] }), 'E_PLAN'],
  ['a size below zero', changed((copy) => Object.assign(copy['model']!, { sizes: { batch: -1 } })), 'E_PLAN'],
  ['a file too long', ' '.repeat(17 * 2 ** 20), 'E_LIMIT'],
])('refuses %s', (_, json, code) => {
  expect(() => readPlan(json)).toThrow(expect.objectContaining({ code }));
});

test('whatever stands in the place of a field, the failure is a typed one', () => {
  const paths = pathsOf(plan);
  fc.assert(
    fc.property(fc.constantFrom(...paths), fc.jsonValue(), (path, value) => {
      const copy = structuredClone(plan) as unknown as Record<string, unknown>;
      let at = copy;
      for (const key of path.slice(0, -1)) at = at[key] as Record<string, unknown>;
      at[path.at(-1)!] = value;
      try {
        readPlan(JSON.stringify(copy));
      } catch (error) {
        expect(isPenjingError(error), String(error)).toBe(true);
      }
    }),
    { numRuns: 500 },
  );
});

function pathsOf(value: unknown, prefix: string[] = []): string[][] {
  if (typeof value !== 'object' || value === null) return [prefix];
  const inner = Object.entries(value).flatMap(([key, item]) => pathsOf(item, [...prefix, key]));
  return prefix.length > 0 ? [prefix, ...inner] : inner;
}
