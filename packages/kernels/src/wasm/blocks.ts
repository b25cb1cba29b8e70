/** Block quantization and back, a few rows per call; arrays from outside the memory go through the staging area. */
import type { BlockLayout, BlockStats, GridFit, Kernels, QuantizeBlocksArgs, SourceDType } from '../kernels.js';
import { dequantizeBlocks as plainDequantize } from '../plain/dequantize.js';
import { quantizeBlocks as plainQuantize } from '../plain/quantize.js';
import { checkBlocks, checkFit, type BlockSizes } from '../shared/check.js';
import { bytesOf, CHUNK, JOB, STAGE, STAGE_BYTES, type Instance } from './instance.js';
import { GRID_BYTES, writeJob } from './jobs.js';

/** Sizes that stay clear of 32-bit signed arithmetic in the module. */
const MAX_COUNT = 2 ** 28;

const fitCodes: Record<GridFit, number> = { range: 0, squares: 1, 'half-quadratic': 2 };
const sources: Record<SourceDType, number> = { float32: 0, float16: 1, bfloat16: 2 };

export function blockKernels(instance: Instance): Pick<Kernels, 'quantizeBlocks' | 'dequantizeBlocks'> {
  const { exports } = instance;
  const results = new Float64Array(instance.buffer, JOB, 4);
  return {
    quantizeBlocks(args) {
      const sizes = checkBlocks(args, args.srcDtype, args.src);
      checkFit(args);
      const stats = args.stats === false ? 0 : 1;
      const total: BlockStats = { sumSquares: 0, sumSquaredError: 0, maxError: 0, nonFinite: 0 };
      const run = (): void => {
        results.fill(0);
        exports.quantizeBlocks(sources[args.srcDtype], formOf(args), stats, JOB);
        total.sumSquares += results[0]!;
        total.sumSquaredError += results[1]!;
        total.maxError = Math.max(total.maxError, results[2]!);
        total.nonFinite += results[3]!;
      };
      return eachRows(instance, args, sizes, args.src, 'quantize', run) ? total : plainQuantize(args);
    },
    dequantizeBlocks(args) {
      const sizes = checkBlocks(args, 'float32', args.dst);
      const run = (): void => exports.dequantizeBlocks(formOf(args), JOB);
      if (!eachRows(instance, args, sizes, args.dst, 'dequantize', run)) plainDequantize(args);
    },
  };
}

function formOf({ layout, bits }: BlockLayout): number {
  return layout === 'nbits' ? bits : 0;
}

/** One of the arrays of a call: where it is, and how many bytes of it belong to a row. */
interface Part {
  readonly outside: Uint8Array | undefined;
  readonly offset: number;
  readonly rowBytes: number;
  readonly isInput: boolean;
}

/** Calls `run` for some rows at a time until all are done; false when not even one row fits the staging area. */
function eachRows(
  instance: Instance, args: BlockLayout & Pick<QuantizeBlocksArgs, 'gridBits' | 'fit'>, { blocks, valueBytes, zeroBytes }: BlockSizes,
  floats: Float32Array | Uint16Array, direction: 'quantize' | 'dequantize', run: () => void,
): boolean {
  const { rows, cols, bits, symmetric, layout, values, scales, zeroPoints } = args;
  if (rows === 0 || cols === 0) return true;
  const blockSize = layout === 'linear' ? Math.min(args.blockSize, cols) : args.blockSize;
  if (blockSize > MAX_COUNT || cols > MAX_COUNT) return false;
  const part = (array: Float32Array | Uint16Array | Uint8Array, rowElements: number, isInput: boolean): Part => ({
    outside: instance.holds(array) ? undefined : bytesOf(array),
    offset: array.byteOffset,
    rowBytes: rowElements * array.BYTES_PER_ELEMENT,
    isInput,
  });
  const quantizes = direction === 'quantize';
  const parts = [part(floats, cols, quantizes), part(values, valueBytes, !quantizes), part(scales, blocks, !quantizes)];
  if (zeroPoints !== undefined && !symmetric) parts.push(part(zeroPoints, zeroBytes, !quantizes));

  // Scratch memory, then a piece per array from outside, each rounded up to 16 bytes.
  const scratchBytes = GRID_BYTES + roundUp(Math.min(blockSize, cols));
  const outsideBytes = parts.reduce((sum, { outside, rowBytes }) => sum + (outside ? rowBytes : 0), 0);
  const room = STAGE_BYTES - scratchBytes - 16 * parts.length;
  const fits = outsideBytes === 0 ? (room >= 0 ? rows : 0) : Math.floor(room / outsideBytes);
  if (fits < 1) return false;
  const step = Math.min(fits, Math.max(1, Math.floor(CHUNK / cols)));

  const place = parts.map(() => 0);
  for (let row = 0; row < rows; row += step) {
    const count = Math.min(step, rows - row);
    let stage = STAGE + scratchBytes;
    parts.forEach(({ outside, offset, rowBytes, isInput }, i) => {
      place[i] = outside ? stage : offset + row * rowBytes;
      if (outside === undefined) return;
      if (isInput) instance.bytes(stage, count * rowBytes).set(outside.subarray(row * rowBytes, (row + count) * rowBytes));
      stage = roundUp(stage + count * rowBytes);
    });
    const [floatsAt = 0, valuesAt = 0, scalesAt = 0, zerosAt = 0] = place;
    writeJob(instance, {
      rows: count, cols, bits, blockSize, symmetric, halfScales: args.scaleDtype === 'float16',
      floats: floatsAt, values: valuesAt, scales: scalesAt, zeros: zerosAt, scratch: STAGE,
      gridBits: args.gridBits ?? bits, fit: fitCodes[args.fit ?? 'range'],
    }, direction);
    run();
    parts.forEach(({ outside, rowBytes, isInput }, i) => {
      if (outside && !isInput) outside.set(instance.bytes(place[i]!, count * rowBytes), row * rowBytes);
    });
  }
  return true;
}

function roundUp(bytes: number): number {
  return Math.ceil(bytes / 16) * 16;
}
