/** Reference kernels of signal and text operators. */
import { dtypeOfOnnx } from '../dtype.js';
import { decodeText, encodeText } from '../graph/attribute.js';
import type { OpName } from '../ops/lookup.js';
import { broadcastShapes, elementCount, normalizeAxis } from '../shape.js';
import { arrayOf, expanded, type NdArray, numbers, rounded } from './array.js';
import type { Kernel, KernelContext } from './kernel.js';
import { runs } from './reduce.js';

/** a0 − a1·cos(2πi/N) + a2·cos(4πi/N), N one less when not periodic. */
const window = (a0: number, a1: number, a2: number): Kernel => (c) => {
  const size = c.number(0, 0);
  const period = c.node.int('periodic', 1) === 1 ? size : size - 1;
  const dtype = dtypeOfOnnx.get(c.node.int('output_datatype', 1)) ?? 'float32';
  return [rounded(dtype, [size], Array.from({ length: size }, (_, i) => a0 - a1 * Math.cos((2 * Math.PI * i) / period) + a2 * Math.cos((4 * Math.PI * i) / period)))];
};

/** Discrete Fourier transform of complex pairs, straight from the definition. */
function transform(re: Float64Array, im: Float64Array, inverse: boolean): [Float64Array, Float64Array] {
  const n = re.length;
  const sign = inverse ? 1 : -1;
  const [cos, sin] = [new Float64Array(n), new Float64Array(n)];
  for (let i = 0; i < n; i++) {
    cos[i] = Math.cos((2 * Math.PI * i) / n);
    sin[i] = sign * Math.sin((2 * Math.PI * i) / n);
  }
  const [outRe, outIm] = [new Float64Array(n), new Float64Array(n)];
  for (let k = 0; k < n; k++) {
    for (let t = 0; t < n; t++) {
      const at = (k * t) % n;
      outRe[k]! += re[t]! * cos[at]! - im[t]! * sin[at]!;
      outIm[k]! += re[t]! * sin[at]! + im[t]! * cos[at]!;
    }
  }
  return inverse ? [outRe.map((x) => x / n), outIm.map((x) => x / n)] : [outRe, outIm];
}

const dft: Kernel = (c) => {
  const x = c.array(0);
  const rank = x.shape.length;
  const axis = normalizeAxis(c.opset >= 20 ? c.number(2, -2) : c.node.int('axis', 1), rank);
  const [inverse, half] = [c.node.int('inverse', 0) === 1, c.node.int('onesided', 0) === 1];
  const parts = x.shape[rank - 1]!;
  const given = x.shape[axis]!;
  const mirrored = inverse && half;
  const length = c.has(1) ? c.number(1, given) : mirrored ? (given - 1) * 2 : given;
  const space = x.shape.slice(0, -1);
  const values = numbers(x);
  const bins = half && !inverse ? Math.floor(length / 2) + 1 : length;
  const shape = space.map((dim, i) => (i === axis ? bins : dim));
  const outParts = mirrored ? 1 : 2;
  const out = new Float64Array(elementCount(shape) * outParts);
  const [from, to] = [runs(space, axis), runs(shape, axis)];
  from.starts.forEach((start, r) => {
    const read = (part: number) => Float64Array.from({ length }, (_, k) => {
      // A one-sided spectrum stands for its conjugate mirror too.
      const mirror = mirrored && k >= given;
      const at = mirror ? length - k : k;
      if (at >= given || part >= parts) return 0;
      return values[(start + at * from.stride) * parts + part]! * (mirror && part === 1 ? -1 : 1);
    });
    const [re, im] = transform(read(0), read(1), inverse);
    for (let k = 0; k < bins; k++) {
      const at = (to.starts[r]! + k * to.stride) * outParts;
      out[at] = re[k]!;
      if (outParts === 2) out[at + 1] = im[k]!;
    }
  });
  return [rounded(x.dtype, [...shape, outParts], out)];
};

