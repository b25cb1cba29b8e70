/**
 * Runs models in onnxruntime-node and compares what their variants give: a child process, because a hostile model may
 * take it down. Reads jobs, one JSON per line of the file argv[2], from line argv[3] on; answers one JSON per line on
 * stdout. A job is { id, variants: [path, ...], fixtures: [{ dtype, shape, data }] }; the first variant is the original,
 * without fixtures the inputs are seeded, and with loadOnly nothing is run. With `tolerance`, floats may differ by that
 * share of the largest magnitude in the output; otherwise every bit counts.
 */
import { readFileSync, writeSync } from 'node:fs';
import { createRequire } from 'node:module';

const require = createRequire(new URL('../../packages/runtime/package.json', import.meta.url));
const ort = require('onnxruntime-node');

const arrays = {
  float32: Float32Array, float64: Float64Array, int8: Int8Array, uint8: Uint8Array, int16: Int16Array, uint16: Uint16Array,
  int32: Int32Array, uint32: Uint32Array, int64: BigInt64Array, uint64: BigUint64Array, bool: Uint8Array,
  float16: globalThis.Float16Array ?? Uint16Array, int4: Uint8Array, uint4: Uint8Array,
};

/** Tried in turn until the original runs: the size of every free dimension, and what integers may be; at most so many elements. */
const attempts = [[2, [0, 1]], [1, [0, 1]], [4, [0, 1]], [2, [1, 2]], [1, [1, 1]], [576, [16000, 16000], 1e6]];

const answer = (value) => writeSync(1, JSON.stringify(value) + '\n');
const open = (path, graphOptimizationLevel = 'all') => ort.InferenceSession.create(path, {
  graphOptimizationLevel, logSeverityLevel: 4, intraOpNumThreads: 1, interOpNumThreads: 1, executionProviders: ['cpu'],
});
const firstLine = (error) => String(error?.message ?? error).split('\n')[0].slice(0, 300);

const jobs = readFileSync(process.argv[2], 'utf8').split('\n').filter(Boolean);
for (let i = Number(process.argv[3]); i < jobs.length; i++) {
  const job = JSON.parse(jobs[i]);
  answer({ id: job.id, ...(await compare(job).catch((error) => ({ verdict: 'error', detail: firstLine(error) }))) });
}

async function compare({ variants, fixtures, loadOnly, tolerance }) {
  const [original, ...others] = variants;
  let session;
  try {
    session = await open(original);
  } catch (error) {
    return { verdict: 'original-refused', detail: firstLine(error) };
  }
  const rewritten = [];
  try {
    for (const path of others) rewritten.push(await open(path));
  } catch (error) {
    return { verdict: 'rewritten-refused', detail: firstLine(error) };
  }
  if (loadOnly) return { verdict: 'not-run', detail: 'running it ends the process' };
  let last;
  for (const attempt of fixtures ? [undefined] : attempts) {
    let candidate;
    let expected;
    try {
      candidate = attempt ? seeded(session, ...attempt) : recorded(session, fixtures);
    } catch (error) {
      last ??= { verdict: 'not-fed', detail: firstLine(error) };
      continue;
    }
    try {
      expected = await session.run(candidate);
    } catch (error) {
      last = { verdict: 'not-run', detail: firstLine(error) };
      continue;
    }
    for (const other of rewritten) {
      const difference = unequal(expected, await other.run(candidate), tolerance);
      if (difference === undefined) continue;
      // Small random outputs may agree by chance, so the original is asked several times.
      for (let k = 0; k < 8; k++) {
        const again = await (await open(original)).run(candidate);
        if (unequal(expected, again, tolerance) !== undefined) return { verdict: 'not-deterministic', detail: difference };
      }
      if (tolerance && (await equalAsWritten(variants, candidate, tolerance))) return { verdict: 'equal-as-written', detail: difference };
      return { verdict: 'different', detail: difference };
    }
    return { verdict: 'identical', fixtures: fixtures !== undefined };
  }
  return last;
}

/** Without ONNX Runtime's own fusions, which may take another order of rounding on one of the two. */
async function equalAsWritten(variants, candidate, tolerance) {
  const results = [];
  for (const path of variants) results.push(await (await open(path, 'disabled')).run(candidate));
  return results.every((result) => unequal(results[0], result, tolerance) === undefined);
}

