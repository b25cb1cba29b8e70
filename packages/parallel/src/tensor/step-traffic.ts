/** What the steps of a sharded model move between shards, for those who reckon with it. */
import { elementCount, PenjingError, type Shape } from '@penjing/core';
import { bindDim, type Sizes } from '../cost/bind-sizes.js';
import { elementBytesOf, lengthOf, sizeOf, withSize } from './pieces.js';
import type { Gathered, ShardedModel, Traffic } from './sharded-model.js';

/** From here on each shard adds up a stripe for all, which takes one more meeting; below, each adds up everything for itself. */
export const STRIPED_BYTES = 2 ** 16;

export interface StepTraffic {
  /** Place in the program. */
  readonly step: number;
  readonly kind: 'reduce' | 'gather';
  /** Of the results, as every shard has them afterwards. */
  readonly bytes: number;
  /** By shard: bytes copied into shared memory, and bytes read from it. */
  readonly written: readonly number[];
  readonly read: readonly number[];
  /** Times that all shards wait for each other. */
  readonly meetings: number;
}

/** Of one run at these sizes of the symbols of the inputs. Throws `E_OPTION` for a value whose shape they do not give. */
export function stepTraffic({ shards, program }: ShardedModel, sizes: Sizes): StepTraffic[] {
  const each = (bytes: number): number[] => new Array<number>(shards).fill(bytes);
  return program.flatMap((step, index): StepTraffic[] => {
    if (step.kind === 'run') return [];
    const bytes = step.values.reduce((sum, value) => sum + bytesOf(value, shapeOf(value, sizes)), 0);
    if (step.kind === 'gather') {
      const written = Array.from({ length: shards }, (_, shard) => step.values.reduce((sum, value) => sum + partBytes(value, shard, sizes), 0));
      return [{ step: index, kind: 'gather', bytes, written, read: each(bytes), meetings: 1 }];
    }
    const striped = bytes >= STRIPED_BYTES;
    return [{ step: index, kind: 'reduce', bytes, written: each(striped ? bytes + bytes / shards : bytes), read: each(striped ? 2 * bytes : shards * bytes), meetings: striped ? 2 : 1 }];
  });
}

function shapeOf({ to, shape }: Traffic, sizes: Sizes): Shape {
  const bound = shape?.map((dim) => bindDim(dim, sizes));
  if (!bound?.every((dim) => dim !== undefined)) throw new PenjingError('E_OPTION', `the shape of ${to}, [${shape?.join(', ') ?? '?'}], is not known at these sizes`);
  return bound;
}

const bytesOf = ({ dtype }: Traffic, shape: Shape): number => elementCount(shape) * elementBytesOf(dtype);

function partBytes(value: Gathered, shard: number, sizes: Sizes): number {
  const { axis, ranges } = value.cut;
  return bytesOf(value, withSize(withSize(shapeOf(value, sizes), axis, sizeOf(value.cut)), axis, lengthOf(ranges[shard]!)));
}
