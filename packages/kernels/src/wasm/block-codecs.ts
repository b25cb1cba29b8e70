/** Blocks of GGUF in three steps, a piece at a time: unpacked by their format, then scaled or repacked; and encoded in one. */
import type { BlockStats, Kernels } from '../kernels.js';
import { unpackers } from '../plain/block-codecs/decode.js';
import { type BlockCodecName, blockCodecs } from '../shared/block-codecs.js';
import { checkDecode, checkEncode, checkRepack } from '../shared/check-codecs.js';
import { bytesOf, JOB, STAGE, type Instance } from './instance.js';

/** Weights of a piece, a multiple of every block size: its parts fit the caches, and calls cost little beside it. */
const PIECE = 16_384;
const PARTS = PIECE / 16;
/** The staging area: codes, scales, minimums; then what lies outside the memory, at most PIECE float32 and as many bytes of blocks. */
const CODES = STAGE;
const SCALES = CODES + PIECE;
const MINS = SCALES + PARTS * 4;
const FIRST = MINS + PARTS * 4;
/** No format takes more than 9.125 bits a weight, but encoding reads float32. */
const SECOND = FIRST + PIECE * 4;

export function codecKernels(instance: Instance): Pick<Kernels, 'decodeBlocks' | 'repackBlocks' | 'encodeBlocks'> {
  const { exports, buffer } = instance;
  const results = new Float64Array(buffer, JOB, 4);

  const unpackPiece = (codec: BlockCodecName, src: Uint8Array, first: number, blocks: number): void => {
    const { blockBytes, blockSize, subSize } = blockCodecs[codec];
    const kernel = exports[`unpack${codec}`];
    if (kernel) return kernel(placeIn(instance, src, first * blockBytes, blocks * blockBytes, FIRST), blocks, CODES, SCALES, MINS);
    const unpack = unpackers[codec];
    const subs = blockSize / subSize;
    for (let i = 0; i < blocks; i++) {
      const scalesAt = i * subs * 4;
      unpack(src, (first + i) * blockBytes, {
        codes: new Int8Array(buffer, CODES + i * blockSize, blockSize),
        scales: new Float32Array(buffer, SCALES + scalesAt, subs),
        mins: new Float32Array(buffer, MINS + scalesAt, subs),
      });
    }
  };

  return {
    decodeBlocks(args) {
      const { codec, src, dst } = args;
      const blocks = checkDecode(args);
      const { blockSize, subSize, corrected } = blockCodecs[codec];
      eachPiece(blocks, blockSize, (first, count) => {
        unpackPiece(codec, src, first, count);
        const weights = count * blockSize;
        const out = new Output(instance, dst, first * blockSize * 4, weights * 4, SECOND);
        exports.scaleCodes(CODES, SCALES, corrected ? MINS : 0, weights / subSize, subSize, out.at);
        out.done();
      });
    },

    repackBlocks(args) {
      const { codec, src, values, scales, low, correction } = args;
      const blocks = checkRepack(args);
      const { blockSize, subSize, bits, offset } = blockCodecs[codec];
      const width = low ? 4 : bits;
      eachPiece(blocks, blockSize, (first, count) => {
        unpackPiece(codec, src, first, count);
        const weights = count * blockSize;
        const subs = weights / subSize;
        const subBytes = (first * blockSize * 4) / subSize;
        let stage = SECOND;
        const outputs: Output[] = [];
        const output = (array: Uint8Array | Float32Array | undefined, begin: number, length: number): number => {
          if (!array) return 0;
          const out = new Output(instance, array, begin, length, stage);
          stage += Math.ceil(length / 16) * 16;
          outputs.push(out);
          return out.at;
        };
        const codes = (array: Uint8Array | undefined): number => output(array, (first * blockSize * width) / 8, (weights * width) / 8);
        const perSub = (array: Float32Array | undefined): number => output(array, subBytes, subs * 4);
        if (low) exports.splitCodes(CODES, weights, offset, codes(values), codes(low.values));
        else (bits === 4 ? exports.pairCodes : exports.shiftCodes)(CODES, weights, offset, codes(values));
        exports.moveScales(SCALES, MINS, subs, low ? 16 : 1, 2 ** (bits - 1) - offset, perSub(scales), perSub(low?.scales), perSub(correction));
        for (const out of outputs) out.done();
      });
    },

    encodeBlocks(args): BlockStats {
      const { codec, src, dst } = args;
      const blocks = checkEncode(args);
      const { blockSize, blockBytes } = blockCodecs[codec];
      const encode = exports[`encode${codec}`];
      results.fill(0);
      eachPiece(blocks, blockSize, (first, count) => {
        const from = placeIn(instance, src, first * blockSize * 4, count * blockSize * 4, FIRST);
        const out = new Output(instance, dst, first * blockBytes, count * blockBytes, SECOND);
        encode(from, count, out.at, JOB);
        out.done();
      });
      const [sumSquares = 0, sumSquaredError = 0, maxError = 0, nonFinite = 0] = results;
      return { sumSquares, sumSquaredError, maxError, nonFinite };
    },
  };
}

function eachPiece(blocks: number, blockSize: number, run: (first: number, count: number) => void): void {
  const step = PIECE / blockSize;
  for (let first = 0; first < blocks; first += step) run(first, Math.min(step, blocks - first));
}

/** Where the bytes are in the memory, copied to `stage` when they are outside. */
function placeIn(instance: Instance, array: Uint8Array | Float32Array, begin: number, length: number, stage: number): number {
  if (instance.holds(array)) return array.byteOffset + begin;
  instance.bytes(stage, length).set(bytesOf(array).subarray(begin, begin + length));
  return stage;
}

/** A stretch of an array that a kernel writes at `at`, in `stage` when the array is outside. */
class Output {
  readonly at: number;

  constructor(
    readonly instance: Instance, readonly array: Uint8Array | Float32Array, readonly begin: number, readonly length: number, stage: number,
  ) {
    this.at = instance.holds(array) ? array.byteOffset + begin : stage;
  }

  done(): void {
    if (this.instance.holds(this.array)) return;
    bytesOf(this.array).set(this.instance.bytes(this.at, this.length), this.begin);
  }
}
