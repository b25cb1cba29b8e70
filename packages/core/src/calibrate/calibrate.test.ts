/** Calibration on the reference engine: statistics against their definitions, edits that later blocks see, data that does not fit. */
import { wasmKernels } from '@penjing/kernels';
import { describe, expect, test } from 'vitest';
import { denseOf, GraphBuilder } from '../builder.js';
import type { Feeds } from '../engine.js';
import { Model } from '../graph/model.js';
import { tensorType } from '../graph/value-type.js';
import { inlineJobs, type JobHost, type Shelf } from '../job.js';
import { referenceEngine } from '../reference/index.js';
import { createRng } from '../rng.js';
import type { DenseTensor } from '../tensor.js';
import { calibrateBlocks } from './calibrate-blocks.js';
import { extractModel } from './extract-model.js';

const engine = referenceEngine();
const jobs = inlineJobs({ engine, kernels: wasmKernels() });
const WIDTH = 4;

/** Layers y = relu(x w) + shift, the shift computed once from an input of its own. */
function chain(layers: number): Model {
  const rng = createRng(3);
  const model = new Model();
  model.opsetImports.set('', 17);
  const b = new GraphBuilder(model.graph);
  let x = b.input('x', tensorType('float32', ['n', WIDTH]));
  const shift = b.op('Neg', [b.input('shift', tensorType('float32', [WIDTH]))]);
  for (let i = 0; i < layers; i++) {
    const w = b.initializer(`w${i}`, denseOf('float32', [WIDTH, WIDTH], Array.from({ length: WIDTH * WIDTH }, () => rng.normal())));
    x = b.op('Add', [b.op('Relu', [b.op('MatMul', [x, w], {}, { name: `product${i}` })]), shift], {}, { outputs: [`h${i}`] });
  }
  b.output(x, `h${layers - 1}`);
  return model;
}

function samples(count: number): Feeds[] {
  const rng = createRng(8);
  const normal = (length: number): number[] => Array.from({ length }, () => rng.normal());
  return Array.from({ length: count }, (_, i) => ({ x: denseOf('float32', [i + 1, WIDTH], normal((i + 1) * WIDTH)), shift: denseOf('float32', [WIDTH], normal(WIDTH)) }));
}

/** All rows of a value over all samples, by running the model as a whole. */
async function rowsOf(model: Model, value: string, feeds: readonly Feeds[]): Promise<number[][]> {
  const rows: number[][] = [];
  await using executor = await engine.load(extractModel(model, ['x', 'shift'], [value]));
  for (const feed of feeds) {
    const { [value]: tensor } = await executor.run(feed);
    const data = [...((tensor as DenseTensor).data as Float32Array)];
    for (let at = 0; at < data.length; at += WIDTH) rows.push(data.slice(at, at + WIDTH));
  }
  return rows;
}

const inputOf = (block: { readonly nodes: readonly { readonly opType: string; readonly inputs: readonly ({ readonly name: string } | null)[] }[] }): string =>
  block.nodes.find(({ opType }) => opType === 'MatMul')!.inputs[0]!.name;

