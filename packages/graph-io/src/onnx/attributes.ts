/** AttributeProto to Attribute and back, by one table of kinds. */
import { type Attribute, type AttributeKind, attributeTypes, PenjingError } from '@penjing/core';
import { encodeBytes } from './encode.js';
import { type AttributeProto, attributeSchema } from './schema.js';

/** The field of AttributeProto that holds each kind. */
const valueFields = {
  float: 'f', int: 'i', string: 's', tensor: 't', graph: 'g', floats: 'floats', ints: 'ints', strings: 'strings',
  tensors: 'tensors', graphs: 'graphs', sparseTensor: 'sparseTensor', sparseTensors: 'sparseTensors', type: 'tp',
  types: 'typeProtos',
} as const satisfies Record<AttributeKind, keyof AttributeProto>;

const kinds = Object.keys(valueFields) as AttributeKind[];
const kindOfType = new Map<number, AttributeKind>(kinds.map((kind) => [attributeTypes[kind], kind]));

/** What a single value is when its field is absent, as protobuf defines it; other kinds must have their field. */
const defaults: Partial<Record<AttributeKind, unknown>> = {
  float: 0, int: 0n, string: new Uint8Array(0), floats: [], ints: [], strings: [], tensors: [], graphs: [],
  sparseTensors: [], types: [],
};

/** Parts of an attribute that need the rest of the model to be read or written. */
export interface AttributeParts {
  /** Converts the content of the field of one element kind. */
  convert(kind: AttributeKind, value: unknown): unknown;
}

const single: Partial<Record<AttributeKind, AttributeKind>> = {
  tensors: 'tensor', graphs: 'graph', sparseTensors: 'sparseTensor', types: 'type',
};

/** Throws `E_ONNX_ATTRIBUTE` when it has no kind, or a kind without its value. */
export function readAttribute(proto: AttributeProto, where: string, parts: AttributeParts): Attribute {
  const fail = (what: string): PenjingError =>
    new PenjingError('E_ONNX_ATTRIBUTE', `attribute '${proto.name ?? ''}' of ${where} ${what}`);
  // Writers before IR version 2 gave no type: then the field that is there tells.
  const kind = proto.type ? kindOfType.get(proto.type) : kinds.find((kind) => proto[valueFields[kind]] !== undefined);
  if (kind === undefined) throw fail(proto.type ? `has the unknown type ${proto.type}` : 'has neither type nor value');
  const used = new Set<keyof AttributeProto>(['name', 'type', 'doc', 'refAttrName', 'extra']);
  if (!proto.refAttrName) used.add(valueFields[kind]);
  const extra = leftover(proto, used);
  const rest = { ...(proto.doc && { doc: proto.doc }), ...(extra && { extra }) };
  if (proto.refAttrName) return { kind: 'ref', name: proto.refAttrName, of: kind, ...rest };
  const stored = proto[valueFields[kind]] ?? defaults[kind];
  if (stored === undefined) throw fail(`is of type ${kind} but holds none`);
  return { kind, value: convertAll(kind, stored, parts), ...rest } as Attribute;
}

export function writeAttribute(name: string, attr: Attribute, parts: AttributeParts): AttributeProto {
  const rest = { ...(attr.doc && { doc: attr.doc }), ...(attr.extra && { extra: [attr.extra] }) };
  if (attr.kind === 'ref') return { name, type: attributeTypes[attr.of], refAttrName: attr.name, ...rest };
  return { name, type: attributeTypes[attr.kind], [valueFields[attr.kind]]: convertAll(attr.kind, attr.value, parts), ...rest };
}

function convertAll(kind: AttributeKind, value: unknown, parts: AttributeParts): unknown {
  const element = single[kind];
  return element ? (value as unknown[]).map((item) => parts.convert(element, item)) : parts.convert(kind, value);
}

/** Fields of other kinds and unknown ones, encoded again; most attributes have none. */
function leftover(proto: AttributeProto, used: ReadonlySet<keyof AttributeProto>): Uint8Array | undefined {
  const others = Object.entries(proto).filter(([name]) => !used.has(name as keyof AttributeProto));
  if (others.length === 0 && !proto.extra) return undefined;
  const kept: AttributeProto = { ...Object.fromEntries(others), ...(proto.extra && { extra: proto.extra }) };
  return encodeBytes(attributeSchema, kept);
}
