/** Reference kernels of recurrent operators. */
import type { OpName } from '../ops/lookup.js';
import { elementCount } from '../shape.js';
import { type NdArray, numbers, permuted, rounded } from './array.js';
import { sigmoid } from './elementwise.js';
import type { Kernel, KernelContext } from './kernel.js';

type Activation = (x: number) => number;

/** How many of alpha and beta an activation takes, and what they make of it. */
const activations: Readonly<Record<string, readonly [parameters: 0 | 1 | 2, make: (alpha?: number, beta?: number) => Activation]>> = {
  sigmoid: [0, () => sigmoid], tanh: [0, () => Math.tanh], relu: [0, () => (x) => Math.max(0, x)], softsign: [0, () => (x) => x / (1 + Math.abs(x))],
  softplus: [0, () => (x) => Math.log1p(Math.exp(x))],
  affine: [2, (a = 1, b = 0) => (x) => a * x + b], leakyrelu: [1, (a = 0.01) => (x) => (x < 0 ? a * x : x)], thresholdedrelu: [1, (a = 1) => (x) => (x > a ? x : 0)],
  scaledtanh: [2, (a = 1, b = 1) => (x) => a * Math.tanh(b * x)], hardsigmoid: [2, (a = 0.2, b = 0.5) => (x) => Math.max(0, Math.min(1, a * x + b))],
  elu: [1, (a = 1) => (x) => (x < 0 ? a * Math.expm1(x) : x)],
};

/** Of all directions. Only activations that take a parameter use one up, in order, as ONNX Runtime reads the specification. */
function activationsOf(c: KernelContext, defaults: readonly string[]): Activation[] {
  const names = c.node.strings('activations') ?? [...defaults, ...defaults];
  const [alphas, betas] = [[...(c.node.floats('activation_alpha') ?? [])], [...(c.node.floats('activation_beta') ?? [])]];
  return names.map((name) => {
    const [parameters, make] = activations[name.toLowerCase()]!;
    return make(parameters > 0 ? alphas.shift() : undefined, parameters > 1 ? betas.shift() : undefined);
  });
}

/** One direction of a layer: weights of one gate after another, W (gates*hidden, input), R (gates*hidden, hidden), B (2*gates*hidden). */
interface Cell {
  readonly hidden: number;
  readonly w: Float64Array;
  readonly r: Float64Array;
  readonly b: Float64Array;
  /** Peepholes of LSTM: input, output, forget. */
  readonly p: Float64Array | undefined;
  readonly act: readonly Activation[];
  readonly clip: (x: number) => number;
  readonly inputForget: boolean;
  readonly linearBeforeReset: boolean;
}

/** State of one sample, updated in place. */
interface State { readonly h: Float64Array; readonly c: Float64Array }

type Step = (cell: Cell, x: Float64Array, state: State) => void;

function dot(matrix: Float64Array, row: number, x: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < x.length; i++) sum += matrix[row * x.length + i]! * x[i]!;
  return sum;
}

/** W·x + Wb and R·h + Rb of gate g, unit i. */
function parts(cell: Cell, gates: number, g: number, i: number, x: Float64Array, h: Float64Array): [number, number] {
  const row = g * cell.hidden + i;
  return [dot(cell.w, row, x) + cell.b[row]!, dot(cell.r, row, h) + cell.b[gates * cell.hidden + row]!];
}

const rnn: Step = (cell, x, { h }) => {
  const next = h.map((_, i) => cell.act[0]!(cell.clip(parts(cell, 1, 0, i, x, h).reduce((a, b) => a + b))));
  h.set(next);
};

const gru: Step = (cell, x, { h }) => {
  const gate = (g: number): Float64Array => h.map((_, i) => cell.act[0]!(cell.clip(parts(cell, 3, g, i, x, h).reduce((a, b) => a + b))));
  const [z, r] = [gate(0), gate(1)];
  const reset = h.map((value, i) => value * r[i]!);
  const next = h.map((value, i) => {
    const [wx, rh] = parts(cell, 3, 2, i, x, cell.linearBeforeReset ? h : reset);
    const candidate = cell.act[1]!(cell.clip(wx + (cell.linearBeforeReset ? r[i]! * rh : rh)));
    return (1 - z[i]!) * candidate + z[i]! * value;
  });
  h.set(next);
};

