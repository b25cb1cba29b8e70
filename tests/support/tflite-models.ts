/** Small seeded networks in the shapes that exporters give them: what must convert to TFLite, and give the same numbers there. */
import { attribute, createRng, DenseTensor, denseOf, GraphBuilder, Model, type Rng, tensorType, type Value } from '@penjing/core';

export interface TfliteCase {
  readonly name: string;
  readonly model: Model;
  readonly feeds: Readonly<Record<string, DenseTensor>>;
}

/** Uniform numbers only: their arithmetic is exact, so the bytes are the same everywhere. */
export function uniform(rng: Rng, shape: readonly number[], scale = 1, shift = 0): DenseTensor {
  const count = shape.reduce((a, b) => a * b, 1);
  return DenseTensor.of('float32', shape, Float32Array.from({ length: count }, () => (2 * rng.uniform() - 1) * scale + shift));
}

/** A builder with the layers of convolutional networks. */
export class NetworkBuilder {
  readonly model = new Model();
  readonly b: GraphBuilder;
  readonly rng: Rng;
  readonly feeds: Record<string, DenseTensor> = {};
  #weights = 0;

  /** `norms` false leaves batch normalization out, as quantizers find networks: folded into the weights. */
  constructor(seed: number, opset = 17, readonly norms = true) {
    this.model.opsetImports.set('', opset);
    this.b = new GraphBuilder(this.model.graph);
    this.rng = createRng(seed);
  }

  input(name: string, shape: readonly number[], dims: readonly (number | string)[] = shape): Value {
    this.feeds[name] = uniform(this.rng, shape);
    return this.b.input(name, tensorType('float32', dims));
  }

  weight(shape: readonly number[], scale = 1, shift = 0): Value {
    return this.b.initializer(`w${this.#weights++}`, uniform(this.rng, shape, scale, shift));
  }

  conv(x: Value, channels: readonly [number, number], kernel: number, options: { stride?: number; group?: number; pad?: number; dilation?: number; bias?: boolean } = {}): Value {
    const { stride = 1, group = 1, pad = Math.floor(kernel / 2), dilation = 1, bias = true } = options;
    const perGroup = channels[0] / group;
    const weight = this.weight([channels[1], perGroup, kernel, kernel], 1.5 / Math.sqrt(perGroup * kernel * kernel));
    return this.b.op('Conv', [x, weight, bias ? this.weight([channels[1]], 0.2) : null], {
      kernel_shape: [kernel, kernel], strides: [stride, stride], pads: [pad, pad, pad, pad], group, dilations: [dilation, dilation],
    });
  }

  batchNorm(x: Value, channels: number): Value {
    if (!this.norms) return x;
    const [scale, shift, mean, variance] = [this.weight([channels], 0.3, 1), this.weight([channels], 0.3), this.weight([channels], 0.2), this.weight([channels], 0.3, 0.7)];
    return this.b.op('BatchNormalization', [x, scale, shift, mean, variance], { epsilon: attribute.float(1e-5) });
  }

  relu6(x: Value): Value {
    return this.b.op('Clip', [x, this.b.constant('float32', 0), this.b.constant('float32', 6)]);
  }

  gemm(x: Value, from: number, to: number): Value {
    return this.b.op('Gemm', [x, this.weight([to, from], 1.5 / Math.sqrt(from)), this.weight([to], 0.2)], { transB: 1 });
  }

  classifier(x: Value, channels: number, classes: number): Value {
    return this.gemm(this.b.op('Flatten', [this.b.op('GlobalAveragePool', [x])]), channels, classes);
  }

  done(name: string, ...outputs: readonly Value[]): TfliteCase {
    outputs.forEach((value, i) => this.b.output(value, outputs.length === 1 ? 'output' : `output_${i}`));
    return { name, model: this.model, feeds: this.feeds };
  }
}

export function mlp(): TfliteCase {
  const n = new NetworkBuilder(1);
  let x = n.input('x', [3, 20], ['batch', 20]);
  x = n.b.op('Relu', [n.gemm(x, 20, 32)]);
  x = n.b.op('Add', [n.b.op('MatMul', [x, n.weight([32, 24], 0.3)]), n.weight([24], 0.2)]);
  x = n.b.op('LayerNormalization', [n.b.op('Tanh', [x]), n.weight([24], 0.2, 1), n.weight([24], 0.2)], { axis: -1, epsilon: attribute.float(1e-5) });
  return n.done('mlp', n.b.op('Softmax', [n.gemm(x, 24, 7)], { axis: -1 }));
}

