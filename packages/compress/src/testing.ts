/** A small network for the tests of passes: a lookup table, two layers of three matrices, a head. */
import { createRng, type DenseTensor, denseOf, type Engine, type Feeds, GraphBuilder, inlineJobs, type JobHost, Model, tensorType } from '@penjing/core';
import { wasmKernels } from '@penjing/kernels';

export const WIDTH = 32;
const ROWS = 60;

/** Tokens → embedding → two layers, the first of two matrices on one activation, → logits. */
export function network(): Model {
  const rng = createRng(5);
  const model = new Model();
  model.opsetImports.set('', 17);
  const b = new GraphBuilder(model.graph);
  // channels of unequal size, as language models have them
  const weight = (name: string, rows: number, cols: number, scale: (col: number) => number = () => 1) => b.initializer(name, denseOf('float32', [rows, cols], Array.from({ length: rows * cols }, (_, i) => (rng.normal() * scale(i % cols)) / Math.sqrt(rows))));
  const x = b.op('Gather', [weight('table', 50, WIDTH, (col) => (col % 5 === 0 ? 20 : 4)), b.input('tokens', tensorType('int64', ['n']))]);
  const gated = b.op('Mul', [b.op('Relu', [b.op('MatMul', [x, weight('gate', WIDTH, 2 * WIDTH)])]), b.op('MatMul', [x, weight('up', WIDTH, 2 * WIDTH)])]);
  const y = b.op('Add', [x, b.op('MatMul', [gated, weight('down', 2 * WIDTH, WIDTH)])]);
  b.output(b.op('Gemm', [y, weight('head', 48, WIDTH), b.initializer('bias', denseOf('float32', [48], Array.from({ length: 48 }, () => rng.normal())))], { transB: 1 }), 'logits');
  return model;
}

export function tokens(seed: number): Feeds {
  const rng = createRng(seed);
  return { tokens: denseOf('int64', [ROWS], Array.from({ length: ROWS }, () => rng.below(50))) };
}

export const samples = [tokens(1), tokens(2), tokens(3)];

/** What tests do with an engine. */
export interface TestTools {
  readonly jobs: JobHost;
  readonly outputsOf: (model: Model, feeds: Feeds, name: string) => Promise<Float32Array>;
  /** Squared distance of the logits to those of the original. */
  readonly lossOf: (model: Model) => Promise<number>;
}

export function testTools(engine: Engine): TestTools {
  const outputsOf = async (model: Model, feeds: Feeds, name: string): Promise<Float32Array> => {
    await using executor = await engine.load(model);
    return ((await executor.run(feeds))[name] as DenseTensor).data as Float32Array;
  };
  return {
    jobs: inlineJobs({ engine, kernels: wasmKernels() }),
    outputsOf,
    lossOf: async (model) => {
      const feeds = tokens(9);
      const [got, wanted] = [await outputsOf(model, feeds, 'logits'), await outputsOf(network(), feeds, 'logits')];
      return got.reduce((sum, value, i) => sum + (value - wanted[i]!) ** 2, 0);
    },
  };
}

export async function weightsOf(model: Model, name: string): Promise<number[]> {
  const bytes = await model.graph.initializers.get(name)!.tensor!.load();
  return [...new Float32Array(new Uint8Array(bytes).buffer)];
}

/** A host that says it runs so many jobs at a time, and the most of a name that did. */
export function countJobs(jobs: JobHost, parallel: number): { readonly jobs: JobHost; readonly most: (name: string) => number } {
  const running = new Map<string, number>();
  const most = new Map<string, number>();
  const step = (name: string, by: number): void => {
    const now = (running.get(name) ?? 0) + by;
    running.set(name, now);
    most.set(name, Math.max(most.get(name) ?? 0, now));
  };
  return {
    most: (name) => most.get(name) ?? 0,
    jobs: { ...jobs, parallel, async run(job, ...given) {
      step(job.name, 1);
      try {
        return await jobs.run(job, ...given);
      } finally {
        step(job.name, -1);
      }
    } },
  };
}
