/** The embedded model as a graph, with windows of its held-out text: what methods are compared on, layer by layer. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { denseOf, type Feeds, inferShapes, type Model } from '@penjing/core';
import { readOnnx } from '@penjing/graph-io';
import { fileSource } from '@penjing/graph-io/node';
import { runRecipe } from '@penjing/recipe';
import { loadTokenizer, randomFeeds } from '@penjing/runtime';

const embedded = join(import.meta.dirname, '../../models/sapling');

/** Windows that calibrate, and tokens of each. */
export const WINDOWS = 8;
export const TOKENS = 256;

/** Converts it into `folder`. */
export async function embeddedLayers(folder: string): Promise<{ readonly model: Model; readonly samples: readonly Feeds[] }> {
  const output = join(folder, 'float');
  await runRecipe({ input: embedded, output, steps: [{ convert: { layout: 'plain' } }] }, { check: false });
  const model = await readOnnx(await fileSource(join(output, 'model.onnx')), { externalSource: (name) => fileSource(join(output, name)) });
  inferShapes(model);
  const tokens = (await loadTokenizer(output)).encode((await readFile(join(embedded, 'heldout.txt'), 'utf8')).slice(0, 40_000));
  const inputs = model.graph.inputs.map(({ name, type }) => ({ name, type: type! }));
  const samples = Array.from({ length: WINDOWS }, (_, i): Feeds => {
    const dims = { batch_size: 1, sequence_length: TOKENS, total_sequence_length: TOKENS, past_sequence_length: 0 };
    return { ...randomFeeds(inputs, { dims }), input_ids: denseOf('int64', [1, TOKENS], tokens.slice(i * TOKENS, (i + 1) * TOKENS)) };
  });
  return { model, samples };
}
