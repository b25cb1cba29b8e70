/** The recorded ONNX Runtime quantizations as a suite that any implementation runs. */
import { expect, it } from 'vitest';
import type { Kernels, QuantizeBlocksArgs, SourceDType } from '../src/kernels.js';
import { bytes, readFixture, readJson, type FixtureTensor } from './safetensors.js';

interface Case {
  name: string;
  kind: 'qoperator' | 'qdq' | 'gather';
  input: string;
  bits: 2 | 4 | 8;
  symmetric: boolean;
  blockSize: number;
  K: number;
  N: number;
  portable?: boolean;
}

const inputs = readFixture('rtn/inputs.safetensors');
const { cases } = readJson('rtn/cases.json') as { cases: Case[] };
const sourceDtypes: Record<string, SourceDType> = { F32: 'float32', F16: 'float16', BF16: 'bfloat16' };

export function quantizeFixtureSuite(kernels: Kernels): void {
  const qoperator = readFixture('rtn/qoperator.safetensors');
  const qdq = readFixture('rtn/qdq.safetensors');
  for (const test of cases) {
    if (test.kind === 'gather' || test.portable === false) continue;
    it(test.name, () => {
      const recorded = test.kind === 'qoperator' ? qoperator : qdq;
      const get = (part: string): FixtureTensor | undefined => recorded.get(`${test.name}/${part}`);
      const result = quantizeCase(kernels, test, test.kind === 'qoperator' ? 'nbits' : 'linear');
      const scales = get('scales')!;
      if (scales.dtype === 'BF16') {
        const rounded = new Uint16Array(result.scales.length);
        kernels.fromFloat32('bfloat16', result.scales as Float32Array, rounded);
        result.scales = rounded;
      }
      if (test.kind === 'qoperator') {
        expect(bytes(result.scales)).toEqual(scales.bytes);
        expect(result.values).toEqual(get('packed')!.bytes);
        expect(result.zeroPoints).toEqual(get('zero_points')?.bytes);
      } else {
        expect(bytes(transposed(kernels, result.scales, result.rows))).toEqual(scales.bytes);
        expect(packed4(kernels, transposed(kernels, result.values, result.rows))).toEqual(get('packed')!.bytes);
        if (result.zeroPoints) {
          expect(packed4(kernels, transposed(kernels, result.zeroPoints, result.rows))).toEqual(get('zero_points')!.bytes);
        }
      }
    });
  }
}

type Result = Pick<QuantizeBlocksArgs, 'rows' | 'values' | 'zeroPoints'> & { scales: Float32Array | Uint16Array };

/** Quantizes the recorded [K, N] matrix along K, as rows of its transpose. */
function quantizeCase(kernels: Kernels, test: Case, layout: 'nbits' | 'linear'): Result {
  const { bits, symmetric, blockSize, K: cols, N: rows } = test;
  const input = inputs.get(test.input)!;
  const srcDtype = sourceDtypes[input.dtype]!;
  const elements = input.dtype === 'F32' ? new Float32Array(input.bytes.buffer) : new Uint16Array(input.bytes.buffer);
  const src = transposed(kernels, elements, cols);
  const blocks = Math.ceil(cols / blockSize);
  const float16 = srcDtype === 'float16';
  const scales = float16 ? new Uint16Array(rows * blocks) : new Float32Array(rows * blocks);
  const values = new Uint8Array(layout === 'nbits' ? (rows * blocks * blockSize * bits) / 8 : rows * cols).fill(0xa5);
  const zeroBytes = layout === 'nbits' ? Math.ceil((blocks * bits) / 8) : blocks;
  const zeroPoints = symmetric ? undefined : new Uint8Array(rows * zeroBytes).fill(0xa5);
  kernels.quantizeBlocks({
    src, srcDtype, rows, cols, bits, blockSize, symmetric, layout, values, scales, zeroPoints,
    scaleDtype: float16 ? 'float16' : 'float32',
  });
  return { rows, values, scales, zeroPoints };
}

function transposed<T extends Float32Array | Uint16Array | Uint8Array>(kernels: Kernels, array: T, rows: number): T {
  const out = array.slice() as T;
  kernels.transpose2d(bytes(array), bytes(out), rows, array.length / rows, array.BYTES_PER_ELEMENT);
  return out;
}

function packed4(kernels: Kernels, codes: Uint8Array): Uint8Array {
  const out = new Uint8Array(Math.ceil(codes.length / 2));
  kernels.pack(4, codes, out);
  return out;
}
