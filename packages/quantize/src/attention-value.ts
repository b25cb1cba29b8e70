/** From the result of an attention back to the values that it mixes: their channels are those of the result, head by head. */
import { elementCount, type Node, type Value } from '@penjing/core';

/** (batch, tokens, heads, features) to (batch, heads, tokens, features), and back. */
const SWAP = [0, 2, 1, 3].join();

/**
 * What the last projection before an attention gave, if channel c of `activation` is a mean over tokens of channel c of it: a factor per channel may
 * then be taken there as well. `own` says which values nothing else reads. Known are attention in single operators, with as many heads
 * of values as of queries, and MultiHeadAttention of com.microsoft. An attention that gives its values to a cache is none: they would mean
 * something else in this graph than in another one with the same cache.
 */
export function attentionValue(activation: Value, channels: number, own: (value: Value) => boolean): Value | undefined {
  const value = fusedValue(activation, own) ?? spelledValue(activation, channels, own);
  return value && own(value) && lastDim(value) === channels ? value : undefined;
}

function fusedValue(activation: Value, own: (value: Value) => boolean): Value | undefined {
  const node = activation.producer;
  if (node?.opType !== 'MultiHeadAttention' || node.domain !== 'com.microsoft' || node.outputs[0] !== activation) return undefined;
  const [, key, value, bias, , , past] = node.inputs;
  const cached = node.outputs.slice(1).some(({ name }) => name !== '');
  return key && value && !bias && !past && !cached && own(value) && value.type?.kind === 'tensor' && value.type.shape?.length === 3 ? value : undefined;
}

function spelledValue(activation: Value, channels: number, own: (value: Value) => boolean): Value | undefined {
  const joined = behind(activation, 'Reshape');
  const mixed = joined && own(joined) ? behind(joined, 'Transpose', isSwap) : undefined;
  const product = mixed && own(mixed) ? mixed.producer : undefined;
  const turned = product?.opType === 'MatMul' && product.domain === '' ? product.input(1) : undefined;
  const split = turned && own(turned) ? behind(turned, 'Transpose', isSwap) : undefined;
  const value = split && own(split) ? behind(split, 'Reshape') : undefined;
  const heads = (joined?.type?.kind === 'tensor' ? joined.type.shape : undefined)?.slice(2);
  const given = (split?.type?.kind === 'tensor' ? split.type.shape : undefined)?.slice(2);
  if (!value || heads?.length !== 2 || given?.length !== 2 || heads.join() !== given.join()) return undefined;
  return heads.every((dim) => typeof dim === 'number') && elementCount(heads) === channels ? value : undefined;
}

/** Input 0 of what computed a value. */
function behind(value: Value, opType: string, where: (node: Node) => boolean = () => true): Value | undefined {
  const node = value.producer;
  return node?.opType === opType && node.domain === '' && where(node) ? node.input(0) : undefined;
}

function isSwap(node: Node): boolean {
  return node.ints('perm')?.join() === SWAP;
}

function lastDim({ type }: Value): unknown {
  return type?.kind === 'tensor' ? type.shape?.at(-1) : undefined;
}
