/** Activations and softmax. */
import type { Value } from '@penjing/core';
import type { AtenContext } from '../context.js';
import { isFloat } from '../promote.js';
import { row, rowsOf } from '../row.js';
import { plainNumber, type Scalar } from '../values.js';
import { floats } from './elementwise.js';

const number = (c: AtenContext, x: Value, value: number): Value => c.constant(c.dtype(x), value);

/** A parameter of an ONNX attribute must be known. */
function known(c: AtenContext, scalar: Scalar): number {
  const value = plainNumber(scalar);
  if (value === undefined) throw c.unsupported('a parameter is computed in the graph');
  return value;
}

const clip = (c: AtenContext, x: Value, low: number, high: number): Value => c.op('Clip', [x, number(c, x, low), number(c, x, high)]);

const simple: Readonly<Record<string, (c: AtenContext, x: Value) => Value>> = {
  // ONNX Runtime has Relu of floats and int32 only.
  relu: (c, x) => (isFloat(c.dtype(x)) ? c.op('Relu', [x]) : c.op('Max', [x, number(c, x, 0)])),
  relu6: (c, x) => clip(c, x, 0, 6),
  silu: (c, x) => c.op('Mul', [x, c.op('Sigmoid', [x])]),
  mish: (c, x) => c.op('Mish', [x]),
  hardswish: (c, x) => c.op('HardSwish', [x]),
  hardsigmoid: (c, x) => c.op('HardSigmoid', [x], { alpha: 1 / 6, beta: 0.5 }),
  selu: (c, x) => c.op('Selu', [x]),
  softsign: (c, x) => c.op('Softsign', [x]),
  log_sigmoid: (c, x) => c.op('Neg', [c.op('Softplus', [c.op('Neg', [x])])]),
  tanhshrink: (c, x) => c.op('Sub', [x, c.op('Tanh', [x])]),
};

const GELU_CUBIC = 0.044715;

/** x/2 · (1 + erf(x/√2)), or its tanh form (Hendrycks and Gimpel, arXiv:1606.08415). */
export function gelu(c: AtenContext, x: Value, approximate: string): Value {
  if (c.opset >= 20) return c.op('Gelu', [x], approximate === 'tanh' ? { approximate } : {});
  const half = c.op('Mul', [x, number(c, x, 0.5)]);
  if (approximate === 'tanh') {
    const cubic = c.op('Mul', [c.op('Mul', [c.op('Mul', [x, x]), x]), number(c, x, GELU_CUBIC)]);
    const inner = c.op('Mul', [c.op('Add', [x, cubic]), number(c, x, Math.sqrt(2 / Math.PI))]);
    return c.op('Mul', [half, c.op('Add', [c.op('Tanh', [inner]), number(c, x, 1)])]);
  }
  const erf = c.op('Erf', [c.op('Div', [x, number(c, x, Math.SQRT2)])]);
  return c.op('Mul', [half, c.op('Add', [erf, number(c, x, 1)])]);
}

/** Softmax of a tensor without axes is of one element. */
export function softmax(c: AtenContext, type: string, self: Value, dim: number): Value {
  const rank = c.rank(self);
  const x = floats(c, self);
  if (rank > 0) return c.op(type, [x], { axis: c.axis(dim, rank) });
  return c.squeeze(c.op(type, [c.unsqueeze(x, [0])], { axis: 0 }), [0]);
}

const softmaxes = { softmax: 'Softmax', log_softmax: 'LogSoftmax' };

