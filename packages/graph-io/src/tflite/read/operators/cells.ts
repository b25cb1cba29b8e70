/** One step of the recurrent layers of TFLite, with all their options, and Scan over the steps. */
import { attribute, Graph, lazy, tensorType, type Value } from '@penjing/core';
import { activate, clip } from '../activation.js';
import { hybridProductOf, hybridWeight, isHybrid } from '../integer/hybrid.js';
import type { TfliteReading } from '../operator.js';

/** A step from (x, ...states) to the new states, the first of which is the result. */
export interface Cell {
  /** Widths of the states. */
  readonly widths: readonly number[];
  step(x: Value, states: readonly Value[]): readonly Value[];
}

/** What multiplies rows by the weights (outputs, inputs) of an operand. Made outside of a body, used in it. */
export function matrix(reading: TfliteReading, weight: number, asymmetric: boolean): (x: Value) => Value {
  // in exact arithmetic and beside float activations, every step rounds what it multiplies
  if (reading.values.arithmetic === 'exact' && isHybrid(reading, 0, weight)) {
    const prepared = hybridWeight(reading, weight);
    return (x) => hybridProductOf(reading, x, prepared, asymmetric);
  }
  const value = reading.values.weight(reading.index(weight), (tensor) => lazy.transpose(tensor, [1, 0]), 1);
  return (x) => reading.op('MatMul', [x, value]);
}

const optional = (reading: TfliteReading, i: number): Value | undefined => (reading.has(i) ? reading.values.weight(reading.index(i)) : undefined);

/** Where the parts of an LSTM stand among the operands; each group has the gates input, forget, cell, output. */
export interface LstmPlaces {
  readonly input: number;
  readonly recurrent: number;
  /** Of input, forget and output gate. */
  readonly peephole: number;
  readonly bias: number;
  readonly projection: number;
  /** Undefined where the operator has none. */
  readonly norm: number | undefined;
}

export interface LstmOptions {
  readonly fusedActivationFunction: number;
  readonly cellClip: number;
  readonly projClip: number;
  readonly asymmetricQuantizeInputs: boolean;
}

const INPUT = 0, FORGET = 1, CELL = 2, OUTPUT = 3;

/** Below this variance is nothing: that of TensorFlow Lite's normalization. */
const EPSILON = 1e-8;

export function lstmCell(reading: TfliteReading, places: LstmPlaces, { fusedActivationFunction, cellClip, projClip, asymmetricQuantizeInputs }: LstmOptions): Cell {
  const coupled = !reading.has(places.input);
  // sums of 16 bits with scales of their own between the steps: floats are far from what they give
  if (places.norm !== undefined && reading.has(places.norm + FORGET) && reading.values.scales(reading.index(0))) throw reading.fail('it normalizes layers on integers');
  const gate = (g: number): ((x: Value, h: Value, cell: Value) => Value) => {
    const input = matrix(reading, places.input + g, asymmetricQuantizeInputs);
    const recurrent = matrix(reading, places.recurrent + g, asymmetricQuantizeInputs);
    const bias = optional(reading, places.bias + g);
    const peephole = g === CELL ? undefined : optional(reading, places.peephole + (g === OUTPUT ? 2 : g));
    const norm = places.norm === undefined ? undefined : optional(reading, places.norm + g);
    return (x, h, cell) => {
      const parts = [input(x), recurrent(h), ...(peephole ? [reading.op('Mul', [cell, peephole])] : [])];
      const sum = parts.reduce((a, b) => reading.op('Add', [a, b]));
      const normal = norm ? reading.op('Mul', [normalized(reading, sum), norm]) : sum;
      return bias ? reading.op('Add', [normal, bias]) : normal;
    };
  };
  const gates = [INPUT, FORGET, CELL, OUTPUT].map((g) => (g === INPUT && coupled ? undefined : gate(g)));
  const projection = reading.has(places.projection) ? matrix(reading, places.projection, asymmetricQuantizeInputs) : undefined;
  const projectionBias = optional(reading, places.projection + 1);
  const hidden = reading.tensor(places.recurrent + FORGET).shape[0]!;
  const width = reading.tensor(places.recurrent + FORGET).shape[1]!;
  const bounded = (x: Value, by: number): Value => (by > 0 ? clip(reading, x, -by, by) : x);
  return {
    widths: [width, hidden],
    step(x, [h, cell]) {
      const forget = reading.op('Sigmoid', [gates[FORGET]!(x, h!, cell!)]);
      const one = reading.values.builder.constant('float32', 1);
      const input = gates[INPUT] ? reading.op('Sigmoid', [gates[INPUT](x, h!, cell!)]) : reading.op('Sub', [one, forget]);
      const candidate = activate(reading, gates[CELL]!(x, h!, cell!), fusedActivationFunction);
      const kept = reading.op('Add', [reading.op('Mul', [forget, cell!]), reading.op('Mul', [input, candidate])]);
      const next = bounded(kept, cellClip);
      const output = reading.op('Sigmoid', [gates[OUTPUT]!(x, h!, next)]);
      const made = reading.op('Mul', [output, activate(reading, next, fusedActivationFunction)]);
      if (!projection) return [made, next];
      const projected = projectionBias ? reading.op('Add', [projection(made), projectionBias]) : projection(made);
      return [bounded(projected, projClip), next];
    },
  };
}

