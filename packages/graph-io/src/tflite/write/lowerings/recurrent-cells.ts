/** One step of every recurrent operator of ONNX, written with products, sums and activations. */
import type { Tensor } from '@penjing/core';
import type { LowerContext } from '../lower-context.js';
import type { TfTensor } from '../tf-graph.js';
import { type Formula, formula } from './elementwise.js';
import { fullyConnected } from './linalg.js';

export type Activation = (x: TfTensor, f: Formula) => TfTensor;

/** The constants of one direction. Gates are stacked in ONNX's order. */
export interface CellWeights {
  readonly hidden: number;
  /** (gates * hidden, hidden), or the part of some gates. */
  readonly recurrent: (from?: number, gates?: number) => TfTensor;
  /** Bias of the recurrent product: zeros for the gates whose biases were added with the input. */
  readonly recurrentBias: Tensor | undefined;
  /** (1, hidden) of an LSTM's three peepholes; undefined without any. */
  readonly peephole: (index: number) => TfTensor | undefined;
  readonly activations: readonly Activation[];
  readonly clip: number | undefined;
}

/** The projected input (batch, gates * hidden) and the states, null for zeros, as the new states: first the one that is the output. */
export type Step = (c: LowerContext, x: TfTensor, states: readonly (TfTensor | null)[]) => TfTensor[];

export interface Cell {
  readonly gates: number;
  readonly states: number;
  readonly defaults: readonly string[];
  readonly step: (weights: CellWeights, c: LowerContext) => Step;
  /** Gates from this one on keep the bias of their recurrent product apart, because it is scaled before it is added. */
  readonly apartFrom?: (c: LowerContext) => number | undefined;
}

interface Gates {
  readonly f: Formula;
  /** x + h Rᵀ, cut into its gates. */
  readonly gates: TfTensor[];
}

/** Cuts (batch, count * hidden) along the last axis. */
export function cut(c: LowerContext, x: TfTensor, count: number): TfTensor[] {
  if (count === 1) return [x];
  const [batch, width] = x.shape as [number, number];
  const shapes = Array.from({ length: count }, () => [batch, width / count]);
  return c.emitMany('SPLIT', [c.ints([1], []), x], shapes, shapes.map(() => 'float32' as const), { type: 'SplitOptions', value: { numSplits: count } });
}

/** Rows of a vector times a weight. */
const product = (c: LowerContext, h: TfTensor, weight: TfTensor, bias: TfTensor | null = null): TfTensor =>
  fullyConnected(c, h, weight, bias, [h.shape[0]!, weight.shape[0]!]);

function summed(c: LowerContext, w: CellWeights, x: TfTensor, h: TfTensor | null, count: number): Gates {
  const f = formula(c);
  return { f, gates: cut(c, h ? f.add(x, product(c, h, w.recurrent())) : x, count) };
}

function clipped(f: Formula, x: TfTensor, bound: number | undefined): TfTensor {
  return bound === undefined ? x : f.max(f.min(x, bound), -bound);
}

const rnn: Cell = {
  gates: 1, states: 1, defaults: ['Tanh'],
  step: (w) => (c, x, [h]) => {
    const { f, gates } = summed(c, w, x, h!, 1);
    return [w.activations[0]!(clipped(f, gates[0]!, w.clip), f)];
  },
};

/** i, o, f and c; peepholes i, o, f. */
const lstm: Cell = {
  gates: 4, states: 2, defaults: ['Sigmoid', 'Tanh', 'Tanh'],
  step: (w, { node }) => (c, x, [h, cell]) => {
    const { f, gates: [i, o, forget, update] } = summed(c, w, x, h!, 4) as { f: Formula; gates: [TfTensor, TfTensor, TfTensor, TfTensor] };
    const [gate, inner, outer] = w.activations as [Activation, Activation, Activation];
    const peeping = (sum: TfTensor, index: number, seen: TfTensor | null): TfTensor => {
      const weight = w.peephole(index);
      return clipped(f, weight && seen ? f.add(sum, f.mul(seen, weight)) : sum, w.clip);
    };
    const opened = gate(peeping(i, 0, cell!), f);
    const entering = f.mul(opened, inner(clipped(f, update, w.clip), f));
    let next = entering;
    if (cell) {
      const kept = node.int('input_forget', 0) === 1 ? f.sub(1, opened) : gate(peeping(forget, 2, cell), f);
      next = f.add(f.mul(kept, cell), entering);
    }
    return [f.mul(gate(peeping(o, 1, next), f), outer(next, f)), next];
  },
};

