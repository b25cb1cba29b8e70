/** Runs a step over a sequence: written out for short ones, as a loop of TFLite (WHILE) for long ones and those of open length. */
import type { Dim } from '@penjing/core';
import type { LowerContext } from '../lower-context.js';
import type { TfGraph, TfTensor } from '../tf-graph.js';
import { binary } from './elementwise.js';
import type { Step } from './recurrent-cells.js';

/** Steps that are written out, a dozen operators each; a loop costs less file, and more time for each step. */
const WRITTEN_OUT = 32;

export interface Sequence {
  /** (time, batch, gates * hidden). */
  readonly projected: TfTensor;
  readonly hidden: number;
  readonly step: Step;
  /** null for zeros. */
  readonly initial: readonly (TfTensor | null)[];
  /** Number of steps of each element of the batch, int32 (batch, 1); all of them when absent. */
  readonly lengths: TfTensor | undefined;
  readonly backwards: boolean;
  /** False when only the last states are read. */
  readonly keepsOutputs: boolean;
}

export interface SequenceResult {
  /** (time, batch, hidden). */
  readonly outputs: TfTensor | undefined;
  readonly states: readonly TfTensor[];
}

export function runSequence(c: LowerContext, sequence: Sequence): SequenceResult {
  const [time] = sequence.projected.shape;
  return typeof time === 'number' && time <= WRITTEN_OUT ? writtenOut(c, sequence, time) : loop(c, sequence);
}

const select = (c: LowerContext, chosen: TfTensor, yes: TfTensor, no: TfTensor): TfTensor =>
  c.emit('SELECT_V2', [chosen, yes, no], { shape: yes.shape, options: { type: 'SelectV2Options', value: {} } });

/** One step at time `index`: elements of the batch that have ended keep their states, and put out zeros. */
function step(c: LowerContext, { step: advance, lengths }: Sequence, x: TfTensor, states: readonly (TfTensor | null)[], index: TfTensor): { readonly output: TfTensor; readonly states: TfTensor[] } {
  const next = advance(c, x, states);
  if (!lengths) return { output: next[0]!, states: next };
  const running = binary(c, 'LESS', index, lengths, lengths.shape, 'bool');
  const zero = c.floats([0]);
  return {
    output: select(c, running, next[0]!, zero),
    states: next.map((state, i) => select(c, running, state, states[i] ?? zero)),
  };
}

function writtenOut(c: LowerContext, sequence: Sequence, time: number): SequenceResult {
  const { projected, backwards } = sequence;
  const [, batch, width] = projected.shape;
  const slices = time === 1
    ? [c.reshape(projected, [batch!, width!])]
    : c.emitMany('UNPACK', [projected], Array.from({ length: time }, () => [batch!, width!]), Array.from({ length: time }, () => 'float32' as const), { type: 'UnpackOptions', value: { num: time, axis: 0 } });
  let states: readonly (TfTensor | null)[] = sequence.initial;
  const outputs: TfTensor[] = Array<TfTensor>(time);
  for (let i = 0; i < time; i++) {
    const at = backwards ? time - 1 - i : i;
    const result = step(c, sequence, slices[at]!, states, c.ints([at], []));
    outputs[at] = result.output;
    states = result.states;
  }
  const shape: Dim[] = [time, batch!, sequence.hidden];
  return { states: states as TfTensor[], outputs: sequence.keepsOutputs ? stack(c, outputs, shape) : undefined };
}

function stack(c: LowerContext, outputs: readonly TfTensor[], shape: readonly Dim[]): TfTensor {
  if (outputs.length === 1) return c.reshape(outputs[0]!, shape);
  return c.emit('PACK', outputs, { shape, options: { type: 'PackOptions', value: { valuesCount: outputs.length, axis: 0 } } });
}

const int = (c: LowerContext, type: 'ADD' | 'SUB', a: TfTensor, b: TfTensor): TfTensor => binary(c, type, a, b, [], 'int32');

