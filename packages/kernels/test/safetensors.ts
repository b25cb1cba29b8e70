/** Reads a fixture in safetensors form; tests only, trusts its input. */
import { readFileSync } from 'node:fs';
import type { TypedArray } from '../src/kernels.js';

export interface FixtureTensor {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

export function readFixture(path: string): Map<string, FixtureTensor> {
  const file = new Uint8Array(readFileSync(new URL(`../../../tests/fixtures/${path}`, import.meta.url)));
  const headerLength = new DataView(file.buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(file.subarray(8, 8 + headerLength))) as Record<
    string,
    { dtype: string; shape: number[]; data_offsets: [number, number] }
  >;
  const tensors = new Map<string, FixtureTensor>();
  for (const [name, { dtype, shape, data_offsets: [begin, end] }] of Object.entries(header)) {
    if (name !== '__metadata__') {
      tensors.set(name, { dtype, shape, bytes: file.slice(8 + headerLength + begin, 8 + headerLength + end) });
    }
  }
  return tensors;
}

export function readJson(path: string): unknown {
  return JSON.parse(readFileSync(new URL(`../../../tests/fixtures/${path}`, import.meta.url), 'utf8'));
}

export function floats(tensor: FixtureTensor): Float32Array {
  return new Float32Array(tensor.bytes.buffer);
}

export function words16(tensor: FixtureTensor): Uint16Array {
  return new Uint16Array(tensor.bytes.buffer);
}

export function bytes(array: TypedArray): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}
