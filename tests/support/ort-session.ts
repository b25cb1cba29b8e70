/**
 * ONNX Runtime on the thread of the test: the engine of the runtime package starts a thread for every model, which is most
 * of the time when a hundred small ones are tried.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DenseTensor, type DType, type Engine, type Executor, memorySource, type Model, type Value, type ValueInfo } from '@penjing/core';
import { layoutToBytes, readOnnx, serializeOnnx } from '@penjing/graph-io';

interface OrtTensor {
  readonly type: string;
  readonly dims: readonly number[];
  readonly data: DenseTensor['data'];
}

interface OrtSession {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  run(feeds: Readonly<Record<string, OrtTensor>>): Promise<Record<string, OrtTensor>>;
  release(): Promise<void>;
}

interface Ort {
  readonly InferenceSession: { create(bytes: Uint8Array, options: object): Promise<OrtSession> };
  readonly Tensor: new (type: string, data: DenseTensor['data'], dims: readonly number[]) => OrtTensor;
}

const ort = createRequire(new URL('../../packages/runtime/package.json', import.meta.url))('onnxruntime-node') as Ort;

export class TestSession implements AsyncDisposable {
  readonly #session: OrtSession;

  private constructor(session: OrtSession) {
    this.#session = session;
  }

  static async load(model: Model, { threads = 1 }: { readonly threads?: number } = {}): Promise<TestSession> {
    const [file] = serializeOnnx(model);
    const options = { intraOpNumThreads: threads, interOpNumThreads: 1, logSeverityLevel: 4 };
    return new TestSession(await ort.InferenceSession.create(await layoutToBytes(file!), options));
  }

  get inputs(): readonly string[] {
    return this.#session.inputNames;
  }

  get outputs(): readonly string[] {
    return this.#session.outputNames;
  }

  async run(feeds: Readonly<Record<string, DenseTensor>>): Promise<Record<string, DenseTensor>> {
    const given = Object.entries(feeds).map(([name, { dtype, data, shape }]) => [name, new ort.Tensor(dtype, data, shape)] as const);
    const results = Object.entries(await this.#session.run(Object.fromEntries(given)));
    return Object.fromEntries(results.map(([name, { type, data, dims }]) => [name, DenseTensor.of(type as DType, dims, data)]));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#session.release();
  }
}

/** Operators of the graph that ONNX Runtime runs, after all its fusions, and how often each occurs. */
export async function fusedOperators(model: Model): Promise<Record<string, number>> {
  const folder = await mkdtemp(join(tmpdir(), 'penjing-fused-'));
  const path = join(folder, 'optimized.onnx');
  try {
    const [file] = serializeOnnx(model);
    const session = await ort.InferenceSession.create(await layoutToBytes(file!), { intraOpNumThreads: 1, logSeverityLevel: 4, graphOptimizationLevel: 'all', optimizedModelFilePath: path });
    await session.release();
    const optimized = await readOnnx(memorySource(await readFile(path)));
    const counts: Record<string, number> = {};
    for (const { opType } of optimized.graph.nodes()) counts[opType] = (counts[opType] ?? 0) + 1;
    return counts;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The same as an `Engine`, for tests of everything but the engine of the runtime package. */
export function testEngine(): Engine {
  return {
    name: 'onnxruntime-node (test thread)',
    async load(model): Promise<Executor> {
      const session = await TestSession.load(model);
      const infoOf = ({ name, type }: Value): ValueInfo => ({ name, type: type ?? { kind: 'tensor' } });
      return {
        inputs: model.graph.inputs.filter((value) => !value.tensor).map(infoOf),
        outputs: model.graph.outputs.map(infoOf),
        async run(feeds, { outputs } = {}) {
          const fetched = await session.run(feeds as Readonly<Record<string, DenseTensor>>);
          return Object.fromEntries((outputs ?? session.outputs).map((name) => [name, fetched[name]!]));
        },
        [Symbol.asyncDispose]: () => session[Symbol.asyncDispose](),
      };
    },
  };
}
