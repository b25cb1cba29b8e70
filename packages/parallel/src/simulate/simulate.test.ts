import fc from 'fast-check';
import { expect, test } from 'vitest';
import { bestCollective, type Collective, type CollectiveAlgorithm, collectiveSeconds, messagesOf } from './collective.js';
import { simulate, type SimTask } from './simulate.js';

/** Forward pass of GPipe: micro-batch m passes stage k after it passed stage k − 1. */
function pipelineTasks(stages: number, microBatches: number): SimTask[] {
  return Array.from({ length: stages * microBatches }, (_, i) => {
    const [microBatch, stage] = [Math.floor(i / stages), i % stages];
    return { uses: [stage], compute: 1, after: stage === 0 ? [] : [microBatch * stages + stage - 1] };
  });
}

test.each([1, 2, 3, 4, 8, 16, 64].flatMap((stages) => [1, 2, 4, 8, 32, 128].map((microBatches) => [stages, microBatches] as const)))(
  '%i stages and %i micro-batches wait as GPipe says: (K − 1)/(M + K − 1)',
  (stages, microBatches) => {
    const resources = Array.from({ length: stages }, (_, i) => ({ name: `d${i}` }));
    const { busy, makespan } = simulate({ resources, tasks: pipelineTasks(stages, microBatches) });
    const bubble = 1 - busy.reduce((a, b) => a + b, 0) / (stages * makespan);
    const published = (stages - 1) / (microBatches + stages - 1);
    expect(Math.abs(bubble - published)).toBeLessThanOrEqual(0.01 * published + 1e-9);
  },
);

const graphs = fc
  .record({ devices: fc.integer({ min: 1, max: 5 }), tasks: fc.array(fc.record({ seconds: fc.integer({ min: 0, max: 9 }), memory: fc.integer({ min: 0, max: 5 }), uses: fc.array(fc.nat(4), { maxLength: 3 }), after: fc.array(fc.nat(30), { maxLength: 3 }), delay: fc.integer({ min: 0, max: 3 }) }), { minLength: 1, maxLength: 30 }) })
  .map(({ devices, tasks }) => ({
    devices,
    tasks: tasks.map((task, i): SimTask => ({
      compute: task.seconds + task.memory,
      extra: task.memory,
      delay: task.delay,
      uses: [...new Set(task.uses.map((use) => use % devices))],
      after: i === 0 ? [] : [...new Set(task.after.map((before) => before % i))],
    })),
  }));

const run = (devices: number, tasks: readonly SimTask[], host = true) =>
  simulate({ resources: Array.from({ length: devices }, (_, i) => ({ name: `d${i}`, ...(host && { host: 'h' }) })), tasks, contention: (_, active) => ({ crowded: active.length - 1, slower: 1 }) });

test('nothing starts before its inputs, everything ends, and a device does one thing at a time', () => {
  fc.assert(fc.property(graphs, ({ devices, tasks }) => {
    const { start, end, busy, makespan } = run(devices, tasks);
    tasks.forEach((task, i) => {
      for (const before of task.after) expect(start[i]!).toBeGreaterThanOrEqual(end[before]!);
      expect(end[i]! - start[i]!).toBeGreaterThanOrEqual(task.compute + task.delay! - 1e-9);
    });
    for (let device = 0; device < devices; device++) {
      expect(busy[device]!).toBeLessThanOrEqual(makespan + 1e-9);
      const held = tasks.map((task, i) => ({ task, from: start[i]!, to: end[i]! - task.delay! })).filter(({ task }) => task.uses.includes(device)).sort((a, b) => a.from - b.from || a.to - b.to);
      held.slice(1).forEach((next, i) => expect(next.from).toBeGreaterThanOrEqual(held[i]!.to - 1e-9));
      expect(busy[device]!).toBeCloseTo(held.reduce((sum, { from, to }) => sum + to - from, 0), 6);
    }
    expect(makespan).toBeCloseTo(Math.max(...end), 9);
  }));
});

test('devices that nobody uses change nothing, and sharing memory never makes a run faster', () => {
  fc.assert(fc.property(graphs, fc.integer({ min: 1, max: 4 }), ({ devices, tasks }, more) => {
    expect([...run(devices + more, tasks).end]).toEqual([...run(devices, tasks).end]);
    // A chain has no order to upset: with several queues a delay can make a schedule shorter (Graham, 1969).
    const chain = tasks.map((task, i) => ({ ...task, after: i === 0 ? [] : [i - 1] }));
    expect(run(devices, chain).makespan).toBeGreaterThanOrEqual(run(devices, chain, false).makespan - 1e-9);
  }));
});

test('two that read the memory of one host take turns, two that compute do not', () => {
  const pair = (compute: number, memory: number): SimTask[] => [0, 1].map((device) => ({ uses: [device], compute: compute + memory, extra: memory, after: [] }));
  expect(run(2, pair(0, 3)).makespan).toBe(6);
  expect(run(2, pair(3, 0)).makespan).toBe(3);
  // The second one is alone for its last 2 of 4 seconds.
  expect(run(2, [{ uses: [0], compute: 2, extra: 2, after: [] }, { uses: [1], compute: 4, extra: 4, after: [] }]).makespan).toBe(6);
});

test('a transfer passes while its device computes on, and messages of one link queue', () => {
  const tasks: SimTask[] = [
    { uses: [0], compute: 2, after: [] },
    { uses: [1], compute: 3, delay: 1, after: [0] },
    { uses: [0], compute: 2, after: [0] },
    { uses: [1], compute: 3, delay: 1, after: [2] },
  ];
  expect([...run(2, tasks, false).end]).toEqual([2, 6, 4, 9]);
});

test('a task that waits for a later one is refused', () => {
  expect(() => simulate({ resources: [], tasks: [{ uses: [], compute: 1, after: [0] }] })).toThrow(expect.objectContaining({ code: 'E_PLAN' }));
});

/** The messages of a collective, each direction of a link a resource. */
function simulated(collective: Collective, algorithm: CollectiveAlgorithm, members: number, bytes: number): number {
  const messages = messagesOf(collective, algorithm, members, bytes);
  const links = new Map<string, number>();
  const tasks: SimTask[] = messages.map((message, i) => {
    const key = `${message.from}>${message.to}`;
    links.set(key, links.get(key) ?? links.size);
    const needed = messages.map((other, j) => (j < i && other.step < message.step && (other.to === message.from || other.from === message.from || other.to === message.to) ? j : -1));
    return { uses: [links.get(key)!], compute: message.bytes / 100, delay: 0.25, after: needed.filter((j) => j >= 0) };
  });
  return simulate({ resources: [...links.keys()].map((name) => ({ name })), tasks }).makespan;
}

test.each((['all-reduce', 'all-gather'] as const).flatMap((collective) => (['ring', 'tree'] as const).flatMap((algorithm) => [2, 4, 8].map((members) => [collective, algorithm, members] as const))))(
  '%s by %s over %i: the formula is what its messages take',
  (collective, algorithm, members) => {
    expect(simulated(collective, algorithm, members, 800)).toBeCloseTo(collectiveSeconds(collective, algorithm, members, 800, { latency: 0.25, bandwidth: 100 }), 9);
  },
);

test('trees are for small messages, rings for large ones', () => {
  const hop = { latency: 1e-5, bandwidth: 1e9 };
  expect(bestCollective('all-reduce', 64, 1000, hop).algorithm).toBe('tree');
  expect(bestCollective('all-reduce', 64, 1e9, hop).algorithm).toBe('ring');
  expect(collectiveSeconds('all-reduce', 'ring', 1, 1e9, hop)).toBe(0);
});
