/** How many bytes a node or a weight takes in a model file: whether a rewrite saves any is decided by this. */
import type { Attribute } from '../graph/attribute.js';
import type { Node } from '../graph/node.js';
import type { ValueType } from '../graph/value-type.js';
import type { Value } from '../graph/value.js';
import type { StringTensor, Tensor } from '../tensor.js';

/** Bytes of a protobuf varint; negative numbers take ten. */
function varint(value: number): number {
  if (value < 0) return 10;
  let bytes = 1;
  for (let rest = value; rest >= 128; rest /= 128) bytes++;
  return bytes;
}

/** A length-delimited field with a tag of one byte. */
const field = (length: number): number => 1 + varint(length) + length;

/** A NodeProto in its graph, and the entries of its outputs in value_info (graph outputs have theirs elsewhere). */
export function nodeBytes(node: Node, isOutput: (value: Value) => boolean): number {
  let bytes = field(node.opType.length);
  if (node.name) bytes += field(node.name.length);
  if (node.domain) bytes += field(node.domain.length);
  for (const value of node.inputs) bytes += field(value?.name.length ?? 0);
  for (const value of node.outputs) bytes += field(value.name.length);
  for (const [name, attr] of node.attributes) bytes += field(field(name.length) + 3 + attributeBytes(attr));
  let described = 0;
  for (const value of node.outputs) if (value.type && !isOutput(value)) described += field(field(value.name.length) + field(typeBytes(value.type)));
  return field(bytes) + described;
}

function attributeBytes(attr: Attribute): number {
  switch (attr.kind) {
    case 'float': return 5;
    case 'int': return 1 + varint(Number(attr.value));
    case 'ints': return attr.value.reduce((sum, value) => sum + 1 + varint(Number(value)), 0);
    case 'floats': return 5 * attr.value.length;
    case 'string': return field(attr.value.byteLength);
    case 'strings': return attr.value.reduce((sum, text) => sum + field(text.byteLength), 0);
    case 'tensor': return tensorBytes(attr.value, '');
    default: return 2;
  }
}

function typeBytes(type: ValueType): number {
  if (type.kind !== 'tensor' && type.kind !== 'sparse') return 4;
  const dims = type.shape?.reduce<number>((sum, dim) => sum + field(dim === null ? 0 : typeof dim === 'number' ? 1 + varint(dim) : field(dim.length)), 0);
  return field((type.dtype === undefined ? 0 : 2) + (dims === undefined ? 0 : field(dims)));
}

/** A TensorProto with its payload. */
export function tensorBytes(tensor: Tensor, name: string): number {
  const payload = tensor.kind === 'string' ? (tensor as StringTensor).values.reduce((sum, text) => sum + field(text.byteLength), 0) : field(tensor.byteLength);
  return field(payload + tensor.shape.reduce((sum, size) => sum + 1 + varint(size), 2) + (name ? field(name.length) : 0));
}