/** The first step stands before the loop: its results have the shapes of all that follow, and states of zeros need none. */
function loop(c: LowerContext, sequence: Sequence): SequenceResult {
  const { projected, backwards, hidden, keepsOutputs } = sequence;
  const [time, batch, width] = projected.shape as [Dim, Dim, number];
  const one = c.ints([1], []);
  const total = typeof time === 'number' ? c.ints([time], []) : lengthOf(c, projected);
  const at = (inside: LowerContext, count: TfTensor, steps: TfTensor): TfTensor => (backwards ? int(inside, 'SUB', int(inside, 'SUB', steps, inside.ints([1], [])), count) : count);
  const slice = (inside: LowerContext, from: TfTensor, index: TfTensor): TfTensor =>
    inside.emit('GATHER', [from, index], { shape: [batch, width], options: { type: 'GatherOptions', value: { axis: 0, batchDims: 0 } } });
  const write = (inside: LowerContext, buffer: TfTensor, index: TfTensor, output: TfTensor): TfTensor => {
    const start = inside.emit('PACK', [index, inside.ints([0], []), inside.ints([0], [])], { shape: [3], dtype: 'int32', options: { type: 'PackOptions', value: { valuesCount: 3, axis: 0 } } });
    return inside.emit('DYNAMIC_UPDATE_SLICE', [buffer, inside.reshape(output, [1, batch, hidden]), start], { shape: buffer.shape, options: { type: 'DynamicUpdateSliceOptions', value: {} } });
  };

  const begin = at(c, c.ints([0], []), total);
  const first = step(c, sequence, slice(c, projected, begin), sequence.initial, begin);
  const carried: TfTensor[] = [...first.states];
  if (keepsOutputs) {
    // Every row will be written: what the buffer holds before does not matter.
    const buffer = c.emit('SLICE', [projected, c.ints([0, 0, 0]), c.ints([-1, -1, hidden])], { shape: [time, batch, hidden], options: { type: 'SliceOptions', value: {} } });
    carried.push(write(c, buffer, begin, first.output));
  }
  // (count, total, projected, lengths?, states…, outputs?)
  const operands = [one, total, projected, ...(sequence.lengths ? [sequence.lengths] : []), ...carried];
  const port = (tensor: TfTensor, i: number): TfTensor => ({ name: `carried_${i}`, dtype: tensor.dtype, shape: tensor.shape });

  const subgraph = (make: (inside: LowerContext, ports: readonly TfTensor[]) => readonly TfTensor[]): TfGraph => {
    const inside = c.inner();
    const ports = operands.map(port);
    const { graph } = inside.emitter;
    graph.inputs.push(...ports.map((tensor) => ({ name: tensor.name, tensor })));
    graph.outputs.push(...make(inside, ports).map((tensor) => ({ name: tensor.name, tensor })));
    return graph;
  };
  const condition = subgraph((inside, [count, steps]) => [binary(inside, 'LESS', count!, steps!, [], 'bool')]);
  const body = subgraph((inside, ports) => {
    const [count, steps, from] = ports as [TfTensor, TfTensor, TfTensor];
    const lengths = sequence.lengths ? ports[3] : undefined;
    const states = ports.slice(lengths ? 4 : 3, (lengths ? 4 : 3) + first.states.length);
    const index = at(inside, count, steps);
    const result = step(inside, { ...sequence, lengths }, slice(inside, from, index), states, index);
    return [
      int(inside, 'ADD', count, inside.ints([1], [])), steps, from, ...(lengths ? [lengths] : []), ...result.states,
      ...(keepsOutputs ? [write(inside, ports.at(-1)!, index, result.output)] : []),
    ];
  });
  const results = c.emitMany('WHILE', operands, operands.map(({ shape }) => shape), operands.map(({ dtype }) => dtype), undefined, [condition, body]);
  const last = results.slice(operands.length - carried.length);
  return { states: last.slice(0, first.states.length), outputs: keepsOutputs ? last.at(-1) : undefined };
}

/** Size of the first axis, as it is when the model runs. */
function lengthOf(c: LowerContext, x: TfTensor): TfTensor {
  const sizes = c.emit('SHAPE', [x], { shape: [x.shape.length], dtype: 'int32', options: { type: 'ShapeOptions', value: { outType: 2 } } });
  return c.emit('GATHER', [sizes, c.ints([0], [])], { shape: [], dtype: 'int32', options: { type: 'GatherOptions', value: { axis: 0, batchDims: 0 } } });
}
