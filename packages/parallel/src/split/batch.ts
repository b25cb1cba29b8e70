/** Batches in pieces: which axis counts the rows, feeds cut along it, outputs put together again. */
import { type DenseTensor, type DType, dtypes, DenseTensor as Dense, elementCount, type Feeds, type Fetches, PenjingError, type RowRange, type Shape, StringTensor, type ValueInfo } from '@penjing/core';

/** The axis of the batch by name of a value. Inputs that are not listed go whole to every piece; every output is listed. */
export interface BatchAxes {
  readonly symbol: string;
  readonly inputs: Readonly<Record<string, number>>;
  readonly outputs: Readonly<Record<string, number>>;
}

type AnyTensor = DenseTensor | StringTensor;

/** Symbols that mean independent rows by their name; under any other name it may be time, along which rows know of each other. */
const BATCH_NAME = /^(n|b|bs)$|batch/i;

/** Symbols of inputs whose name says that they count rows. */
export function batchSymbols(inputs: readonly ValueInfo[]): string[] {
  return [...new Set(inputs.flatMap(symbolsOf))].filter((name) => BATCH_NAME.test(name));
}

/**
 * Where types say that the batch is: the symbol that some input and every output has as a dimension, each once. `symbol` names it; without, it is one whose name says so. Undefined when there is none: then a
 * batch cannot be cut. That rows do not know of each other is another question: see `provenBatch`.
 */
export function findBatch(inputs: readonly ValueInfo[], outputs: readonly ValueInfo[], symbol?: string): BatchAxes | undefined {
  const candidates = symbol === undefined ? batchSymbols(inputs) : [symbol];
  for (const name of candidates) {
    if ([...inputs, ...outputs].some((value) => symbolsOf(value).filter((other) => other === name).length > 1)) continue;
    const of = (values: readonly ValueInfo[]): Record<string, number> =>
      Object.fromEntries(values.map((value) => [value.name, axisOf(value, name)] as const).filter(([, axis]) => axis >= 0));
    const axes = { symbol: name, inputs: of(inputs), outputs: of(outputs) };
    if (Object.keys(axes.inputs).length > 0 && Object.keys(axes.outputs).length === outputs.length) return axes;
  }
  return undefined;
}

function shapeOf({ type }: ValueInfo): readonly (number | string | null)[] {
  return (type.kind === 'tensor' ? type.shape : undefined) ?? [];
}

const symbolsOf = (value: ValueInfo): string[] => shapeOf(value).filter((dim) => typeof dim === 'string');

function axisOf(value: ValueInfo, symbol: string): number {
  return shapeOf(value).indexOf(symbol);
}

/** Rows of the batch. An input of one row beside longer ones is broadcast by the model, and counts as not listed. Throws `E_SHAPE` when inputs disagree. */
export function batchRows(feeds: Feeds, axes: BatchAxes): number {
  const sizes = Object.entries(axes.inputs).flatMap(([name, axis]) => (Object.hasOwn(feeds, name) ? [{ name, size: feeds[name]!.shape[axis] ?? 1 }] : []));
  const rows = Math.max(1, ...sizes.map(({ size }) => size));
  const odd = sizes.find(({ size }) => size !== rows && size !== 1);
  if (odd) throw new PenjingError('E_SHAPE', `input ${odd.name} has ${odd.size} rows where others have ${rows}`, { hint: 'Give inputs of one batch size.' });
  return rows;
}

/** At most `parts` ranges of rows, as even as can be, each beginning at a multiple of `grain`; the last takes what is over. */
export function shareRows(rows: number, parts: number, grain = 1): RowRange[] {
  const units = Math.floor(rows / grain);
  const count = Math.max(1, Math.min(parts, units));
  const start = (i: number): number => Math.floor((i * units) / count) * grain;
  return Array.from({ length: count }, (_, i) => ({ start: start(i), end: i + 1 === count ? rows : start(i + 1) }));
}

/** The feeds of some rows. Where the batch is the outermost axis nothing is copied: tensors look into the buffers given. */
export function cutFeeds(feeds: Feeds, axes: BatchAxes, rows: number, range: RowRange): Feeds {
  if (range.start === 0 && range.end === rows) return feeds;
  return Object.fromEntries(Object.entries(feeds).map(([name, tensor]) => {
    const axis = Object.hasOwn(axes.inputs, name) ? axes.inputs[name]! : undefined;
    return [name, axis === undefined || tensor.shape[axis] !== rows ? tensor : cut(tensor, axis, range)];
  }));
}

