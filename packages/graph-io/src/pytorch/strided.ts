/** A view of a storage (offset, sizes, strides) as a lazy tensor: ranges, slices and transposes wherever they express it. */
import { byteSize, type ByteSource, DenseTensor, type DType, dtypes, elementCount, lazy, PenjingError, sameShape, stridesOf, type Tensor } from '@penjing/core';
import { pickleLimits } from '../limits.js';

/** Where a storage stands. */
export interface StorageRange {
  readonly source: ByteSource;
  /** First byte. */
  readonly offset: number;
  readonly byteLength: number;
}

export interface View {
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** Elements. */
  readonly strides: readonly number[];
  /** First element. */
  readonly offset: number;
}

interface Axis {
  readonly axis: number;
  readonly size: number;
  readonly stride: number;
}

/**
 * Throws `E_TRUNCATED` when the view reaches beyond the storage, `E_STRIDES` when it overlaps itself in a way that only
 * a list of all its elements would tell and it is too large for one.
 */
export function stridedTensor(storage: StorageRange, view: View, name: string): Tensor {
  const { dtype, shape, strides, offset } = view;
  const width = dtypes[dtype].bits / 8;
  const count = elementCount(shape);
  const available = Math.floor(storage.byteLength / width);
  const last = shape.reduce((sum, size, i) => sum + (size - 1) * strides[i]!, offset);
  if (count === 0) return new DenseTensor(dtype, shape, new Uint8Array());
  if (!Number.isSafeInteger(last) || last >= available) {
    throw new PenjingError('E_TRUNCATED', `${name} ends at element ${last + 1} of a storage that has ${available}`, {
      hint: 'The file is cut off or was altered; download or save it again.',
      details: { name, available },
    });
  }
  byteSize(dtype, count);
  const from = (element: number, size: readonly number[]): Tensor => lazy.source(storage.source, storage.offset + element * width, dtype, size);
  // Axes of one element have strides that say nothing.
  const axes = shape.map((size, axis): Axis => ({ axis, size, stride: strides[axis]! })).filter(({ size }) => size > 1);
  const packed = stridesOf(axes.map(({ size }) => size));
  if (axes.every(({ stride }, i) => stride === packed[i])) return from(offset, shape);
  const moving = axes.filter(({ stride }) => stride > 0).sort((a, b) => b.stride - a.stride || a.axis - b.axis);
  const sliced = slicedView(moving, offset, available, from) ?? gatheredView(moving, offset, from, name);
  return arrange(sliced, moving, axes, shape);
}

/**
 * `axes` by falling stride: a slice of a contiguous tensor whose sizes are the ratios of the strides.
 * Undefined when they are no such slice. The result has one axis for each of `axes`.
 */
function slicedView(axes: readonly Axis[], offset: number, available: number, from: (element: number, size: readonly number[]) => Tensor): Tensor | undefined {
  const base: number[] = [];
  const starts: number[] = [];
  let rest = offset % (axes[0]?.stride ?? 1);
  const first = offset - rest;
  for (const [i, { size, stride }] of axes.entries()) {
    const length = i === 0 ? size : axes[i - 1]!.stride / stride;
    const start = i === 0 ? 0 : Math.floor(rest / stride);
    rest -= start * stride;
    if (!Number.isInteger(length) || start + size > length) return undefined;
    base.push(length);
    starts.push(start);
  }
  const sizes = axes.map(({ size }) => size);
  const step = axes.at(-1)?.stride ?? 1;
  const wide = step === 1 ? base : [...base, step];
  // The last row may end before the others would.
  if (first + elementCount(wide) > available) return undefined;
  const whole = from(first, wide);
  if (step === 1) return lazy.slice(whole, starts, sizes);
  return lazy.reshape(lazy.slice(whole, [...starts, rest], [...sizes, 1]), sizes);
}

/** Element by element: for the few views that nothing else expresses. */
function gatheredView(axes: readonly Axis[], offset: number, from: (element: number, size: readonly number[]) => Tensor, name: string): Tensor {
  const sizes = axes.map(({ size }) => size);
  const count = elementCount(sizes);
  if (count > pickleLimits.gathered) {
    throw new PenjingError('E_STRIDES', `${name} is a view [${sizes.join(', ')}] with strides [${axes.map(({ stride }) => stride).join(', ')}], which is neither a slice nor a transpose`, {
      hint: 'Call .contiguous() on it before saving.',
    });
  }
  const counts = stridesOf(sizes);
  const indices = new Int32Array(count);
  for (let i = 0; i < count; i++) {
    let rest = i;
    for (const [at, { stride }] of axes.entries()) {
      indices[i]! += Math.floor(rest / counts[at]!) * stride;
      rest %= counts[at]!;
    }
  }
  const end = axes.reduce((sum, { size, stride }) => sum + (size - 1) * stride, 1);
  return lazy.reshape(lazy.gather(from(offset, [end]), DenseTensor.of('int32', [count], indices)), sizes);
}

/** Back to the order of the view, with its repeated axes (stride 0) and its axes of one element. */
function arrange(tensor: Tensor, moving: readonly Axis[], axes: readonly Axis[], shape: readonly number[]): Tensor {
  const order = moving.map(({ axis }) => axis);
  const perm = [...order.keys()].sort((a, b) => order[a]! - order[b]!);
  const ordered = lazy.transpose(tensor, perm);
  let out = lazy.reshape(ordered, shape.map((size, axis) => (order.includes(axis) ? size : 1)));
  for (const { axis, size, stride } of axes) {
    if (stride === 0) out = lazy.gather(out, repeated(size), axis);
  }
  return sameShape(out.shape, shape) ? out : lazy.reshape(out, shape);
}

function repeated(count: number): Tensor {
  if (count > pickleLimits.gathered) throw new PenjingError('E_STRIDES', `a tensor repeats one value ${count} times by a stride of 0`, { hint: 'Call .contiguous() on it before saving.' });
  return DenseTensor.of('int32', [count], new Int32Array(count));
}
