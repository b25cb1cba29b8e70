/** The compiled module, its memory, and the ways for arrays in and out of it. */
import { bumpArena } from '../arena.js';
import { moduleBase64 } from '../generated/module.js';
import { KernelError, type Arena, type EncodedBlockCodec, type TypedArray } from '../kernels.js';
import type { BlockCodecName } from '../shared/block-codecs.js';

/** Blocks to a signed code per byte, a scale and a minimum per sub-block. */
export type UnpackKernel = (src: number, blocks: number, codes: number, scales: number, mins: number) => void;

/** By format. A format without a kernel is unpacked by its plain function; what follows is the same. */
type CodecExports = { readonly [Codec in BlockCodecName as `unpack${Codec}`]?: UnpackKernel } & {
  readonly [Codec in EncodedBlockCodec as `encode${Codec}`]: (src: number, blocks: number, dst: number, result: number) => void;
};

/** Exports of assembly/index.ts; positions are bytes in the memory. */
export interface Exports extends CodecExports {
  readonly bfloat16ToFloat32: (src: number, dst: number, count: number) => void;
  readonly float16ToFloat32: (src: number, dst: number, count: number) => void;
  readonly float32ToBfloat16: (src: number, dst: number, count: number, saturate: number) => void;
  readonly float32ToFloat16: (src: number, dst: number, count: number, saturate: number) => void;
  readonly quantizeBlocks: (source: number, form: number, stats: number, job: number) => void;
  readonly dequantizeBlocks: (form: number, job: number) => void;
  readonly pack: (bits: number, src: number, dst: number, count: number) => void;
  readonly unpack: (bits: number, signed: number, src: number, dst: number, count: number) => void;
  readonly transpose2d: (width: number, src: number, dst: number, rows: number, cols: number, srcStride: number, dstStride: number) => void;
  readonly solveLower: (lower: number, rows: number, x: number, cols: number) => void;
  readonly addProduct: (a: number, b: number, c: number, rows: number, inner: number, cols: number) => void;
  readonly projectRows: (job: number, out: number) => void;
  readonly pruneCells: (job: number, out: number) => void;
  readonly minMax: (src: number, count: number, out: number) => void;
  readonly errorStats: (a: number, b: number, count: number, out: number) => void;
  readonly products: (a: number, b: number, count: number, out: number) => void;
  readonly int8ToFloat32: (src: number, dst: number, count: number) => void;
  readonly uint8ToFloat32: (src: number, dst: number, count: number) => void;
  readonly float32ToInt8: (src: number, dst: number, count: number) => void;
  readonly float32ToUint8: (src: number, dst: number, count: number) => void;
  readonly addFloats: (a: number, b: number, dst: number, count: number) => void;
  readonly multiplyFloats: (a: number, b: number, dst: number, count: number) => void;
  readonly addScalar: (a: number, value: number, dst: number, count: number) => void;
  readonly multiplyScalar: (a: number, value: number, dst: number, count: number) => void;
  readonly adamW: (
    w: number, g: number, m: number, v: number, count: number, keep: number, size: number, beta1: number, rest1: number, beta2: number, rest2: number, correction: number, epsilon: number,
  ) => void;
  readonly lion: (w: number, g: number, m: number, count: number, rate: number, decay: number, beta1: number, rest1: number, beta2: number, rest2: number) => void;
  readonly momentum: (w: number, g: number, v: number, count: number, rate: number, decay: number, kept: number, ahead: number) => void;
  readonly blend: (a: number, b: number, count: number, keep: number, share: number) => void;
  readonly sumSquares: (x: number, count: number, out: number) => void;
  readonly holdZeros: (g: number, w: number, count: number) => void;
  readonly dropMask: (m: number, count: number, first: number, key: number, threshold: number, scale: number) => void;
  readonly projectBlocks: (from: number, to: number, blocks: number, size: number, scales: number, zeros: number, lowest: number, highest: number) => void;
  readonly straightThroughBlocks: (g: number, latent: number, blocks: number, size: number, scales: number, zeros: number, lowest: number, highest: number, sums: number) => void;
  readonly gridColumns: (scales: number, zeros: number, width: number, lowest: number, highest: number, columns: number) => void;
  readonly projectLines: (from: number, to: number, lines: number, width: number, columns: number) => void;
  readonly straightThroughLines: (g: number, latent: number, lines: number, width: number, columns: number) => void;
  readonly scaleCodes: (codes: number, scales: number, mins: number, subs: number, subSize: number, dst: number) => void;
  readonly shiftCodes: (codes: number, count: number, offset: number, values: number) => void;
  readonly pairCodes: (codes: number, count: number, offset: number, values: number) => void;
  readonly splitCodes: (codes: number, count: number, offset: number, high: number, low: number) => void;
  readonly moveScales: (
    scales: number, mins: number, subs: number, factor: number, shift: number, outScales: number, lowScales: number, corrections: number,
  ) => void;
}

export interface Instance {
  readonly exports: Exports;
  readonly arena: Arena;
  readonly buffer: ArrayBuffer;
  /** Does the array lie in the memory, so that kernels can use it in place? */
  holds(array: TypedArray): boolean;
  /** A raw byte view of memory. */
  bytes(at: number, length: number): Uint8Array<ArrayBuffer>;
}

/** Where job structures and results lie. */
export const JOB = 1024;
/** Where arrays from outside are staged, a piece at a time: small enough for the second-level cache. */
export const STAGE = 4096;
export const STAGE_BYTES = 512 * 1024;
/** Elements that one call into the module does: V8 swaps in its optimised code between calls, not within one. */
export const CHUNK = 65_536;

const PAGE = 65_536;
const MAX_BYTES = 2 ** 32 - PAGE;

let compiled: WebAssembly.Module | undefined;

export function instantiate(arenaBytes: number): Instance {
  const start = STAGE + STAGE_BYTES;
  if (!(arenaBytes >= 0 && start + arenaBytes <= MAX_BYTES)) {
    throw new KernelError('E_KERNEL_ARGUMENT', `an arena of ${arenaBytes} bytes: 0 to ${MAX_BYTES - start} are possible`);
  }
  const pages = Math.ceil((start + arenaBytes) / PAGE);
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
  compiled ??= new WebAssembly.Module(decodeBase64(moduleBase64));
  const { exports } = new WebAssembly.Instance(compiled, { env: { memory } });
  const { buffer } = memory;
  return {
    exports: exports as unknown as Exports,
    arena: bumpArena(buffer, start),
    buffer,
    holds: (array) => array.buffer === buffer,
    bytes: (at, length) => new Uint8Array(buffer, at, length),
  };
}

/** Base64 without Buffer, which browsers lack. */
function decodeBase64(text: string): Uint8Array<ArrayBuffer> {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

/** The raw bytes behind a typed array. */
export function bytesOf(array: TypedArray): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}