function cut(tensor: AnyTensor, axis: number, { start, end }: RowRange): AnyTensor {
  const shape = [...tensor.shape.slice(0, axis), end - start, ...tensor.shape.slice(axis + 1)];
  const outer = elementCount(tensor.shape.slice(0, axis));
  const inner = elementCount(tensor.shape.slice(axis + 1));
  const size = tensor.shape[axis]!;
  const unit = inner * unitOf(tensor.dtype);
  const windows = Array.from({ length: outer }, (_, i) => [(i * size + start) * unit, (i * size + end) * unit] as const);
  if (tensor.kind === 'string') return new StringTensor(shape, windows.flatMap(([from, to]) => tensor.values.slice(from, to)));
  if (outer === 1) return new Dense(tensor.dtype, shape, tensor.bytes.subarray(...windows[0]!));
  const bytes = new Uint8Array(outer * (end - start) * unit);
  let at = 0;
  for (const [from, to] of windows) {
    bytes.set(tensor.bytes.subarray(from, to), at);
    at += to - from;
  }
  return new Dense(tensor.dtype, shape, bytes);
}

/** Outputs of pieces in their order as those of the whole. Throws `E_SHAPE` when a piece has not as many rows as went in. */
export function joinOutputs(pieces: readonly Fetches[], ranges: readonly RowRange[], axes: BatchAxes): Fetches {
  if (pieces.length === 1) return pieces[0]!;
  return Object.fromEntries(Object.keys(pieces[0]!).map((name) => {
    const axis = axes.outputs[name]!;
    const tensors = pieces.map((piece, i) => {
      const tensor = piece[name]!;
      const rows = ranges[i]!.end - ranges[i]!.start;
      if (tensor.shape[axis] === rows) return tensor;
      throw new PenjingError('E_SHAPE', `output ${name} has ${tensor.shape[axis]} instead of ${rows} rows`, { hint: 'This model does not compute rows apart: run it without cutting its batches.' });
    });
    return [name, join(name, tensors, axis)];
  }));
}

function join(name: string, tensors: readonly AnyTensor[], axis: number): AnyTensor {
  const [first] = tensors as [AnyTensor];
  const apart = (shape: Shape): string => shape.map((dim, i) => (i === axis ? '*' : dim)).join();
  const other = tensors.find(({ shape }) => apart(shape) !== apart(first.shape));
  if (other) throw new PenjingError('E_SHAPE', `output ${name} is [${first.shape.join(', ')}] for some rows and [${other.shape.join(', ')}] for others`);
  const shape = first.shape.map((dim, i) => (i === axis ? tensors.reduce((sum, tensor) => sum + tensor.shape[axis]!, 0) : dim));
  const outer = elementCount(first.shape.slice(0, axis));
  const unit = elementCount(first.shape.slice(axis + 1)) * unitOf(first.dtype);
  const windowOf = (tensor: AnyTensor, i: number): [number, number] => [i * tensor.shape[axis]! * unit, (i + 1) * tensor.shape[axis]! * unit];
  if (first.kind === 'string') {
    const values: Uint8Array[] = [];
    for (let i = 0; i < outer; i++) for (const tensor of tensors) values.push(...(tensor as StringTensor).values.slice(...windowOf(tensor, i)));
    return new StringTensor(shape, values);
  }
  const bytes = new Uint8Array(elementCount(shape) * unitOf(first.dtype));
  let at = 0;
  for (let i = 0; i < outer; i++) {
    for (const tensor of tensors) {
      const window = (tensor as DenseTensor).bytes.subarray(...windowOf(tensor, i));
      bytes.set(window, at);
      at += window.length;
    }
  }
  return new Dense(first.dtype, shape, bytes);
}

/** Bytes of an element, or the one string that it is. */
function unitOf(dtype: DType): number {
  const { kind, bits } = dtypes[dtype];
  if (kind === 'string') return 1;
  if (bits % 8 !== 0) throw new PenjingError('E_DTYPE', `a batch of ${dtype} cannot be cut`);
  return bits / 8;
}
