/** Type rules of sequence and optional operators. */
import { dtypeOfOnnx } from '../dtype.js';
import { type ValueType, tensorType } from '../graph/value-type.js';
import type { OpName } from '../ops/lookup.js';
import type { Dim } from '../shape.js';
import { sameDim } from './dims.js';
import { axisIn, type InferRule, type Known, likeInput, tensor, withDim } from './rule.js';

const sequenceOf = (of: ValueType | undefined): Known => ({ type: { kind: 'sequence', of } });

function elementType(type: ValueType | undefined): ValueType | undefined {
  return type?.kind === 'sequence' || type?.kind === 'optional' ? type.of : undefined;
}

/** The type that describes both: sizes that differ become unknown. */
export function joinTypes(a: ValueType | undefined, b: ValueType | undefined): ValueType | undefined {
  if (!a || !b || a.kind !== b.kind) return undefined;
  if ((a.kind === 'sequence' || a.kind === 'optional') && (b.kind === 'sequence' || b.kind === 'optional')) {
    return { kind: a.kind, of: joinTypes(a.of, b.of) };
  }
  if (a.kind !== 'tensor' || b.kind !== 'tensor') return a;
  const shape = a.shape && b.shape && a.shape.length === b.shape.length
    ? a.shape.map((dim, i): Dim => (sameDim(dim, b.shape![i]!) ? dim : null))
    : undefined;
  return tensorType(a.dtype === b.dtype ? a.dtype : undefined, shape);
}

export const sequenceRules = {
  SequenceEmpty: (c) => [sequenceOf(tensorType(dtypeOfOnnx.get(c.node.int('dtype', 1))))],
  SequenceConstruct(c) {
    const types = Array.from({ length: c.inputCount }, (_, i) => c.type(i));
    return [sequenceOf(types.reduce(joinTypes, types[0]))];
  },
  SequenceInsert(c) {
    const of = elementType(c.type(0));
    // An empty sequence knows only its dtype, and that is all that can be kept.
    return [sequenceOf(joinTypes(of, c.type(1)) ?? of)];
  },
  SequenceErase: likeInput,
  SequenceAt: (c) => [{ type: elementType(c.type(0)) }],
  SequenceLength: () => [tensor('int64', [])],
  SplitToSequence(c) {
    const shape = c.shape(0);
    const axis = shape && axisIn(c.node.int('axis', 0), shape.length);
    const keep = c.has(1) || c.node.int('keepdims', 1) === 1;
    const sizes = c.has(1) ? c.numbers(1) : undefined;
    const scalar = c.shape(1)?.length === 0;
    const same = sizes?.every((size) => size === sizes[0]);
    const even = !c.has(1) ? 1 : same && !scalar ? sizes![0]! : null;
    if (!shape || axis === undefined) return [sequenceOf(tensorType(c.dtype(0)))];
    return [sequenceOf(tensorType(c.dtype(0), keep ? withDim(shape, axis, even) : shape.filter((_, i) => i !== axis)))];
  },
  ConcatFromSequence(c) {
    const of = elementType(c.type(0));
    if (of?.kind !== 'tensor' || !of.shape) return [tensor(of?.kind === 'tensor' ? of.dtype : undefined)];
    const made = c.node.int('new_axis', 0) === 1;
    const rank = of.shape.length + (made ? 1 : 0);
    const axis = axisIn(c.node.int('axis', 0), rank) ?? 0;
    const shape = made ? [...of.shape.slice(0, axis), null, ...of.shape.slice(axis)] : withDim(of.shape, axis, null);
    return [tensor(of.dtype, shape)];
  },
  SequenceMap(c) {
    const body = c.node.subgraph('body');
    if (!body) return [];
    const inputs = Array.from({ length: c.inputCount }, (_, i): Known => {
      const type = c.type(i);
      return { type: type?.kind === 'sequence' ? type.of : type };
    });
    return c.subgraph(body, inputs).map((out) => sequenceOf(out?.type));
  },
  Optional(c) {
    const stated = c.node.attributes.get('type');
    const of = c.type(0) ?? (stated?.kind === 'type' ? stated.value : undefined);
    return [{ type: { kind: 'optional', of } }];
  },
  OptionalHasElement: () => [tensor('bool', [])],
  OptionalGetElement(c) {
    const type = c.type(0);
    return [{ type: type?.kind === 'optional' ? type.of : type }];
  },
} satisfies Partial<Record<OpName, InferRule>>;

/** Shapes of a value that changes from one iteration to the next: only what stays the same is kept. */
export function loosen(first: Known | undefined, next: Known | undefined): Known {
  return { type: joinTypes(first?.type, next?.type) };
}