export function mobileNetV2(norms = true): TfliteCase {
  const n = new NetworkBuilder(2, 17, norms);
  const layer = (x: Value, channels: readonly [number, number], kernel: number, stride = 1, group = 1): Value =>
    n.relu6(n.batchNorm(n.conv(x, channels, kernel, { stride, group, bias: false }), channels[1]));
  const block = (x: Value, from: number, to: number, stride: number): Value => {
    const wide = from * 3;
    const y = n.batchNorm(n.conv(layer(layer(x, [from, wide], 1), [wide, wide], 3, stride, wide), [wide, to], 1, { bias: false }), to);
    return stride === 1 && from === to ? n.b.op('Add', [x, y]) : y;
  };
  let x = layer(n.input('image', [1, 3, 32, 32], ['batch', 3, 32, 32]), [3, 8], 3, 2);
  x = block(block(block(x, 8, 12, 1), 12, 12, 1), 12, 16, 2);
  return n.done('mobilenet-v2', n.classifier(layer(block(x, 16, 16, 1), [16, 32], 1), 32, 10));
}

/** Squeeze and excitation: a factor for each channel from its mean. */
function excite(n: NetworkBuilder, x: Value, channels: number, gate: 'Sigmoid' | 'HardSigmoid', mean: 'GlobalAveragePool' | 'ReduceMean'): Value {
  const pooled = mean === 'ReduceMean' ? n.b.op('ReduceMean', [x], { axes: [2, 3], keepdims: 1 }) : n.b.op(mean, [x]);
  const inner = n.b.op('Relu', [n.conv(pooled, [channels, 4], 1)]);
  return n.b.op('Mul', [x, n.b.op(gate, [n.conv(inner, [4, channels], 1)], gate === 'HardSigmoid' ? { alpha: attribute.float(1 / 6) } : {})]);
}

export function mobileNetV3(norms = true): TfliteCase {
  const n = new NetworkBuilder(3, 17, norms);
  let x = n.b.op('HardSwish', [n.batchNorm(n.conv(n.input('image', [1, 3, 32, 32]), [3, 8], 3, { stride: 2, bias: false }), 8)]);
  const narrow = x;
  x = n.b.op('HardSwish', [n.conv(x, [8, 16], 1)]);
  x = excite(n, n.conv(x, [16, 16], 5, { group: 16 }), 16, 'HardSigmoid', 'GlobalAveragePool');
  x = n.b.op('Add', [n.conv(n.b.op('HardSwish', [x]), [16, 8], 1), narrow]);
  const pooled = n.b.op('HardSwish', [n.conv(n.b.op('GlobalAveragePool', [x]), [8, 24], 1)]);
  return n.done('mobilenet-v3', n.gemm(n.b.op('Flatten', [pooled]), 24, 10));
}

export function resNet(norms = true): TfliteCase {
  const n = new NetworkBuilder(4, 17, norms);
  const relu = (x: Value): Value => n.b.op('Relu', [x]);
  const norm = (x: Value, channels: readonly [number, number], kernel: number, stride = 1): Value =>
    n.batchNorm(n.conv(x, channels, kernel, { stride, bias: false }), channels[1]);
  const block = (x: Value, from: number, to: number, stride: number): Value => {
    const y = norm(relu(norm(x, [from, to], 3, stride)), [to, to], 3);
    return relu(n.b.op('Add', [y, stride === 1 ? x : norm(x, [from, to], 1, stride)]));
  };
  let x = relu(norm(n.input('image', [1, 3, 32, 32], ['batch', 3, 32, 32]), [3, 8], 7, 2));
  x = n.b.op('MaxPool', [x], { kernel_shape: [3, 3], strides: [2, 2], pads: [1, 1, 1, 1] });
  return n.done('resnet', n.classifier(block(block(x, 8, 8, 1), 8, 16, 2), 16, 10));
}

export function squeezeNet(): TfliteCase {
  const n = new NetworkBuilder(5);
  const relu = (x: Value): Value => n.b.op('Relu', [x]);
  const fire = (x: Value, from: number, squeeze: number, expand: number): Value => {
    const s = relu(n.conv(x, [from, squeeze], 1));
    return n.b.op('Concat', [relu(n.conv(s, [squeeze, expand], 1)), relu(n.conv(s, [squeeze, expand], 3))], { axis: 1 });
  };
  let x = relu(n.conv(n.input('image', [1, 3, 31, 31]), [3, 16], 3, { stride: 2, pad: 0 }));
  x = n.b.op('MaxPool', [x], { kernel_shape: [3, 3], strides: [2, 2], ceil_mode: 1 });
  x = n.b.op('Dropout', [fire(fire(x, 16, 4, 8), 16, 4, 12)]);
  const scores = n.b.op('GlobalAveragePool', [relu(n.conv(x, [24, 10], 1))]);
  return n.done('squeezenet', n.b.op('Softmax', [n.b.op('Reshape', [scores, n.b.constant('int64', [0, -1])])], { axis: 1 }));
}

