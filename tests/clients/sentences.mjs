/**
 * Reads the output `sentence_embedding` of a local model folder with the real transformers.js, as its documentation does for such models:
 *   node sentences.mjs FOLDER TEXT...
 * All texts are one batch. Output: { embeddings: [[...]] }.
 */
import { AutoModel, AutoTokenizer } from '@huggingface/transformers';
import { localModel } from './local-model.mjs';

const [folder, ...texts] = process.argv.slice(2);
if (!folder || texts.length === 0) {
  console.error('usage: node sentences.mjs FOLDER TEXT...');
  process.exit(2);
}

const name = localModel(folder);
const tokenizer = await AutoTokenizer.from_pretrained(name);
const model = await AutoModel.from_pretrained(name, { dtype: 'fp32', device: 'cpu' });
const { sentence_embedding } = await model(tokenizer(texts, { padding: true }));
console.log(JSON.stringify({ embeddings: sentence_embedding.tolist() }));
await model.dispose();
