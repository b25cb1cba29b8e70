/** Small networks, and what becomes of them in shards, for tests. */
import { check, createRng, denseOf, type DenseTensor, type Engine, type Feeds, GraphBuilder, Model, tensorType, type Value } from '@penjing/core';
import { openShardsInTurn } from '../tensor/run-sharded.js';
import { shardModel, type ShardOptions } from '../tensor/shard-model.js';
import type { ShardedModel } from '../tensor/sharded-model.js';
import { relativeDifference } from './relative-difference.js';

let rng = createRng(11);
/** All numbers that follow depend on it. */
export const seedNumbers = (seed: number): void => void (rng = createRng(seed));

export const normal = (...shape: number[]): DenseTensor => denseOf('float32', shape, Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => rng.normal() / 3));
export const whole = (dtype: 'int8' | 'uint8' | 'int32' | 'int64', below: number, ...shape: number[]): DenseTensor => denseOf(dtype, shape, Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => rng.below(below)));

export class Net {
  readonly model = new Model();
  readonly b = new GraphBuilder(this.model.graph);
  readonly feeds: Record<string, DenseTensor> = {};
  #weights = 0;

  readonly #dtype: 'float32' | 'float64';

  constructor(opset = 21, dtype: 'float32' | 'float64' = 'float32') {
    this.#dtype = dtype;
    this.model.opsetImports.set('', opset);
    this.model.opsetImports.set('com.microsoft', 1);
  }

  /** Symbols stand for the sizes of axes that are -1 in `dims`. */
  input(tensor: DenseTensor, dims: readonly (number | string)[] = tensor.shape.map((_, i) => `d${i}`)): Value {
    const name = `x${Object.keys(this.feeds).length}`;
    this.feeds[name] = tensor;
    return this.b.input(name, tensorType(tensor.dtype, dims));
  }

  weight(...shape: number[]): Value {
    return this.stored(this.normal(...shape));
  }

  normal(...shape: number[]): DenseTensor {
    const { data } = normal(...shape);
    return denseOf(this.#dtype, shape, [...(data as Float32Array)]);
  }

  stored(tensor: DenseTensor): Value {
    return this.b.initializer(`w${this.#weights++}`, tensor);
  }

  ints(...values: number[]): Value {
    return this.b.constant('int64', values);
  }

  op(opType: string, inputs: readonly (Value | null)[], attributes: Parameters<GraphBuilder['op']>[2] = {}): Value {
    return this.b.op(opType, inputs, attributes);
  }

  contrib(opType: string, inputs: readonly (Value | null)[], attributes: Parameters<GraphBuilder['op']>[2] = {}, outputCount = 1): Value[] {
    return this.b.nodes(opType, inputs, attributes, { domain: 'com.microsoft', outputCount });
  }

  output(value: Value): void {
    this.b.output(value, `y${this.model.graph.outputs.length}`);
  }
}

export interface Compared {
  readonly sharded: ShardedModel;
  readonly difference: number;
  /** `run`, `reduce 1` … */
  readonly steps: readonly string[];
  /** Names of the weights that are cut. */
  readonly cut: readonly string[];
}

/** Everything that can be cut is cut. Differences are relative to the largest magnitude of an output, or to `least`. */
export async function compareShards(engine: Engine, model: Model, feeds: Feeds, options: ShardOptions, least = 0): Promise<Compared> {
  const sharded = shardModel(model, { threshold: 0, ...options });
  const issues = sharded.segments.flat().flatMap((segment) => check(segment));
  if (issues.length > 0) throw new Error(JSON.stringify(issues));
  await using one = await engine.load(model);
  await using parts = await openShardsInTurn(sharded, engine);
  return {
    sharded,
    difference: relativeDifference(await parts.run(feeds), await one.run(feeds), least),
    steps: sharded.program.map((step) => (step.kind === 'run' ? 'run' : `${step.kind} ${step.values.length}`)),
    cut: sharded.layers.flatMap(({ weights }) => weights),
  };
}