export const activations = [
  ...rowsOf(simple, (name, build) => row(`${name}(Tensor self)`, (c, { self }) => build(c, self))),
  row('gelu(Tensor self, *, str approximate=none)', (c, { self, approximate }) => gelu(c, self, approximate)),
  row('leaky_relu(Tensor self, Scalar negative_slope=0.01)', (c, { self, negative_slope }) => c.op('LeakyRelu', [self], { alpha: c.float(known(c, negative_slope)) })),
  row('elu(Tensor self, Scalar alpha=1, Scalar scale=1, Scalar input_scale=1)', (c, { self, alpha, scale, input_scale }) => {
    const [a, s, i] = [known(c, alpha), known(c, scale), known(c, input_scale)];
    if (s === 1 && i === 1) return c.op('Elu', [self], { alpha: c.float(a) });
    const zero = number(c, self, 0);
    const inner = i === 1 ? self : c.op('Mul', [self, number(c, self, i)]);
    const below = c.op('Mul', [c.op('Sub', [c.op('Exp', [inner]), number(c, self, 1)]), number(c, self, a)]);
    const joined = c.op('Where', [c.op('Greater', [self, zero]), self, below]);
    return s === 1 ? joined : c.op('Mul', [joined, number(c, self, s)]);
  }),
  row('celu(Tensor self, Scalar alpha=1.0)', (c, { self, alpha }) => c.op('Celu', [self], { alpha: c.float(known(c, alpha)) })),
  row('hardtanh(Tensor self, Scalar min_val=-1, Scalar max_val=1)', (c, { self, min_val, max_val }) => clip(c, self, known(c, min_val), known(c, max_val))),
  row('softplus(Tensor self, Scalar beta=1, Scalar threshold=20)', (c, { self, beta }) => {
    // Above the threshold PyTorch gives x itself, which differs from softplus by less than 3e-9.
    const b = known(c, beta);
    if (b === 1) return c.op('Softplus', [self]);
    return c.op('Div', [c.op('Softplus', [c.op('Mul', [self, number(c, self, b)])]), number(c, self, b)]);
  }),
  row('prelu(Tensor self, Tensor weight)', (c, { self, weight }) => prelu(c, self, weight)),
  row('_prelu_kernel(Tensor self, Tensor weight)', (c, { self, weight }) => c.op('PRelu', [self, weight])),
  row('rrelu(Tensor self, Scalar lower=0.125, Scalar upper=0.3333333333333333, bool training=False, Ignored generator=None)', (c, { self, lower, upper, training }) => {
    if (training) throw c.unsupported('training=True draws random slopes', 'Call model.eval() before the export.');
    return c.op('LeakyRelu', [self], { alpha: c.float((known(c, lower) + known(c, upper)) / 2) });
  }),
  row('threshold(Tensor self, Scalar threshold, Scalar value)', (c, { self, threshold, value }) =>
    c.op('Where', [c.op('Greater', [self, number(c, self, known(c, threshold))]), self, number(c, self, known(c, value))])),
  row('softshrink(Tensor self, Scalar lambd=0.5)', (c, { self, lambd }) => c.op('Shrink', [self], { lambd: c.float(known(c, lambd)), bias: c.float(known(c, lambd)) })),
  row('hardshrink(Tensor self, Scalar lambd=0.5)', (c, { self, lambd }) => c.op('Shrink', [self], { lambd: c.float(known(c, lambd)), bias: c.float(0) })),
  row('glu(Tensor self, int dim=-1)', (c, { self, dim }) => {
    const [a, b] = c.ops('Split', [self], { axis: c.axis(dim, c.rank(self)), num_outputs: 2 }, { outputCount: 2 });
    return c.op('Mul', [a!, c.op('Sigmoid', [b!])]);
  }),
  ...rowsOf(softmaxes, (name, type) => row(`${name}.{int,default}(Tensor self, int dim, ScalarType? dtype=None)`, (c, { self, dim, dtype }) =>
    softmax(c, type, dtype ? c.cast(self, dtype) : self, dim))),
  ...rowsOf(softmaxes, (name, type) => row(`_${name}(Tensor self, int dim, bool half_to_float)`, (c, { self, dim, half_to_float }) =>
    softmax(c, type, half_to_float ? c.cast(self, 'float32') : self, dim))),
  row('_safe_softmax(Tensor self, int dim, ScalarType? dtype=None)', (c, { self, dim, dtype }) => {
    const p = softmax(c, 'Softmax', dtype ? c.cast(self, dtype) : self, dim);
    return c.op('Where', [c.op('IsNaN', [p]), number(c, p, 0), p]);
  }),
];

/** One slope per channel; channels are axis 1. */
function prelu(c: AtenContext, x: Value, weight: Value): Value {
  const rank = c.rank(x);
  const [slopes] = c.dims(weight);
  if (rank <= 2 || slopes === 1 || slopes === undefined) return c.op('PRelu', [x, weight]);
  return c.op('PRelu', [x, c.reshape(weight, [-1, ...new Array<number>(rank - 2).fill(1)])]);
}
