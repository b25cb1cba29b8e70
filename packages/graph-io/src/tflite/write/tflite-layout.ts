/** ONNX to TensorFlow Lite: the plan of a .tflite file for a model. */
import { type DType, type Model, type Node, PenjingError, type Value } from '@penjing/core';
import type { FileLayout } from '../../layout.js';
import { assignLayouts } from './assign-layouts.js';
import { Emitter } from './emitter.js';
import { encodeTflite } from './encode-model.js';
import { type Layout, physicalShape } from './layouts.js';
import { dtypeOf, LowerContext, shapeOf } from './lower-context.js';
import { type Lowering, readIndices } from './lowering.js';
import { Int8Plan } from './int8-plan.js';
import { loweringOf } from './lowerings/index.js';
import { neededNodes, prepare, type PrepareOptions } from './prepare.js';
import { GRID, sameGrid } from './qdq.js';
import { unsupported } from './tf-error.js';
import { allGraphs, type Quantization, type TfGraph, type TfTensor } from './tf-graph.js';
import { tidy } from './tidy.js';
import type { Magnitudes } from './magnitudes.js';
import { halveWeights, quantizeWeights } from './weight-form.js';

export interface TfliteOptions extends PrepareOptions {
  /** File name, `model.tflite` by default. */
  readonly name?: string;
  /** Order of the axes of images among the inputs and outputs: as in ONNX (N, C, H, W) by default, or channels last (N, H, W, C). */
  readonly images?: 'channels-first' | 'channels-last';
  /**
   * How float weights are stored: as they are; in half precision, unpacked when the model is loaded; or as int8 with a scale for each output
   * channel, with activations that stay floats (dynamic-range quantization, of convolutions and products with weights).
   */
  readonly weights?: 'float32' | 'float16' | 'int8';
  /** Who measures float weights that become int8, as `poolMagnitudes` of graph-io/node does on its threads; the calling thread when absent. */
  readonly magnitudes?: Magnitudes;
  /** Inputs and outputs of a quantized model (QuantizeLinear and DequantizeLinear at its borders): numbers by default, or the int8 codes themselves. */
  readonly borders?: 'float32' | 'int8';
  /** Weights go behind the FlatBuffer, found by offset, when they take more bytes than this; just under 2 GiB by default. */
  readonly appendAbove?: number;
}

/**
 * The plan of a .tflite file (schema 3) with one subgraph and the signature `serving_default`. Only weights that are read are read, when the
 * plan is saved. Throws `E_TFLITE_OPERATOR` for what TFLite cannot express, naming the node, and `E_TFLITE_SHAPE` for open input sizes.
 */
export async function tfliteLayout(model: Model, options: TfliteOptions = {}): Promise<FileLayout[]> {
  const graph = await tfliteGraph(model, options);
  if (options.weights === 'float16') halveWeights(graph);
  if (options.weights === 'int8') await quantizeWeights(graph, options.magnitudes, options.signal);
  return [encodeTflite(graph, {
    name: options.name ?? 'model.tflite',
    description: 'written by Penjing',
    ...(options.appendAbove !== undefined && { appendAbove: options.appendAbove }),
  })];
}

