/** LSTM, GRU and plain recurrent layers. Gates are reordered and directions stacked in the stored weights. */
import { lazy, type Tensor, type Value } from '@penjing/core';
import type { AtenContext } from '../context.js';
import { row, rowsOf } from '../row.js';
import { linear } from './linalg.js';
import { training } from './norm.js';

interface Cell {
  readonly type: 'LSTM' | 'GRU' | 'RNN';
  /** For each gate of ONNX, its place in PyTorch's weights. */
  readonly order: readonly number[];
  readonly attributes?: Readonly<Record<string, number | readonly string[]>>;
}

/** PyTorch: LSTM i f g o, GRU r z n. ONNX: i o f c, z r h. */
const cells = {
  lstm: { type: 'LSTM', order: [0, 3, 1, 2] },
  gru: { type: 'GRU', order: [1, 0, 2], attributes: { linear_before_reset: 1 } },
  tanh: { type: 'RNN', order: [0] },
  relu: { type: 'RNN', order: [0] },
} as const satisfies Record<string, Cell>;

interface Layers {
  readonly cell: Cell;
  readonly activation?: string;
  readonly hasBiases: boolean;
  readonly layers: number;
  readonly bidirectional: boolean;
  readonly batchFirst: boolean;
}

/** (gates·hidden, …) with the gates in the order of ONNX. */
function reorder(c: AtenContext, weight: Value, order: readonly number[]): Value {
  const [rows] = c.dims(weight);
  if (order.length === 1) return weight;
  if (typeof rows !== 'number') throw c.unsupported('weights of unknown size');
  const hidden = rows / order.length;
  const stored = (tensor: Tensor): Tensor => lazy.concat(order.map((gate) =>
    lazy.slice(tensor, [gate * hidden, ...tensor.shape.slice(1).map(() => 0)], [hidden, ...tensor.shape.slice(1)])), 0);
  return c.weight(weight, 'onnx', stored, (value) => c.concat(order.map((gate) => c.slice(value, 0, gate * hidden, (gate + 1) * hidden)), 0));
}

/** New first axis over the directions. */
function stacked(c: AtenContext, values: readonly Value[]): Value {
  const tensors = values.map(({ tensor }) => tensor);
  if (tensors.every((tensor) => tensor !== undefined)) {
    const joined = lazy.concat(tensors.map((tensor) => lazy.reshape(tensor, [1, ...tensor.shape])), 0);
    return c.builder.initializer(`${values[0]!.name}.stack`, joined);
  }
  return c.concat(values.map((value) => c.unsqueeze(value, [0])), 0);
}

/** The two biases of a direction, (8·hidden) or alike. */
function joined(c: AtenContext, a: Value, b: Value): Value {
  if (!a.tensor || !b.tensor) return c.concat([a, b], 0);
  return c.builder.initializer(`${a.name}.joined`, lazy.concat([a.tensor, b.tensor], 0));
}

/** input (seq, batch, size) or batch first or without batch; states (layers·directions, batch, hidden). Gives the output and the last states. */
function run(c: AtenContext, input: Value, states: readonly Value[], params: readonly Value[], options: Layers): Value[] {
  const { cell, hasBiases, layers, bidirectional, batchFirst } = options;
  const unbatched = c.rank(input) === 2;
  const directions = bidirectional ? 2 : 1;
  const perDirection = hasBiases ? 4 : 2;
  if (params.length !== layers * directions * perDirection) throw c.unsupported('projections (proj_size)');
  let x = unbatched ? c.unsqueeze(input, [1]) : batchFirst ? c.swap(input, 0, 1) : input;
  const initial = states.map((state) => (unbatched ? c.unsqueeze(state, [1]) : state));
  const last: Value[][] = states.map(() => []);
  for (let layer = 0; layer < layers; layer++) {
    const own = Array.from({ length: directions }, (_, d) => params.slice((layer * directions + d) * perDirection, (layer * directions + d + 1) * perDirection));
    const hidden = c.dims(own[0]![1]!)[1];
    if (typeof hidden !== 'number') throw c.unsupported('weights of unknown size');
    const w = stacked(c, own.map((list) => reorder(c, list[0]!, cell.order)));
    const r = stacked(c, own.map((list) => reorder(c, list[1]!, cell.order)));
    const b = hasBiases ? stacked(c, own.map((list) => joined(c, reorder(c, list[2]!, cell.order), reorder(c, list[3]!, cell.order)))) : null;
    const start = initial.map((state) => (layers === 1 ? state : c.slice(state, 0, layer * directions, (layer + 1) * directions)));
    const [y, ...ends] = c.ops(cell.type, [x, w, r, b, null, ...start], {
      hidden_size: hidden, direction: bidirectional ? 'bidirectional' : 'forward',
      ...(options.activation ? { activations: new Array<string>(directions).fill(options.activation) } : {}), ...(cell.attributes ?? {}),
    }, { outputCount: 1 + states.length });
    ends.forEach((end, i) => last[i]!.push(end));
    // (seq, directions, batch, hidden) to (seq, batch, directions · hidden)
    x = bidirectional ? c.op('Reshape', [c.transpose(y!, [0, 2, 1, 3]), c.int64([0, 0, -1])]) : c.squeeze(y!, [1]);
  }
  const out = unbatched ? c.squeeze(x, [1]) : batchFirst ? c.swap(x, 0, 1) : x;
  const final = last.map((parts) => c.concat(parts, 0));
  return [out, ...(unbatched ? final.map((state) => c.squeeze(state, [1])) : final)];
}

