/** Activation functions; those that TFLite lacks are written with the ones it has. */
import type { LowerContext } from '../lower-context.js';
import type { Lowering } from '../lowering.js';
import type { TfTensor } from '../tf-graph.js';
import { binary, broadcastWish, type Formula, formula, operands, unary } from './elementwise.js';

const simple = (type: 'RELU' | 'LOGISTIC' | 'TANH' | 'HARD_SWISH'): Lowering => ({
  layout: 'any',
  lower: (c) => c.replace(type, [c.input(0)], type === 'HARD_SWISH' ? { type: 'HardSwishOptions', value: {} } : undefined),
});

const computed = (make: (c: LowerContext, x: TfTensor, f: Formula) => TfTensor, note?: string): Lowering => ({
  layout: 'any',
  reads: [0],
  lower: (c) => c.set(make(c, c.input(0), formula(c))),
  ...(note !== undefined && { note }),
});

/** log(1 + exp(x)) without overflow. */
function softplus(x: TfTensor, f: Formula): TfTensor {
  return f.add(f.relu(x), f.log(f.add(f.exp(f.neg(f.abs(x))), 1)));
}

const gelu = (c: LowerContext, x: TfTensor, approximate: boolean): TfTensor => unary(c, 'GELU', x, { type: 'GeluOptions', value: { approximate } });

/** Bounds of a Clip: attributes before operator set 11, inputs since. */
function bounds(c: LowerContext): [number, number] {
  const low = c.node.float('min') ?? c.numbers(1)?.[0] ?? -Infinity;
  const high = c.node.float('max') ?? c.numbers(2)?.[0] ?? Infinity;
  return [low, high];
}

/** float32 range: exporters write it for a bound that is not there. */
const isOpen = (bound: number): boolean => Math.abs(bound) >= 3.4e38;

export const activation = {
  Relu: simple('RELU'),
  Sigmoid: simple('LOGISTIC'),
  Tanh: simple('TANH'),
  HardSwish: simple('HARD_SWISH'),
  Clip: computed((c, x, f) => {
    const [low, high] = bounds(c);
    if (low === 0 && high === 6) return f.relu6(x);
    if (low === -1 && high === 1) return unary(c, 'RELU_N1_TO_1', x);
    if (low === 0) return isOpen(high) ? f.relu(x) : f.min(f.relu(x), high);
    const raised = isOpen(low) ? x : f.max(x, low);
    const clipped = isOpen(high) ? raised : f.min(raised, high);
    return clipped === x ? c.reshape(x, x.shape) : clipped;
  }),
  HardSigmoid: computed((c, x, f) => {
    const [alpha, beta] = [c.node.float('alpha', 0.2), c.node.float('beta', 0.5)];
    // Of MobileNetV3: relu6(x + 3) / 6.
    if (Math.abs(alpha - 1 / 6) < 1e-6 && beta === 0.5) return f.mul(f.relu6(f.add(x, 3)), alpha);
    return f.min(f.relu(f.add(f.mul(x, alpha), beta)), 1);
  }),
  LeakyRelu: { layout: 'any', lower: (c) => c.replace('LEAKY_RELU', [c.input(0)], { type: 'LeakyReluOptions', value: { alpha: c.node.float('alpha', 0.01) } }) },
  PRelu: {
    layout: broadcastWish,
    lower(c) {
      const [x, slope] = operands(c) as [TfTensor, TfTensor];
      c.replace('PRELU', [x, slope]);
    },
  },
  Elu: computed((c, x, f) => {
    const alpha = c.node.float('alpha', 1);
    if (alpha === 1) return unary(c, 'ELU', x);
    return f.add(f.relu(x), f.mul(f.sub(f.exp(f.min(x, 0)), 1), alpha));
  }),
  Selu: computed((c, x, f) => {
    const [alpha, gamma] = [c.node.float('alpha', 1.6732632423543772), c.node.float('gamma', 1.0507009873554805)];
    return f.mul(f.add(f.relu(x), f.mul(f.sub(f.exp(f.min(x, 0)), 1), alpha)), gamma);
  }),
  Celu: computed((c, x, f) => {
    const alpha = c.node.float('alpha', 1);
    return f.add(f.relu(x), f.mul(f.sub(f.exp(f.mul(f.min(x, 0), 1 / alpha)), 1), alpha));
  }),
  Softplus: computed((_, x, f) => softplus(x, f)),
  Softsign: computed((_, x, f) => f.div(x, f.add(f.abs(x), 1))),
  Mish: computed((_, x, f) => f.mul(x, f.tanh(softplus(x, f)))),
  Swish: computed((c, x, f) => {
    const alpha = c.node.float('alpha', 1);
    return f.mul(x, f.logistic(alpha === 1 ? x : f.mul(x, alpha)));
  }),
  ThresholdedRelu: computed((c, x) => {
    const above = binary(c, 'GREATER', x, c.scalar(c.node.float('alpha', 1), x.dtype), x.shape, 'bool');
    return c.emit('SELECT_V2', [above, x, c.scalar(0, x.dtype)], { shape: x.shape, options: { type: 'SelectV2Options', value: {} } });
  }),
  Gelu: computed((c, x) => gelu(c, x, c.node.string('approximate', 'none') === 'tanh')),
  'com.microsoft.Gelu': computed((c, x) => gelu(c, x, false)),
  'com.microsoft.FastGelu': {
    layout: broadcastWish,
    lower(c) {
      const [x, bias] = operands(c) as [TfTensor, TfTensor | undefined];
      c.set(gelu(c, bias ? binary(c, 'ADD', x, bias) : x, true));
    },
  },
  'com.microsoft.QuickGelu': computed((c, x, f) => f.mul(x, f.logistic(f.mul(x, c.node.float('alpha', 1.702))))),
  // Abramowitz and Stegun 7.1.26: off by at most 1.5e-7. GELU itself becomes one operator before it comes to this.
  Erf: computed((_, x, f) => {
    const t = f.div(1, f.add(f.mul(f.abs(x), 0.3275911), 1));
    // Horner's scheme: ((((a5 t + a4) t + a3) t + a2) t + a1) t.
    const polynomial = [1.421413741, -0.284496736, 0.254829592].reduce((sum, term) => f.add(f.mul(sum, t), term), f.add(f.mul(t, 1.061405429), -1.453152027));
    return f.mul(f.sign(x), f.sub(1, f.mul(f.mul(polynomial, t), f.exp(f.neg(f.square(x))))));
  }, 'a polynomial, off by 1.5e-7; the pattern of GELU becomes GELU'),
} satisfies Record<string, Lowering>;