const stft: Kernel = (c) => {
  const x = c.array(0);
  const step = c.number(1, 1);
  const win = c.has(2) ? c.numbers(2) : undefined;
  const frame = c.number(3, win?.length ?? 0);
  const half = c.node.int('onesided', 1) === 1;
  const [batch, length] = [x.shape[0]!, x.shape[1]!];
  const parts = x.shape[2] ?? 1;
  const frames = Math.floor((length - frame) / step) + 1;
  const bins = half ? Math.floor(frame / 2) + 1 : frame;
  const values = numbers(x);
  const out = new Float64Array(batch * frames * bins * 2);
  for (let r = 0; r < batch * frames; r++) {
    const start = Math.floor(r / frames) * length + (r % frames) * step;
    const read = (part: number) => Float64Array.from({ length: frame }, (_, k) => (part < parts ? values[(start + k) * parts + part]! * (win?.[k] ?? 1) : 0));
    const [re, im] = transform(read(0), read(1), false);
    for (let k = 0; k < bins; k++) {
      out[(r * bins + k) * 2] = re[k]!;
      out[(r * bins + k) * 2 + 1] = im[k]!;
    }
  }
  return [rounded(x.dtype, [batch, frames, bins, 2], out)];
};

const melWeights: Kernel = (c) => {
  const [bins, dft, rate, low, high] = [0, 1, 2, 3, 4].map((i) => c.number(i, 0)) as [number, number, number, number, number];
  const mel = (f: number): number => 2595 * Math.log10(1 + f / 700);
  const [from, to] = [mel(low), mel(high)];
  const step = (to - from) / (bins + 2);
  const points = Array.from({ length: bins + 2 }, (_, i) => Math.floor(((dft + 1) * (700 * (10 ** ((i * step + from) / 2595) - 1))) / rate));
  const rows = Math.floor(dft / 2) + 1;
  const out = new Float64Array(rows * bins);
  for (let i = 0; i < bins; i++) {
    const [lower, center, upper] = [points[i]!, points[i + 1]!, points[i + 2]!];
    const rise = center - lower;
    if (rise === 0) out[center * bins + i] = 1;
    else for (let j = lower; j <= center; j++) out[j * bins + i] = (j - lower) / rise;
    const fall = upper - center;
    if (fall > 0) for (let j = center; j < upper; j++) out[j * bins + i] = (upper - j) / fall;
  }
  return [rounded(dtypeOfOnnx.get(c.node.int('output_datatype', 1)) ?? 'float32', [rows, bins], out)];
};

const texts = (x: NdArray): string[] => (x.data as Uint8Array[]).map(decodeText);
const textArray = (shape: readonly number[], list: readonly string[]): NdArray => arrayOf('string', shape, list.map(encodeText));

const stringNormalizer: Kernel = (c) => {
  const x = c.array(0);
  const { node } = c;
  const change = node.string('case_change_action', 'NONE');
  const sensitive = node.int('is_case_sensitive', 0) === 1;
  const fold = (text: string): string => (sensitive ? text : text.toLowerCase());
  const stop = new Set((node.strings('stopwords') ?? []).map(fold));
  const kept = texts(x).filter((text) => !stop.has(fold(text)));
  const turned = kept.map((text) => (change === 'LOWER' ? text.toLowerCase() : change === 'UPPER' ? text.toUpperCase() : text));
  const list = turned.length === 0 ? [''] : turned;
  return [textArray(x.shape.length === 2 ? [1, list.length] : [list.length], list)];
};

const stringSplit: Kernel = (c) => {
  const x = c.array(0);
  const delimiter = c.node.string('delimiter', '');
  const limit = c.node.int('maxsplit', Infinity);
  const rows = texts(x).map((text) => splitText(text, delimiter, limit));
  const width = Math.max(0, ...rows.map((row) => row.length));
  return [
    textArray([...x.shape, width], rows.flatMap((row) => Array.from({ length: width }, (_, i) => row[i] ?? ''))),
    rounded('int64', x.shape, rows.map((row) => row.length)),
  ];
};

