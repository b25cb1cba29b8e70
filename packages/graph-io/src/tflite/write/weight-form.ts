/** How the weights of a float graph are stored: in half precision, or as int8 with a scale for each output channel. */
import { denseOf, lazy } from '@penjing/core';
import { largestMagnitudes, type Magnitudes } from './magnitudes.js';
import { allGraphs, type TfGraph, type TfOperator, type TfTensor } from './tf-graph.js';

/** Smaller constants stay as they are: unpacking them would cost more than it saves (the converters of TensorFlow draw the line here too). */
const MIN_ELEMENTS = 1024;

const isLarge = (tensor: TfTensor): boolean =>
  tensor.dtype === 'float32' && tensor.content !== undefined && (tensor.shape as readonly number[]).reduce((a, b) => a * b, 1) >= MIN_ELEMENTS;

/** Stores large constants as float16, each unpacked by one DEQUANTIZE; LiteRT folds that away, or computes in half precision where it can. */
export function halveWeights(graph: TfGraph): void {
  for (const each of allGraphs(graph)) halve(each);
}

function halve(graph: TfGraph): void {
  const unpacked = new Map<TfTensor, TfTensor>();
  const unpack: TfOperator[] = [];
  for (const operator of graph.operators) {
    operator.inputs = operator.inputs.map((input) => {
      if (!input || !isLarge(input)) return input;
      let output = unpacked.get(input);
      if (!output) {
        output = { name: input.name, dtype: 'float32', shape: input.shape };
        const packed: TfTensor = { name: `${input.name}:float16`, dtype: 'float16', shape: input.shape, content: lazy.cast(input.content!, 'float16') };
        unpack.push({ type: 'DEQUANTIZE', inputs: [packed], outputs: [output], options: { type: 'DequantizeOptions', value: {} }, from: input.name });
        unpacked.set(input, output);
      }
      return output;
    });
  }
  graph.operators.unshift(...unpack);
}

/** Axis of the output channels of the weight, by operator. */
const channelAxis: Partial<Record<TfOperator['type'], number>> = { CONV_2D: 0, DEPTHWISE_CONV_2D: 3, FULLY_CONNECTED: 0 };

/**
 * Stores the weights of convolutions and FULLY_CONNECTED as int8, symmetric, with a scale for each output channel: activations stay floats
 * and are quantized while the model runs. Reads every such weight once, in pieces, because the scales stand in the file's header.
 */
export async function quantizeWeights(graph: TfGraph, magnitudes: Magnitudes = largestMagnitudes, signal?: AbortSignal): Promise<void> {
  const done = new Map<TfTensor, TfTensor>();
  for (const operator of allGraphs(graph).flatMap(({ operators }) => operators)) {
    const axis = channelAxis[operator.type];
    const weight = operator.inputs[1];
    if (axis === undefined || !weight || !isLarge(weight) || operator.inputs[0]!.dtype !== 'float32') continue;
    let codes = done.get(weight);
    if (!codes) {
      const largest = await magnitudes(weight.content!, axis, signal);
      const scale = Array.from(largest, (value) => (value > 0 ? Math.fround(value / 127) : 1));
      const shape = weight.shape.map((size, i) => (i === axis ? (size as number) : 1));
      const content = lazy.cast(lazy.multiply(weight.content!, denseOf('float32', shape, scale.map((value) => 1 / value))), 'int8');
      codes = { name: weight.name, dtype: 'int8', shape: weight.shape, content, quantization: { scale, zeroPoint: scale.map(() => 0), axis } };
      done.set(weight, codes);
    }
    operator.inputs[1] = codes;
    if (operator.type === 'FULLY_CONNECTED') {
      operator.options = { type: 'FullyConnectedOptions', value: { ...(operator.options!.value), asymmetricQuantizeInputs: true } };
    }
  }
}
