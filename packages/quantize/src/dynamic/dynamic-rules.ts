/** How operators with a constant weight are computed on integers whose scales are found while the model runs. */
import { attribute, lazy, Node, type Tensor, Value } from '@penjing/core';
import { takeOver } from '../split-gemm.js';
import { type DynamicWriter, reshapedBias, type RowLayout } from './dynamic-writer.js';

export interface DynamicRule {
  /** Inputs that hold weights. */
  readonly weights: readonly number[];
  /** Why a node of which these inputs are constant float32 cannot be rewritten. */
  readonly refuse: (node: Node) => string | undefined;
  readonly apply: (node: Node, writer: DynamicWriter) => void;
}

/** (K, N) with a scale for each column. */
function columns(matrix: Tensor, turned: boolean): RowLayout {
  const rows = turned ? matrix : lazy.transpose(matrix, [1, 0]);
  return { matrix: rows, restore: (codes) => lazy.transpose(codes, [1, 0]), scaleShape: [rows.shape[0]!] };
}

/** x · W as MatMulInteger; `turned`: W is stored as (N, K). */
function product(node: Node, turned: boolean, output: Value, writer: DynamicWriter): void {
  const { names } = writer;
  const weight = node.input(1)!;
  const [codes, scale, zeroPoint] = writer.activation(node.input(0)!, node);
  const stored = writer.weight(weight, turned ? 'turned' : 'columns', columns(weight.tensor!, turned));
  const sums = new Value(names.claim(`${output.name}_integers`), { kind: 'tensor', dtype: 'int32' });
  node.graph!.insertBefore(node, new Node('MatMulInteger', [codes, stored.codes, zeroPoint, stored.zeroPoint], [sums], { name: names.claim(`${output.name}/product`) }));
  writer.scaled(sums, scale, stored.scales, output, node);
}

/** The result of a node, or what comes before its bias is added. */
function beforeBias(node: Node, bias: Value | undefined, writer: DynamicWriter): Value {
  return bias ? new Value(writer.names.claim(`${node.output().name}_unbiased`), node.output().type) : takeOver(node);
}

function addBias(node: Node, unbiased: Value, bias: Value | undefined, writer: DynamicWriter): void {
  if (!bias) return;
  node.graph!.insertBefore(node, new Node('Add', [unbiased, bias], [takeOver(node)], { name: writer.names.claim(`${node.name}/bias`) }));
}

const rank = (node: Node, index: number): number | undefined => node.input(index)?.tensor?.shape.length;

const matmul: DynamicRule = {
  weights: [1],
  refuse: (node) => (rank(node, 1) === 2 ? undefined : 'it is a batch of matrices'),
  apply(node, writer) {
    product(node, false, takeOver(node), writer);
    node.graph!.remove(node);
  },
};

const gemm: DynamicRule = {
  weights: [1],
  refuse: (node) => (node.int('transA', 0) === 0 && node.float('alpha', 1) === 1 && (!node.input(2) || node.float('beta', 1) === 1) ? undefined : 'its Gemm has transA, alpha or beta'),
  apply(node, writer) {
    const bias = node.input(2);
    const unbiased = beforeBias(node, bias, writer);
    product(node, node.int('transB', 0) === 1, unbiased, writer);
    addBias(node, unbiased, bias, writer);
    node.graph!.remove(node);
  },
};

const conv: DynamicRule = {
  weights: [1],
  refuse: (node) => (!node.input(2) || node.input(2)!.tensor ? undefined : 'its bias is computed'),
  apply(node, writer) {
    const { names } = writer;
    const graph = node.graph!;
    const weight = node.input(1)!;
    const shape = weight.tensor!.shape;
    const perChannel = [1, shape[0]!, ...shape.slice(2).map(() => 1)];
    const old = node.input(2);
    const bias = old && reshapedBias(old, perChannel, graph, names);
    const [codes, scale, zeroPoint] = writer.activation(node.input(0)!, node);
    const cols = shape.slice(1).reduce((product, dim) => product * dim, 1);
    const stored = writer.weight(weight, 'channels', { matrix: lazy.reshape(weight.tensor!, [shape[0]!, cols]), restore: (made) => lazy.reshape(made, shape), scaleShape: perChannel });
    const unbiased = beforeBias(node, bias, writer);
    const sums = new Value(names.claim(`${unbiased.name}_integers`), { kind: 'tensor', dtype: 'int32' });
    graph.insertBefore(node, new Node('ConvInteger', [codes, stored.codes, zeroPoint, stored.zeroPoint], [sums], { name: names.claim(`${unbiased.name}/product`), attributes: node.attributes }));
    writer.scaled(sums, scale, stored.scales, unbiased, node);
    addBias(node, unbiased, bias, writer);
    graph.remove(node);
  },
};

/** (directions, 4·hidden, n) as (directions, n, 4·hidden), with a scale for each gate row. */
function gates(weight: Tensor): RowLayout {
  const [directions, rows, cols] = weight.shape as [number, number, number];
  return {
    matrix: lazy.reshape(weight, [directions * rows, cols]),
    restore: (codes) => lazy.transpose(lazy.reshape(codes, [directions, rows, cols]), [0, 2, 1]),
    scaleShape: [directions, rows],
  };
}

const lstm: DynamicRule = {
  weights: [1, 2],
  refuse: (node) => (node.int('layout', 0) === 0 ? undefined : 'its batch comes first'),
  apply(node, writer) {
    const stored = [1, 2].map((index) => writer.weight(node.input(index)!, 'gates', gates(node.input(index)!.tensor!), true));
    const [input, recurrent] = stored as [(typeof stored)[0], (typeof stored)[0]];
    const rest = Array.from({ length: 5 }, (_, i) => node.input(3 + i) ?? null);
    const outputs = node.outputs.map((value, i) => {
      node.replaceOutput(i, new Value(''));
      return value;
    });
    const quantized = new Node('DynamicQuantizeLSTM', [node.input(0)!, input.codes, recurrent.codes, ...rest, input.scales, input.zeroPoint, recurrent.scales, recurrent.zeroPoint], outputs, {
      domain: 'com.microsoft', name: node.name, attributes: [...node.attributes].filter(([name]) => name !== 'layout'),
    });
    node.graph!.insertBefore(node, quantized);
    if (!quantized.attributes.has('hidden_size')) quantized.attributes.set('hidden_size', attribute.int(recurrent.codes.tensor!.shape[1]!));
    node.graph!.remove(node);
  },
};

/** What the CPU provider of ONNX Runtime 1.30 computes so: DynamicQuantizeMatMul, MatMulIntegerToFloat, ConvInteger, DynamicQuantizeLSTM. */
export const dynamicRules: Readonly<Record<string, DynamicRule>> = { MatMul: matmul, Gemm: gemm, Conv: conv, LSTM: lstm };
