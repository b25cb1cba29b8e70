/**
 * Quantization as it stands in an ONNX graph (QuantizeLinear followed by DequantizeLinear) in the terms of TFLite: constants that are stored
 * as integers, and points of the graph where a value is rounded to a grid. Codes are int8 here: uint8 ones are shifted by 128.
 */
import { type DenseTensor, denseOf, type DType, type Graph, lazy, type Model, Node, normalizeAxis, type Shape, type Tensor, Value } from '@penjing/core';
import { moveCodes } from './move-codes.js';
import { numbersOf } from './numbers.js';
import { reshaped } from './emitter.js';
import { unsupported } from './tf-error.js';
import type { Quantization } from './tf-graph.js';

/** A constant as it is stored: (codes - zeroPoint) * scale. */
export interface QuantizedConstant {
  /** int8, or int32 for biases. */
  readonly codes: Tensor;
  readonly quantization: Quantization;
}

export interface QuantizedModel {
  readonly model: Model;
  /** Constants by the value that holds their numbers. */
  readonly constants: ReadonlyMap<Value, QuantizedConstant>;
  /** Grids by the values that lie on them; each is made by a node of type GRID. */
  readonly grids: ReadonlyMap<Value, Quantization>;
  /** Values that are codes in ONNX too, int8 or uint8, by their grid as int8: quantized inputs and outputs. */
  readonly codes: ReadonlyMap<Value, Quantization>;
}

/** Domain and type of the node that stands for a pair of QuantizeLinear and DequantizeLinear. */
export const GRID = { domain: 'penjing', opType: 'Grid' } as const;

const isOp = (node: Node | undefined, opType: string): boolean => node !== undefined && node.opType === opType && (node.domain === '' || node.domain === 'com.microsoft');

/** Edits the model in place: shapes are known, everything else is folded. */
export function absorbQdq(model: Model): QuantizedModel {
  const { graph } = model;
  const constants = new Map<Value, QuantizedConstant>();
  const grids = new Map<Value, Quantization>();
  const codes = new Map<Value, Quantization>();
  moveCodes(graph);
  for (const node of [...graph.nodes()]) {
    if (!isOp(node, 'DequantizeLinear')) continue;
    const stored = node.input(0)!;
    if (stored.tensor) absorbConstant(graph, node, constants);
    else if (isOp(stored.producer, 'QuantizeLinear')) absorbPair(graph, node, grids);
    else if (graph.inputs.includes(stored)) {
      const grid = activationGrid(node);
      codes.set(stored, grid);
      becomeGrid(graph, node, stored, grid, grids);
    }
  }
  for (const node of [...graph.nodes()]) {
    if (!isOp(node, 'QuantizeLinear')) continue;
    // What is left of a pair has no readers.
    if (node.output().useCount === 0 && !graph.outputs.includes(node.output())) {
      graph.remove(node);
      continue;
    }
    const grid = activationGrid(node);
    codes.set(becomeGrid(graph, node, node.input(0)!, grid, grids), grid);
  }
  return { model, constants, grids, codes };
}

/** Scales and zero points of a node of either kind; they must be constants. */
export function gridOf(node: Node): { readonly scale: number[]; readonly zeroPoint: number[]; readonly dtype: DType } {
  const parts = [1, 2].map((i) => {
    const value = node.input(i);
    if (!value || value.name === '') return undefined;
    if (value.tensor?.kind !== 'dense') throw unsupported(node, `${value.name} is computed while the model runs`, 'TFLite wants scales and zero points that are constants.');
    return value.tensor as DenseTensor;
  });
  const scale = numbersOf(parts[0]!);
  const codes = node.opType === 'QuantizeLinear' ? node.output() : node.input(0)!;
  const dtype = parts[1]?.dtype ?? (codes.type?.kind === 'tensor' ? codes.type.dtype : undefined) ?? 'uint8';
  return { scale, zeroPoint: parts[1] ? numbersOf(parts[1]) : scale.map(() => 0), dtype };
}

/** A grid of one scale, for codes of int8. */
export function activationGrid(node: Node): Quantization {
  const { scale, zeroPoint, dtype } = gridOf(node);
  if (dtype !== 'int8' && dtype !== 'uint8') throw unsupported(node, `activations of type ${dtype}`, 'Quantize activations to 8 bits.');
  if (scale.length !== 1) throw unsupported(node, 'activations have a scale for each channel', 'Quantize activations with one scale for each tensor.');
  return { scale, zeroPoint: [zeroPoint[0]! - (dtype === 'uint8' ? 128 : 0)], axis: 0 };
}

