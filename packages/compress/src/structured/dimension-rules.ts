/** How the dimensions of an operator's inputs and outputs go together, one row per operator. */
import { attribute, type Node, type Value } from '@penjing/core';
import { attentionRules } from './attention-rules.js';
import { type CoupleContext, type DimensionRule, fromFront, range, uniteAxes } from './dimension-rule.js';
import { movementRules } from './reshape-rules.js';

/** Numpy broadcasting: axes of the same size go together. */
const elementwise: DimensionRule = {
  couple(node, { dims }) {
    const result = node.output();
    for (const value of node.inputs) {
      if (!value) continue;
      uniteAxes(node, dims, result, value, range(Math.min(dims.rank(value), dims.rank(result))).map((k) => [-1 - k, -1 - k] as const));
    }
  },
};

/** The first output has the axes of the first input; those from `axisOf` on are looked at as a whole, or that one alone. */
function normalized(axisOf: (node: Node) => number, { inner = true }: { readonly inner?: boolean } = {}): DimensionRule {
  return {
    couple(node, { dims }) {
      const [value, ...parameters] = node.inputs;
      if (!value) return;
      const rank = dims.rank(value);
      const at = fromFront(axisOf(node), rank);
      for (let axis = at; axis < (inner ? rank : at + 1); axis++) dims.lock(value, axis, `${node.describe()} computes over it`);
      for (const other of [...node.outputs, ...parameters]) {
        if (other && other.name !== '' && dims.rank(other) === rank) uniteAxes(node, dims, value, other, range(rank).map((k) => [k, k] as const));
        else dims.lockAll(other ?? undefined, `${node.describe()} computes over it`);
      }
    },
  };
}

/** Norms over the last axis, with factors and biases for it: what they look at as a whole are hidden features. */
const featureNorm = (axisOf: (node: Node) => number): DimensionRule => ({
  couple(node, context) {
    const { dims } = context;
    const [value, ...parameters] = node.inputs;
    if (!value) return;
    const rank = dims.rank(value);
    if (fromFront(axisOf(node), rank) !== rank - 1 || parameters.some((other) => other && dims.rank(other) !== rank && dims.rank(other) !== 1)) {
      normalized(axisOf).couple(node, context);
      return;
    }
    dims.lockUnlessHidden(value, -1, `${node.describe()} computes over it`);
    dims.mark(value, -1, 'hidden');
    for (const other of [...node.outputs, ...parameters]) {
      if (!other || other.name === '') continue;
      if (dims.rank(other) === rank) uniteAxes(node, dims, value, other, range(rank).map((k) => [k, k] as const));
      else dims.unite({ value, axis: -1 }, { value: other, axis: 0 }, node);
    }
  },
});

const reduce: DimensionRule = {
  couple(node, { dims, ints }) {
    const value = node.input(0);
    if (!value) return;
    const rank = dims.rank(value);
    const given = node.input(1) ? ints(node.input(1)) : node.ints('axes');
    const reduced = new Set((given ?? range(rank)).map((axis) => fromFront(axis, rank)));
    const keep = node.int('keepdims', 1) !== 0;
    // zeros add nothing to a sum, but they change a mean
    const harmless = node.opType === 'ReduceSum' || node.opType === 'ReduceSumSquare' || node.opType === 'ReduceL1' || node.opType === 'ReduceL2';
    // norms that are spelled out take the mean over features, and keep their place for what is divided by it
    const isNorm = node.opType === 'ReduceMean' && keep && reduced.size === 1 && reduced.has(rank - 1);
    let at = 0;
    for (let axis = 0; axis < rank; axis++) {
      if (!reduced.has(axis)) dims.unite({ value, axis }, { value: node.output(), axis: at }, node);
      else if (isNorm) {
        dims.lockUnlessHidden(value, axis, `${node.describe()} computes over it`);
        dims.mark(value, axis, 'hidden');
      } else if (!harmless) dims.lock(value, axis, `${node.describe()} computes over it`);
      if (keep || !reduced.has(axis)) at++;
    }
  },
};

