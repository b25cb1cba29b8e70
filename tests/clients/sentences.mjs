/**
 * Reads the output `sentence_embedding` of a local model folder with the real transformers.js, as its documentation does for such models:
 *   node sentences.mjs FOLDER TEXT...
 * All texts are one batch. Output: { embeddings: [[...]] }.
 */
import { basename, dirname, resolve } from 'node:path';
import { AutoModel, AutoTokenizer, env } from '@huggingface/transformers';

const [folder, ...texts] = process.argv.slice(2);
if (!folder || texts.length === 0) {
  console.error('usage: node sentences.mjs FOLDER TEXT...');
  process.exit(2);
}

env.allowRemoteModels = false;
env.allowLocalModels = true;
env.localModelPath = dirname(resolve(folder));
env.fetch = () => Promise.reject(new Error('no network in this test'));
globalThis.fetch = env.fetch;

const name = basename(resolve(folder));
const tokenizer = await AutoTokenizer.from_pretrained(name);
const model = await AutoModel.from_pretrained(name, { dtype: 'fp32', device: 'cpu' });
const { sentence_embedding } = await model(tokenizer(texts, { padding: true }));
console.log(JSON.stringify({ embeddings: sentence_embedding.tolist() }));
await model.dispose();
