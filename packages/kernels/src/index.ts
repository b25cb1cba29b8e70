/** @penjing/kernels: casts, packing, block quantization and statistics over typed arrays. */
export { plainKernels } from './plain/index.js';
export { wasmKernels } from './wasm/index.js';
export {
  KernelError,
  type Arena, type BlockLayout, type BlockStats, type DequantizeBlocksArgs, type FloatDType, type FromFloatOptions,
  type IntDType, type Kernels, type NumberDType, type QuantizeBlocksArgs, type SourceDType, type TypedArray,
} from './kernels.js';
