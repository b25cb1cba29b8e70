/** Rows of logits as float32, whatever float type the model computes them in. */
import { PenjingError } from '@penjing/core';
import { plainKernels } from '@penjing/kernels';

const kernels = plainKernels();

export interface LogitRows {
  readonly count: number;
  readonly vocabSize: number;
  /** Logits of one position (vocabSize); valid until the next call. */
  row(index: number): Float32Array;
  /** The last `count` rows, or all when there are fewer. */
  last(count: number): LogitRows;
}

/** Reads a tensor (1, positions, vocabSize), of ONNX Runtime or as plain data. */
export function logitRows(tensor: { readonly type: string; readonly dims: readonly number[]; readonly data: unknown }): LogitRows {
  const vocabSize = tensor.dims.at(-1) ?? 0;
  const count = tensor.dims.length === 2 ? tensor.dims[0]! : tensor.dims[1] ?? 0;
  if (vocabSize === 0 || count === 0) {
    throw new PenjingError('E_LAYOUT', `logits are [${tensor.dims.join(', ')}], not (1, positions, vocabulary)`);
  }
  if (tensor.type === 'float32') {
    const data = tensor.data as Float32Array;
    return rowsOf(count, vocabSize, (index) => data.subarray(index * vocabSize, (index + 1) * vocabSize));
  }
  if (tensor.type === 'float16') {
    const { buffer, byteOffset, length } = tensor.data as Uint16Array<ArrayBuffer>;
    const bits = new Uint16Array(buffer, byteOffset, length);
    const out = new Float32Array(vocabSize);
    return rowsOf(count, vocabSize, (index) => {
      kernels.toFloat32('float16', bits.subarray(index * vocabSize, (index + 1) * vocabSize), out);
      return out;
    });
  }
  throw new PenjingError('E_LAYOUT', `logits are ${tensor.type}; float32 or float16 is expected`);
}

function rowsOf(count: number, vocabSize: number, row: (index: number) => Float32Array): LogitRows {
  return {
    count,
    vocabSize,
    row,
    last(wanted) {
      const skip = Math.max(0, count - wanted);
      return skip === 0 ? this : rowsOf(count - skip, vocabSize, (index) => row(index + skip));
    },
  };
}