export function efficientNet(norms = true): TfliteCase {
  const n = new NetworkBuilder(6, 17, norms);
  const swish = (x: Value): Value => n.b.op('Mul', [x, n.b.op('Sigmoid', [x])]);
  const norm = (x: Value, channels: readonly [number, number], kernel: number, options: { stride?: number; group?: number } = {}): Value =>
    n.batchNorm(n.conv(x, channels, kernel, { ...options, bias: false }), channels[1]);
  let x = swish(norm(n.input('image', [1, 3, 30, 30]), [3, 8], 3, { stride: 2 }));
  const skip = x;
  x = swish(norm(swish(norm(x, [8, 24], 1)), [24, 24], 3, { group: 24 }));
  x = n.b.op('Add', [norm(excite(n, x, 24, 'Sigmoid', 'ReduceMean'), [24, 8], 1), skip]);
  x = n.b.op('ReduceMean', [swish(norm(x, [8, 32], 1))], { axes: [2, 3], keepdims: 0 });
  return n.done('efficientnet', n.gemm(x, 32, 10));
}

export function unet(): TfliteCase {
  const n = new NetworkBuilder(7);
  const relu = (x: Value): Value => n.b.op('Relu', [x]);
  const pool = (x: Value): Value => n.b.op('MaxPool', [x], { kernel_shape: [2, 2], strides: [2, 2] });
  const top = relu(n.conv(n.input('image', [1, 3, 32, 24]), [3, 8], 3));
  const middle = relu(n.conv(pool(top), [8, 12], 3));
  let x = relu(n.conv(pool(middle), [12, 16], 3));
  // Once with a transposed convolution, once with a resize.
  x = n.b.op('ConvTranspose', [x, n.weight([16, 12, 2, 2], 0.3), n.weight([12], 0.2)], { kernel_shape: [2, 2], strides: [2, 2] });
  x = relu(n.conv(n.b.op('Concat', [x, middle], { axis: 1 }), [24, 12], 3));
  x = n.b.op('Resize', [x, null, null, n.b.constant('int64', [1, 12, 32, 24])], { mode: 'linear', coordinate_transformation_mode: 'half_pixel' });
  x = relu(n.conv(n.b.op('Concat', [x, top], { axis: 1 }), [20, 8], 3));
  return n.done('unet', n.b.op('Sigmoid', [n.conv(x, [8, 2], 1)]));
}

