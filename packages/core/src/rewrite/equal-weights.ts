/** Stored values with the same content are kept once, whether in memory or on disk. */
import { dtypes } from '../dtype.js';
import type { Graph } from '../graph/graph.js';
import type { Value } from '../graph/value.js';
import { matrixView } from '../shape.js';
import type { Tensor } from '../tensor.js';
import type { Rewriter } from './rewriter.js';
import { innerGraphs } from './scopes.js';

/** Bytes compared at a time. */
const CHUNK = 1 << 20;
/** Bytes of the first look, which tells nearly all different weights apart. */
const SAMPLE = 4096;

/** Merges equal weights of one graph, and of a graph with those around it. Gives the number of weights let go. */
export async function mergeEqualWeights(context: Rewriter, signal?: AbortSignal): Promise<number> {
  if (context.isFunction) return 0;
  let merged = 0;
  const visit = async (graph: Graph, outer: ReadonlyMap<string, readonly Value[]>): Promise<void> => {
    const kept = new Map(outer);
    for (const value of [...graph.initializers.values()]) {
      signal?.throwIfAborted();
      const { tensor } = value;
      if (!tensor || context.overridable.has(value) || context.isOutput(value) || !comparable(tensor)) continue;
      const key = `${tensor.dtype}[${tensor.shape.join(',')}] ${await sample(tensor)}`;
      const group = kept.get(key) ?? [];
      const twin = await findEqual(tensor, group);
      if (twin) {
        value.replaceUsesWith(twin);
        graph.initializers.delete(value.name);
        merged++;
      } else kept.set(key, [...group, value]);
    }
    for (const node of graph.nodes()) for (const inner of innerGraphs(node)) await visit(inner, kept);
  };
  await visit(context.root, new Map());
  return merged;
}

/** Rows can be read one by one, and one row is no burden. */
function comparable(tensor: Tensor): boolean {
  const { rows } = matrixView(tensor.shape);
  return (tensor.kind === 'dense' || tensor.kind === 'lazy') && dtypes[tensor.dtype].bits >= 8 && tensor.byteLength / Math.max(rows, 1) <= 64 * CHUNK;
}

const samples = new WeakMap<Tensor, string>();

async function sample(tensor: Tensor): Promise<string> {
  let text = samples.get(tensor);
  if (text === undefined) {
    const { rows } = matrixView(tensor.shape);
    const end = Math.min(rows, Math.max(1, Math.floor((SAMPLE * rows) / Math.max(tensor.byteLength, 1))));
    const bytes = rows === 0 ? new Uint8Array() : await tensor.rows({ start: 0, end });
    text = hash(bytes.subarray(0, SAMPLE));
    samples.set(tensor, text);
  }
  return text;
}

/** FNV-1a; equality is told byte by byte afterwards. */
function hash(bytes: Uint8Array): string {
  let state = 0x811c9dc5;
  for (const byte of bytes) state = Math.imul(state ^ byte, 0x01000193) >>> 0;
  return state.toString(16);
}

async function findEqual(tensor: Tensor, group: readonly Value[]): Promise<Value | undefined> {
  for (const value of group) if (await equalContent(value.tensor!, tensor)) return value;
  return undefined;
}

async function equalContent(a: Tensor, b: Tensor): Promise<boolean> {
  const { rows } = matrixView(a.shape);
  const step = Math.max(1, Math.floor((CHUNK * rows) / Math.max(a.byteLength, 1)));
  for (let start = 0; start < rows; start += step) {
    const range = { start, end: Math.min(rows, start + step) };
    const [x, y] = [await a.rows(range), await b.rows(range)];
    for (let i = 0; i < x.length; i++) if (x[i] !== y[i]) return false;
  }
  return true;
}
