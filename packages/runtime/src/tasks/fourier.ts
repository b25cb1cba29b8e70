/** The discrete Fourier transform of any length, by its prime factors (Cooley and Tukey, 1965). */

export interface Fourier {
  /** Transforms `real` and `imaginary` in place. */
  transform(real: Float64Array, imaginary: Float64Array): void;
}

/** Plans are made once; a transform of 400 = 2⁴ · 5² costs some 7,000 complex products. */
export function fourier(length: number): Fourier {
  const cosines = Float64Array.from({ length }, (_, i) => Math.cos((2 * Math.PI * i) / length));
  const sines = Float64Array.from({ length }, (_, i) => -Math.sin((2 * Math.PI * i) / length));
  const factors = factorsOf(length);
  const [re, im] = [new Float64Array(length), new Float64Array(length)];

  /** Of every `stride`-th value from `from` on, `n` of them, into [to, to + n). */
  function step(real: Float64Array, imaginary: Float64Array, from: number, stride: number, to: number, n: number, level: number): void {
    if (n === 1) {
      [re[to], im[to]] = [real[from]!, imaginary[from]!];
      return;
    }
    const p = factors[level]!;
    const part = n / p;
    for (let q = 0; q < p; q++) step(real, imaginary, from + q * stride, stride * p, to + q * part, part, level + 1);
    const [a, b] = [new Float64Array(p), new Float64Array(p)];
    for (let k = 0; k < part; k++) {
      for (let q = 0; q < p; q++) {
        const at = (q * k * stride) % length;
        const [x, y] = [re[to + q * part + k]!, im[to + q * part + k]!];
        a[q] = x * cosines[at]! - y * sines[at]!;
        b[q] = x * sines[at]! + y * cosines[at]!;
      }
      for (let r = 0; r < p; r++) {
        let [x, y] = [0, 0];
        for (let q = 0; q < p; q++) {
          const at = (q * r * part * stride) % length;
          x += a[q]! * cosines[at]! - b[q]! * sines[at]!;
          y += a[q]! * sines[at]! + b[q]! * cosines[at]!;
        }
        re[to + r * part + k] = x;
        im[to + r * part + k] = y;
      }
    }
  }
  return {
    transform(real, imaginary) {
      step(real, imaginary, 0, 1, 0, length, 0);
      real.set(re);
      imaginary.set(im);
    },
  };
}

function factorsOf(length: number): number[] {
  const factors: number[] = [];
  let rest = length;
  for (let p = 2; p * p <= rest; p++) {
    while (rest % p === 0) {
      factors.push(p);
      rest /= p;
    }
  }
  return rest > 1 ? [...factors, rest] : factors;
}