const lstm: Step = (cell, x, { h, c }) => {
  const peep = (which: number, i: number, value: number): number => (cell.p ? cell.p[which * cell.hidden + i]! * value : 0);
  const raw = (g: number, i: number): number => parts(cell, 4, g, i, x, h).reduce((a, b) => a + b);
  const next = h.map((_, i) => {
    const input = cell.act[0]!(cell.clip(raw(0, i) + peep(0, i, c[i]!)));
    const forget = cell.inputForget ? 1 - input : cell.act[0]!(cell.clip(raw(2, i) + peep(2, i, c[i]!)));
    const fresh = cell.act[1]!(cell.clip(raw(3, i)));
    const outer = raw(1, i);
    c[i] = forget * c[i]! + input * fresh;
    return cell.act[0]!(cell.clip(outer + peep(1, i, c[i]))) * cell.act[2]!(c[i]);
  });
  h.set(next);
};

const recurrent = (step: Step, gates: number, defaults: readonly string[]): Kernel => (c) => {
  const batchFirst = c.node.int('layout', 0) === 1;
  const x = batchFirst ? permuted(c.array(0), [1, 0, 2]) : c.array(0);
  const [seq, batch, width] = x.shape as [number, number, number];
  const [w, r] = [c.array(1), c.array(2)];
  const directions = w.shape[0]!;
  const hidden = r.shape[2]!;
  const lengths = c.has(4) ? c.ints(4) : new Array<number>(batch).fill(seq);
  const values = numbers(x);
  const initial = (index: number): Float64Array => {
    const given = c.optional(index);
    return given ? numbers(batchFirst ? permuted(given, [1, 0, 2]) : given) : new Float64Array(directions * batch * hidden);
  };
  const [h0, c0] = [initial(5), gates === 4 ? initial(6) : new Float64Array(directions * batch * hidden)];
  const y = new Float64Array(seq * directions * batch * hidden);
  const [yh, yc] = [h0.slice(), c0.slice()];
  for (let d = 0; d < directions; d++) {
    const cell = cellOf(c, d, gates, hidden, defaults);
    const backward = d === 1 || c.node.string('direction', 'forward') === 'reverse';
    for (let n = 0; n < batch; n++) {
      const at = (d * batch + n) * hidden;
      const state = { h: yh.subarray(at, at + hidden), c: yc.subarray(at, at + hidden) };
      for (let t = 0; t < lengths[n]!; t++) {
        const time = backward ? lengths[n]! - 1 - t : t;
        step(cell, values.subarray((time * batch + n) * width, (time * batch + n + 1) * width), state);
        y.set(state.h, ((time * directions + d) * batch + n) * hidden);
      }
    }
  }
  const all = rounded(x.dtype, [seq, directions, batch, hidden], y);
  const state = (data: Float64Array): NdArray => {
    const out = rounded(x.dtype, [directions, batch, hidden], data);
    return batchFirst ? permuted(out, [1, 0, 2]) : out;
  };
  return [batchFirst ? permuted(all, [2, 0, 1, 3]) : all, state(yh), ...(gates === 4 ? [state(yc)] : [])];
};

function cellOf(c: KernelContext, d: number, gates: number, hidden: number, defaults: readonly string[]): Cell {
  const row = (x: NdArray | undefined): Float64Array | undefined => {
    if (!x) return undefined;
    const size = elementCount(x.shape.slice(1));
    return numbers(x).subarray(d * size, (d + 1) * size);
  };
  const limit = c.node.float('clip', 0);
  return {
    hidden,
    w: row(c.array(1))!, r: row(c.array(2))!, b: row(c.optional(3)) ?? new Float64Array(2 * gates * hidden), p: row(c.optional(7)),
    act: activationsOf(c, defaults).slice(d * defaults.length, (d + 1) * defaults.length),
    clip: limit > 0 ? (x) => Math.max(-limit, Math.min(limit, x)) : (x) => x,
    inputForget: c.node.int('input_forget', 0) === 1,
    linearBeforeReset: c.node.int('linear_before_reset', 0) === 1,
  };
}

export const recurrentKernels = {
  RNN: recurrent(rnn, 1, ['Tanh']), GRU: recurrent(gru, 3, ['Sigmoid', 'Tanh']), LSTM: recurrent(lstm, 4, ['Sigmoid', 'Tanh', 'Tanh']),
} satisfies Partial<Record<OpName, Kernel>>;

