/** Networks for digits, with random weights: teachers and students of `distill-digits.ts`. */
import { createRng, denseOf, elementCount, GraphBuilder, type Model, Model as OnnxModel, tensorType, type Value } from '@penjing/core';

/** He et al. 2015 (arXiv:1502.01852): normal with variance 2 / inputs. Biases are 0. */
function layers(seed: number): { readonly model: Model; readonly b: GraphBuilder; readonly weight: (name: string, shape: readonly number[], inputs: number) => Value; readonly bias: (name: string, size: number) => Value } {
  const model = new OnnxModel();
  model.opsetImports.set('', 18);
  const b = new GraphBuilder(model.graph);
  const rng = createRng(seed);
  return {
    model, b,
    weight: (name, shape, inputs) => b.initializer(`${name}.weight`, denseOf('float32', shape, Array.from({ length: elementCount(shape) }, () => rng.normal() * Math.sqrt(2 / inputs)))),
    bias: (name, size) => b.initializer(`${name}.bias`, denseOf('float32', [size], new Array<number>(size).fill(0))),
  };
}

export interface ConvolutionsOptions {
  readonly seed: number;
  /** Output channels of 3 × 3 convolutions with ReLU; a stride or a max-pool halves the picture after those that are said. */
  readonly channels: readonly { readonly size: number; readonly halve?: 'stride' | 'pool' }[];
  /** Width of the layer before the scores, if there is one. */
  readonly hidden?: number;
}

/** pixels (n, 1, 28, 28) → logits (n, 10) */
export function convolutions({ seed, channels, hidden }: ConvolutionsOptions): Model {
  const { model, b, weight, bias } = layers(seed);
  let h = b.input('pixels', tensorType('float32', ['n', 1, 28, 28]));
  let [inputs, side] = [1, 28];
  for (const [i, { size, halve }] of channels.entries()) {
    const stride = halve === 'stride' ? 2 : 1;
    h = b.op('Relu', [b.op('Conv', [h, weight(`conv${i}`, [size, inputs, 3, 3], inputs * 9), bias(`conv${i}`, size)], { kernel_shape: [3, 3], pads: [1, 1, 1, 1], strides: [stride, stride] })]);
    if (halve === 'pool') h = b.op('MaxPool', [h], { kernel_shape: [2, 2], strides: [2, 2] });
    if (halve) side /= 2;
    inputs = size;
  }
  return scores({ model, b, weight, bias }, b.op('Reshape', [h, b.constant('int64', [0, inputs * side * side])]), inputs * side * side, hidden);
}

/** pixels (n, 1, 28, 28) → hidden → logits (n, 10) */
export function perceptron({ seed, hidden }: { readonly seed: number; readonly hidden: number }): Model {
  const parts = layers(seed);
  const pixels = parts.b.input('pixels', tensorType('float32', ['n', 1, 28, 28]));
  return scores(parts, parts.b.op('Reshape', [pixels, parts.b.constant('int64', [0, 784])]), 784, hidden);
}

function scores({ model, b, weight, bias }: ReturnType<typeof layers>, features: Value, inputs: number, hidden: number | undefined): Model {
  const linear = (x: Value, name: string, from: number, to: number): Value => b.op('Gemm', [x, weight(name, [to, from], from), bias(name, to)], { transB: 1 });
  const last = hidden === undefined ? features : b.op('Relu', [linear(features, 'hidden', inputs, hidden)]);
  b.output(linear(last, 'scores', hidden ?? inputs, 10), 'logits', tensorType('float32', ['n', 10]));
  return model;
}

export const parameters = (model: Model): number => [...model.graph.initializers.values()].reduce((sum, { tensor }) => sum + (tensor && tensor.dtype === 'float32' ? elementCount(tensor.shape) : 0), 0);