/** The same as a graph of TFLite operators. */
export async function tfliteGraph(original: Model, options: TfliteOptions = {}): Promise<TfGraph> {
  const quantized = await prepare(original, options);
  const { model } = quantized;
  const { graph } = model;
  const reads = (node: Node): Value[] => readIndices(node, lowering(node)).map((index) => node.input(index)!);
  const nodes = neededNodes(graph, reads);
  const border: Layout = options.images === 'channels-last' ? 'last' : 'first';
  const layouts = assignLayouts({
    graph, nodes, reads, border,
    wish(node) {
      const { layout = 'first' } = lowering(node);
      return typeof layout === 'function' ? layout(node) : layout;
    },
    shapeOf: (value) => (value.type?.kind === 'tensor' ? (value.type.shape ?? []) : []),
  });

  const codes = options.borders === 'int8';
  const emitter = new Emitter();
  const plan = new Int8Plan(quantized, nodes, emitter);
  for (const value of graph.inputs) {
    const type = value.type as { dtype: TfTensor['dtype']; shape: TfTensor['shape'] };
    const own = quantized.codes.get(value);
    const grid = own ? gridIn(type.dtype, own) : codes && type.dtype === 'float32' ? plan.gridOfReaders(value) : undefined;
    const tensor: TfTensor = { name: value.name, dtype: grid && !own ? 'int8' : type.dtype, shape: physicalShape(type.shape, border), ...(grid && { quantization: grid }) };
    emitter.bind(value, tensor, border);
    emitter.graph.inputs.push({ name: value.name, tensor });
  }
  const isOutput = (value: Value): boolean => graph.outputs.includes(value);
  const wanted = new Set([...graph.outputs, ...nodes.flatMap(reads)]);
  for (const node of nodes) {
    options.signal?.throwIfAborted();
    const results = node.outputs.filter((value) => wanted.has(value));
    for (const value of [...reads(node), ...results]) {
      shapeOf(value, node);
      dtypeOf(value, node);
    }
    const [nodeLayouts, grid] = [layouts.get(node)!, plan.grid(node)];
    if (isGrid(node)) lowerGrid(node, emitter, quantized.grids.get(node.output())!, nodeLayouts.input);
    else lowering(node).lower(new LowerContext({ node, opset: model.opset(node.domain) ?? 1, emitter, layouts: nodeLayouts, grid, isOutput, constants: quantized.constants }));
    const missing = results.find((value) => !emitter.has(value));
    if (missing) throw unsupported(node, `its output ${missing.name} is used`, 'Only its first output can be computed.');
  }
  for (const value of graph.outputs) emitter.graph.outputs.push({ name: value.name, tensor: outputTensor(emitter, value, border, { raw: codes, codes: quantized.codes.get(value) }) });
  for (const each of allGraphs(emitter.graph)) tidy(each);
  return emitter.graph;
}

const isGrid = (node: Node): boolean => node.opType === GRID.opType && node.domain === GRID.domain;

const gridLowering: Lowering = { layout: 'any', lower: () => undefined };

function lowering(node: Node): Lowering {
  const found = isGrid(node) ? gridLowering : loweringOf(node);
  if (!found) {
    throw unsupported(node, 'there is no rule for this operator', 'See docs/tflite-operators.md for the operators that convert; replace this one by some of them, or keep the model in ONNX.');
  }
  return found;
}

/** Codes on a grid: those that are there already, or made from numbers or from codes on another grid. */
function lowerGrid(node: Node, emitter: Emitter, grid: Quantization, layout: Layout): void {
  const value = node.input(0)!;
  const tensor = value.tensor ? emitter.constant(value, value.tensor, value.tensor.shape.length, layout) : emitter.read(value, layout);
  if (tensor.dtype === 'int8' && sameGrid(tensor.quantization, grid)) emitter.alias(node.output(), tensor, layout);
  else emitter.bind(node.output(), emitter.quantize(tensor, grid, node.output().name), layout);
}

/** A grid of int8 codes as one of the type that ONNX gives them. */
function gridIn(dtype: DType, grid: Quantization): Quantization {
  return dtype === 'uint8' ? { ...grid, zeroPoint: grid.zeroPoint.map((zero) => zero + 128) } : grid;
}

/** A tensor of its own for every output: one that is an input, a constant or another output is copied. */
function outputTensor(emitter: Emitter, value: Value, border: Layout, { raw, codes }: { readonly raw: boolean; readonly codes: Quantization | undefined }): TfTensor {
  const { tensor: content } = value;
  if (value.type?.kind === 'tensor' && value.type.shape?.includes(0)) {
    throw new PenjingError('E_TFLITE_SHAPE', `output ${value.name} has no elements, and TFLite has no empty tensors`, { hint: 'Take it off the outputs of the model.' });
  }
  let tensor = content ? emitter.constant(value, content, content.shape.length, border) : raw || codes ? emitter.read(value, border) : emitter.readFloat(value, border);
  const dtype = value.type?.kind === 'tensor' ? value.type.dtype : undefined;
  if (codes && dtype === 'uint8') tensor = emitter.quantize(tensor, gridIn(dtype, codes), value.name, dtype);
  const taken = content || [...emitter.graph.inputs, ...emitter.graph.outputs].some((port) => port.tensor === tensor);
  if (taken) return emitter.reshape(tensor, tensor.shape, `${value.name}:copy`);
  tensor.name = value.name;
  return tensor;
}