const matmul: DimensionRule = {
  couple(node, { dims }) {
    const [a, b] = node.inputs;
    if (!a || !b) return;
    const y = node.output();
    const [p, q] = [dims.rank(a), dims.rank(b)];
    if (p < 2 || q < 2) {
      for (const value of [a, b, y]) dims.lockAll(value, `${node.describe()} multiplies a vector`);
      return;
    }
    dims.unite({ value: a, axis: -1 }, { value: b, axis: -2 }, node);
    dims.unite({ value: a, axis: -2 }, { value: y, axis: -2 }, node);
    dims.unite({ value: b, axis: -1 }, { value: y, axis: -1 }, node);
    for (const value of [a, b]) uniteAxes(node, dims, value, y, range(dims.rank(value) - 2).map((k) => [-3 - k, -3 - k] as const));
    if (b.tensor && q === 2) for (const axis of [0, 1]) dims.mark(b, axis, 'ffn');
    // a product of activations, batch by batch: the batches are heads
    if (!b.tensor && p >= 4 && q >= 4) dims.mark(y, -3, 'heads');
  },
};

const gemm: DimensionRule = {
  couple(node, { dims }) {
    const [a, b, c] = node.inputs;
    if (!a || !b) return;
    const y = node.output();
    const [rowA, innerA] = node.int('transA', 0) === 0 ? [0, 1] : [1, 0];
    const [innerB, colB] = node.int('transB', 0) === 0 ? [0, 1] : [1, 0];
    dims.unite({ value: a, axis: innerA }, { value: b, axis: innerB }, node);
    dims.unite({ value: a, axis: rowA }, { value: y, axis: 0 }, node);
    dims.unite({ value: b, axis: colB }, { value: y, axis: 1 }, node);
    if (c) uniteAxes(node, dims, c, y, range(dims.rank(c)).map((k) => [-1 - k, -1 - k] as const));
    if (b.tensor) for (const axis of [0, 1]) dims.mark(b, axis, 'ffn');
  },
};

function convolution(transposed: boolean): DimensionRule {
  const [outAxis, inAxis] = transposed ? [1, 0] : [0, 1];
  return {
    couple(node, { dims }) {
      const [x, w, bias] = node.inputs;
      if (!x || !w) return;
      const y = node.output();
      const rank = dims.rank(w);
      for (let axis = 2; axis < rank; axis++) for (const value of [x, w, y]) dims.lock(value, axis, `${node.describe()} moves over it`);
      uniteAxes(node, dims, x, y, [[0, 0]]);
      const groups = node.int('group', 1);
      const [channels, filters] = [dims.size(x, 1), dims.size(y, 1)];
      if (groups === 1) {
        dims.unite({ value: w, axis: outAxis }, { value: y, axis: 1 }, node);
        dims.unite({ value: x, axis: 1 }, { value: w, axis: inAxis }, node);
      } else if (!transposed && groups === channels && filters !== undefined && filters % groups === 0) {
        // depthwise: a channel keeps its own filters
        dims.unite({ value: x, axis: 1 }, { value: y, axis: 1, run: filters / groups }, node);
        dims.unite({ value: w, axis: 0 }, { value: y, axis: 1 }, node);
      } else for (const value of [x, y]) dims.lock(value, 1, `${node.describe()} has ${groups} groups`);
      if (bias) dims.unite({ value: bias, axis: 0 }, { value: y, axis: 1 }, node);
      for (const value of [x, y]) dims.mark(value, 1, 'channels');
    },
    edit(node, { kept, sizeBefore }) {
      const x = node.input(0)!;
      if (node.int('group', 1) > 1 && node.int('group', 1) === sizeBefore(x, 1)) node.attributes.set('group', attribute.int(kept(x, 1)?.length ?? node.int('group', 1)));
    },
  };
}

const batchNorm: DimensionRule = {
  couple(node, { dims }) {
    const [x, ...parameters] = node.inputs;
    if (!x) return;
    uniteAxes(node, dims, x, node.output(), range(dims.rank(x)).map((k) => [k, k] as const));
    for (const value of parameters) if (value) dims.unite({ value, axis: 0 }, { value: x, axis: 1 }, node);
  },
};

/** Batch and channels pass, pixels do not. */
const pool: DimensionRule = {
  couple(node, { dims }) {
    const x = node.input(0);
    if (!x) return;
    uniteAxes(node, dims, x, node.output(), [[0, 0], [1, 1]]);
    for (const value of [x, ...node.outputs]) for (let axis = 2; axis < dims.rank(value); axis++) dims.lock(value, axis, `${node.describe()} moves over it`);
  },
};

/** Axes that keep their size pass, others do not. */
const sameSizes: DimensionRule = {
  couple(node, { dims }) {
    const x = node.input(0);
    const y = node.output();
    if (!x) return;
    for (let axis = 0; axis < dims.rank(x); axis++) {
      if (dims.size(x, axis) === dims.size(y, axis) && axis < 2) dims.unite({ value: x, axis }, { value: y, axis }, node);
      else for (const value of [x, y]) dims.lock(value, axis, `${node.describe()} changes it`);
    }
  },
};

