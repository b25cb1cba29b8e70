/** Numbers for the symbols in the shapes of a model's inputs. */
import { cloneModel, inferShapes, allGraphs, type Dim, type Model, type Node, type Value, type ValueType, PenjingError } from '@penjing/core';
import { routedRows } from './routed-rows.js';

export type Sizes = Readonly<Record<string, number>>;

const SYMBOL = /^[A-Za-z_][\w.]*$/;
/** Larger sizes overflow products of shapes long before they fit into memory. */
const MAX_SIZE = 2 ** 24;
const DEFAULT_TOKENS = 64;

/** Symbols in the shapes of the inputs, in order. */
export function symbolsOf(model: Model): string[] {
  const dims = model.graph.inputs.flatMap(({ type }) => (type?.kind === 'tensor' ? (type.shape ?? []) : []));
  return [...new Set(dims.filter((dim) => typeof dim === 'string').flatMap((text) => text.split(/[\s*+-]+/)))].filter((text) => SYMBOL.test(text));
}

/**
 * A size for every symbol: as given, by its name or by how it begins (`batch` for `batch_size`); else one for a batch, none for a past, 64 for a
 * sequence, the sum of past and sequence for a total. Throws `E_OPTION` for a size that no symbol takes and for what is no size.
 */
export function completeSizes(model: Model, given: Sizes = {}): Record<string, number> {
  const symbols = symbolsOf(model);
  const sizes: Record<string, number> = {};
  for (const [name, size] of Object.entries(given)) {
    if (!Number.isSafeInteger(size) || size < 0 || size > MAX_SIZE) throw new PenjingError('E_OPTION', `${name}=${size} is no size up to ${MAX_SIZE}`);
    const exact = symbols.filter((symbol) => symbol === name);
    const named = exact.length > 0 ? exact : symbols.filter((symbol) => symbol.startsWith(name));
    if (named.length !== 1) {
      throw new PenjingError('E_OPTION', named.length === 0 ? `no dimension of an input is called ${name}` : `${name} could be ${named.join(' or ')}`, {
        hint: symbols.length > 0 ? `The symbols are ${symbols.join(', ')}.` : 'All sizes of the inputs of this model are fixed.',
      });
    }
    sizes[named[0]!] = size;
  }
  const find = (pattern: RegExp): number | undefined => symbols.filter((symbol) => pattern.test(symbol)).map((symbol) => sizes[symbol]).find((size) => size !== undefined);
  for (const symbol of symbols) if (/past/i.test(symbol)) sizes[symbol] ??= 0;
  for (const symbol of symbols) if (/^(seq|tokens|length)/i.test(symbol)) sizes[symbol] ??= DEFAULT_TOKENS;
  for (const symbol of symbols) sizes[symbol] ??= /total/i.test(symbol) ? (find(/past/i) ?? 0) + (find(/^(seq|tokens|length)/i) ?? 0) : 1;
  return sizes;
}

export interface TypesAt {
  readonly typeOf: (value: Value) => ValueType | undefined;
  /** That a node has anything to do: below 1 for those of an expert that no token may have chosen. */
  readonly chanceOf: (node: Node) => number;
}

/** Types of the values of a model, subgraphs included, at given sizes; what experts are given as it is to be expected. */
export function typesAt(model: Model, sizes: Sizes): TypesAt {
  const copy = cloneModel(model);
  const inputs = new Set<Value>(copy.graph.inputs);
  const values = new Map<Value, Value>();
  const originals = [...allGraphs(model.graph)];
  [...allGraphs(copy.graph)].forEach((graph, i) => {
    const theirs = [...originals[i]!.nodes()];
    [...graph.nodes()].forEach((node, j) => node.outputs.forEach((value, k) => values.set(theirs[j]!.outputs[k]!, value)));
  });
  copy.graph.inputs.forEach((value, i) => values.set(model.graph.inputs[i]!, value));
  const declared = new Map<Value, ValueType | undefined>();
  for (const value of values.values()) {
    const bound = bindType(value.type, sizes, inputs.has(value));
    declared.set(value, bound);
    // What files say of computed shapes holds for other sizes; it counts only where nothing can be inferred.
    value.type = inputs.has(value) || bound?.kind !== 'tensor' ? bound : { kind: 'tensor', ...(bound.dtype && { dtype: bound.dtype }) };
  }
  inferShapes(copy);
  const chances = bindRouted(copy);
  return {
    typeOf(value) {
      const mine = values.get(value);
      if (!mine) return value.type;
      const { type } = mine;
      return type?.kind === 'tensor' && !type.shape ? (declared.get(mine) ?? type) : (type ?? declared.get(mine));
    },
    chanceOf: (node) => chanceAt(node, (value) => chances.get(values.get(value) ?? value)),
  };
}

/** Gives numbers to what depends on the tokens of an expert; by value the chance that there are such. */
function bindRouted(model: Model): ReadonlyMap<Value, number> {
  const chances = new Map<Value, number>();
  const routed = routedRows(model);
  if (routed.size === 0) return chances;
  const isOpen = ({ type }: Value): boolean => type?.kind !== 'tensor' || !type.shape?.every((dim) => typeof dim === 'number');
  const open = new Set([...model.graph.nodes()].flatMap(({ outputs }) => outputs).filter(isOpen));
  for (const [node, { rows, chance }] of routed) {
    const value = node.output();
    chances.set(value, chance);
    const shape = value.type?.kind === 'tensor' ? value.type.shape : undefined;
    value.type = { kind: 'tensor', dtype: 'int64', shape: [shape?.[0] ?? null, rows] };
  }
  inferShapes(model);
  for (const node of model.graph.nodes()) {
    const chance = chanceAt(node, (value) => chances.get(value));
    // What every token has again is there in any case.
    if (chance < 1) for (const value of node.outputs) if (open.has(value)) chances.set(value, chance);
  }
  return chances;
}

function chanceAt({ inputs }: Node, chanceOf: (value: Value) => number | undefined): number {
  return Math.min(1, ...inputs.map((value) => (value && chanceOf(value)) ?? 1));
}

function bindType(type: ValueType | undefined, sizes: Sizes, isInput: boolean): ValueType | undefined {
  if (type?.kind !== 'tensor' || !type.shape) return type;
  return { ...type, shape: type.shape.map((dim) => bindDim(dim, sizes) ?? (isInput ? 1 : null)) };
}

/** Sums and products of symbols: `past + 2*seq - 1`. Undefined when a symbol has no size. */
export function bindDim(dim: Dim, sizes: Sizes): number | undefined {
  if (typeof dim !== 'string') return dim ?? undefined;
  if (Object.hasOwn(sizes, dim)) return sizes[dim];
  let sum = 0;
  for (const [, sign, term] of dim.matchAll(/([+-]?)\s*([^+-]+)/g)) {
    const factors = term!.split('*').map((text) => (/^\s*\d+\s*$/.test(text) ? Number(text) : sizes[text.trim()]));
    if (!factors.every((factor) => factor !== undefined)) return undefined;
    sum += (sign === '-' ? -1 : 1) * factors.reduce((product, factor) => product * factor, 1);
  }
  return sum;
}