/** One layer as PyTorch exports it: shapes computed in the graph, GELU from Erf, layer normalization from its parts. */
export function bert(): TfliteCase {
  const n = new NetworkBuilder(8, 16);
  const { b } = n;
  const [length, hidden, heads] = [10, 32, 4];
  n.feeds['input_ids'] = denseOf('int64', [2, length], Array.from({ length: 2 * length }, () => n.rng.below(50)));
  n.feeds['attention_mask'] = denseOf('int64', [2, length], Array.from({ length: 2 * length }, (_, i) => (i >= 17 ? 0 : 1)));
  const ids = b.input('input_ids', tensorType('int64', ['batch', length]));
  const mask = b.input('attention_mask', tensorType('int64', ['batch', length]));
  const scalar = (value: number): Value => b.constant('float32', value);
  const layerNorm = (x: Value): Value => {
    const centred = b.op('Sub', [x, b.op('ReduceMean', [x], { axes: [-1] })]);
    const variance = b.op('ReduceMean', [b.op('Pow', [centred, scalar(2)])], { axes: [-1] });
    const normal = b.op('Div', [centred, b.op('Sqrt', [b.op('Add', [variance, scalar(1e-12)])])]);
    return b.op('Add', [b.op('Mul', [normal, n.weight([hidden], 0.2, 1)]), n.weight([hidden], 0.2)]);
  };
  const linear = (x: Value, from: number, to: number): Value => b.op('Add', [n.weight([to], 0.2), b.op('MatMul', [x, n.weight([from, to], 1.5 / Math.sqrt(from))])]);
  const size = (x: Value, axis: number): Value =>
    b.op('Unsqueeze', [b.op('Gather', [b.op('Shape', [x]), b.constant('int64', axis)], { axis: 0 }), b.constant('int64', [0])]);
  const split = (x: Value, perm: readonly number[]): Value => {
    const shape = b.op('Concat', [size(x, 0), size(x, 1), b.constant('int64', [heads]), b.constant('int64', [hidden / heads])], { axis: 0 });
    return b.op('Transpose', [b.op('Reshape', [x, shape]), ], { perm });
  };

  const positions = b.op('Gather', [n.weight([16, hidden]), b.op('Slice', [b.constant('int64', Array.from({ length: 16 }, (_, i) => i)), b.constant('int64', [0]), size(ids, 1), b.constant('int64', [0])])]);
  const x = layerNorm(b.op('Add', [b.op('Gather', [n.weight([50, hidden]), ids]), positions]));
  const wide = b.op('Unsqueeze', [b.op('Unsqueeze', [mask, b.constant('int64', [1])]), b.constant('int64', [2])]);
  const bias = b.op('Mul', [b.op('Sub', [scalar(1), b.op('Cast', [wide], { to: 1 })]), scalar(-10000)]);
  const query = split(linear(x, hidden, hidden), [0, 2, 1, 3]);
  const key = split(linear(x, hidden, hidden), [0, 2, 3, 1]);
  const value = split(linear(x, hidden, hidden), [0, 2, 1, 3]);
  const scores = b.op('Add', [b.op('Div', [b.op('MatMul', [query, key]), scalar(Math.sqrt(hidden / heads))]), bias]);
  const context = b.op('Transpose', [b.op('MatMul', [b.op('Softmax', [scores], { axis: -1 }), value])], { perm: [0, 2, 1, 3] });
  const joined = b.op('Reshape', [context, b.op('Concat', [size(context, 0), size(context, 1), b.constant('int64', [hidden])], { axis: 0 })]);
  const attended = layerNorm(b.op('Add', [linear(joined, hidden, hidden), x]));
  const inner = linear(attended, hidden, 64);
  const erf = b.op('Add', [b.op('Erf', [b.op('Div', [inner, scalar(Math.SQRT2)])]), scalar(1)]);
  const gelu = b.op('Mul', [b.op('Mul', [inner, erf]), scalar(0.5)]);
  const out = layerNorm(b.op('Add', [linear(gelu, 64, hidden), attended]));
  const pooled = b.op('Tanh', [linear(b.op('Gather', [out, b.constant('int64', 0)], { axis: 1 }), hidden, hidden)]);
  return n.done('bert', out, pooled);
}

/** What the others do not have: signals, groups, dilation, uneven pads, other normalizations, cuts and pads. */
export function oddments(): TfliteCase {
  const n = new NetworkBuilder(9, 18);
  const { b } = n;
  const image = n.input('image', [2, 6, 17, 14]);
  const signal = n.input('signal', [2, 5, 40]);
  let x = n.conv(image, [6, 12], 3, { group: 3 });
  x = b.op('PRelu', [x, n.weight([12, 1, 1], 0.3)]);
  x = n.conv(x, [12, 12], 3, { dilation: 2, pad: 2 });
  x = b.op('InstanceNormalization', [x, n.weight([12], 0.2, 1), n.weight([12], 0.2)]);
  x = b.op('LeakyRelu', [b.op('GroupNormalization', [x, n.weight([3], 0.2, 1), n.weight([3], 0.2)], { num_groups: 3 })], { alpha: attribute.float(0.2) });
  x = b.op('Conv', [x, n.weight([8, 12, 3, 2], 0.3)], { kernel_shape: [3, 2], strides: [2, 2], pads: [1, 0, 0, 1] });
  x = b.op('AveragePool', [x], { kernel_shape: [3, 3], pads: [1, 1, 1, 1], count_include_pad: 0 });
  x = b.op('AveragePool', [x], { kernel_shape: [3, 3], strides: [2, 1], pads: [1, 0, 0, 1], count_include_pad: 1 });
  x = b.op('ConvTranspose', [x, n.weight([8, 6, 3, 3], 0.3), n.weight([6], 0.1)], { kernel_shape: [3, 3], strides: [2, 2], pads: [1, 1, 1, 1], output_padding: [1, 1] });
  x = b.op('Pad', [x, b.constant('int64', [0, 0, 1, 2, 0, 0, 2, 1])], { mode: 'reflect' });
  x = b.op('Slice', [x, b.constant('int64', [1, -2]), b.constant('int64', [6, -12]), b.constant('int64', [1, 3]), b.constant('int64', [1, -2])]);
  const [left, right] = b.nodes('Split', [x, b.constant('int64', [2, 3])], { axis: 1 }, { outputCount: 2 });
  x = b.op('Concat', [b.op('Softmax', [left!], { axis: 1 }), b.op('Elu', [right!])], { axis: 1 });
  const best = b.op('ArgMax', [x], { axis: 1, keepdims: 0 });

  let s = b.op('Relu', [b.op('Conv', [signal, n.weight([8, 5, 5], 0.3), n.weight([8], 0.2)], { kernel_shape: [5], strides: [2], pads: [2, 2] })]);
  s = b.op('BatchNormalization', [b.op('MaxPool', [s], { kernel_shape: [2], strides: [2] }), n.weight([8], 0.2, 1), n.weight([8], 0.2), n.weight([8], 0.2), n.weight([8], 0.2, 1)]);
  s = b.op('Softplus', [s]);
  s = b.op('Mul', [s, b.op('ReduceMax', [s, b.constant('int64', [2])], { keepdims: 1 })]);
  const shuffled = b.op('DepthToSpace', [n.conv(image, [6, 8], 1)], { blocksize: 2, mode: 'CRD' });
  const nearest = b.op('Resize', [shuffled, null, b.constant('float32', [1, 1, 2, 2])], { mode: 'nearest', coordinate_transformation_mode: 'asymmetric', nearest_mode: 'floor' });
  return n.done('oddments', x, best, s, nearest);
}

