/** Codes of quantized weights as files store them, and one byte each, counted from 0, in the order of the weights. */
import type { Kernels } from '@penjing/kernels';

/**
 * `nbits`: MatMulNBits and GatherBlockQuantized: (rows, blocks, block·bits/8), zero points packed per row, the middle when there are none. `turned`: the weight is (cols, rows), the codes are still stored
 * row by row. `linear`: DequantizeLinear: in the order of the weights, packed without padding.
 */
export interface CodeForm {
  readonly layout: 'nbits' | 'linear';
  readonly bits: 2 | 4 | 8;
  /** Of `linear`: codes from −2^(bits−1). */
  readonly signed: boolean;
  /** Of `nbits`. */
  readonly rows: number;
  readonly cols: number;
  readonly block: number;
  readonly turned: boolean;
}

/** The code that counts as 0 here. */
export const offsetOf = ({ bits, signed }: Pick<CodeForm, 'bits' | 'signed'>): number => (signed ? 2 ** (bits - 1) : 0);

function unpacked(bits: 2 | 4 | 8, bytes: Uint8Array, count: number, kernels: Kernels): Uint8Array {
  if (bits === 8) return bytes.slice(0, count);
  const codes = new Uint8Array(bytes.length * (8 / bits));
  kernels.unpack(bits, false, bytes, codes);
  return codes.subarray(0, count);
}

function packed(bits: 2 | 4 | 8, codes: Uint8Array, kernels: Kernels): Uint8Array {
  if (bits === 8) return codes;
  const whole = codes.length % (8 / bits) === 0 ? codes : padded(codes, codes.length, Math.ceil(codes.length / (8 / bits)) * (8 / bits));
  const bytes = new Uint8Array((whole.length * bits) / 8);
  kernels.pack(bits, whole, bytes);
  return bytes;
}

/** Rows of `from` elements made `to` elements long, cut or filled up with zeros. */
function padded(rows: Uint8Array, from: number, to: number): Uint8Array {
  if (from === to) return rows;
  const count = rows.length / from;
  const out = new Uint8Array(count * to);
  for (let row = 0; row < count; row++) out.set(rows.subarray(row * from, row * from + Math.min(from, to)), row * to);
  return out;
}

/** Signed codes are kept in two's complement: the highest bit tells the halves apart. */
function shifted(codes: Uint8Array, { bits, signed }: Pick<CodeForm, 'bits' | 'signed'>): Uint8Array {
  if (!signed) return codes;
  const flip = 2 ** (bits - 1);
  return codes.map((code) => code ^ flip);
}

function turn(codes: Uint8Array, rows: number, cols: number, kernels: Kernels): Uint8Array {
  const turned = new Uint8Array(codes.length);
  kernels.transpose2d(codes, turned, rows, cols, 1);
  return turned;
}

/** `count` codes from stored bytes. */
export function readCodes(bytes: Uint8Array, count: number, form: CodeForm, kernels: Kernels): Uint8Array {
  const { layout, bits, rows, cols, block, turned } = form;
  if (layout === 'linear') return shifted(unpacked(bits, bytes, count, kernels), form);
  const wide = Math.ceil(cols / block) * block;
  const codes = padded(unpacked(bits, bytes, rows * wide, kernels), wide, cols);
  return turned ? turn(codes, rows, cols, kernels) : codes;
}

export function writeCodes(codes: Uint8Array, form: CodeForm, kernels: Kernels): Uint8Array {
  const { layout, bits, rows, cols, block, turned } = form;
  if (layout === 'linear') return packed(bits, shifted(codes, form), kernels);
  const straight = turned ? turn(codes, cols, rows, kernels) : codes;
  return packed(bits, padded(straight, cols, Math.ceil(cols / block) * block), kernels);
}

/** Zero points as codes from 0, in the order of scales; the middle for all of them when none are stored. */
export function readZeros(bytes: Uint8Array | undefined, count: number, form: CodeForm, kernels: Kernels): Float32Array {
  const { layout, bits, rows, cols, block, turned } = form;
  if (!bytes) return new Float32Array(count).fill(layout === 'nbits' ? 2 ** (bits - 1) : offsetOf(form));
  if (layout === 'linear') return Float32Array.from(shifted(unpacked(bits, bytes, count, kernels), form));
  const blocks = Math.ceil(cols / block);
  const wide = Math.ceil((blocks * bits) / 8) * (8 / bits);
  const zeros = padded(unpacked(bits, bytes, rows * wide, kernels), wide, blocks);
  return Float32Array.from(turned ? turn(zeros, rows, blocks, kernels) : zeros);
}

/** Scales (rows, blocks) as (blocks, rows) and back, where the weight is turned. */
export function turnScales(scales: Float32Array, rows: number, cols: number): Float32Array {
  const turned = new Float32Array(scales.length);
  for (let r = 0; r < rows; r++) for (let c = 0; c < cols; c++) turned[c * rows + r] = scales[r * cols + c]!;
  return turned;
}
