/** A root mean square norm of a sum is one operator of ONNX Runtime, which gives the sum out too. */
import { attribute } from '../../graph/attribute.js';
import type { Node } from '../../graph/node.js';
import { Value } from '../../graph/value.js';
import { sameDim } from '../../infer/dims.js';
import type { Rewriter } from '../rewriter.js';
import type { Rule } from '../rule.js';

/** Its outputs: the norm, two that are of no use, the sum. */
const [NORM, SUM] = [0, 3];

/** Starts at the sum, which stands before whatever else reads it. Layer norms are left to ONNX Runtime, which does the same with them when it loads a model. */
export const fuseSkipNorm: Rule = {
  name: 'fuse-skip-norm',
  phase: 'fuse',
  ops: ['Add'],
  apply(node, c) {
    if (c.fusions !== 'onnxruntime' || !c.opsets.has('com.microsoft') || !isResidual(node, c)) return false;
    const norm = normOf(node, c);
    if (!norm) return false;
    const sum = node.output(0);
    const made = c.insert(node, 'SkipSimplifiedLayerNormalization', [node.input(0), node.input(1), norm.input(1)], { epsilon: attribute.float(norm.float('epsilon', 1e-5)) }, 'com.microsoft').producer!;
    while (made.outputs.length <= SUM) made.addOutput(new Value(c.names.claim(`${sum.name}/skip`)));
    return c.bypass(norm, made.output(NORM)) && c.bypass(node, made.output(SUM));
  },
};

/** Two values of one shape, (batch, seq, width) or (rows, width). */
function isResidual(node: Node, c: Rewriter): boolean {
  const [a, b] = [c.shape(node.input(0)), c.shape(node.input(1))];
  return a !== undefined && b !== undefined && (a.length === 2 || a.length === 3) && a.length === b.length && a.every((dim, i) => sameDim(dim, b[i]!)) && c.dtype(node.output(0)) === 'float32';
}

function normOf(node: Node, c: Rewriter): Node | undefined {
  for (const { node: reader, index } of node.output(0).uses()) {
    const scale = reader.input(1);
    const last = reader.int('axis', -1);
    if (reader.opType !== 'SimplifiedLayerNormalization' || reader.domain !== '' || index !== 0 || reader.graph !== node.graph || !c.onlyFirstOutput(reader)) continue;
    if (c.weight(scale)?.shape.length === 1 && scale!.producer === undefined && (last === -1 || last === c.shape(node.input(0))!.length - 1)) return reader;
  }
  return undefined;
}
