/** A bias added to a Gemm that has none goes into it. */
import type { Rule } from '../rule.js';

export const gemmAdd: Rule = {
  name: 'gemm-add',
  phase: 'merge',
  ops: ['Add'],
  apply(node, c) {
    if (c.opset < 7) return false;
    for (const index of [0, 1]) {
      const gemm = c.producer(node.input(index), 'Gemm');
      const bias = node.input(1 - index);
      const out = c.fixedShape(node.input(index))?.[1] ?? c.shape(node.input(index))?.[1];
      const added = bias && c.weight(bias)?.shape;
      if (!gemm || !added || gemm.input(2) || !c.isPrivate(node.input(index)!) || gemm.graph !== node.graph) continue;
      if (added.length > 2 || (added.length === 2 && added[0] !== 1) || (added.at(-1) !== out && added.at(-1) !== 1 && added.length > 0)) continue;
      const attributes = Object.fromEntries([...gemm.attributes].filter(([name]) => name !== 'beta'));
      return c.become(node, 'Gemm', [gemm.input(0), gemm.input(1), bias], attributes);
    }
    return false;
  },
};
