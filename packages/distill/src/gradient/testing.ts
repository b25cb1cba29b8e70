/** Gradients against central differences, on an engine that computes in double precision. */
import { cloneModel, createRng, DenseTensor, type Engine, type Feeds, GraphBuilder, Model, type Shape, tensorType, type Value } from '@penjing/core';
import { differentiate, gradientName } from './differentiate.js';

export interface GradientCase {
  readonly name: string;
  /** Shapes of the float64 inputs x0, x1, …; symbols where a size is to be unknown until a run. */
  readonly inputs: readonly Shape[];
  /** Declared shapes, where they shall not be known. */
  readonly symbols?: readonly (readonly (number | string)[])[];
  readonly build: (b: GraphBuilder, inputs: readonly Value[]) => Value;
  /** Values drawn for inputs; uniform in [-1, 1) when absent. */
  readonly draw?: (uniform: number, input: number) => number;
  readonly opset?: number;
  /** Inputs that have a gradient; all when absent. */
  readonly of?: readonly number[];
}

/** Σ wᵢ yᵢ with fixed random weights, so that no symmetry hides an error. */
function network({ inputs, symbols, build, opset = 23 }: GradientCase): Model {
  const model = new Model();
  model.opsetImports.set('', opset);
  model.opsetImports.set('com.microsoft', 1);
  const b = new GraphBuilder(model.graph);
  const y = build(b, inputs.map((shape, i) => b.input(`x${i}`, tensorType('float64', symbols?.[i] ?? shape))));
  // (1, …, n) mod 7 less 3, over the elements of y.
  const count = b.op('Reshape', [b.op('Size', [y]), b.constant('int64', [1])]);
  const range = b.op('Range', [b.constant('int64', 0), b.op('Squeeze', [count]), b.constant('int64', 1)]);
  const weights = b.op('Sub', [b.op('Cast', [b.op('Mod', [b.op('Mul', [range, b.constant('int64', [5])]), b.constant('int64', [7])])], { to: 11 }), b.constant('float64', [2.5])]);
  const flat = b.op('Reshape', [b.op('Cast', [y], { to: 11 }), b.constant('int64', [-1])]);
  b.output(b.op('ReduceSum', [b.op('Mul', [flat, weights])], { keepdims: 0 }), 'loss', tensorType('float64', []));
  return model;
}

const STEP = 1e-5;

/** The largest difference between an element of a gradient and the central difference, over the largest magnitude of either. */
export async function gradientError(engine: Engine, gradientCase: GradientCase): Promise<number> {
  const rng = createRng(7);
  const { inputs, draw = (uniform: number) => uniform } = gradientCase;
  const of = gradientCase.of ?? inputs.map((_, i) => i);
  const feeds: Feeds = Object.fromEntries(inputs.map((shape, i) => {
    const count = shape.reduce((product, dim) => product * dim, 1);
    return [`x${i}`, DenseTensor.of('float64', shape, Float64Array.from({ length: count }, () => draw(2 * rng.uniform() - 1, i)))];
  }));
  const model = network(gradientCase);
  const differentiated = cloneModel(model);
  differentiate(differentiated, { loss: 'loss', of: of.map((i) => `x${i}`) });
  await using forward = await engine.load(model);
  await using backward = await engine.load(differentiated);
  const outputs = await backward.run(feeds);
  const lossAt = async (): Promise<number> => ((await forward.run(feeds))['loss'] as DenseTensor).data[0] as number;
  let [worst, largest] = [0, 1e-12];
  for (const i of of) {
    const data = (feeds[`x${i}`] as DenseTensor).data as Float64Array;
    const gradient = outputs[gradientName(`x${i}`)] as DenseTensor;
    if (gradient.shape.join() !== inputs[i]!.join()) throw new Error(`the gradient of x${i} is [${gradient.shape.join()}]`);
    for (let k = 0; k < data.length; k++) {
      const value = data[k]!;
      data[k] = value + STEP;
      const above = await lossAt();
      data[k] = value - STEP;
      const difference = (above - (await lossAt())) / (2 * STEP);
      data[k] = value;
      worst = Math.max(worst, Math.abs(difference - (gradient.data[k] as number)));
      largest = Math.max(largest, Math.abs(difference), Math.abs(gradient.data[k] as number));
    }
  }
  return worst / largest;
}
