/** Follows the rows of a batch through a graph: a batch may be cut where every operator keeps them apart. */
import { cloneModel, isPenjingError, type Model, modelGraphs, type Node, PenjingError, type Value, type ValueType } from '@penjing/core';
import { bindDim, completeSizes, symbolsOf } from '../cost/bind-sizes.js';
import { DRAWS } from './cut-blocks.js';
import { type GraphFacts, graphFacts, nameOf } from '../tensor/graph-facts.js';
import type { Dims, Place as WayPlace } from '../tensor/rule.js';
import { type BatchAxes, batchSymbols } from './batch.js';
import { type RowNode, rowWays } from './row-ways.js';

/** Two sizes of the batch: what is as many times as large at both grows with it. They agree in no remainder that a model may take, and no other size is like the large one. */
const LARGE = 1_000_003;
const SMALL = 6;
/** Sizes of other symbols, unlike each other: some that images survive, others for which small tables of places suffice. Any that fit will do. */
const OTHERS = [[37, 41, 43, 47, 53, 59, 61, 67], [5, 7, 11, 13, 17, 19, 23, 29]] as const;

/**
 * Where a value has its rows, or that it says how many there are. Anything else is the same for every batch. `counted`: its elements number, from 0 on, this many things of each row; a piece numbers its own,
 * which is right where they are looked up in a table that is cut as well.
 */
type Place = { readonly axis: number; readonly counted?: number } | 'sizes';

/** Operators that leave elements in their order. */
const inOrder = new Set(['Reshape', 'Squeeze', 'Unsqueeze', 'Flatten', 'Identity', 'Cast']);
/** Inputs that are tables looked up by input 1, along their first axis. */
const tables: Readonly<Record<string, readonly number[]>> = { Gather: [0], RotaryEmbedding: [2, 3] };

/** Inputs that may say how many rows there are: shapes, and where slices end. */
const sizeInputs: Readonly<Record<string, readonly number[]>> = { Reshape: [1], Expand: [1], ConstantOfShape: [0], Tile: [1], Resize: [2, 3], Upsample: [1], Slice: [1, 2] };

/**
 * Where the rows of `symbol` are in inputs and outputs; undefined unless all nodes are known to treat each row as if it were alone: then pieces of a batch give what the whole gives. The walk is that of
 * tensor parallelism without exchanges: every node must have a way from its inputs, cut along the batch, to its outputs, cut along the batch. All shapes must scale accordingly.
 */
export function followRows(model: Model, symbol: string): BatchAxes | undefined {
  if ([...modelGraphs(model)].some((graph) => [...graph.nodes()].some(({ opType }) => DRAWS.has(opType)))) return undefined;
  try {
    return new RowWalk(model, symbol, OTHERS[0]).axes() ?? new RowWalk(model, symbol, OTHERS[1]).axes();
  } catch (error) {
    // a model that cannot be looked at so closely stays whole
    if (isPenjingError(error)) return undefined;
    throw error;
  }
}

/** The axes along which batches of a model are cut without changing what it gives: those of a symbol whose name says that it counts rows. */
export function provenBatch(model: Model): BatchAxes | undefined {
  const inputs = model.graph.inputs.filter((value) => !value.tensor).map(({ name, type }) => ({ name, type: type ?? { kind: 'tensor' as const } }));
  for (const symbol of batchSymbols(inputs)) {
    const found = followRows(model, symbol);
    if (found) return found;
  }
  return undefined;
}

class RowWalk {
  readonly #symbol: string;
  readonly #model: Model;
  readonly #large: GraphFacts;
  readonly #small: GraphFacts;
  /** The same values in the other facts. */
  readonly #twins: ReadonlyMap<Value, Value>;
  readonly #places = new Map<Value, Place>();

