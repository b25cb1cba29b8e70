/** Seeded inputs for a model of which only the declared types are known. */
import { type DType, DenseTensor, PenjingError, StringTensor, type ValueInfo, createRng, denseOf, dtypes, elementCount, encodeText, formatType, type Rng } from '@penjing/core';
import { plainKernels } from '@penjing/kernels';

export interface RandomFeedOptions {
  readonly seed?: number;
  /** Sizes of symbolic dimensions by their name. */
  readonly dims?: Readonly<Record<string, number>>;
  /** Whole shapes by input name; these win. */
  readonly shapes?: Readonly<Record<string, readonly number[]>>;
}

/** Size of a symbolic dimension nobody gave: one example, and a few of everything else. */
const BATCH = 1;
const OTHER = 8;

/** Inputs with a meaning that random numbers would break, by name. */
const meanings: readonly { readonly match: RegExp; readonly value: (index: number, inner: number, rng: Rng) => number }[] = [
  { match: /mask/i, value: () => 1 },
  { match: /token_type|segment/i, value: () => 0 },
  { match: /position/i, value: (index, inner) => index % inner },
  { match: /(^|_)(input_)?ids$|tokens?$/i, value: (_index, _inner, rng) => rng.below(100) },
];

/** One tensor per input; floats are standard normal, integers small. Same seed, same tensors. */
export function randomFeeds(inputs: readonly ValueInfo[], options: RandomFeedOptions = {}): Record<string, DenseTensor | StringTensor> {
  const rng = createRng(options.seed ?? 0);
  return Object.fromEntries(inputs.map((input) => [input.name, randomTensor(input, shapeOf(input, options), rng)]));
}

function shapeOf({ name, type }: ValueInfo, { dims = {}, shapes = {} }: RandomFeedOptions): readonly number[] {
  const given = own(shapes, name);
  if (given) return given;
  if (type.kind !== 'tensor') {
    throw new PenjingError('E_UNSUPPORTED', `input ${name} is ${formatType(type)}; random inputs are made for tensors only`, { hint: 'Give the feeds yourself.' });
  }
  if (!type.shape) {
    throw new PenjingError('E_INPUT', `input ${name} has no declared shape`, { hint: `Give one, for example { shapes: { ${name}: [1, 8] } }.` });
  }
  return type.shape.map((dim, axis) => {
    if (typeof dim === 'number') return dim;
    return (dim === null ? undefined : own(dims, dim)) ?? (axis === 0 ? BATCH : OTHER);
  });
}

/** Names come from files: `constructor` must not find what objects inherit. */
function own<T>(record: Readonly<Record<string, T>>, name: string): T | undefined {
  return Object.hasOwn(record, name) ? record[name] : undefined;
}

function randomTensor({ name, type }: ValueInfo, shape: readonly number[], rng: Rng): DenseTensor | StringTensor {
  const dtype: DType = (type.kind === 'tensor' ? type.dtype : undefined) ?? 'float32';
  const count = elementCount(shape);
  if (dtype === 'string') return new StringTensor(shape, Array.from({ length: count }, () => encodeText('penjing')));
  const meaning = dtypes[dtype].kind === 'float' ? undefined : meanings.find(({ match }) => match.test(name));
  const inner = shape.at(-1) ?? 1;
  const values = Array.from({ length: count }, (_, index) => (meaning ? meaning.value(index, inner, rng) : plain(dtype, rng)));
  if (dtype === 'float16') {
    const bits = new Uint16Array(count);
    plainKernels().fromFloat32('float16', Float32Array.from(values), bits);
    return DenseTensor.of('float16', shape, bits);
  }
  return denseOf(dtype, shape, values);
}

function plain(dtype: DType, rng: Rng): number {
  const { kind, bits } = dtypes[dtype];
  if (kind === 'float') return rng.normal();
  if (kind === 'bool') return rng.below(2);
  if (bits === 8) return kind === 'uint' ? rng.below(256) : rng.below(256) - 128;
  return rng.below(10);
}