const noTraining = (c: AtenContext, dropout: number, train: boolean): void => {
  if (train && dropout > 0) throw training(c, `dropout of ${dropout} between layers`);
};

const rest = 'bool has_biases, int num_layers, float dropout, bool train, bool bidirectional, bool batch_first';

export const recurrent = [
  row(`lstm.input(Tensor input, Tensor[] hx, Tensor[] params, ${rest})`, (c, { input, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first }) => {
    noTraining(c, dropout, train);
    return run(c, input, hx, params, { cell: cells.lstm, hasBiases: has_biases, layers: num_layers, bidirectional, batchFirst: batch_first });
  }),
  row(`gru.input(Tensor input, Tensor hx, Tensor[] params, ${rest})`, (c, { input, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first }) => {
    noTraining(c, dropout, train);
    return run(c, input, [hx], params, { cell: cells.gru, hasBiases: has_biases, layers: num_layers, bidirectional, batchFirst: batch_first });
  }),
  ...(['tanh', 'relu'] as const).map((kind) =>
    row(`rnn_${kind}.input(Tensor input, Tensor hx, Tensor[] params, ${rest})`, (c, { input, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first }) => {
      noTraining(c, dropout, train);
      const activation = kind === 'tanh' ? 'Tanh' : 'Relu';
      return run(c, input, [hx], params, { cell: cells[kind], activation, hasBiases: has_biases, layers: num_layers, bidirectional, batchFirst: batch_first });
    })),
  row('lstm_cell(Tensor input, Tensor[] hx, Tensor w_ih, Tensor w_hh, Tensor? b_ih=None, Tensor? b_hh=None)', (c, { input, hx, w_ih, w_hh, b_ih, b_hh }) => {
    const params = b_ih && b_hh ? [w_ih, w_hh, b_ih, b_hh] : [w_ih, w_hh];
    const options = { cell: cells.lstm, hasBiases: params.length === 4, layers: 1, bidirectional: false, batchFirst: false };
    const [, ...states] = run(c, c.unsqueeze(input, [0]), hx.map((state) => c.unsqueeze(state, [0])), params, options);
    return states.map((state) => c.squeeze(state, [0]));
  }),
  ...rowsOf({ rnn_tanh_cell: 'Tanh', rnn_relu_cell: 'Relu' }, (name, type) =>
    row(`${name as 'rnn_tanh_cell'}(Tensor input, Tensor hx, Tensor w_ih, Tensor w_hh, Tensor? b_ih=None, Tensor? b_hh=None)`, (c, { input, hx, w_ih, w_hh, b_ih, b_hh }) =>
      c.op(type, [c.op('Add', [linear(c, input, w_ih, b_ih), linear(c, hx, w_hh, b_hh)])]))),
  row('gru_cell(Tensor input, Tensor hx, Tensor w_ih, Tensor w_hh, Tensor? b_ih=None, Tensor? b_hh=None)', (c, { input, hx, w_ih, w_hh, b_ih, b_hh }) => {
    const params = b_ih && b_hh ? [w_ih, w_hh, b_ih, b_hh] : [w_ih, w_hh];
    const options = { cell: cells.gru, hasBiases: params.length === 4, layers: 1, bidirectional: false, batchFirst: false };
    return c.squeeze(run(c, c.unsqueeze(input, [0]), [c.unsqueeze(hx, [0])], params, options)[1]!, [0]);
  }),
];
