/** Raises the version of the file format that a model needs. */
import type { Model } from '@penjing/core';

/**
 * Before version 4 every initializer had to be an input too, and was constant all the same. From 4 on an input with an
 * initializer is a default that callers may override, so the listing goes when the version passes 4.
 */
export function raiseIrVersion(model: Model, version: number): void {
  const { inputs } = model.graph;
  if (model.irVersion < 4 && version >= 4) {
    inputs.splice(0, inputs.length, ...inputs.filter((value) => value.tensor === undefined));
  }
  model.irVersion = Math.max(model.irVersion, version);
}
