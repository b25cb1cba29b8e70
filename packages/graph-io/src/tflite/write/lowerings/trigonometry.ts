/** Trigonometric and hyperbolic functions: TFLite has sine, cosine and the angle of a point. */
import type { Lowering } from '../lowering.js';
import type { TfTensor } from '../tf-graph.js';
import type { LowerContext } from '../lower-context.js';
import { type Formula, formula } from './elementwise.js';

type Make = (x: TfTensor, f: Formula, angle: (y: TfTensor, x: TfTensor) => TfTensor, c: LowerContext) => TfTensor;

const computed = (make: Make): Lowering => ({
  layout: 'any',
  lower(c) {
    const angle = (y: TfTensor, x: TfTensor): TfTensor => c.emit('ATAN2', [y, x], { shape: y.shape, options: { type: 'ATan2Options', value: {} } });
    c.set(make(c.input(0), formula(c), angle, c));
  },
});

/** sqrt(1 - x²), without losing what is left near 1. */
const cathetus = (x: TfTensor, f: Formula): TfTensor => f.sqrt(f.mul(f.sub(1, x), f.add(x, 1)));

export const trigonometry = {
  Tan: computed((x, f, _, c) => {
    const one = (type: 'SIN' | 'COS'): TfTensor => c.emit(type, [x], { shape: x.shape, ...(type === 'COS' && { options: { type: 'CosOptions', value: {} } }) });
    return f.div(one('SIN'), one('COS'));
  }),
  Sinh: computed((x, f) => f.mul(f.sub(f.exp(x), f.exp(f.neg(x))), 0.5)),
  Cosh: computed((x, f) => f.mul(f.add(f.exp(x), f.exp(f.neg(x))), 0.5)),
  Asinh: computed((x, f) => {
    const size = f.abs(x);
    return f.mul(f.sign(x), f.log(f.add(size, f.sqrt(f.add(f.square(x), 1)))));
  }),
  Acosh: computed((x, f) => f.log(f.add(x, f.sqrt(f.mul(f.sub(x, 1), f.add(x, 1)))))),
  Atanh: computed((x, f) => f.mul(f.log(f.div(f.add(x, 1), f.sub(1, x))), 0.5)),
  // The second operand has the shape of the first: ATAN2 does not broadcast.
  Atan: computed((x, f, angle) => angle(x, f.add(f.mul(f.min(f.abs(x), 0), 0), 1))),
  Asin: computed((x, f, angle) => angle(x, cathetus(x, f))),
  Acos: computed((x, f, angle) => angle(cathetus(x, f), x)),
} satisfies Record<string, Lowering>;