function normalized(reading: TfliteReading, x: Value): Value {
  const mean = reading.op('ReduceMean', [x, reading.ints([-1])], { keepdims: 1 });
  const centred = reading.op('Sub', [x, mean]);
  const variance = reading.op('ReduceMean', [reading.op('Mul', [centred, centred]), reading.ints([-1])], { keepdims: 1 });
  return reading.op('Div', [centred, reading.op('Sqrt', [reading.op('Add', [variance, reading.values.builder.constant('float32', EPSILON)])])]);
}

/** Operands of the input weights, the recurrent ones and the bias. */
export function rnnCell(reading: TfliteReading, from: number, activation: number, asymmetric: boolean): Cell {
  const [input, recurrent] = [matrix(reading, from, asymmetric), matrix(reading, from + 1, asymmetric)];
  const bias = optional(reading, from + 2);
  return {
    widths: [reading.tensor(from + 1).shape[0]!],
    step(x, [h]) {
      const sum = reading.op('Add', [input(x), recurrent(h!)]);
      return [activate(reading, bias ? reading.op('Add', [sum, bias]) : sum, activation)];
    },
  };
}

/** All steps of `x` (time, batch, width), from states of zeros: the results (time, batch, width of the first state). */
export function scan(reading: TfliteReading, cell: Cell, x: Value, { batch, width, backward = false }: { readonly batch: Value; readonly width: number; readonly backward?: boolean }): Value {
  const { values } = reading;
  const zero = attribute.tensor(values.zeroTensor());
  const initial = cell.widths.map((size) => reading.op('ConstantOfShape', [reading.op('Concat', [batch, reading.ints([size])], { axis: 0 })], { value: zero }));
  const graph = new Graph('step');
  values.within(graph, () => {
    const { builder } = values;
    const states = cell.widths.map((size, i) => builder.input(`state_${i}`, tensorType('float32', [null, size])));
    const now = builder.input('x', tensorType('float32', [null, width]));
    const next = cell.step(now, states);
    graph.outputs.push(...next, builder.op('Identity', [next[0]!]));
  });
  const directions: Readonly<Record<string, readonly number[]>> = backward ? { scan_input_directions: [1], scan_output_directions: [1] } : {};
  const results = reading.nodes('Scan', [...initial, x], { body: attribute.graph(graph), num_scan_inputs: 1, ...directions }, cell.widths.length + 1);
  return results.at(-1)!;
}

/** The batch of a value (time, batch, width), as a vector. */
export function batchOf(reading: TfliteReading, x: Value): Value {
  return reading.op('Shape', [x], { start: 1, end: 2 });
}

/** (batch, time, width) to (time, batch, width), and back. */
export function turned(reading: TfliteReading, x: Value, timeMajor: boolean): Value {
  return timeMajor ? x : reading.op('Transpose', [x], { perm: [1, 0, 2] });
}
