/** Steps of optimizers in float32: every operation rounds once, so that they equal the SIMD kernels bit for bit. */
import type { AdamWArgs, LionArgs, MomentumArgs } from '../kernels.js';
import { checkSameLength } from '../shared/check.js';
import { dropThreshold } from '../shared/drop-threshold.js';

const f = Math.fround;

export function adamW({ weights, gradients, mean, square, keep, size, beta1, beta2, correction, epsilon }: AdamWArgs): void {
  for (const array of [gradients, mean, square]) checkSameLength(weights, array);
  const [kept, step, old1, new1, old2, new2, scale, least] = [keep, size, beta1, 1 - beta1, beta2, 1 - beta2, correction, epsilon].map(f) as [number, number, number, number, number, number, number, number];
  for (let i = 0; i < weights.length; i++) {
    const gradient = gradients[i]!;
    const m = f(f(old1 * mean[i]!) + f(new1 * gradient));
    const v = f(f(old2 * square[i]!) + f(new2 * f(gradient * gradient)));
    mean[i] = m;
    square[i] = v;
    weights[i] = f(f(kept * weights[i]!) - f(f(step * m) / f(f(f(Math.sqrt(v)) * scale) + least)));
  }
}

export function lion({ weights, gradients, mean, rate, decay, beta1, beta2 }: LionArgs): void {
  for (const array of [gradients, mean]) checkSameLength(weights, array);
  const [step, shrink, old1, new1, old2, new2] = [rate, decay, beta1, 1 - beta1, beta2, 1 - beta2].map(f) as [number, number, number, number, number, number];
  for (let i = 0; i < weights.length; i++) {
    const [gradient, m, weight] = [gradients[i]!, mean[i]!, weights[i]!];
    const towards = f(f(old1 * m) + f(new1 * gradient));
    const direction = towards > 0 ? 1 : towards < 0 ? -1 : 0;
    mean[i] = f(f(old2 * m) + f(new2 * gradient));
    weights[i] = f(weight - f(step * f(direction + f(shrink * weight))));
  }
}

export function momentum({ weights, gradients, velocity, rate, decay, momentum: kept, nesterov }: MomentumArgs): void {
  for (const array of [gradients, velocity]) checkSameLength(weights, array);
  const [step, shrink, keep] = [rate, decay, kept].map(f) as [number, number, number];
  for (let i = 0; i < weights.length; i++) {
    const weight = weights[i]!;
    const change = f(gradients[i]! + f(shrink * weight));
    const v = f(f(keep * velocity[i]!) + change);
    velocity[i] = v;
    weights[i] = f(weight - f(step * (nesterov ? f(change + f(keep * v)) : v)));
  }
}

export function blend(a: Float32Array, b: Float32Array, keep: number, share: number): void {
  checkSameLength(a, b);
  const [kept, added] = [f(keep), f(share)];
  for (let i = 0; i < a.length; i++) a[i] = f(f(kept * a[i]!) + f(added * b[i]!));
}

export function sumSquares(x: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < x.length; i++) sum += x[i]! * x[i]!;
  return sum;
}

export function holdZeros(gradients: Float32Array, weights: Float32Array): void {
  checkSameLength(gradients, weights);
  for (let i = 0; i < weights.length; i++) if (weights[i] === 0) gradients[i] = 0;
}

export function dropMask(mask: Float32Array, key: number, rate: number): void {
  const [threshold, scale] = [dropThreshold(rate), f(1 / (1 - rate))];
  for (let i = 0; i < mask.length; i++) mask[i] = mixed((mixed(i) + key) >>> 0) < threshold ? 0 : scale;
}

/** A bijection of 32 bits that leaves no pattern (Wellons, lowbias32). */
function mixed(x: number): number {
  x = Math.imul(x ^ (x >>> 16), 0x7feb352d);
  x = Math.imul(x ^ (x >>> 15), 0x846ca68b);
  return (x ^ (x >>> 16)) >>> 0;
}
