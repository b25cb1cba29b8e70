/** Recurrent layers over whole sequences, and single steps whose states are inputs and outputs of the graph. */
import { lazy, type Tensor, type Value } from '@penjing/core';
import { activate } from '../activation.js';
import { activation } from '../../schema.js';
import { isHybrid } from '../integer/hybrid.js';
import type { ReadRow, ReadTable, TfliteReading } from '../operator.js';
import { batchOf, lstmCell, type LstmOptions, type LstmPlaces, matrix, rnnCell, scan, turned } from './cells.js';

const PLACES: LstmPlaces = { input: 1, recurrent: 5, peephole: 9, bias: 12, projection: 16, norm: 20 };

/** Operands 18 to 34 of the layer in both directions are those of the way back. */
const BACKWARD: LstmPlaces = { input: 18, recurrent: 22, peephole: 26, bias: 29, projection: 33, norm: undefined };
const FORWARD: LstmPlaces = { ...PLACES, norm: undefined };
const AUXILIARY = 39;

/** ONNX stacks the gates as input, output, forget, cell. */
const GATES = [0, 3, 1, 2] as const;

/**
 * The converter of Keras writes this bound although Keras has none: the activation of the cell is 1 to float32's last bit long before.
 * Tighter ones change results, and ONNX has nothing like them (its `clip` bounds the gates).
 */
const HARMLESS_CLIP = 10;

/** True for what LSTM of ONNX computes too; the rest goes step by step. */
function isPlain(reading: TfliteReading, places: LstmPlaces, { fusedActivationFunction, cellClip }: LstmOptions): boolean {
  const any = (from: number, count: number): boolean => Array.from({ length: count }, (_, i) => from + i).some((i) => reading.has(i));
  const hybrid = reading.values.arithmetic === 'exact' && isHybrid(reading, 0, places.recurrent + 1);
  const extras = any(places.peephole, 3) || any(places.projection, 2) || (places.norm !== undefined && any(places.norm, 4));
  return !hybrid && !extras && fusedActivationFunction === activation.TANH && (cellClip === 0 || cellClip >= HARMLESS_CLIP) && reading.has(places.input);
}

/** (time, batch, width) to the same with the width of the results. */
function lstm(reading: TfliteReading, x: Value, width: number, places: LstmPlaces, options: LstmOptions, backward = false): Value {
  if (!isPlain(reading, places, options)) return scan(reading, lstmCell(reading, places, options), x, { batch: batchOf(reading, x), width, backward });
  const hidden = reading.tensor(places.recurrent).shape[0]!;
  const stack = (from: number, shape: (tensor: Tensor) => Tensor): Value =>
    reading.op('Concat', GATES.map((gate) => reading.values.weight(reading.index(from + gate), shape)), { axis: 1 });
  const weights = (from: number): Value => stack(from, (tensor) => lazy.reshape(tensor, [1, ...tensor.shape]));
  const zeros = reading.values.builder.initializer('lstm_recurrent_bias', lazy.fill('float32', [1, 4 * hidden], 0));
  const b = reading.op('Concat', [stack(places.bias, (tensor) => lazy.reshape(tensor, [1, hidden])), zeros], { axis: 1 });
  const direction: Readonly<Record<string, string>> = backward ? { direction: 'reverse' } : {};
  const [sequence] = reading.nodes('LSTM', [x, weights(places.input), weights(places.recurrent), b], { hidden_size: hidden, ...direction }, 1);
  return reading.op('Squeeze', [sequence, reading.ints([1])]);
}

const sequenceLstm: ReadRow = (reading) => {
  const options = reading.options('UnidirectionalSequenceLSTMOptions');
  if (options.diagonalRecurrentTensors) throw reading.fail('its recurrent weights are diagonal');
  const { timeMajor } = options;
  const width = reading.tensor(0).shape[2]!;
  reading.define(turned(reading, lstm(reading, turned(reading, reading.last(0), timeMajor), width, PLACES, options), timeMajor));
};

/** Results of both directions: two of them, or one beside the other. */
function both(reading: TfliteReading, forward: Value, backward: Value, timeMajor: boolean, merge: boolean): void {
  const ways = [forward, backward].map((way) => turned(reading, way, timeMajor));
  if (merge) return reading.define(reading.op('Concat', ways, { axis: 2 }));
  ways.forEach((way, i) => reading.define(way, false, i));
}

const bothLstm: ReadRow = (reading) => {
  const options = reading.options('BidirectionalSequenceLSTMOptions');
  const { timeMajor, mergeOutputs } = options;
  for (let i = AUXILIARY + 1; i < AUXILIARY + 9; i++) if (reading.has(i)) throw reading.fail('it has weights for an auxiliary input');
  const x = turned(reading, reading.last(0), timeMajor);
  // the way back may have an input of its own
  const other = reading.has(AUXILIARY) ? AUXILIARY : 0;
  const back = other === 0 ? x : turned(reading, reading.last(other), timeMajor);
  both(reading, lstm(reading, x, reading.tensor(0).shape[2]!, FORWARD, options), lstm(reading, back, reading.tensor(other).shape[2]!, BACKWARD, options, true), timeMajor, mergeOutputs);
};