function recorded(session, fixtures) {
  return Object.fromEntries(fixtures.map(({ dtype, shape, data }, k) => [session.inputNames[k], tensor(dtype, shape, data)]));
}

function seeded(session, free, range, most = 3e7) {
  return Object.fromEntries(session.inputMetadata.map(({ name, isTensor, type, shape }, k) => {
    if (!isTensor) throw new Error(`${name} is no tensor`);
    const dims = shape.map((dim) => (typeof dim === 'number' && dim >= 0 ? dim : free));
    const count = dims.reduce((a, b) => a * b, 1);
    if (count > most) throw new Error(`${name} has ${count} elements`);
    return [name, new ort.Tensor(type, values(type, count, k, range), dims)];
  }));
}

function values(type, count, seed, [least, most]) {
  if (type === 'string') return Array.from({ length: count }, (_, i) => `text ${i}`);
  const Ctor = arrays[type];
  if (!Ctor) throw new Error(`Node has no ${type}`);
  const size = type === 'int4' || type === 'uint4' ? Math.ceil(count / 2) : count;
  const data = new Ctor(size);
  let state = 12345 + seed;
  for (let i = 0; i < size; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const unit = state / 2 ** 32;
    if (type.startsWith('float') && Ctor !== Uint16Array) data[i] = unit * 2 - 1;
    else if (type === 'float16') data[i] = 0x3800 | (state >>> 22); // 0.5 to 1
    else if (data instanceof BigInt64Array || data instanceof BigUint64Array) data[i] = BigInt(unit < 0.5 ? least : most);
    else data[i] = unit < 0.5 ? least : most;
  }
  return data;
}

function tensor(dtype, shape, data) {
  if (dtype === 'string') return new ort.Tensor('string', data.map((text) => Buffer.from(text, 'base64').toString()), shape);
  const Ctor = arrays[dtype];
  if (!Ctor) throw new Error(`Node has no ${dtype}`);
  const bytes = Buffer.from(data, 'base64');
  return new ort.Tensor(dtype, new Ctor(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length)), shape);
}

function unequal(a, b, tolerance) {
  for (const name of Object.keys(a)) {
    const [x, y] = [a[name], b[name]];
    if (!y || x.type !== y.type || x.dims.join() !== y.dims.join()) return `${name}: type or shape`;
    if (x.type === 'string') {
      if (x.data.some((text, i) => text !== y.data[i])) return `${name}: texts`;
    } else if (tolerance && x.type.startsWith('float')) {
      const error = relativeError(floats(x), floats(y));
      if (!(error <= tolerance)) return `${name}: values, ${error}`;
    } else if (Buffer.compare(raw(x.data), raw(y.data)) !== 0) return `${name}: values`;
  }
  return Object.keys(a).length === Object.keys(b).length ? undefined : 'number of outputs';
}

/** Largest difference over the largest finite magnitude; NaN and infinities must stand in the same places. */
function relativeError(a, b) {
  let [error, scale] = [0, 0];
  for (let i = 0; i < a.length; i++) {
    if (Object.is(a[i], b[i])) {
      if (Number.isFinite(a[i])) scale = Math.max(scale, Math.abs(a[i]));
      continue;
    }
    if (!Number.isFinite(a[i]) || !Number.isFinite(b[i])) return Infinity;
    scale = Math.max(scale, Math.abs(a[i]));
    error = Math.max(error, Math.abs(a[i] - b[i]));
  }
  return error === 0 ? 0 : error / Math.max(scale, 1e-30);
}

function floats({ type, data }) {
  return type === 'float16' && data instanceof Uint16Array ? Float32Array.from(data, halfToNumber) : data;
}

function halfToNumber(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  if (exponent === 31) return bits & 1023 ? NaN : sign * Infinity;
  return exponent === 0 ? sign * (bits & 1023) * 2 ** -24 : sign * (1 + (bits & 1023) / 1024) * 2 ** (exponent - 15);
}

function raw(data) {
  return Buffer.from(data.buffer, data.byteOffset, data.byteLength);
}
