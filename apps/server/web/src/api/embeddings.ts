/** Embeddings of texts and how alike they are. */
import { requestJson } from './client.js';

export interface Embedded {
  /** [texts][dimensions] */
  readonly vectors: readonly Float32Array[];
  readonly tokens: number | undefined;
  readonly ms: number;
}

interface Answer {
  readonly data: readonly { readonly index: number; readonly embedding: string | readonly number[] }[];
  readonly usage?: { readonly prompt_tokens?: number };
}

/** Asks for base64, a quarter of the digits. */
export async function embedTexts(model: string, input: readonly string[], signal?: AbortSignal): Promise<Embedded> {
  const started = performance.now();
  const { data, usage } = await requestJson<Answer>('v1/embeddings', { json: { model, input, encoding_format: 'base64' }, signal });
  const vectors = [...data].sort((a, b) => a.index - b.index).map(({ embedding }) => (typeof embedding === 'string' ? floatsOf(embedding) : Float32Array.from(embedding)));
  return { vectors, tokens: usage?.prompt_tokens, ms: performance.now() - started };
}

/** Little-endian float32, as every machine with a browser has it. */
export function floatsOf(base64: string): Float32Array {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  return new Float32Array(bytes.buffer, 0, bytes.length >> 2);
}

/** cos(a, b) of every pair; 0 where a vector has no length. */
export function similarities(vectors: readonly Float32Array[]): number[][] {
  const lengths = vectors.map((vector) => Math.sqrt(dot(vector, vector)));
  return vectors.map((a, i) => vectors.map((b, j) => (lengths[i]! * lengths[j]! === 0 ? 0 : dot(a, b) / (lengths[i]! * lengths[j]!))));
}

function dot(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * (b[i] ?? 0);
  return sum;
}
