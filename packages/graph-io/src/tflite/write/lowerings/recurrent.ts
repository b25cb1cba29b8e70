/** Recurrent operators: one product for the inputs of all steps, then step by step. */
import { type DenseTensor, denseOf, type Dim, lazy, type Tensor } from '@penjing/core';
import { constantOf } from '../emitter.js';
import type { LowerContext } from '../lower-context.js';
import type { Lowering } from '../lowering.js';
import { numbersOf } from '../numbers.js';
import type { TfTensor } from '../tf-graph.js';
import { fullyConnected } from './linalg.js';
import { type Activation, type Cell, cells, type CellWeights, recurrentActivations } from './recurrent-cells.js';
import { runSequence, type SequenceResult } from './recurrent-run.js';

/** Places of the inputs. */
const [X, W, R, B, LENGTHS, FIRST_STATE, , P] = [0, 1, 2, 3, 4, 5, 6, 7] as const;

function recurrent(cell: Cell): Lowering {
  return {
    reads: [X, LENGTHS, FIRST_STATE, ...(cell.states > 1 ? [FIRST_STATE + 1] : [])],
    lower(c) {
      const batchFirst = c.node.int('layout', 0) === 1;
      const direction = c.node.string('direction', 'forward');
      const backwards = direction === 'bidirectional' ? [false, true] : [direction === 'reverse'];
      // (time, batch, …) from here on.
      const x = batchFirst ? c.transpose(c.input(X), [1, 0, 2]) : c.input(X);
      const [time, batch] = x.shape as [Dim, Dim, Dim];
      const lengths = lengthsOf(c, time, batch);
      const activations = activationsOf(c, cell, backwards.length);
      const keepsOutputs = used(c, 0);
      const results = backwards.map((reversed, index): SequenceResult => {
        const weights = weightsOf(c, cell, index, activations[index]!);
        return runSequence(c, {
          projected: projected(c, cell, x, index), hidden: weights.hidden, step: cell.step(weights, c), lengths, backwards: reversed, keepsOutputs,
          initial: Array.from({ length: cell.states }, (_, state) => initialState(c, FIRST_STATE + state, index, batchFirst)),
        });
      });
      const hidden = results[0]!.states[0]!.shape[1]!;
      if (keepsOutputs) {
        const parts = results.map(({ outputs }) => c.reshape(outputs!, [time, 1, batch, hidden]));
        const y = joined(c, parts, 1);
        c.set(batchFirst ? c.transpose(y, [2, 0, 1, 3]) : y, 0);
      }
      for (let state = 0; state < cell.states; state++) {
        if (!used(c, 1 + state)) continue;
        const axis = batchFirst ? 1 : 0;
        const parts = results.map(({ states }) => c.reshape(states[state]!, batchFirst ? [batch, 1, hidden] : [1, batch, hidden]));
        c.set(joined(c, parts, axis), 1 + state);
      }
    },
    note: 'constant weights',
  };
}

/** Whether anything reads an output. */
function used(c: LowerContext, index: number): boolean {
  const value = c.node.outputs[index];
  return value !== undefined && value.name !== '' && (value.useCount > 0 || c.isOutput(value));
}

function joined(c: LowerContext, parts: readonly TfTensor[], axis: number): TfTensor {
  if (parts.length === 1) return parts[0]!;
  const shape = parts[0]!.shape.map((dim, i) => (i === axis ? parts.length : dim));
  return c.emit('CONCATENATION', parts, { shape, options: { type: 'ConcatenationOptions', value: { axis, fusedActivationFunction: 0 } } });
}

/** Rows of one direction: (directions, …) cut and reshaped. */
function direction(tensor: Tensor, index: number): Tensor {
  const [, ...rest] = tensor.shape;
  return lazy.reshape(lazy.slice(tensor, [index, ...rest.map(() => 0)], [1, ...rest]), rest);
}

/** Numbers of a constant vector over gates, of one direction. */
function vector(c: LowerContext, place: number, index: number): number[] | undefined {
  const numbers = c.numbers(place);
  const tensor = c.constant(place);
  if (!numbers || !tensor) return undefined;
  const width = tensor.shape[1]!;
  return numbers.slice(index * width, (index + 1) * width);
}

