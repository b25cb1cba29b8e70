/** The element types of GGUF (`ggml_type`): how many weights a block holds, and the bytes it takes. */
import { type DType, dtypeNames, dtypes } from '@penjing/core';

export interface GgmlType {
  readonly code: number;
  /** As ggml spells it: `Q4_K`. */
  readonly name: string;
  /** Weights per block; 1 for plain elements. */
  readonly blockSize: number;
  /** Bytes per block. */
  readonly blockBytes: number;
  /** Of plain elements. */
  readonly dtype?: DType;
}

// prettier-ignore
const blocks: readonly (readonly [code: number, name: string, blockSize: number, blockBytes: number])[] = [
  [2, 'Q4_0', 32, 18], [3, 'Q4_1', 32, 20], [6, 'Q5_0', 32, 22], [7, 'Q5_1', 32, 24], [8, 'Q8_0', 32, 34], [9, 'Q8_1', 32, 36],
  [10, 'Q2_K', 256, 84], [11, 'Q3_K', 256, 110], [12, 'Q4_K', 256, 144], [13, 'Q5_K', 256, 176], [14, 'Q6_K', 256, 210], [15, 'Q8_K', 256, 292],
  [16, 'IQ2_XXS', 256, 66], [17, 'IQ2_XS', 256, 74], [18, 'IQ3_XXS', 256, 98], [19, 'IQ1_S', 256, 50], [20, 'IQ4_NL', 32, 18],
  [21, 'IQ3_S', 256, 110], [22, 'IQ2_S', 256, 82], [23, 'IQ4_XS', 256, 136], [29, 'IQ1_M', 256, 56],
  [34, 'TQ1_0', 256, 54], [35, 'TQ2_0', 256, 66], [39, 'MXFP4', 32, 17], [40, 'NVFP4', 64, 36], [41, 'Q1_0', 128, 18],
];

const plainNames: Partial<Record<DType, string>> = {
  float32: 'F32', float16: 'F16', bfloat16: 'BF16', float64: 'F64', int8: 'I8', int16: 'I16', int32: 'I32', int64: 'I64',
};

const plain = dtypeNames.flatMap((dtype): GgmlType[] => {
  const { gguf: code, bits } = dtypes[dtype];
  const name = plainNames[dtype];
  return code === undefined || name === undefined ? [] : [{ code, name, blockSize: 1, blockBytes: bits / 8, dtype }];
});

/** By code. */
export const ggmlTypes: ReadonlyMap<number, GgmlType> = new Map(
  [...plain, ...blocks.map(([code, name, blockSize, blockBytes]): GgmlType => ({ code, name, blockSize, blockBytes }))].map((type) => [type.code, type]),
);

/** Types that llama.cpp once had and took out again; named so that the error can say what they were. */
export const removedTypes: ReadonlyMap<number, string> = new Map([
  [4, 'Q4_2'], [5, 'Q4_3'], [31, 'Q4_0_4_4'], [32, 'Q4_0_4_8'], [33, 'Q4_0_8_8'], [36, 'IQ4_NL_4_4'], [37, 'IQ4_NL_4_8'], [38, 'IQ4_NL_8_8'],
]);
