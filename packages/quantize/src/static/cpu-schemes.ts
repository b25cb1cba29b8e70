/** Which integers suit which processor. */

export interface CpuScheme {
  readonly activations: 'uint8' | 'int8';
  /** Codes of weights go from minus this to this. */
  readonly highest: number;
}

/**
 * `x64-vnni` (AVX-512 VNNI, AVX-VNNI: Intel from 2019 on, AMD from Zen 4 on): uint8 by int8, added up in 32 bits.
 * `x64` (AVX2, AVX-512 without VNNI): uint8 by int8 as well, but VPMADDUBSW adds pairs in 16 bits, where 2 · 255 · 127 does not fit:
 * weights of 7 bits. `arm64`: int8 by int8 (SDOT).
 * Source: "Quantize ONNX models" of ONNX Runtime 1.30, When to use reduce_range and per-channel quantization.
 */
export const cpuSchemes = {
  'x64-vnni': { activations: 'uint8', highest: 127 },
  x64: { activations: 'uint8', highest: 64 },
  arm64: { activations: 'int8', highest: 127 },
} as const satisfies Readonly<Record<string, CpuScheme>>;

export type CpuKind = keyof typeof cpuSchemes;
