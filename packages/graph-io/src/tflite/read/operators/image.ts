/** Pictures changed in size, and blocks of space turned into channels or batches. */
import type { Value } from '@penjing/core';
import type { ReadRow, ReadTable, TfliteReading } from '../operator.js';

interface Centers {
  readonly alignCorners?: boolean;
  readonly halfPixelCenters?: boolean;
}

function resize(reading: TfliteReading, mode: 'linear' | 'nearest', { alignCorners, halfPixelCenters }: Centers): void {
  const [height, width] = reading.numbers(1, 'size');
  const x = reading.first(0);
  const [batch, , , channels] = reading.tensor(0).shape as [number, number, number, number];
  const open = (reading.tensor(0).shapeSignature?.[0] ?? batch) < 0;
  // batch and channels stay: taken from the input where a size is not fixed
  const head: Value = open ? reading.op('Shape', [x], { start: 0, end: 2 }) : reading.ints([batch, channels]);
  const sizes = open ? reading.op('Concat', [head, reading.ints([height!, width!])], { axis: 0 }) : reading.ints([batch, channels, height!, width!]);
  const coordinates = alignCorners ? 'align_corners' : halfPixelCenters ? 'half_pixel' : 'asymmetric';
  const nearest = alignCorners || halfPixelCenters ? 'round_prefer_ceil' : 'floor';
  const attributes = { mode, coordinate_transformation_mode: coordinates, ...(mode === 'nearest' && { nearest_mode: nearest }) };
  reading.define(reading.op('Resize', [x, undefined, undefined, sizes], attributes), true);
}

/** ONNX Runtime has kernels of SpaceToDepth for floats only: integers are cut and turned. */
const isFloat = (reading: TfliteReading): boolean => reading.values.dtype(reading.index(0)) === 'float32';

/** Height, width and channels, which must be fixed. */
function fixed(reading: TfliteReading): readonly [number, number, number] {
  const { shape, shapeSignature = shape } = reading.tensor(0);
  if (shape.length !== 4 || shapeSignature.slice(1).some((size) => size < 0)) throw reading.fail('it cuts a size that is not fixed');
  return shape.slice(1) as unknown as readonly [number, number, number];
}

/** The channels of TFLite's blocks run slowest over the block, those of ONNX's DCR mode too. */
const depthToSpace: ReadRow = (reading) => {
  const { blockSize } = reading.options('DepthToSpaceOptions');
  if (!isFloat(reading)) {
    const [height, width, channels] = fixed(reading);
    const cut = reading.op('Reshape', [reading.last(0), reading.ints([-1, height, width, blockSize, blockSize, channels / blockSize ** 2])]);
    const turned = reading.op('Transpose', [cut], { perm: [0, 1, 3, 2, 4, 5] });
    return reading.define(reading.op('Reshape', [turned, reading.ints([-1, height * blockSize, width * blockSize, channels / blockSize ** 2])]));
  }
  reading.define(reading.op('DepthToSpace', [reading.first(0)], { blocksize: blockSize, mode: 'DCR' }), true);
};

const spaceToDepth: ReadRow = (reading) => {
  const { blockSize } = reading.options('SpaceToDepthOptions');
  if (!isFloat(reading)) {
    const [height, width, channels] = fixed(reading);
    const cut = reading.op('Reshape', [reading.last(0), reading.ints([-1, height / blockSize, blockSize, width / blockSize, blockSize, channels])]);
    const turned = reading.op('Transpose', [cut], { perm: [0, 1, 3, 2, 4, 5] });
    return reading.define(reading.op('Reshape', [turned, reading.ints([-1, height / blockSize, width / blockSize, channels * blockSize ** 2])]));
  }
  reading.define(reading.op('SpaceToDepth', [reading.first(0)], { blocksize: blockSize }), true);
};

/** Sizes after the batch must be fixed: the blocks are cut out of them. */
function spatial(reading: TfliteReading, blocks: readonly number[]): { readonly sizes: readonly number[]; readonly rest: readonly number[] } {
  const { shape, shapeSignature = shape } = reading.tensor(0);
  if (shapeSignature.slice(1).some((size) => size < 0)) throw reading.fail('it cuts a size that is not fixed');
  return { sizes: shape.slice(1, blocks.length + 1), rest: shape.slice(blocks.length + 1) };
}

/** Pads, then deals the places of each block out to batches: the batch runs fastest. */
const spaceToBatch: ReadRow = (reading) => {
  const blocks = reading.numbers(1, 'blocks');
  const pairs = reading.numbers(2, 'paddings');
  const { sizes, rest } = spatial(reading, blocks);
  const m = blocks.length;
  const before = [0, ...blocks.map((_, i) => pairs[2 * i]!), ...rest.map(() => 0)];
  const after = [0, ...blocks.map((_, i) => pairs[2 * i + 1]!), ...rest.map(() => 0)];
  const padded = [...before, ...after].some((pad) => pad > 0) ? reading.op('Pad', [reading.last(0), reading.ints([...before, ...after]), reading.scalar(0)]) : reading.last(0);
  const outer = sizes.map((size, i) => (size + pairs[2 * i]! + pairs[2 * i + 1]!) / blocks[i]!);
  const cut = reading.op('Reshape', [padded, reading.ints([-1, ...outer.flatMap((size, i) => [size, blocks[i]!]), ...rest])]);
  // (batch, size0, block0, size1, block1, …, rest) to (block0, block1, …, batch, size0, size1, …, rest)
  const perm = [...blocks.map((_, i) => 2 + 2 * i), 0, ...blocks.map((_, i) => 1 + 2 * i), ...rest.map((_, i) => 1 + 2 * m + i)];
  reading.define(reading.op('Reshape', [reading.op('Transpose', [cut], { perm }), reading.ints([-1, ...outer, ...rest])]));
};

/** Undoes `spaceToBatch`, then crops. */
const batchToSpace: ReadRow = (reading) => {
  const blocks = reading.numbers(1, 'blocks');
  const pairs = reading.numbers(2, 'crops');
  const { sizes, rest } = spatial(reading, blocks);
  const m = blocks.length;
  const dealt = reading.op('Reshape', [reading.last(0), reading.ints([...blocks, -1, ...sizes, ...rest])]);
  const perm = [m, ...blocks.flatMap((_, i) => [m + 1 + i, i]), ...rest.map((_, i) => 2 * m + 1 + i)];
  const full = sizes.map((size, i) => size * blocks[i]!);
  const joined = reading.op('Reshape', [reading.op('Transpose', [dealt], { perm }), reading.ints([-1, ...full, ...rest])]);
  const starts = blocks.map((_, i) => pairs[2 * i]!);
  const ends = blocks.map((_, i) => full[i]! - pairs[2 * i + 1]!);
  const axes = blocks.map((_, i) => i + 1);
  const cropped = pairs.some((crop) => crop > 0);
  reading.define(cropped ? reading.op('Slice', [joined, reading.ints(starts), reading.ints(ends), reading.ints(axes)]) : joined);
};

export const image: ReadTable = {
  RESIZE_BILINEAR: (reading) => resize(reading, 'linear', reading.optional('ResizeBilinearOptions')),
  RESIZE_NEAREST_NEIGHBOR: (reading) => resize(reading, 'nearest', reading.optional('ResizeNearestNeighborOptions')),
  DEPTH_TO_SPACE: depthToSpace,
  SPACE_TO_DEPTH: spaceToDepth,
  SPACE_TO_BATCH_ND: spaceToBatch,
  BATCH_TO_SPACE_ND: batchToSpace,
};
