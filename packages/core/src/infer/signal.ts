/** Shape rules of signal, random and text operators. */
import { dtypeOfOnnx } from '../dtype.js';
import type { OpName } from '../ops/lookup.js';
import { addDims, broadcastAll, floorDivideDims, multiplyDims, subtractDims } from './dims.js';
import { axisIn, type InferContext, type InferRule, tensor, unknown, withDim } from './rule.js';

const attributeDtype = (c: InferContext) => dtypeOfOnnx.get(c.node.int('dtype', 0));
const window: InferRule = (c) => [tensor(dtypeOfOnnx.get(c.node.int('output_datatype', 1)), [c.values(0)?.[0] ?? null])];
const random: InferRule = (c) => [tensor(attributeDtype(c) ?? 'float32', c.node.ints('shape'))];
const randomLike: InferRule = (c) => [tensor(attributeDtype(c) ?? c.dtype(0), c.shape(0))];

export const signalRules = {
  BlackmanWindow: window, HammingWindow: window, HannWindow: window,
  RandomNormal: random, RandomUniform: random, RandomNormalLike: randomLike, RandomUniformLike: randomLike, Bernoulli: randomLike,
  Multinomial: (c) => [tensor(attributeDtype(c) ?? 'int32', [c.shape(0)?.[0] ?? null, c.node.int('sample_size', 1)])],
  MelWeightMatrix(c) {
    const bins = c.values(1)?.[0] ?? null;
    return [tensor(dtypeOfOnnx.get(c.node.int('output_datatype', 1)), [addDims(floorDivideDims(bins, 2), 1), c.values(0)?.[0] ?? null])];
  },
  DFT(c) {
    const x = c.shape(0);
    if (!x) return [tensor(c.dtype(0))];
    const given = c.opset >= 20 ? (c.has(2) ? c.numbers(2)?.[0] : -2) : c.node.int('axis', 1);
    const axis = given === undefined ? undefined : axisIn(given, x.length);
    const half = c.node.int('onesided', 0) === 1;
    const inverse = c.node.int('inverse', 0) === 1;
    const last = half && inverse ? 1 : 2;
    if (axis === undefined) {
      const same = !half && !c.has(1);
      return [tensor(c.dtype(0), withDim(same ? x : unknown(x.length), x.length - 1, last))];
    }
    // A one-sided spectrum of n/2 + 1 bins stands for n samples.
    const implied = half && inverse ? multiplyDims(addDims(x[axis]!, -1), 2) : x[axis]!;
    const length = c.has(1) ? (c.values(1)?.[0] ?? null) : implied;
    const size = half ? (inverse ? length : addDims(floorDivideDims(length, 2), 1)) : length;
    return [tensor(c.dtype(0), withDim(withDim(x, axis, size), x.length - 1, last))];
  },
  STFT(c) {
    const x = c.shape(0);
    const step = c.values(1)?.[0] ?? null;
    const frame = c.has(3) ? (c.values(3)?.[0] ?? null) : (c.shape(2)?.[0] ?? null);
    const frames = addDims(floorDivideDims(subtractDims(x?.[1] ?? null, frame), step), 1);
    const bins = c.node.int('onesided', 1) === 1 ? addDims(floorDivideDims(frame, 2), 1) : frame;
    return [tensor(c.dtype(0), [x?.[0] ?? null, frames, bins, 2])];
  },
  ImageDecoder: () => [tensor('uint8', [null, null, null])],
  RegexFullMatch: (c) => [tensor('bool', c.shape(0))],
  StringConcat: (c) => [tensor('string', broadcastAll([c.shape(0), c.shape(1)]))],
  StringSplit: (c) => [tensor('string', c.shape(0) && [...c.shape(0)!, null]), tensor('int64', c.shape(0))],
  StringNormalizer: (c) => [tensor('string', (c.node.strings('stopwords')?.length ?? 0) === 0 ? c.shape(0) : c.shape(0)?.map((dim, i, all) => (i === all.length - 1 ? null : dim)))],
  TfIdfVectorizer(c) {
    const indexes = c.node.ints('ngram_indexes') ?? [];
    return [tensor('float32', c.shape(0) && [...c.shape(0)!.slice(0, -1), indexes.length === 0 ? null : Math.max(...indexes) + 1])];
  },
} satisfies Partial<Record<OpName, InferRule>>;