  constructor(model: Model, symbol: string, others: readonly number[]) {
    this.#model = model;
    this.#symbol = symbol;
    this.#large = graphFacts(bound(model, symbol, LARGE, others), 2);
    this.#small = graphFacts(bound(model, symbol, SMALL, others), 2);
    const [ours, theirs] = [[...valuesOf(this.#large)], [...valuesOf(this.#small)]];
    if (ours.length !== theirs.length) throw new PenjingError('E_GRAPH', 'the graph depends on the size of the batch');
    this.#twins = new Map(ours.map((value, i) => [value, theirs[i]!]));
  }

  axes(): BatchAxes | undefined {
    const { inputs, outputs } = this.#large.model.graph;
    const declared = new Map(this.#model.graph.inputs.map((value) => [value.name, value.type]));
    for (const value of inputs) {
      const dims = dimsOf(declared.get(value.name));
      const axis = dims.indexOf(this.#symbol);
      if (axis < 0 ? !this.#isSame(value) : this.#multiple(value, axis) !== 1) return undefined;
      if (axis >= 0) this.#places.set(value, { axis });
    }
    for (const node of this.#large.nodes) if (!this.#follow(node)) return undefined;
    const of = (values: readonly Value[]): Record<string, number> => Object.fromEntries(values.flatMap((value) => {
      const axis = this.#rows(value);
      return axis === undefined || this.#counted([value]) !== undefined || this.#multiple(value, axis) !== 1 ? [] : [[value.name, axis]];
    }));
    const found = { symbol: this.#symbol, inputs: of(inputs), outputs: of(outputs) };
    return Object.keys(found.inputs).length > 0 && Object.keys(found.outputs).length === outputs.length ? found : undefined;
  }

  /** False when the node mixes rows, or may. */
  #follow(node: Node): boolean {
    const read = node.inputs.filter((value) => value !== null);
    const captured = this.#large.captured(node);
    if (![...read, ...captured].some((value) => this.#places.has(value))) return true;
    if (node.outputs.every((value) => value.name === '' || this.#noteNumbers(value))) return true;
    if (captured.length > 0 || node.subgraphs().length > 0 || this.#model.functions.some(({ domain, name }) => domain === node.domain && name === node.opType)) return false;
    if (this.#followRange(node)) return true;
    const counted = this.#counted(read);
    if (counted !== undefined && !inOrder.has(node.opType)) return this.#followLookUp(node, counted);
    const asks = sizeInputs[node.opType] ?? [];
    const [first] = read.filter((value) => this.#rows(value) !== undefined);
    for (const [i, value] of node.inputs.entries()) {
      const place = value ? this.#places.get(value) : undefined;
      if (place === 'sizes' && !asks.includes(i)) return false;
      if (place && place !== 'sizes' && this.#multiple(value!, place.axis) !== this.#multiple(first!, this.#rows(first!)!)) return false;
    }
    const axes = this.#outputAxes(node);
    return axes !== undefined && node.outputs.every((value, i) => {
      if (value.name === '') return true;
      const axis = axes[i];
      if (axis === undefined || this.#multiple(value, axis) === undefined) return value.uses().length === 0 && !this.#large.model.graph.outputs.includes(value);
      this.#places.set(value, { axis, ...(counted !== undefined && { counted }) });
      return true;
    });
  }

  /** Numbers of things, as many for each row. */
  #followRange(node: Node): boolean {
    const [start, , step] = node.inputs.map((value) => value && this.#large.numbers(value)?.[0]);
    if (node.opType !== 'Range' || start !== 0 || step !== 1 || this.#places.get(node.inputs[0]!) || this.#places.get(node.inputs[2]!)) return false;
    const counted = this.#multiple(node.output(), 0);
    if (counted !== undefined) this.#places.set(node.output(), { axis: 0, counted });
    return counted !== undefined;
  }

  /** Each row looks its own things up. */
  #followLookUp(node: Node, counted: number): boolean {
    const looked = tables[node.opType];
    const isTable = (index: number): boolean => this.#rows(node.inputs[index]!) === 0 && this.#multiple(node.inputs[index]!, 0) === counted;
    if (!looked?.every(isTable) || node.int('axis', 0) !== 0 || this.#counted([node.inputs[1]!]) === undefined || this.#rows(node.inputs[1]!) !== 0) return false;
    const others = node.inputs.filter((_, i) => i !== 1 && !looked.includes(i));
    if (!others.every((value) => value && this.#rows(value) === 0 && this.#counted([value]) === undefined && this.#multiple(value, 0) === this.#multiple(node.inputs[1]!, 0))) return false;
    this.#places.set(node.output(), { axis: 0 });
    return this.#multiple(node.output(), 0) !== undefined;
  }

  #counted(values: readonly Value[]): number | undefined {
    for (const value of values) {
      const place = this.#places.get(value);
      if (place && place !== 'sizes' && place.counted !== undefined) return place.counted;
    }
    return undefined;
  }

  /** The elements follow from sizes alone: they are the same for every batch, or sizes themselves. */
  #noteNumbers(value: Value): boolean {
    const [large, small] = [this.#large.numbers(value), this.#small.numbers(this.#twin(value))];
    if (!large || !small) return false;
    if (large.join() !== small.join()) this.#places.set(value, 'sizes');
    return true;
  }

  #outputAxes(node: Node): readonly (number | undefined)[] | undefined {
    const rows = (index: number): number | undefined => (node.inputs[index] ? this.#rows(node.inputs[index]) : undefined);
    const at = (index: number): Value | undefined => node.input(index);
    const seen: RowNode = {
      node, rows,
      has: (index) => at(index) !== undefined && at(index)!.name !== '',
      shape: (index) => at(index) && this.#large.shape(at(index)!),
      numbers: (index) => at(index) && this.#large.numbers(at(index)!),
      grown: this.#grown(node.output()),
    };
    const own = rowWays[nameOf(node)]?.(seen);
    if (own) return own;
    const way = this.#large.ways(node).find((found) => !found.attributes && !found.once?.length && found.inputs.every((place, i) => this.#fits(place, rows(i))));
    return way?.outputs.map((place) => axisOf(place));
  }

  #fits(place: WayPlace, axis: number | undefined): boolean {
    return axis === undefined ? place === null : axisOf(place) === axis;
  }

  #rows(value: Value): number | undefined {
    const place = this.#places.get(value);
    return place === 'sizes' ? undefined : place?.axis;
  }

  #shapes(value: Value): [Dims, Dims] | undefined {
    const [large, small] = [this.#large.shape(value), this.#small.shape(this.#twin(value))];
    return large && small?.length === large.length ? [large, small] : undefined;
  }

  /** How many elements of the axis there are for a row, where nothing else of the shape depends on the batch. */
  #multiple(value: Value, axis: number): number | undefined {
    const [large, small] = this.#shapes(value) ?? [];
    if (!large || !small || !large.every((dim, i) => i === axis || dim === small[i])) return undefined;
    const count = Number(large[axis]) / LARGE;
    return Number.isInteger(count) && count > 0 && small[axis] === count * SMALL ? count : undefined;
  }

  /** Weights have none: they are what they are. */
  #twin(value: Value): Value {
    return this.#twins.get(value) ?? value;
  }

  #isSame(value: Value): boolean {
    const [large, small] = this.#shapes(value) ?? [[], []];
    return large.join() === small.join();
  }

  #grown(value: Value): number | undefined {
    const [large = [], small = []] = this.#shapes(value) ?? [];
    const axis = large.findIndex((dim, i) => dim !== small[i]);
    return axis >= 0 && this.#multiple(value, axis) !== undefined ? axis : undefined;
  }
}

/** A slot that is all of a dimension. */
function axisOf(place: WayPlace): number | undefined {
  return typeof place === 'object' && place !== null && !place.offsets && !place.view ? place.axis : undefined;
}

/** In an order that depends on the graph alone. */
function* valuesOf({ model, nodes }: GraphFacts): Iterable<Value> {
  yield* model.graph.inputs;
  for (const node of nodes) for (const value of node.outputs) yield value;
}

/** The model at one size of the batch: no symbol is left. */
function bound(model: Model, symbol: string, size: number, others: readonly number[]): Model {
  const copy = cloneModel(model);
  const otherOf = (index: number): number => others[index % others.length]!;
  const names = symbolsOf(model).filter((name) => name !== symbol && !/total/i.test(name));
  const sizes = { ...completeSizes(model, Object.fromEntries(names.map((name, i) => [name, otherOf(i)]))), [symbol]: size };
  for (const value of copy.graph.inputs) if (value.type?.kind === 'tensor' && value.type.shape) value.type = { ...value.type, shape: value.type.shape.map((dim, i) => bindDim(dim, sizes) ?? otherOf(i + 5)) };
  for (const value of copy.graph.outputs) if (value.type?.kind === 'tensor') value.type = { kind: 'tensor', ...(value.type.dtype && { dtype: value.type.dtype }) };
  return copy;
}

function dimsOf(type: ValueType | undefined): Dims {
  return (type?.kind === 'tensor' ? type.shape : undefined) ?? [];
}
