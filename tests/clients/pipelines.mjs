/**
 * Runs pipelines of the real transformers.js on a local model folder and prints what they give as JSON:
 *   node pipelines.mjs FOLDER JOBS_JSON
 * A job is { pipeline, input: [...], options, image? }; `image` is { width, height, data } of RGB bytes and comes before `input`.
 * Output: { version, outputs: [...] }, tensors as nested lists.
 */
import { readFileSync } from 'node:fs';
import { pipeline, RawImage, Tensor } from '@huggingface/transformers';
import { localModel } from './local-model.mjs';

const [folder, jobs] = process.argv.slice(2);
if (!folder || !jobs) {
  console.error('usage: node pipelines.mjs FOLDER JOBS_JSON');
  process.exit(2);
}

const name = localModel(folder);

const outputs = [];
for (const { pipeline: task, input, options, image } of JSON.parse(readFileSync(jobs, 'utf8'))) {
  const run = await pipeline(task, name, { dtype: 'fp32', device: 'cpu' });
  const picture = image ? [new RawImage(Uint8ClampedArray.from(image.data), image.width, image.height, 3)] : [];
  const output = await run(...picture, ...input, options);
  outputs.push(output instanceof Tensor ? output.tolist() : output);
  await run.dispose();
}
const { version } = JSON.parse(readFileSync(new URL('./node_modules/@huggingface/transformers/package.json', import.meta.url), 'utf8'));
console.log(JSON.stringify({ version, outputs }));