/** x Wᵀ + both biases (of the gates that do not keep one apart) for all steps at once: (time, batch, gates * hidden). */
function projected(c: LowerContext, cell: Cell, x: TfTensor, index: number): TfTensor {
  const weight = c.weight(W, (tensor) => direction(tensor, index));
  const width = weight.shape[0] as number;
  const both = vector(c, B, index);
  const apart = (cell.apartFrom?.(c) ?? cell.gates) * (width / cell.gates);
  const bias = both && both.slice(0, width).map((value, i) => value + (i < apart ? both[width + i]! : 0));
  const vectorTensor = bias && constantOf(`${weight.name}/bias`, denseOf('float32', [width], bias));
  return fullyConnected(c, x, weight, vectorTensor ?? null, [x.shape[0]!, x.shape[1]!, width]);
}

function weightsOf(c: LowerContext, cell: Cell, index: number, activations: readonly Activation[]): CellWeights {
  const hidden = c.constant(R)?.shape[2];
  if (hidden === undefined) throw c.fail(`its weight ${c.value(R).name} is computed while the model runs`, 'Make the weights initializers (fold constants first).');
  const forms = new Map<string, TfTensor>();
  const recurrentRows = (from = 0, gates = cell.gates): TfTensor => {
    const key = `${from},${gates}`;
    // One tensor for all steps, so that it is stored, and quantized, once.
    const form = forms.get(key) ?? c.weight(R, (tensor) => lazy.slice(direction(tensor, index), [from * hidden, 0], [gates * hidden, hidden]));
    forms.set(key, form);
    return form;
  };
  const both = vector(c, B, index);
  const peepholes = vector(c, P, index);
  const clip = c.node.float('clip');
  const apart = (cell.apartFrom?.(c) ?? cell.gates) * hidden;
  return {
    hidden, recurrent: recurrentRows, activations,
    recurrentBias: both && denseOf('float32', [cell.gates * hidden], both.slice(cell.gates * hidden).map((value, i) => (i < apart ? 0 : value))),
    peephole: (i) => peepholes && c.tensorConstant(denseOf('float32', [1, hidden], peepholes.slice(i * hidden, (i + 1) * hidden))),
    clip: clip !== undefined && clip > 0 ? clip : undefined,
  };
}

function activationsOf(c: LowerContext, cell: Cell, directions: number): Activation[][] {
  const names = c.node.strings('activations') ?? Array.from({ length: directions }, () => cell.defaults).flat();
  const [alphas, betas] = [[...(c.node.floats('activation_alpha') ?? [])], [...(c.node.floats('activation_beta') ?? [])]];
  const made = names.map((name): Activation => {
    const known = recurrentActivations[name.toLowerCase()];
    if (!known) throw c.fail(`TFLite has no activation ${name}`, `It has ${Object.keys(recurrentActivations).join(', ')}.`);
    // Values are given, in order, to the functions that take them.
    return known.make(known.parameters > 0 ? alphas.shift() : undefined, known.parameters > 1 ? betas.shift() : undefined);
  });
  return Array.from({ length: directions }, (_, i) => made.slice(i * cell.defaults.length, (i + 1) * cell.defaults.length));
}

/** (batch, hidden) of one direction; null for zeros. */
function initialState(c: LowerContext, place: number, index: number, batchFirst: boolean): TfTensor | null {
  if (!c.has(place)) return null;
  const constant = c.constant(place);
  if (constant?.kind === 'dense' && numbersOf(constant as DenseTensor).every((value) => value === 0)) return null;
  const states = c.input(place);
  const axis = batchFirst ? 1 : 0;
  const [batch, hidden] = [states.shape[batchFirst ? 0 : 1]!, states.shape[2] as number];
  if (states.shape[axis] === 1) return c.reshape(states, [batch, hidden]);
  return c.emit('GATHER', [states, c.ints([index], [])], { shape: [batch, hidden], dtype: states.dtype, options: { type: 'GatherOptions', value: { axis, batchDims: 0 } } });
}

/** int32 (batch, 1); undefined when every sequence is whole. */
function lengthsOf(c: LowerContext, time: Dim, batch: Dim): TfTensor | undefined {
  if (!c.has(LENGTHS)) return undefined;
  const numbers = c.constant(LENGTHS)?.kind === 'dense' ? c.numbers(LENGTHS) : undefined;
  if (numbers?.every((length) => length === time)) return undefined;
  return numbers ? c.tensorConstant(denseOf('int32', [numbers.length, 1], numbers)) : c.reshape(c.input(LENGTHS), [batch, 1]);
}

export const recurrents = { RNN: recurrent(cells.RNN), LSTM: recurrent(cells.LSTM), GRU: recurrent(cells.GRU) } satisfies Record<string, Lowering>;