/** Sizes are read when the model runs: whatever they become is right. */
const free: DimensionRule = { couple: () => {} };

/** The results of both branches are those of the node. */
const branches: DimensionRule = {
  couple(node, { dims }) {
    for (const graph of node.subgraphs()) {
      graph.outputs.forEach((value, i) => {
        const result = node.outputs[i];
        if (result) uniteAxes(node, dims, value, result, range(Math.min(dims.rank(value), dims.rank(result))).map((k) => [k, k] as const));
      });
    }
  },
};

const UNARY = [
  'Identity', 'Cast', 'Dropout', 'Relu', 'LeakyRelu', 'Elu', 'Selu', 'Celu', 'Gelu', 'Sigmoid', 'HardSigmoid', 'HardSwish', 'Swish', 'Mish', 'Tanh', 'Softplus', 'Softsign', 'ThresholdedRelu', 'Exp', 'Log',
  'Sqrt', 'Reciprocal', 'Neg', 'Abs', 'Sign', 'Floor', 'Ceil', 'Round', 'Erf', 'Sin', 'Cos', 'Not', 'IsNaN', 'com.microsoft.Gelu', 'com.microsoft.FastGelu', 'com.microsoft.QuickGelu', 'com.microsoft.BiasGelu',
];
const BROADCAST = ['Add', 'Sub', 'Mul', 'Div', 'Pow', 'Min', 'Max', 'Sum', 'Mean', 'Mod', 'Where', 'Equal', 'Less', 'LessOrEqual', 'Greater', 'GreaterOrEqual', 'And', 'Or', 'Xor', 'PRelu', 'Clip'];
const REDUCE = ['Sum', 'SumSquare', 'Mean', 'Max', 'Min', 'Prod', 'L1', 'L2', 'LogSum', 'LogSumExp'];

const rows = (names: readonly string[], rule: DimensionRule): Record<string, DimensionRule> => Object.fromEntries(names.map((name) => [name, rule]));

export const dimensionRules: Readonly<Record<string, DimensionRule>> = {
  ...rows([...UNARY, ...BROADCAST], elementwise),
  ...rows(REDUCE.map((name) => `Reduce${name}`), reduce),
  ...rows(['MaxPool', 'AveragePool', 'LpPool', 'GlobalAveragePool', 'GlobalMaxPool', 'GlobalLpPool'], pool),
  ...rows(['Pad', 'Resize', 'Upsample'], sameSizes),
  ...rows(['Shape', 'Size', 'Range', 'ConstantOfShape', 'Constant', 'RandomNormal', 'RandomUniform'], free),
  ...rows(['LayerNormalization', 'RMSNormalization', 'SimplifiedLayerNormalization'], featureNorm((node) => node.int('axis', -1))),
  ...rows(['com.microsoft.SkipLayerNormalization', 'com.microsoft.SkipSimplifiedLayerNormalization'], featureNorm(() => -1)),
  ...rows(['Softmax', 'LogSoftmax'], normalized((node) => node.int('axis', -1), { inner: false })),
  ...rows(['InstanceNormalization', 'LRN'], normalized(() => 1)),
  MatMul: matmul, Gemm: gemm, Conv: convolution(false), ConvTranspose: convolution(true), BatchNormalization: batchNorm, If: branches,
  ...movementRules,
  ...attentionRules,
};

export function ruleOf(node: Node): DimensionRule | undefined {
  const name = node.domain === '' ? node.opType : `${node.domain}.${node.opType}`;
  return Object.hasOwn(dimensionRules, name) ? dimensionRules[name] : undefined;
}

/** Couples what a node couples; locks everything around a node that no rule knows. */
export function couple(node: Node, context: CoupleContext): void {
  const rule = ruleOf(node);
  if (rule) {
    rule.couple(node, context);
    return;
  }
  const reason = `${node.describe()} has no rule for its dimensions`;
  for (const value of [...node.inputs, ...node.outputs, ...node.subgraphs().flatMap(readIn)]) context.dims.lockAll(value ?? undefined, reason);
}

/** Everything that the nodes of a subgraph read. */
function readIn(graph: { readonly nodes: () => Iterable<Node>; readonly outputs: readonly Value[] }): Value[] {
  return [...graph.outputs, ...[...graph.nodes()].flatMap((node) => [...node.inputs.filter((value) => value !== null), ...node.subgraphs().flatMap(readIn)])];
}

