/** One array in NumPy's .npy format (numpy.lib.format, versions 1 to 3). */
import { DenseTensor, type DType, dtypes, elementCount, byteSize, PenjingError } from '@penjing/core';

const MAGIC = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59];
const ALIGNMENT = 64;

/** DType by the kind and width of a NumPy type string. */
const byDescr: Readonly<Record<string, DType>> = {
  f8: 'float64', f4: 'float32', f2: 'float16',
  i8: 'int64', i4: 'int32', i2: 'int16', i1: 'int8',
  u8: 'uint64', u4: 'uint32', u2: 'uint16', u1: 'uint8',
  b1: 'bool', c8: 'complex64', c16: 'complex128',
};
const toDescr = new Map(Object.entries(byDescr).map(([descr, dtype]) => [dtype, descr]));

/** Throws `E_NPY` for anything but a whole, little-endian, C-ordered array of numbers. */
export function readNpy(bytes: Uint8Array): DenseTensor {
  if (!MAGIC.every((byte, i) => bytes[i] === byte)) throw bad('it does not start as one');
  const version = bytes[6] ?? 0;
  if (version < 1 || version > 3) throw bad(`version ${version} is not known`);
  const wide = version > 1;
  const start = wide ? 12 : 10;
  if (bytes.length < start) throw bad('its header is cut off');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = wide ? view.getUint32(8, true) : view.getUint16(8, true);
  if (start + length > bytes.length) throw bad('its header is cut off');
  const { descr, fortran, shape } = readHeader(new TextDecoder('latin1').decode(bytes.subarray(start, start + length)));
  if (descr.startsWith('>')) throw bad('it is big-endian');
  if (fortran) throw bad('it is in Fortran order', "Save it as numpy.ascontiguousarray(x).");
  const dtype = byDescr[descr.slice(1)];
  if (dtype === undefined) throw bad(`its type ${descr} is not a number type`, 'Objects and strings are not read.');
  const size = sizeOf(dtype, shape);
  if (start + length + size > bytes.length) throw bad(`it holds fewer than the ${size} bytes of [${shape.join(', ')}]`);
  return new DenseTensor(dtype, shape, bytes.slice(start + length, start + length + size));
}

function sizeOf(dtype: DType, shape: readonly number[]): number {
  try {
    return byteSize(dtype, elementCount(shape));
  } catch (cause) {
    throw bad(cause instanceof Error ? cause.message : String(cause));
  }
}

/** The bytes of a .npy file, version 1. Throws `E_NPY` for types NumPy has not. */
export function writeNpy({ dtype, shape, bytes }: DenseTensor): Uint8Array {
  const descr = toDescr.get(dtype);
  if (descr === undefined) throw new PenjingError('E_NPY', `NumPy has no ${dtype}`, { hint: 'Cast the output to float32.' });
  const order = dtypes[dtype].bits > 8 ? '<' : '|';
  const tuple = shape.length === 1 ? `${shape[0]},` : shape.join(', ');
  const dict = `{'descr': '${order}${descr}', 'fortran_order': False, 'shape': (${tuple}), }`;
  const padded = Math.ceil((10 + dict.length + 1) / ALIGNMENT) * ALIGNMENT;
  const header = dict.padEnd(padded - 11, ' ') + '\n';
  const out = new Uint8Array(padded + bytes.length);
  out.set([...MAGIC, 1, 0, header.length & 0xff, header.length >> 8]);
  out.set(new TextEncoder().encode(header), 10);
  out.set(bytes, padded);
  return out;
}

/** The header is a Python dict literal of three known keys; nothing else is accepted, and nothing is evaluated. */
function readHeader(text: string): { descr: string; fortran: boolean; shape: number[] } {
  const descr = /'descr':\s*'([<>|=][a-zA-Z]\d{1,2})'/.exec(text)?.[1];
  const fortran = /'fortran_order':\s*(True|False)/.exec(text)?.[1];
  const tuple = /'shape':\s*\(([\d, ]*)\)/.exec(text)?.[1];
  if (descr === undefined || fortran === undefined || tuple === undefined) throw bad('its header is not understood');
  const shape = tuple.split(',').map((part) => part.trim()).filter((part) => part !== '').map(Number);
  return { descr, fortran: fortran === 'True', shape };
}

function bad(why: string, hint = 'Save it again with numpy.save.'): PenjingError {
  return new PenjingError('E_NPY', `this is no .npy array that can be read: ${why}`, { hint });
}
