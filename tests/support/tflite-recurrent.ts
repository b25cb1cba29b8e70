/** Recurrent operators in every form that ONNX has: written out for short sequences, as loops for long ones. */
import { attribute, denseOf, tensorType, type Value } from '@penjing/core';
import { NetworkBuilder, type TfliteCase } from './tflite-models.js';

const [batch, width, hidden] = [3, 4, 5];

interface Layer {
  readonly type: 'LSTM' | 'GRU' | 'RNN';
  readonly direction?: 'forward' | 'reverse' | 'bidirectional';
  readonly bias?: boolean;
  readonly lengths?: Value;
  readonly states?: readonly Value[];
  readonly peepholes?: boolean;
  readonly attributes?: Readonly<Record<string, unknown>>;
  /** Outputs that are read: Y, Y_h and, of an LSTM, Y_c. */
  readonly outputs: readonly number[];
}

const gates = { LSTM: 4, GRU: 3, RNN: 1 } as const;

function layer(n: NetworkBuilder, x: Value, { type, direction = 'forward', bias = true, lengths, states = [], peepholes = false, attributes = {}, outputs }: Layer): Value[] {
  const directions = direction === 'bidirectional' ? 2 : 1;
  const rows = gates[type] * hidden;
  const made = n.b.nodes(type, [
    x, n.weight([directions, rows, width], 0.6), n.weight([directions, rows, hidden], 0.6), bias ? n.weight([directions, 2 * rows], 0.4) : null,
    lengths ?? null, ...[0, 1].map((i) => states[i] ?? null), peepholes ? n.weight([directions, 3 * hidden], 0.5) : null,
  ].slice(0, type === 'LSTM' ? 8 : 6), { hidden_size: hidden, direction, ...attributes }, { outputCount: type === 'LSTM' ? 3 : 2 });
  return outputs.map((i) => made[i]!);
}

function int32Input(n: NetworkBuilder, name: string, values: readonly number[]): Value {
  n.feeds[name] = denseOf('int32', [values.length], values);
  return n.b.input(name, tensorType('int32', [values.length]));
}

/** Five steps: attributes, states, lengths and peepholes of every kind. */
export function recurrentShort(): TfliteCase {
  const n = new NetworkBuilder(41);
  const x = n.input('x', [5, batch, width]);
  const lengths = int32Input(n, 'lengths', [5, 2, 4]);
  const [h, c] = [n.input('h', [2, batch, hidden]), n.input('c', [2, batch, hidden])];
  const one = n.input('one', [1, batch, hidden]);
  return n.done('recurrent-short',
    ...layer(n, x, { type: 'LSTM', direction: 'bidirectional', states: [h, c], peepholes: true, outputs: [0, 1, 2] }),
    ...layer(n, x, { type: 'LSTM', direction: 'reverse', lengths, bias: false, outputs: [0, 1, 2] }),
    ...layer(n, x, { type: 'LSTM', attributes: { clip: attribute.float(0.3), input_forget: 1 }, peepholes: true, outputs: [0] }),
    ...layer(n, x, { type: 'LSTM', attributes: { activations: ['HardSigmoid', 'Softsign', 'Elu'], activation_alpha: [0.3, 0.7], activation_beta: [0.4] }, outputs: [0] }),
    ...layer(n, x, { type: 'GRU', direction: 'bidirectional', lengths, states: [h], outputs: [0, 1] }),
    ...layer(n, x, { type: 'GRU', direction: 'reverse', states: [one], attributes: { linear_before_reset: 1 }, outputs: [0, 1] }),
    ...layer(n, x, { type: 'GRU', attributes: { linear_before_reset: 1 }, outputs: [1] }),
    ...layer(n, x, { type: 'GRU', attributes: { clip: attribute.float(0.4) }, outputs: [0] }),
    ...layer(n, x, { type: 'RNN', direction: 'bidirectional', attributes: { activations: ['Relu', 'Tanh'] }, states: [h], outputs: [0, 1] }),
  );
}

/** Forty steps, in loops; the batch is open. */
export function recurrentLong(): TfliteCase {
  const n = new NetworkBuilder(42);
  const x = n.input('x', [40, 2, width], [40, 2, width]);
  const lengths = int32Input(n, 'lengths', [40, 17]);
  const h = n.input('h', [1, 2, hidden]);
  return n.done('recurrent-long',
    ...layer(n, x, { type: 'LSTM', direction: 'bidirectional', outputs: [0] }),
    ...layer(n, x, { type: 'LSTM', direction: 'reverse', lengths, peepholes: true, outputs: [0, 2] }),
    ...layer(n, x, { type: 'GRU', states: [h], outputs: [0, 1] }),
    ...layer(n, x, { type: 'GRU', direction: 'reverse', attributes: { linear_before_reset: 1 }, outputs: [1] }),
    ...layer(n, x, { type: 'RNN', outputs: [0] }),
  );
}

/** A tagger as PyTorch exports it, with the batch in front and open: embedded, transposed, run both ways, transposed back. */
export function recurrentTagger(): TfliteCase {
  const n = new NetworkBuilder(43);
  n.feeds['ids'] = denseOf('int64', [2, 36], Array.from({ length: 72 }, () => n.rng.below(20)));
  const ids = n.b.input('ids', tensorType('int64', ['batch', 36]));
  const x = n.b.op('Transpose', [n.b.op('Gather', [n.weight([20, width]), ids])], { perm: [1, 0, 2] });
  const [y] = layer(n, x, { type: 'LSTM', direction: 'bidirectional', outputs: [0] });
  const rows = n.b.op('Reshape', [n.b.op('Transpose', [y!], { perm: [2, 0, 1, 3] }), n.b.constant('int64', [-1, 36, 2 * hidden])]);
  return n.done('recurrent-tagger', n.b.op('Add', [n.b.op('MatMul', [rows, n.weight([2 * hidden, 6])]), n.weight([6])]));
}

/** The number of steps is open: known when the model runs. */
export function recurrentOpen(): TfliteCase {
  const n = new NetworkBuilder(44);
  const x = n.input('x', [9, 2, width], ['steps', 2, width]);
  return n.done('recurrent-open',
    ...layer(n, x, { type: 'LSTM', direction: 'bidirectional', outputs: [0, 1] }),
    ...layer(n, x, { type: 'GRU', direction: 'reverse', outputs: [0] }),
  );
}

export const recurrentCases: readonly (() => TfliteCase)[] = [recurrentShort, recurrentLong, recurrentTagger, recurrentOpen];