describe('calibrateBlocks', () => {
  test('gathers what the definitions say, block by block', async () => {
    const model = chain(3);
    const feeds = samples(5);
    const seen: string[] = [];
    for await (const { block, count, statistic } of calibrateBlocks(model, {
      jobs, samples: feeds,
      collect: (block) => (['range', 'norms', 'magnitudes', 'gram'] as const).map((name) => ({ value: inputOf(block), statistic: name })),
    })) {
      expect(count).toBe(3);
      const value = inputOf(block);
      seen.push(value);
      const rows = value === 'x' ? feeds.flatMap(({ x }) => rowsIn(x as DenseTensor)) : await rowsOf(model, value, feeds);
      expect(statistic(value, 'range')).toMatchObject({ min: Math.min(...rows.flat()), max: Math.max(...rows.flat()), count: rows.length * WIDTH });
      const { squares, rows: seenRows } = statistic(value, 'norms');
      expect(seenRows).toBe(15);
      const gram = statistic(value, 'gram');
      for (let i = 0; i < WIDTH; i++) {
        expect(statistic(value, 'magnitudes').means[i]).toBeCloseTo(rows.reduce((sum, row) => sum + Math.abs(row[i]!) / rows.length, 0), 4);
        expect(squares[i]).toBeCloseTo(rows.reduce((sum, row) => sum + row[i]! ** 2, 0), 3);
        for (let j = 0; j < WIDTH; j++) expect(gram.sums[i * WIDTH + j]).toBeCloseTo(rows.reduce((sum, row) => sum + row[i]! * row[j]!, 0), 3);
      }
      expect(() => statistic('elsewhere', 'gram')).toThrow(/not gathered/);
    }
    expect(seen).toEqual(['x', 'h0', 'h1']);
  });

  test('gathers the same bits in one job as in many', async () => {
    const kinds = ['range', 'histogram', 'channelRange', 'norms', 'magnitudes', 'gram', 'hessian'] as const;
    // Eight parts: those in the middle have sums of their own, of the others rows wait.
    const feeds = samples(60);
    const gathered = async (host: JobHost): Promise<unknown[]> => {
      const found: unknown[] = [];
      for await (const { block, statistic, broken } of calibrateBlocks(chain(3), { jobs: host, samples: feeds, collect: (block) => kinds.map((kind) => ({ value: inputOf(block), statistic: kind })) })) {
        const value = inputOf(block);
        const { sums, ...hessian } = statistic(value, 'hessian');
        found.push([kinds.slice(0, -1).map((kind) => statistic(value, kind)), hessian, (sums.reference as DenseTensor).data, broken(value)]);
      }
      return found;
    };
    let most = 0;
    let running = 0;
    const kept = countedShelf();
    const many: JobHost = { ...jobs, parallel: 3, openShelf: kept.openShelf, run: async (...args) => {
      most = Math.max(most, ++running);
      try {
        return await jobs.run(...args);
      } finally {
        running--;
      }
    } };
    expect(await gathered(many)).toEqual(await gathered(jobs));
    expect(most).toBe(3);
    // Of the Gram and the Hessian: three parts, what was merged before them, and what they become.
    expect(kept.most()).toBeGreaterThan(2);
    expect(kept.most()).toBeLessThanOrEqual(2 * (3 + 2));
    expect(kept.left()).toEqual([]);
  });

  test('later blocks see what an edited one computes', async () => {
    const model = chain(3);
    const feeds = samples(3);
    for await (const { index, block, statistic } of calibrateBlocks(model, { jobs, samples: feeds, collect: (block) => [{ value: inputOf(block), statistic: 'range' }] })) {
      const value = inputOf(block);
      if (index > 0) {
        const rows = (await rowsOf(model, value, feeds)).flat();
        expect(statistic(value, 'range').max).toBeCloseTo(Math.max(...rows), 5);
      }
      const weight = model.graph.initializers.get(`w${index}`)!;
      weight.tensor = denseOf('float32', [WIDTH, WIDTH], Array.from({ length: WIDTH * WIDTH }, (_, i) => (index + 1) * (i % 3)));
    }
  });

  test('names what is missing', async () => {
    const run = async (feeds: Feeds[]): Promise<void> => {
      for await (const _ of calibrateBlocks(chain(1), { jobs, samples: feeds, collect: () => [] }));
    };
    await expect(run([])).rejects.toThrow(/no samples/);
    await expect(run([{ x: samples(1)[0]!.x! }])).rejects.toThrow(/sample 0 has no tensor for the input shift/);
    expect(() => extractModel(chain(1), ['x'], ['h0'])).toThrow(/needs the input shift too/);
    expect(() => extractModel(chain(1), ['x'], ['nothing'])).toThrow(/no value nothing/);
  });
});

/** A shelf that counts the sums of parts on it. */
function countedShelf(): { openShelf: JobHost['openShelf']; most: () => number; left: () => string[] } {
  const sums = new Set<string>();
  let most = 0;
  return {
    most: () => most,
    left: () => [...sums],
    async openShelf() {
      const inner = await jobs.openShelf();
      const shelf: Shelf = {
        get: (name) => inner.get(name),
        refer: (name) => inner.refer(name),
        async put(name, tensor) {
          if (name.endsWith(' sums')) sums.add(name);
          most = Math.max(most, sums.size);
          await inner.put(name, tensor);
        },
        async delete(name) {
          sums.delete(name);
          await inner.delete(name);
        },
      };
      return { ...shelf, kind: 'shelf', reference: shelf, [Symbol.asyncDispose]: () => inner[Symbol.asyncDispose]() };
    },
  };
}

function rowsIn(tensor: DenseTensor): number[][] {
  const data = [...(tensor.data as Float32Array)];
  return Array.from({ length: data.length / WIDTH }, (_, i) => data.slice(i * WIDTH, (i + 1) * WIDTH));
}
