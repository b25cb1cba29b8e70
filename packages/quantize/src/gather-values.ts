/** A statistic of many values of the main graph, each from the block of the model that computes or reads it first. */
import type { Model, Value } from '@penjing/core';
import { type CalibrationOptions, calibrateBlocks, type StatisticName, type Statistics } from '@penjing/core/calibrate';

export interface GatheredValue<Name extends StatisticName> {
  readonly value: Value;
  readonly statistic: Statistics[Name];
  /** The first sample in which it held NaN or infinities. */
  readonly broken: number | undefined;
}

/** Gives the values of a block at a time; those that no block has are in none. */
export async function* gatherValues<Name extends StatisticName>(model: Model, values: ReadonlySet<Value>, name: Name, options: CalibrationOptions): AsyncGenerator<readonly GatheredValue<Name>[], void, undefined> {
  const left = new Set(values);
  let taken: Value[] = [];
  const blocks = calibrateBlocks(model, {
    ...options,
    collect(block) {
      const known = new Set([...block.inputs, ...block.nodes.flatMap((node) => [...node.outputs])]);
      taken = [...left].filter((value) => known.has(value));
      for (const value of taken) left.delete(value);
      return taken.map((value) => ({ value: value.name, statistic: name }));
    },
  });
  for await (const { statistic, broken } of blocks) {
    if (taken.length > 0) yield taken.map((value) => ({ value, statistic: statistic(value.name, name), broken: broken(value.name) }));
  }
}