/** z, r and h. */
const gru: Cell = {
  gates: 3, states: 1, defaults: ['Sigmoid', 'Tanh'],
  apartFrom: ({ node }) => (node.int('linear_before_reset', 0) === 1 ? 2 : undefined),
  step: (w, { node }) => {
    const linear = node.int('linear_before_reset', 0) === 1;
    return (c, x, [h]) => {
      const f = formula(c);
      const [gate, inner] = w.activations as [Activation, Activation];
      const [xz, xr, xh] = cut(c, x, 3) as [TfTensor, TfTensor, TfTensor];
      const apart = linear && w.recurrentBias ? c.tensorConstant(w.recurrentBias) : undefined;
      const activate = (sum: TfTensor, by: Activation): TfTensor => by(clipped(f, sum, w.clip), f);
      let [z, r, candidate] = [xz, xr, xh];
      if (h && linear) {
        const [hz, hr, hh] = cut(c, product(c, h, w.recurrent(), apart ?? null), 3) as [TfTensor, TfTensor, TfTensor];
        [z, r] = [activate(f.add(xz, hz), gate), activate(f.add(xr, hr), gate)];
        candidate = f.add(xh, f.mul(r, hh));
      } else if (h) {
        const [hz, hr] = cut(c, product(c, h, w.recurrent(0, 2)), 2) as [TfTensor, TfTensor];
        [z, r] = [activate(f.add(xz, hz), gate), activate(f.add(xr, hr), gate)];
        candidate = f.add(xh, product(c, f.mul(r, h), w.recurrent(2, 1)));
      } else {
        z = activate(xz, gate);
        if (apart) {
          const added = c.emit('SLICE', [c.reshape(apart, [1, 3 * w.hidden]), c.ints([0, 2 * w.hidden]), c.ints([1, w.hidden])], { shape: [1, w.hidden], options: { type: 'SliceOptions', value: {} } });
          candidate = f.add(xh, f.mul(activate(xr, gate), added));
        }
      }
      const fresh = f.mul(f.sub(1, z), activate(candidate, inner));
      return [h ? f.add(fresh, f.mul(z, h)) : fresh];
    };
  },
};

export const cells = { RNN: rnn, LSTM: lstm, GRU: gru } as const;

/** Activations of recurrent operators, by lower-case name; `a` and `b` are the attributes, when they are given. */
export const recurrentActivations: Readonly<Record<string, { readonly parameters: number; readonly make: (a?: number, b?: number) => Activation }>> = {
  sigmoid: { parameters: 0, make: () => (x, f) => f.logistic(x) },
  tanh: { parameters: 0, make: () => (x, f) => f.tanh(x) },
  relu: { parameters: 0, make: () => (x, f) => f.relu(x) },
  softsign: { parameters: 0, make: () => (x, f) => f.div(x, f.add(f.abs(x), 1)) },
  softplus: { parameters: 0, make: () => (x, f) => f.add(f.relu(x), f.log(f.add(f.exp(f.neg(f.abs(x))), 1))) },
  affine: { parameters: 2, make: (a = 1, b = 0) => (x, f) => f.add(f.mul(x, a), b) },
  leakyrelu: { parameters: 1, make: (a = 0.01) => (x, f) => f.add(f.relu(x), f.mul(f.min(x, 0), a)) },
  scaledtanh: { parameters: 2, make: (a = 1, b = 1) => (x, f) => f.mul(f.tanh(f.mul(x, b)), a) },
  hardsigmoid: { parameters: 2, make: (a = 0.2, b = 0.5) => (x, f) => f.min(f.relu(f.add(f.mul(x, a), b)), 1) },
  elu: { parameters: 1, make: (a = 1) => (x, f) => f.add(f.relu(x), f.mul(f.sub(f.exp(f.min(x, 0)), 1), a)) },
};