/** At most `limit` cuts; without a delimiter, at runs of white space as Python does it. */
function splitText(text: string, delimiter: string, limit: number): string[] {
  if (delimiter === '' && text.trim() === '') return [];
  const source = delimiter === '' ? text.trimStart() : text;
  const all = delimiter === '' ? source.trim().split(/\s+/) : source.split(delimiter);
  if (all.length <= limit + 1) return all;
  let rest = source;
  for (let i = 0; i < limit; i++) {
    rest = rest.slice(all[i]!.length);
    rest = delimiter === '' ? rest.trimStart() : rest.slice(delimiter.length);
  }
  return [...all.slice(0, limit), rest];
}

const tfIdf: Kernel = (c) => {
  const x = c.array(0);
  const { node } = c;
  const [starts, indexes] = [node.ints('ngram_counts') ?? [], node.ints('ngram_indexes') ?? []];
  const pool: readonly (string | number)[] = node.strings('pool_strings') ?? node.ints('pool_int64s') ?? [];
  const [min, max, skips] = [node.int('min_gram_length', 1), node.int('max_gram_length', 1), node.int('max_skip_count', 0)];
  const weights = node.floats('weights');
  const mode = node.string('mode', 'TF');
  const width = Math.max(...indexes) + 1;
  const grams = new Map<string, number>();
  let id = 0;
  starts.forEach((start, n) => {
    const end = starts[n + 1] ?? pool.length;
    for (let at = start; at + n + 1 <= end; at += n + 1) grams.set(JSON.stringify(pool.slice(at, at + n + 1).map(String)), id++);
  });
  const words = Array.isArray(x.data) ? texts(x) : [...numbers(x)].map(String);
  const cols = x.shape.at(-1)!;
  const rows = x.shape.length === 2 ? x.shape[0]! : 1;
  const out = new Float64Array(rows * width);
  for (let r = 0; r < rows; r++) {
    const row = words.slice(r * cols, (r + 1) * cols);
    for (let n = min; n <= max; n++) {
      for (let skip = 0; skip <= (n === 1 ? 0 : skips); skip++) {
        for (let at = 0; at + (n - 1) * (skip + 1) < row.length; at++) {
          const found = grams.get(JSON.stringify(Array.from({ length: n }, (_, k) => row[at + k * (skip + 1)])));
          if (found !== undefined) out[r * width + indexes[found]!]! += 1;
        }
      }
    }
  }
  const scale = (i: number): number => {
    const gram = indexes.indexOf(i % width);
    return mode === 'TF' ? 1 : (weights?.[gram] ?? 1);
  };
  return [rounded('float32', x.shape.length === 2 ? [rows, width] : [width], out.map((count, i) => (mode === 'IDF' ? Number(count > 0) : count) * scale(i)))];
};

function concatText(c: KernelContext): NdArray {
  const shape = broadcastShapes(c.array(0).shape, c.array(1).shape);
  const [a, b] = [texts(expanded(c.array(0), shape)), texts(expanded(c.array(1), shape))];
  return textArray(shape, a.map((text, i) => text + b[i]!));
}

export const signalKernels = {
  HannWindow: window(0.5, 0.5, 0), HammingWindow: window(25 / 46, 21 / 46, 0), BlackmanWindow: window(0.42, 0.5, 0.08),
  DFT: dft, STFT: stft, MelWeightMatrix: melWeights,
  StringNormalizer: stringNormalizer, StringSplit: stringSplit, StringConcat: (c) => [concatText(c)], TfIdfVectorizer: tfIdf,
  RegexFullMatch(c) {
    const x = c.array(0);
    const pattern = new RegExp(`^(?:${c.node.string('pattern', '')})$`, 'su');
    return [rounded('bool', x.shape, texts(x).map((text) => Number(pattern.test(text))))];
  },
} satisfies Partial<Record<OpName, Kernel>>;
