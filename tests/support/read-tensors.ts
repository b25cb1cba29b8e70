/** Tensors of a small safetensors fixture. */
import { readFileSync } from 'node:fs';
import { DenseTensor, dtypeOfSafetensors } from '@penjing/core';

/** By name; copies, so that floats may be overwritten. */
export function readTensors(path: URL): Map<string, DenseTensor> {
  const bytes = new Uint8Array(readFileSync(path));
  const length = Number(new DataView(bytes.buffer).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length))) as Record<string, { dtype: string; shape: number[]; data_offsets: [number, number] }>;
  return new Map(
    Object.entries(header).flatMap(([name, entry]) => {
      if (name === '__metadata__') return [];
      const [begin, end] = entry.data_offsets;
      return [[name, new DenseTensor(dtypeOfSafetensors.get(entry.dtype)!, entry.shape, bytes.slice(8 + length + begin, 8 + length + end))] as const];
    }),
  );
}
