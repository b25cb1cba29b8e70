/** The element types of the Open Inference Protocol: how each is read, written, and called in .npy files. */

export type Datatype = 'BOOL' | 'UINT8' | 'UINT16' | 'UINT32' | 'UINT64' | 'INT8' | 'INT16' | 'INT32' | 'INT64' | 'FP16' | 'BF16' | 'FP32' | 'FP64';

export interface DatatypeInfo {
  readonly size: number;
  /** Whole numbers are checked against this range. */
  readonly range?: readonly [min: bigint, max: bigint];
  /** Type string of NumPy; bfloat16 has none. */
  readonly npy?: string;
  readonly read: (view: DataView, offset: number) => number | bigint;
  readonly write: (view: DataView, offset: number, value: number | bigint) => void;
}

const whole = (bits: number, signed: boolean): readonly [bigint, bigint] => (signed ? [-(2n ** BigInt(bits - 1)), 2n ** BigInt(bits - 1) - 1n] : [0n, 2n ** BigInt(bits) - 1n]);

export const datatypes: Readonly<Record<Datatype, DatatypeInfo>> = {
  BOOL: { size: 1, range: [0n, 1n], npy: '|b1', read: (view, at) => view.getUint8(at), write: (view, at, value) => view.setUint8(at, Number(value)) },
  UINT8: { size: 1, range: whole(8, false), npy: '|u1', read: (view, at) => view.getUint8(at), write: (view, at, value) => view.setUint8(at, Number(value)) },
  UINT16: { size: 2, range: whole(16, false), npy: '<u2', read: (view, at) => view.getUint16(at, true), write: (view, at, value) => view.setUint16(at, Number(value), true) },
  UINT32: { size: 4, range: whole(32, false), npy: '<u4', read: (view, at) => view.getUint32(at, true), write: (view, at, value) => view.setUint32(at, Number(value), true) },
  UINT64: { size: 8, range: whole(64, false), npy: '<u8', read: (view, at) => view.getBigUint64(at, true), write: (view, at, value) => view.setBigUint64(at, BigInt(value), true) },
  INT8: { size: 1, range: whole(8, true), npy: '|i1', read: (view, at) => view.getInt8(at), write: (view, at, value) => view.setInt8(at, Number(value)) },
  INT16: { size: 2, range: whole(16, true), npy: '<i2', read: (view, at) => view.getInt16(at, true), write: (view, at, value) => view.setInt16(at, Number(value), true) },
  INT32: { size: 4, range: whole(32, true), npy: '<i4', read: (view, at) => view.getInt32(at, true), write: (view, at, value) => view.setInt32(at, Number(value), true) },
  INT64: { size: 8, range: whole(64, true), npy: '<i8', read: (view, at) => view.getBigInt64(at, true), write: (view, at, value) => view.setBigInt64(at, BigInt(value), true) },
  FP16: { size: 2, npy: '<f2', read: (view, at) => fromHalf(view.getUint16(at, true)), write: (view, at, value) => view.setUint16(at, toHalf(Number(value)), true) },
  BF16: { size: 2, read: (view, at) => float32(view.getUint16(at, true) << 16), write: (view, at, value) => view.setUint16(at, toBrain(Number(value)), true) },
  FP32: { size: 4, npy: '<f4', read: (view, at) => view.getFloat32(at, true), write: (view, at, value) => view.setFloat32(at, Number(value), true) },
  FP64: { size: 8, npy: '<f8', read: (view, at) => view.getFloat64(at, true), write: (view, at, value) => view.setFloat64(at, Number(value), true) },
};

export function isDatatype(name: string): name is Datatype {
  return name in datatypes;
}

const scratch = new DataView(new ArrayBuffer(4));

function float32(bits: number): number {
  scratch.setUint32(0, bits >>> 0);
  return scratch.getFloat32(0);
}

function bitsOf(value: number): number {
  scratch.setFloat32(0, value);
  return scratch.getUint32(0);
}

/** Round to nearest even; NaN keeps a bit of its own. */
function toBrain(value: number): number {
  const bits = bitsOf(value);
  if (Number.isNaN(value)) return (bits >>> 16) | 0x40;
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff;
}

/** IEEE 754 binary16 to a number. */
export function fromHalf(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >> 10) & 31;
  const fraction = half & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? Number.NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** To binary16, round to nearest even; what is too large becomes infinite. */
export function toHalf(value: number): number {
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const size = Math.abs(value);
  if (Number.isNaN(size)) return 0x7e00;
  if (size >= 65_520) return sign | 0x7c00;
  // The unit of the last place: 2^-24 below the smallest normal number.
  const exponent = size < 2 ** -14 ? -14 : Math.floor(Math.log2(size));
  const steps = size / 2 ** (exponent - 10);
  const floor = Math.floor(steps);
  const rest = steps - floor;
  const rounded = rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor;
  // A carry out of the fraction moves into the exponent by itself.
  return sign | (size < 2 ** -14 ? rounded : ((exponent + 14) << 10) + rounded);
}
