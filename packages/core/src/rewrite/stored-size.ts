/** How many bytes a node or a weight takes in a model file, near enough to decide whether a rewrite saves any. */
import type { Node } from '../graph/node.js';
import type { Value } from '../graph/value.js';
import { formatType } from '../graph/value-type.js';
import { type StringTensor, type Tensor } from '../tensor.js';

/** A NodeProto: tags and lengths are two bytes each. */
export function nodeBytes(node: Node, isOutput: (value: Value) => boolean): number {
  let bytes = 4 + node.opType.length + node.name.length + node.domain.length;
  for (const value of node.inputs) bytes += 2 + (value?.name.length ?? 0);
  for (const value of node.outputs) {
    bytes += 2 + value.name.length;
    // Its entry in value_info; an output has one of its own that stays.
    if (value.type && !isOutput(value)) bytes += value.name.length + 10 + formatType(value.type).length;
  }
  for (const [name, attr] of node.attributes) {
    bytes += 8 + name.length;
    if (attr.kind === 'tensor') bytes += tensorBytes(attr.value, '');
    else if (attr.kind === 'ints' || attr.kind === 'floats') bytes += 2 * attr.value.length;
  }
  return bytes;
}

/** A TensorProto with its payload. */
export function tensorBytes(tensor: Tensor, name: string): number {
  const payload = tensor.kind === 'string' ? (tensor as StringTensor).values.reduce((sum, text) => sum + text.byteLength + 2, 0) : tensor.byteLength;
  return payload + 2 * tensor.shape.length + name.length + 10;
}
