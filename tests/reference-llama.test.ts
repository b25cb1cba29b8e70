/** The reference engine on converted Llamas against what transformers computed with the same checkpoints. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { inferShapes } from '@penjing/core';
import { referenceEngine } from '@penjing/core/reference';
import { type AttentionForm, convertHuggingFace, openHuggingFaceFolder } from '@penjing/graph-io';
import { openFolder } from '@penjing/graph-io/node';
import { CachedDecoder, maxDifference, recorded } from './support/hf-decoder.js';

const fixtures = fileURLToPath(new URL('./fixtures/llama', import.meta.url));
const { cases } = JSON.parse(readFileSync(join(fixtures, 'cases.json'), 'utf8')) as { cases: { name: string }[] };
const forms: readonly AttentionForm[] = ['gqa', 'standard'];

test.each(cases)('$name', async ({ name }) => {
  const folder = join(fixtures, name);
  const { floats, ids } = await recorded(join(folder, 'expected.safetensors'));
  for (const attention of forms) {
    const model = await convertHuggingFace(await openHuggingFaceFolder(openFolder(folder)), { attention });
    await using llama = new CachedDecoder(await referenceEngine().load(model));
    expect(maxDifference(await llama.forward(ids('prefill.input_ids')), floats('prefill.logits'))).toBeLessThan(5e-5);

    // every shape follows from the inputs
    for (const node of model.graph.nodes()) for (const value of node.outputs) value.type = undefined;
    expect(inferShapes(model).gaps).toEqual([]);
    const unknown = [...model.graph.nodes()].flatMap((node) => node.outputs.filter(({ name: out, type }) =>
      out !== '' && !(type?.kind === 'tensor' && type.dtype && type.shape?.every((dim) => dim !== null))));
    expect(unknown.map((value) => value.name)).toEqual([]);
  }
});
