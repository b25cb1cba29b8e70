/** Whether a model would run anywhere but on the CPU, as far as the providers that are asked for are there. */
import { GraphBuilder, isPenjingError, Model, tensorType } from '@penjing/core';
import { ortEngine } from './ort-engine.js';

/** Of lists of execution providers as `providersOf` has them. The last one is what there is no choice about: if it is not there, loading tells. */
export async function runsElsewhere(attempts: readonly (readonly string[])[], signal?: AbortSignal): Promise<boolean> {
  for (const [i, providers] of attempts.entries()) {
    const elsewhere = providers.some((provider) => provider !== 'cpu');
    if (!elsewhere || i === attempts.length - 1 || (await opens(providers, signal))) return elsewhere;
  }
  return false;
}

/** A driver that is installed may have no processor to drive: only a session tells. */
async function opens(providers: readonly string[], signal: AbortSignal | undefined): Promise<boolean> {
  const model = new Model();
  model.opsetImports.set('', 17);
  const b = new GraphBuilder(model.graph);
  const type = tensorType('float32', [1]);
  b.output(b.op('Neg', [b.input('x', type)]), 'y', type);
  try {
    await using _ = await ortEngine({ threads: 1 }).load(model, { providers, ...(signal && { signal }) });
    return true;
  } catch (error) {
    if (isPenjingError(error) && error.code === 'E_PROVIDER') return false;
    throw error;
  }
}
