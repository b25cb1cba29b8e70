/** Random inputs for trials of a model, made before anything is opened: what cannot be fed is then known while there is nothing to close. */
import { type Feeds, type Model, PenjingError, type ValueInfo } from '@penjing/core';
import type { Sizes } from '@penjing/parallel';
import { loadRuntime } from '../load-runtime.js';

/** They pass through a list of numbers; more would take gigabytes. */
const MAX_ELEMENTS = 2 ** 26;
/** Most that a dimension without a size is given. */
const UNNAMED = 8;

/** Throws `E_LIMIT` for sizes that make an input too large, `E_INPUT` and `E_UNSUPPORTED` for inputs whose shape is unknown or that are no tensors. */
export async function trialFeeds({ graph }: Model, sizes: Sizes): Promise<Feeds> {
  const { randomFeeds } = await loadRuntime();
  // An input with a default is a weight, as engines see it.
  const inputs = graph.inputs.filter(({ tensor }) => !tensor).map(({ name, type }): ValueInfo => ({ name, type: type ?? { kind: 'tensor' } }));
  for (const input of inputs) refuseHuge(input, sizes);
  return randomFeeds(inputs, { dims: sizes });
}

function refuseHuge({ name, type }: ValueInfo, sizes: Sizes): void {
  if (type.kind !== 'tensor') return;
  const known = (type.shape ?? []).map((dim) => (typeof dim === 'number' ? dim : dim !== null && Object.hasOwn(sizes, dim) ? sizes[dim]! : UNNAMED));
  const elements = known.reduce((all, dim) => all * dim, 1);
  if (elements <= MAX_ELEMENTS) return;
  throw new PenjingError('E_LIMIT', `input ${name} would have the shape ${known.join(' × ')}: more than the ${MAX_ELEMENTS} elements that trials make`, { hint: 'Try layouts with smaller sizes, such as --size batch=8, or plan without running them.' });
}