/** Depthwise kernels that are large enough to be quantized. */
export function wide(): TfliteCase {
  const n = new NetworkBuilder(12);
  const x = n.conv(n.input('image', [1, 3, 12, 12]), [3, 128], 3, { stride: 2 });
  return n.done('wide', n.classifier(n.b.op('Relu', [n.conv(x, [128, 128], 3, { group: 128 })]), 128, 10));
}

export const floatCases: readonly (() => TfliteCase)[] = [mlp, mobileNetV2, mobileNetV3, resNet, squeezeNet, efficientNet, unet, bert, oddments];

/** A perceptron that ends in scores. */
function scores(): TfliteCase {
  const n = new NetworkBuilder(10);
  const x = n.b.op('Relu', [n.gemm(n.input('x', [8, 20]), 20, 32)]);
  return n.done('scores', n.gemm(n.b.op('Relu', [n.b.op('MatMul', [x, n.weight([32, 24], 0.3)])]), 24, 40));
}

/** A network whose output is an image: many values to count. */
function segmenter(): TfliteCase {
  const n = new NetworkBuilder(11);
  const relu = (x: Value): Value => n.b.op('Relu', [x]);
  const top = relu(n.conv(n.input('image', [1, 3, 16, 16]), [3, 8], 3));
  let x = relu(n.conv(n.b.op('MaxPool', [top], { kernel_shape: [2, 2], strides: [2, 2] }), [8, 12], 3));
  x = n.b.op('Resize', [x, null, n.b.constant('float32', [1, 1, 2, 2])], { mode: 'nearest', coordinate_transformation_mode: 'asymmetric', nearest_mode: 'floor' });
  return n.done('segmenter', n.conv(relu(n.conv(n.b.op('Concat', [x, top], { axis: 1 }), [20, 8], 3)), [8, 2], 1));
}

export interface QuantizedCase {
  readonly name: string;
  readonly make: () => TfliteCase;
  readonly activations: 'uint8' | 'int8';
  readonly perChannel: boolean;
}

export const quantizedCases: readonly QuantizedCase[] = [
  { name: 'scores-int8', make: scores, activations: 'int8', perChannel: false },
  { name: 'scores-channels', make: scores, activations: 'uint8', perChannel: true },
  { name: 'segmenter-int8', make: segmenter, activations: 'int8', perChannel: true },
  { name: 'segmenter-uint8', make: segmenter, activations: 'uint8', perChannel: false },
  { name: 'resnet-uint8', make: () => resNet(false), activations: 'uint8', perChannel: true },
  { name: 'mobilenet-v2-int8', make: () => mobileNetV2(false), activations: 'int8', perChannel: true },
  { name: 'efficientnet-uint8', make: () => efficientNet(false), activations: 'uint8', perChannel: true },
  { name: 'squeezenet-uint8', make: squeezeNet, activations: 'uint8', perChannel: false },
];
