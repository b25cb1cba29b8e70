/** The fused LSTM of TFLite over whole sequences, as the operator of ONNX. */
import { lazy, type Tensor, type Value } from '@penjing/core';
import { activation } from '../../schema.js';
import type { ReadRow, ReadTable, TfliteReading } from '../operator.js';

/** Places of the operands; each group has the gates input, forget, cell, output. */
const INPUT_WEIGHTS = 1;
const RECURRENT_WEIGHTS = 5;
const PEEPHOLES = 9;
const BIASES = 12;
const PROJECTION = 16;
const LAYER_NORMS = 20;

/** ONNX stacks the gates as input, output, forget, cell. */
const GATES = [0, 3, 1, 2] as const;

/**
 * The converter of Keras writes this bound although Keras has none: the activation of the cell is 1 to float32's last bit long before.
 * Tighter ones change results, and ONNX has nothing like them (its `clip` bounds the gates).
 */
const HARMLESS_CLIP = 10;

const sequenceLstm: ReadRow = (reading) => {
  const { fusedActivationFunction, cellClip, projClip, timeMajor, diagonalRecurrentTensors } = reading.options('UnidirectionalSequenceLSTMOptions');
  if (fusedActivationFunction !== activation.TANH) throw reading.fail(`its activation has the code ${fusedActivationFunction}, not tanh`);
  if (diagonalRecurrentTensors) throw reading.fail('its recurrent weights are diagonal');
  if (cellClip > 0 && cellClip < HARMLESS_CLIP) throw reading.fail(`it clips its cell at ${cellClip}`);
  if (projClip > 0) throw reading.fail('it clips its projection');
  if (!reading.has(INPUT_WEIGHTS)) throw reading.fail('its input gate is coupled to its forget gate');
  const extras: readonly (readonly [string, number, number])[] = [['peepholes', PEEPHOLES, 3], ['a projection', PROJECTION, 2], ['layer normalization', LAYER_NORMS, 4]];
  for (const [what, from, count] of extras) {
    if (Array.from({ length: count }, (_, i) => from + i).some((i) => reading.has(i))) throw reading.fail(`it has ${what}`);
  }
  const hidden = reading.tensor(RECURRENT_WEIGHTS).shape[0]!;
  const weights = (from: number): Value => stack(reading, from, (tensor) => lazy.reshape(tensor, [1, ...tensor.shape]), 1);
  const bias = (from: number): Value => stack(reading, from, (tensor) => lazy.reshape(tensor, [1, hidden]), 1);
  const zeros = reading.values.builder.initializer('lstm_recurrent_bias', lazy.fill('float32', [1, 4 * hidden], 0));
  const b = reading.op('Concat', [bias(BIASES), zeros], { axis: 1 });
  // ONNX wants (time, batch, width)
  const turned = (x: Value): Value => (timeMajor ? x : reading.op('Transpose', [x], { perm: [1, 0, 2] }));
  const [sequence] = reading.nodes('LSTM', [turned(reading.last(0)), weights(INPUT_WEIGHTS), weights(RECURRENT_WEIGHTS), b], { hidden_size: hidden }, 1);
  reading.define(turned(reading.op('Squeeze', [sequence, reading.ints([1])])));
};

/** The four gates below each other, in the order of ONNX. */
function stack(reading: TfliteReading, from: number, shape: (tensor: Tensor) => Tensor, axis: number): Value {
  return reading.op('Concat', GATES.map((gate) => reading.values.weight(reading.index(from + gate), shape)), { axis });
}

export const recurrent: ReadTable = { UNIDIRECTIONAL_SEQUENCE_LSTM: sequenceLstm };
