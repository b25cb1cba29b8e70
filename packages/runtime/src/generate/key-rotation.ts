/** How the keys of an attention are rotated, read from the graph: what a rotation swaps has to be held alike. */
import { type Node, PenjingError, type Value } from '@penjing/core';

/** Pairs of channels that turn into each other: of the first `width` of each head, (d, d + width / 2), or (2d, 2d + 1) where interleaved. */
export interface KeyRotation {
  readonly width: number;
  readonly interleaved: boolean;
}

/** Inputs of GroupQueryAttention. */
const [KEY, COSINES] = [1, 7];
/** Leave a channel where it is. */
const SAME_CHANNELS: ReadonlySet<string> = new Set(['Cast', 'Identity', 'Reshape', 'Squeeze', 'Unsqueeze']);
const HEADS_FIRST = '0,2,1,3';
/** What comes out of them has no rotation yet. */
const PRODUCTS: ReadonlySet<string> = new Set(['DynamicQuantizeLinear', 'FusedMatMul', 'Gemm', 'MatMul', 'MatMulInteger', 'MatMulNBits']);
/** Places come into a graph by them. */
const BY_PLACE: ReadonlySet<string> = new Set(['Cos', 'CumSum', 'Gather', 'GatherElements', 'GatherND', 'Range', 'RotaryEmbedding', 'Sin']);
/** Their further inputs say where, not what. */
const SHAPERS: ReadonlySet<string> = new Set(['Expand', 'Reshape', 'Slice', 'Split', 'Squeeze', 'Unsqueeze']);

/** The channel that a channel of a head turns into; itself where nothing turns. */
export function partnerOf(channel: number, rotation: KeyRotation | undefined): number {
  if (!rotation || channel >= rotation.width) return channel;
  return rotation.interleaved ? channel ^ 1 : (channel + rotation.width / 2) % rotation.width;
}

/** Of a GroupQueryAttention. Undefined for keys that do not depend on where they stand. Throws `E_UNSUPPORTED` for keys that are rotated in a way which cannot be read. */
export function keyRotation(node: Node, headDim: number): KeyRotation | undefined {
  if (node.int('do_rotary', 0) === 1) return checked(node, headDim, 2 * widthOf(node.input(COSINES)), node.int('rotary_interleaved', 0));
  const key = node.input(KEY);
  const last = throughCasts(key ?? node.input(0));
  if (key && last?.opType === 'RotaryEmbedding') return checked(node, headDim, last.int('rotary_embedding_dim', 0) || headDim, last.int('interleaved', 0));
  if (!last || dependsOnPlace(last, new Set())) throw unreadable(node);
  return undefined;
}

function checked(node: Node, headDim: number, width: number, interleaved: number): KeyRotation {
  if (!(width > 0 && width <= headDim && width % 2 === 0)) throw unreadable(node);
  return { width, interleaved: interleaved === 1 };
}

/** The node that made the numbers of a value, before they were cast and put into another shape. */
function throughCasts(value: Value | null | undefined): Node | undefined {
  let node = value?.producer;
  while (node && (SAME_CHANNELS.has(node.opType) || (node.opType === 'Transpose' && node.ints('perm')?.join() === HEADS_FIRST))) node = node.input(0)?.producer;
  return node ?? undefined;
}

/** Back to the products that the numbers are made by: does anything on the way know the place of a token? */
function dependsOnPlace(node: Node, seen: Set<Node>): boolean {
  if (seen.has(node)) return false;
  seen.add(node);
  if (BY_PLACE.has(node.opType)) return true;
  // keys that are rotated, and then mixed by a product
  if (PRODUCTS.has(node.opType)) return throughCasts(node.input(0))?.opType === 'RotaryEmbedding';
  const [first, ...others] = node.inputs;
  // a part of a table, by the place
  if (SHAPERS.has(node.opType)) return first?.tensor ? others.some((value) => value && !value.tensor) : cameByPlace(first, seen);
  return node.inputs.some((value) => cameByPlace(value, seen));
}

/** Inputs of the graph are places or what was read before: neither has a part in keys that have none. */
function cameByPlace(value: Value | null | undefined, seen: Set<Node>): boolean {
  if (!value || value.tensor) return false;
  return value.producer ? dependsOnPlace(value.producer, seen) : true;
}

const widthOf = (value: Value | null | undefined): number => {
  const width = value?.tensor?.shape.at(-1) ?? (value?.type?.kind === 'tensor' ? value.type.shape?.at(-1) : undefined);
  return typeof width === 'number' ? width : NaN;
};

function unreadable(node: Node): PenjingError {
  return new PenjingError('E_UNSUPPORTED', `how the keys of ${node.describe()} are rotated cannot be read from the graph, so how large they become far into a text is unknown: they cannot be int8`, { hint: 'Leave the cache as the model has it.' });
}
