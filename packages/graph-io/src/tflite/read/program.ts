/** A TFLite file while its subgraphs become graphs: what was read of each beforehand, and what they share. */
import { dtypes, type GraphBuilder, lazy, PenjingError, toDense, type Value } from '@penjing/core';
import type { TfliteFile, TfliteSubgraph } from '../open-tflite.js';
import { weightSums } from './integer/weight-sums.js';
import { densified } from './sparse.js';
import type { Tensor } from '@penjing/core';

/**
 * How quantized operators compute. `fast`: QuantizeLinear and DequantizeLinear around float operators, which runtimes turn into integer
 * kernels with roundings of their own; float activations beside integer weights are rounded as TensorFlow Lite rounds them. `exact`: the
 * integers of TensorFlow Lite's own kernels (without a delegate: XNNPACK rounds otherwise). `float`: as `fast`, float activations never rounded.
 */
export type TfliteArithmetic = 'fast' | 'exact' | 'float';

/** Constants larger than this are never needed as numbers: shapes, axes, paddings are short. */
const MAX_NUMBERS = 1 << 16;

/** Subgraphs inside subgraphs: loops in loops in loops. A file whose subgraphs call themselves never ends. */
const MAX_DEPTH = 16;

/** Subgraphs that were entered, all together: two calls of the next one, level by level, would be 2^16. */
const MAX_INLINED = 1 << 12;

/** What was read of a subgraph. */
interface Loaded {
  /** Short integer constants, which say how operators work, and float scalars. */
  readonly numbers: ReadonlyMap<number, readonly number[]>;
  /** The largest sum of absolute weights for one output, for exact arithmetic. */
  readonly sums: ReadonlyMap<number, number>;
  /** Constants that are stored sparse, in full. */
  readonly dense: ReadonlyMap<number, Tensor>;
}

/** A variable that lives between runs: an input of the graph and an output of it, when operators assign to it. */
export interface Resource {
  /** The value it has now; undefined while nobody assigned or read it. */
  value: Value | undefined;
  /** What CALL_ONCE assigned. */
  initial: Value | undefined;
  assigned: boolean;
}

/**
 * Makes the nodes of a subgraph where `builder` is, and gives its results. Quantized values come and go as integers; `handles` are the
 * variables whose handles it is given, by the number of the input.
 */
export type Inline = (program: TfliteProgram, subgraph: number, builder: GraphBuilder, inputs: readonly Value[], handles: ReadonlyMap<number, string>) => readonly Value[];

export class TfliteProgram {
  readonly file: TfliteFile;
  readonly arithmetic: TfliteArithmetic;
  readonly resources = new Map<string, Resource>();
  /** The graph of the model: where ports go. */
  readonly main: GraphBuilder;
  /** True while CALL_ONCE runs. */
  initializing = false;
  readonly #inline: Inline;
  readonly #loaded: readonly Loaded[];
  #depth = 0;
  #inlined = 0;

  private constructor(file: TfliteFile, arithmetic: TfliteArithmetic, main: GraphBuilder, inline: Inline, loaded: readonly Loaded[]) {
    this.file = file;
    this.main = main;
    this.#inline = inline;
    this.arithmetic = arithmetic;
    this.#loaded = loaded;
  }

  static async load(file: TfliteFile, main: GraphBuilder, inline: Inline, arithmetic: TfliteArithmetic = 'exact'): Promise<TfliteProgram> {
    const loaded: Loaded[] = [];
    for (const subgraph of file.subgraphs) {
      const sums = arithmetic === 'exact' ? await weightSums(file, subgraph) : new Map<number, number>();
      loaded.push({ numbers: await numbersOf(file, subgraph), sums, dense: await densified(file, subgraph) });
    }
    return new TfliteProgram(file, arithmetic, main, inline, loaded);
  }

  loaded(subgraph: number): Loaded {
    return this.#loaded[subgraph]!;
  }

  /** A subgraph that an operator refers to. Throws `E_TFLITE` when it is not there. */
  subgraph(index: number): TfliteSubgraph {
    const subgraph = this.file.subgraphs[index];
    if (!subgraph) throw new PenjingError('E_TFLITE', `${this.file.source.uri} has no subgraph ${index}, which an operator refers to`);
    return subgraph;
  }

  /** The nodes of a subgraph, one level deeper. Throws `E_LIMIT` when subgraphs refer to each other without end. */
  inline(subgraph: number, builder: GraphBuilder, inputs: readonly Value[], handles: ReadonlyMap<number, string> = new Map()): readonly Value[] {
    this.subgraph(subgraph);
    if (++this.#depth > MAX_DEPTH || ++this.#inlined > MAX_INLINED) throw new PenjingError('E_LIMIT', `${this.file.source.uri} has subgraphs inside subgraphs without end`);
    try {
      return this.#inline(this, subgraph, builder, inputs, handles);
    } finally {
      this.#depth--;
    }
  }

  /** True when an operator outside of what CALL_ONCE runs assigns to a variable. */
  get assigns(): boolean {
    const once = new Set(this.file.subgraphs.flatMap(({ operators }) => operators.flatMap(({ options }) => (options?.type === 'CallOnceOptions' ? [options.value.initSubgraphIndex] : []))));
    return this.file.subgraphs.some(({ operators }, index) => !once.has(index) && operators.some(({ type }) => type === 'ASSIGN_VARIABLE'));
  }

  resource(name: string): Resource {
    const known = this.resources.get(name);
    if (known) return known;
    const resource: Resource = { value: undefined, initial: undefined, assigned: false };
    this.resources.set(name, resource);
    return resource;
  }
}

async function numbersOf({ source }: TfliteFile, { tensors }: TfliteSubgraph): Promise<Map<number, readonly number[]>> {
  const all = new Map<number, readonly number[]>();
  for (const [index, { dtype, shape, data, name, sparsity }] of tensors.entries()) {
    const count = shape.reduce((product, dim) => product * dim, 1);
    const { kind, bits } = dtypes[dtype];
    if (!data || sparsity || count > MAX_NUMBERS || bits < 8) continue;
    if (!['int', 'uint', 'bool'].includes(kind) && (kind !== 'float' || count > 1 || bits < 32)) continue;
    const dense = await toDense(lazy.source(source, data.offset, dtype, shape));
    const numbers = Array.from(dense.data as ArrayLike<number | bigint>, Number);
    if (numbers.some((number) => kind === 'int' && !Number.isSafeInteger(number))) throw new PenjingError('E_TFLITE', `${name} holds integers beyond 2^53`);
    all.set(index, numbers);
  }
  return all;
}
