/** @penjing/kernels: casts, packing, block quantization and statistics over typed arrays. */
export { plainKernels } from './plain/index.js';
export { wasmKernels } from './wasm/index.js';
export { type BlockCodec, type BlockCodecName, blockCodecs } from './shared/block-codecs.js';
export type { GridKernels, ProjectOnGridArgs, StraightThroughArgs, WeightGrid } from './grid-kernels.js';
export {
  KernelError,
  type AdamWArgs, type Arena, type BlockLayout, type BlockStats, type CellKernels, type ColumnGrid, type DecodeBlocksArgs, type DequantizeBlocksArgs, type EncodeBlocksArgs, type EncodedBlockCodec, type FloatDType, type FromFloatOptions, type GridBits, type GridFit,
  type IntDType, type Kernels, type LionArgs, type MomentumArgs, type NumberDType, type PanelKernels, type ProjectRowsArgs, type PruneCellsArgs, type QuantizeBlocksArgs, type RepackBlocksArgs, type SourceDType, type TypedArray, type UpdateKernels,
} from './kernels.js';
