/** The element types of GGUF (`ggml_type`): how many weights a block holds, and the bytes it takes. */
import { type BlockCodecName, blockCodecs } from '@penjing/kernels';
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
  /** Of blocks. */
  readonly codec?: BlockCodecName;
}

const codes: Readonly<Record<BlockCodecName, number>> = {
  Q4_0: 2, Q4_1: 3, Q5_0: 6, Q5_1: 7, Q8_0: 8,
  Q2_K: 10, Q3_K: 11, Q4_K: 12, Q5_K: 13, Q6_K: 14, Q8_K: 15,
  IQ2_XXS: 16, IQ2_XS: 17, IQ3_XXS: 18, IQ1_S: 19, IQ4_NL: 20, IQ3_S: 21, IQ2_S: 22, IQ4_XS: 23, IQ1_M: 29,
  TQ1_0: 34, TQ2_0: 35, MXFP4: 39, NVFP4: 40, Q1_0: 41,
};

const blocked = (Object.keys(codes) as BlockCodecName[]).map((codec): GgmlType => {
  const { blockSize, blockBytes } = blockCodecs[codec];
  return { code: codes[codec], name: codec, blockSize, blockBytes, codec };
});

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
  [...plain, ...blocked].map((type) => [type.code, type]),
);

/** Types that no file holds: those that llama.cpp took out again, and one (9) that only lives while it computes. */
export const removedTypes: ReadonlyMap<number, string> = new Map([
  [9, 'Q8_1'], [4, 'Q4_2'], [5, 'Q4_3'], [31, 'Q4_0_4_4'], [32, 'Q4_0_4_8'], [33, 'Q4_0_8_8'], [36, 'IQ4_NL_4_4'], [37, 'IQ4_NL_4_8'], [38, 'IQ4_NL_8_8'],
]);
