/** Axes that a reduction keeps only for a Squeeze, or drops only for an Unsqueeze, it drops or keeps itself. */
import type { Node } from '../../graph/node.js';
import type { Rule } from '../rule.js';

const REDUCTIONS = ['ReduceMean', 'ReduceSum', 'ReduceMax', 'ReduceMin', 'ReduceProd', 'ReduceL1', 'ReduceL2', 'ReduceLogSum', 'ReduceLogSumExp', 'ReduceSumSquare'] as const;

export const reduceSqueeze: Rule = {
  name: 'reduce-squeeze',
  phase: 'clean',
  ops: ['Squeeze', 'Unsqueeze'],
  apply(node, c) {
    const reduce = c.producer(node.input(0), ...REDUCTIONS);
    const rank = c.shape(reduce?.input(0))?.length;
    if (!reduce || rank === undefined || !c.isPrivate(node.input(0)!)) return false;
    if (reduce.int('keepdims', 1) !== (node.opType === 'Squeeze' ? 1 : 0)) return false;
    const list = (of: Node): string | undefined => { const axes = c.axes(of); return axes?.length ? axes.map((axis) => (axis < 0 ? axis + rank : axis)).sort((a, b) => a - b).join() : undefined; };
    if (list(reduce) === undefined || list(reduce) !== list(node)) return false;
    const attributes = Object.fromEntries(reduce.attributes);
    return c.become(node, reduce.opType, reduce.inputs, { ...attributes, keepdims: node.opType === 'Squeeze' ? 0 : 1 });
  },
};