/** Codes of a constant: the numbers themselves become a lazy constant, for whoever needs them as floats. */
function absorbConstant(graph: Graph, node: Node, constants: Map<Value, QuantizedConstant>): void {
  const output = node.output();
  const stored = node.input(0)!.tensor!;
  const { scale, zeroPoint, dtype } = gridOf(node);
  const shape = stored.shape;
  const scaleShape = node.input(1)!.tensor!.shape;
  const axis = scale.length === 1 ? 0 : normalizeAxis(node.int('axis', 1), shape.length);
  const value = new Value(output.name, { kind: 'tensor', dtype: 'float32', shape }, dequantized(stored, scale, zeroPoint, scaleShape, axis, node));
  graph.replaceValue(output, value);
  graph.remove(node);
  // The name was that of a computed value, so no initializer has it.
  graph.initializers.set(value.name, value);
  const blocked = scaleShape.length > 1;
  if (blocked || (dtype !== 'int8' && dtype !== 'uint8' && dtype !== 'int32')) return;
  const shift = dtype === 'uint8' ? 128 : 0;
  constants.set(value, {
    codes: shift === 0 ? stored : lazy.cast(lazy.add(lazy.cast(stored, 'float32'), denseOf('float32', [], [-shift])), 'int8'),
    quantization: { scale, zeroPoint: zeroPoint.map((zero) => zero - shift), axis },
  });
}

function dequantized(stored: Tensor, scale: readonly number[], zeroPoint: readonly number[], scaleShape: Shape, axis: number, node: Node): Tensor {
  const { shape } = stored;
  const count = shape[axis] ?? 1;
  let blocks: number[] | undefined;
  if (scaleShape.length === shape.length && shape.length > 0 && scale.length !== count) {
    // A scale for each block along the axis: one more axis, of the elements of a block.
    const at = normalizeAxis(node.int('axis', 1), shape.length);
    const size = node.int('block_size', 0) || Math.ceil(shape[at]! / scaleShape[at]!);
    if (shape[at]! % size !== 0) throw unsupported(node, `its blocks of ${size} do not divide ${shape[at]}`, 'Quantize with a block size that divides the axis.');
    blocks = shape.flatMap((dim, i) => (i === at ? [dim / size, size] : [dim]));
    scaleShape = scaleShape.flatMap((dim, i) => (i === at ? [dim, 1] : [dim]));
  } else {
    scaleShape = scale.length === 1 ? [] : shape.map((dim, i) => (i === axis ? dim : 1));
  }
  let x = lazy.cast(stored, 'float32');
  if (blocks) x = reshaped(x, blocks);
  if (zeroPoint.some((zero) => zero !== 0)) x = lazy.add(x, denseOf('float32', scaleShape, zeroPoint.map((zero) => -zero)));
  x = lazy.multiply(x, denseOf('float32', scaleShape, scale));
  return blocks ? reshaped(x, shape) : x;
}

/** A pair on one grid becomes one node; others stay. */
function absorbPair(graph: Graph, node: Node, grids: Map<Value, Quantization>): void {
  const quantize = node.input(0)!.producer!;
  const grid = activationGrid(quantize);
  if (sameGrid(grid, activationGrid(node))) becomeGrid(graph, node, quantize.input(0)!, grid, grids);
}

/** Puts a node of type GRID in the place of one; gives the value that lies on it. */
function becomeGrid(graph: Graph, node: Node, input: Value, grid: Quantization, grids: Map<Value, Quantization>): Value {
  const output = node.output();
  const value = new Value(output.name, output.type);
  graph.insertBefore(node, new Node(GRID.opType, [input], [value], { domain: GRID.domain, name: node.name }));
  graph.replaceValue(output, value);
  graph.remove(node);
  grids.set(value, grid);
  return value;
}

export function sameGrid(a: Quantization | undefined, b: Quantization | undefined): boolean {
  return a !== undefined && b !== undefined && a.scale.length === 1 && b.scale.length === 1 && a.scale[0] === b.scale[0] && a.zeroPoint[0] === b.zeroPoint[0];
}
