/** A TFLite file to a model: quantized tensors become QuantizeLinear and DequantizeLinear around float operators. */
import { type ByteSource, type Dim, dtypes, Graph, GraphBuilder, Model, PenjingError, tensorType, type Value } from '@penjing/core';
import { openTflite, type TfliteFile, type TfliteOperator, type TfliteSignature, type TfliteSubgraph, type TfliteTensor } from '../open-tflite.js';
import { readOperator, readTable } from './operators/index.js';
import { unsupported } from './unsupported.js';
import { type Inline, type TfliteArithmetic, TfliteProgram } from './program.js';
import { TfliteValues } from './values.js';

export type { TfliteArithmetic };

export interface ReadTfliteOptions {
  /** Which signature of a file with several; its names become those of inputs and outputs. */
  readonly signature?: string | undefined;
  /** Version of ai.onnx; 21 when absent, at least 20 (Gelu). */
  readonly opset?: number | undefined;
  /** How quantized operators compute; `exact` when absent. */
  readonly arithmetic?: TfliteArithmetic | undefined;
}

/** Where Gelu became an operator. */
const LOWEST_OPSET = 20;
const HIGHEST_OPSET = 23;

/**
 * Inputs and outputs keep their element types, shapes and the order of their axes (pictures stay channels-last).
 * Throws what `openTflite` throws, and `E_TFLITE_OPERATOR` naming an operator, or a form of it, that is not read.
 */
export async function readTflite(source: ByteSource, options: ReadTfliteOptions = {}): Promise<Model> {
  const { opset = 21 } = options;
  if (!Number.isInteger(opset) || opset < LOWEST_OPSET || opset > HIGHEST_OPSET) {
    throw new PenjingError('E_OPTION', `opset ${opset} is not supported here`, { hint: `Use ${LOWEST_OPSET} to ${HIGHEST_OPSET}.` });
  }
  const file = await openTflite(source);
  const { subgraph, signature } = choose(file, options.signature);
  refuseUnread(subgraph);

  const model = new Model(new Graph(subgraph.name || 'main'));
  model.opsetImports.set('', opset);
  const builder = new GraphBuilder(model.graph);
  const program = await TfliteProgram.load(file, builder, inline, options.arithmetic);
  const values = new TfliteValues(builder, program, file.subgraphs.indexOf(subgraph));
  const unfit = [...subgraph.inputs, ...subgraph.outputs].map((index) => subgraph.tensors[index]!).find(({ dtype }) => dtypes[dtype].kind === 'complex');
  if (unfit) throw new PenjingError('E_TFLITE_OPERATOR', `the input or output ${unfit.name} is ${unfit.dtype}, which no operator of ONNX takes`);
  const inputNames = namesOf(subgraph, subgraph.inputs, signature?.inputs);
  subgraph.inputs.forEach((index, i) => {
    const tensor = subgraph.tensors[index]!;
    values.input(index, builder.input(inputNames[i]!, tensorType(tensor.dtype, dimsOf(tensor, inputNames[i]!))));
  });
  for (const operator of subgraph.operators) readOperator(values, operator);
  const outputNames = namesOf(subgraph, subgraph.outputs, signature?.outputs);
  subgraph.outputs.forEach((index, i) => output(values, index, outputNames[i]!));
  for (const [name, { value, assigned }] of program.resources) {
    if (assigned) builder.output(builder.op('Identity', [value!]), nameTaken(model.graph, `${name}_next`) ? `${name}_next_output` : `${name}_next`);
  }
  return model;
}

/** A subgraph in the place of an operator that refers to it. */
const inline: Inline = (program, number, builder, inputs, handles) => {
  const subgraph = program.subgraph(number);
  refuseUnread(subgraph);
  if (inputs.length !== subgraph.inputs.length) throw new PenjingError('E_TFLITE', `subgraph ${number} takes ${subgraph.inputs.length} tensors and is given ${inputs.length}`);
  const values = new TfliteValues(builder, program, number);
  subgraph.inputs.forEach((index, i) => {
    values.input(index, inputs[i]!);
    const handle = handles.get(i);
    if (handle !== undefined) values.handles.set(index, handle);
  });
  for (const operator of subgraph.operators) readOperator(values, operator);
  return subgraph.outputs.map((index) => values.stored(index));
};

function choose(file: TfliteFile, wanted: string | undefined): { readonly subgraph: TfliteSubgraph; readonly signature: TfliteSignature | undefined } {
  const known = file.signatures.map(({ key }) => key);
  const signature = wanted === undefined ? file.signatures.find(({ subgraph }) => subgraph === 0) : file.signatures.find(({ key }) => key === wanted);
  if (wanted !== undefined && !signature) {
    throw new PenjingError('E_OPTION', `${file.source.uri} has no signature ${wanted}`, { hint: known.length > 0 ? `It has ${known.join(', ')}.` : 'It has none.' });
  }
  const subgraph = file.subgraphs[signature?.subgraph ?? 0];
  if (!subgraph || subgraph.outputs.length === 0) throw new PenjingError('E_TFLITE', `${file.source.uri} holds no graph`);
  return { subgraph, signature };
}

/** True when `readTflite` has a row for the operator; forms of it may still be refused. */
export function isTfliteOperatorRead({ type, custom }: Pick<TfliteOperator, 'type' | 'custom'>): boolean {
  return custom === undefined && readTable[type] !== undefined;
}

/** All of them at once: whoever meets one wants to know of the others. */
function refuseUnread(subgraph: TfliteSubgraph): void {
  const unread = subgraph.operators.filter(({ type }) => !readTable[type]);
  const [first] = unread;
  if (!first) return;
  const names = [...new Set(unread.map(({ type, custom }) => custom ?? type))];
  const output = subgraph.tensors[first.outputs[0] ?? -1]?.name ?? 'nothing';
  throw unsupported(first, output, names.length === 1 ? undefined : `it and others are not among those that are read: ${names.join(', ')}`);
}

/** Names of the signature where there is one; those of the tensors otherwise, numbered when several share one. */
function namesOf(subgraph: TfliteSubgraph, indices: readonly number[], signed: ReadonlyMap<string, number> | undefined): string[] {
  const byIndex = new Map([...(signed ?? [])].map(([name, index]) => [index, name]));
  const used = new Set<string>();
  return indices.map((index) => {
    const base = byIndex.get(index) ?? (subgraph.tensors[index]!.name || `tensor_${index}`);
    let name = base;
    for (let i = 1; used.has(name); i++) name = `${base}_${i}`;
    used.add(name);
    return name;
  });
}

/** A size that is not fixed gets a name: the first is the batch. */
function dimsOf({ shape, shapeSignature }: TfliteTensor, name: string): Dim[] {
  return shape.map((size, axis) => ((shapeSignature?.[axis] ?? size) >= 0 ? size : axis === 0 ? 'batch_size' : `${name}_${axis}`));
}

/** An Identity where a value cannot take the name: inputs, constants, and what is an output twice. */
function output(values: TfliteValues, index: number, name: string): void {
  const { builder } = values;
  const tensor = values.tensor(index);
  const stored = values.stored(index);
  const taken = nameTaken(builder.graph, name);
  const own = stored.producer !== undefined && !builder.graph.outputs.includes(stored);
  const value: Value = own ? stored : builder.op('Identity', [stored]);
  builder.output(value, taken ? `${name}_output` : name, tensorType(tensor.dtype, dimsOf(tensor, name)));
}

function nameTaken({ initializers, inputs, outputs }: Graph, name: string): boolean {
  return initializers.has(name) || [...inputs, ...outputs].some((value) => value.name === name);
}
