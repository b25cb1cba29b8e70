/** Argument checks of the block decoders. */
import type { DecodeBlocksArgs, EncodeBlocksArgs, RepackBlocksArgs } from '../kernels.js';
import { blockCodecs } from './block-codecs.js';
import { argumentError, expectLength } from './check.js';

/** Gives the number of blocks. */
export function checkDecode({ codec, src, dst }: DecodeBlocksArgs): number {
  const blocks = countBlocks(codec, src);
  expectLength('floats', dst.length, blocks * blockCodecs[codec].blockSize);
  return blocks;
}

/** Gives the number of blocks. */
export function checkEncode({ codec, src, dst }: EncodeBlocksArgs): number {
  if (codec !== 'Q8_0' && codec !== 'Q4_0') throw argumentError(`blocks of ${String(codec)} are not written`);
  const blocks = countBlocks(codec, dst);
  expectLength('floats', src.length, blocks * blockCodecs[codec].blockSize);
  return blocks;
}

/** Gives the number of blocks. */
export function checkRepack({ codec, src, values, scales, low, correction }: RepackBlocksArgs): number {
  const blocks = countBlocks(codec, src);
  const { blockSize, subSize, bits, corrected } = blockCodecs[codec];
  const subs = (blocks * blockSize) / subSize;
  if (low && bits !== 8) throw argumentError(`codes of ${codec} have 4 bits and no high and low nibbles`);
  expectLength('values', values.length, (blocks * blockSize * (low ? 4 : bits)) / 8);
  expectLength('scales', scales.length, subs);
  expectLength('low values', low?.values.length ?? 0, low ? values.length : 0);
  expectLength('low scales', low?.scales.length ?? 0, low ? subs : 0);
  expectLength('correction', correction?.length ?? 0, corrected ? subs : 0);
  return blocks;
}

function countBlocks(codec: DecodeBlocksArgs['codec'], src: Uint8Array): number {
  if (!Object.hasOwn(blockCodecs, codec)) throw argumentError(`no block format ${String(codec)}`);
  const blocks = src.length / blockCodecs[codec].blockBytes;
  if (!Number.isInteger(blocks)) throw argumentError(`${src.length} bytes are no whole blocks of ${codec}`);
  return blocks;
}