const sequenceRnn: ReadRow = (reading) => {
  const { timeMajor, fusedActivationFunction, asymmetricQuantizeInputs } = reading.options('SequenceRNNOptions');
  const x = turned(reading, reading.last(0), timeMajor);
  const cell = rnnCell(reading, 1, fusedActivationFunction, asymmetricQuantizeInputs);
  reading.define(turned(reading, scan(reading, cell, x, { batch: batchOf(reading, x), width: reading.tensor(0).shape[2]! }), timeMajor));
};

const bothRnn: ReadRow = (reading) => {
  const { timeMajor, fusedActivationFunction, mergeOutputs, asymmetricQuantizeInputs } = reading.options('BidirectionalSequenceRNNOptions');
  for (const i of [10, 11]) if (reading.has(i)) throw reading.fail('it has weights for an auxiliary input');
  const x = turned(reading, reading.last(0), timeMajor);
  const other = reading.has(9) ? 9 : 0;
  const back = other === 0 ? x : turned(reading, reading.last(other), timeMajor);
  const way = (from: number, given: Value, operand: number, backward: boolean): Value =>
    scan(reading, rnnCell(reading, from, fusedActivationFunction, asymmetricQuantizeInputs), given, { batch: batchOf(reading, given), width: reading.tensor(operand).shape[2]!, backward });
  both(reading, way(1, x, 0, false), way(5, back, other, true), timeMajor, mergeOutputs);
};

/** KernelType of LSTM: with an operand for each gate, or one matrix for all. */
const FULL = 0;

const lstmStep: ReadRow = (reading) => {
  const options = reading.options('LSTMOptions');
  if (options.kernelType !== FULL) return basicLstm(reading);
  const cell = lstmCell(reading, { ...PLACES, norm: reading.inputCount > 20 ? 20 : undefined }, options);
  const states = [18, 19].map((i) => reading.values.last(reading.index(i)));
  const next = cell.step(reading.last(0), states);
  [18, 19].forEach((i, at) => reading.values.keep(reading.index(i), next[at]!));
  reading.define(next[0]!);
};

/** One matrix (4 · hidden, inputs + hidden), its gates in the order input, candidate, forget, output. */
function basicLstm(reading: TfliteReading): void {
  const [x, h, cell] = [reading.last(0), reading.last(1), reading.last(4)];
  const hidden = reading.tensor(4).shape[1]!;
  const joined = reading.op('Concat', [x, h], { axis: 1 });
  const sums = reading.op('Add', [matrix(reading, 2, false)(joined), reading.values.weight(reading.index(3))]);
  const [input, candidate, forget, output] = reading.nodes('Split', [sums, reading.ints([hidden, hidden, hidden, hidden])], { axis: 1 }, 4);
  const gate = (z: Value): Value => reading.op('Sigmoid', [z]);
  const next = reading.op('Add', [reading.op('Mul', [gate(input!), reading.op('Tanh', [candidate!])]), reading.op('Mul', [gate(forget!), cell])]);
  reading.define(reading.op('Mul', [gate(output!), reading.op('Tanh', [next])]));
  [next, joined, sums].forEach((value, i) => {
    if (reading.operator.outputs.length > i + 1) reading.define(value, false, i + 1);
  });
}

const rnnStep: ReadRow = (reading) => {
  const { fusedActivationFunction, asymmetricQuantizeInputs } = reading.options('RNNOptions');
  const [next] = rnnCell(reading, 1, fusedActivationFunction, asymmetricQuantizeInputs).step(reading.last(0), [reading.values.last(reading.index(4))]);
  reading.values.keep(reading.index(4), next!);
  reading.define(next!);
};

/** Features over time: what they were in the last `memory` steps, weighed and summed over `rank` filters for each unit. */
const svdf: ReadRow = (reading) => {
  const { rank, fusedActivationFunction, asymmetricQuantizeInputs } = reading.options('SVDFOptions');
  const { values } = reading;
  const [filters, memory] = reading.tensor(2).shape as [number, number];
  if (rank < 1 || filters % rank !== 0) throw reading.fail(`it has ${filters} filters of rank ${rank}`);
  const features = reading.op('Unsqueeze', [matrix(reading, 1, asymmetricQuantizeInputs)(reading.last(0)), reading.ints([2])]);
  const before = reading.op('Reshape', [values.last(reading.index(4)), reading.ints([-1, filters, memory])]);
  const later = reading.op('Slice', [before, reading.ints([1]), reading.ints([memory]), reading.ints([2])]);
  const now = reading.op('Concat', [later, features], { axis: 2 });
  values.keep(reading.index(4), reading.op('Reshape', [now, reading.ints([-1, filters * memory])]));
  const weighed = reading.op('ReduceSum', [reading.op('Mul', [now, values.weight(reading.index(2))]), reading.ints([2])], { keepdims: 0 });
  const units = reading.op('ReduceSum', [reading.op('Reshape', [weighed, reading.ints([-1, filters / rank, rank])]), reading.ints([2])], { keepdims: 0 });
  reading.define(activate(reading, reading.has(3) ? reading.op('Add', [units, values.weight(reading.index(3))]) : units, fusedActivationFunction));
};

export const recurrent: ReadTable = {
  UNIDIRECTIONAL_SEQUENCE_LSTM: sequenceLstm,
  BIDIRECTIONAL_SEQUENCE_LSTM: bothLstm,
  UNIDIRECTIONAL_SEQUENCE_RNN: sequenceRnn,
  BIDIRECTIONAL_SEQUENCE_RNN: bothRnn,
  LSTM: lstmStep,
  RNN: rnnStep,
  SVDF: svdf,
};
