/** A matrix product of rank 2 and the vector added to it are one Gemm; chains of constants around an operator are one. */
import { attribute } from '../../graph/attribute.js';
import type { Node } from '../../graph/node.js';
import type { Value } from '../../graph/value.js';
import { broadcastShapes, sameShape } from '../../shape.js';
import { float32Of, float32Tensor, isFinite32 } from '../arithmetic.js';
import type { Rewriter } from '../rewriter.js';
import type { Rule } from '../rule.js';

/**
 * MatMul(x, W) + b with x of rank 2: ONNX Runtime makes the same Gemm when it loads the file, and block quantization
 * takes Gemm as it takes MatMul. Higher ranks would need two Reshapes more.
 */
export const matmulAdd: Rule = {
  name: 'matmul-add',
  phase: 'merge',
  ops: ['Add'],
  apply(node, c) {
    if (c.opset < 7) return false;
    for (const index of [0, 1]) {
      const product = c.producer(node.input(index), 'MatMul');
      const bias = node.input(1 - index);
      if (!product || !bias || !c.isPrivate(node.input(index)!) || product.graph !== node.graph || c.dtype(node.input(index)) !== 'float32') continue;
      const [a, b] = [c.shape(product.input(0)), c.fixedShape(product.input(1))];
      const added = c.weight(bias)?.shape;
      if (a?.length !== 2 || b?.length !== 2 || !c.weight(product.input(1)) || !added) continue;
      const fits = added.length <= 2 && (added.at(-1) === b[1] || added.at(-1) === 1 || added.length === 0) && (added.length < 2 || added[0] === 1);
      if (fits) return c.become(node, 'Gemm', [product.input(0), product.input(1), bias]);
    }
    return false;
  },
};

/** A bias added to a Gemm that has none. */
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

interface Step {
  readonly input: Value;
  readonly constant: Value;
  readonly numbers: readonly number[];
  readonly kind: 'add' | 'multiply';
}

/** x op constant, for float32 x, as an addition or a multiplication. */
function stepOf(node: Node | undefined, c: Rewriter): Step | undefined {
  if (!node) return undefined;
  for (const index of [1, 0]) {
    const [constant, input] = [node.input(index), node.input(1 - index)];
    const numbers = float32Of(constant, c);
    if (!constant || !input || !numbers || c.weight(input)) continue;
    if (node.opType === 'Add') return { input, constant, numbers, kind: 'add' };
    if (node.opType === 'Mul') return { input, constant, numbers, kind: 'multiply' };
    if (index === 1 && node.opType === 'Sub') return { input, constant, numbers: numbers.map((x) => -x), kind: 'add' };
    if (index === 1 && node.opType === 'Div') return { input, constant, numbers: numbers.map((x) => 1 / x), kind: 'multiply' };
  }
  return undefined;
}

/** (x + a) + b is x + (a + b), (x·a)·b is x·(a·b). */
export const mergeConstants: Rule = {
  name: 'merge-constants',
  phase: 'merge',
  stores: true,
  ops: ['Add', 'Sub', 'Mul', 'Div'],
  apply(node, c) {
    if (c.opset < 7) return false;
    const outer = stepOf(node, c);
    const inner = stepOf(c.producer(outer?.input, 'Add', 'Sub', 'Mul', 'Div'), c);
    if (!outer || !inner || outer.kind !== inner.kind || !c.isPrivate(outer.input)) return false;
    const [a, b] = [c.constant(inner.constant)!.shape, c.constant(outer.constant)!.shape];
    // Broadcasting two small constants against each other could make a large one.
    const shape = a.length === 0 || sameShape(a, b) ? b : b.length === 0 ? a : undefined;
    if (!shape || !sameShape(broadcastShapes(a, b), shape)) return false;
    const [x, y] = [inner.numbers, outer.numbers];
    const merged = Array.from({ length: Math.max(x.length, y.length) }, (_, i) => {
      const [p, q] = [x[x.length === 1 ? 0 : i]!, y[y.length === 1 ? 0 : i]!];
      return outer.kind === 'add' ? p + q : p * q;
    });
    const tiny = outer.kind === 'multiply' && merged.some((value, i) => value !== 0 && Math.abs(value) < 1e-30 && i >= 0);
    if (!isFinite32(merged) || tiny) return false;
    return c.become(node, outer.kind === 'add' ? 'Add' : 'Mul', [inner.input, c.addConstant(node, float32Tensor(shape, merged), `${node.output(0).name}/constant`)]);
  },
};

/** Bounds of Clip and Relu after one another. */
export const mergeClip: Rule = {
  name: 'merge-clip',
  phase: 'clean',
  stores: true,
  ops: ['Clip', 'Relu'],
  apply(node, c) {
    const inner = c.producer(node.input(0), 'Clip', 'Relu');
    if (!inner || c.dtype(node.input(0)) !== 'float32') return false;
    const [a, b] = [boundsOf(inner, c), boundsOf(node, c)];
    const source = inner.input(0);
    if (!a || !b || !source) return false;
    // What the inner one leaves is inside the outer bounds.
    if (a[0] >= b[0] && a[1] <= b[1]) return c.bypass(node, node.input(0)!);
    if (!c.isPrivate(node.input(0)!)) return false;
    const clamp = (x: number): number => Math.min(Math.max(x, b[0]), b[1]);
    const [low, high] = [clamp(a[0]), clamp(a[1])];
    if (low === 0 && high === Infinity) return c.become(node, 'Relu', [source]);
    if (c.opset < 11) {
      return c.become(node, 'Clip', [source], { ...(low !== -Infinity && { min: attribute.float(low) }), ...(high !== Infinity && { max: attribute.float(high) }) });
    }
    const name = node.output(0).name;
    const bound = (x: number, end: string): Value | null => (Number.isFinite(x) ? c.addConstant(node, float32Tensor([], [x]), `${name}/${end}`) : null);
    return c.become(node, 'Clip', [source, bound(low, 'min'), bound(high, 'max')]);
  },
};

function boundsOf(node: Node, c: Rewriter): [number, number] | undefined {
  if (node.opType === 'Relu') return [0, Infinity];
  const bound = (index: number, name: string, fallback: number): number | undefined => (node.input(index) ? c.scalar(node.input(index)) : node.float(name, fallback));
  const [low, high] = [bound(1, 'min', -Infinity), bound(2, 'max', Infinity)];
  return low === undefined || high === undefined || low > high ? undefined : [low, high];
}
