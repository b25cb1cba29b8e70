/** The error of everything that TFLite, or this writer, cannot express. */
import { type Node, PenjingError } from '@penjing/core';

/** Names the node, says what is in the way, and what to do about it. */
export function unsupported(node: Node, why: string, hint: string): PenjingError {
  const output = node.outputs[0]?.name;
  return new PenjingError('E_TFLITE_OPERATOR', `${node.describe()}${node.name || !output ? '' : ` (of ${output})`} cannot be written to TFLite: ${why}`, {
    hint,
    details: { operator: node.domain ? `${node.domain}.${node.opType}` : node.opType, node: node.name, output },
  });
}
