/**
 * Generates greedily with an encoder-decoder in the real transformers.js from a local model folder and prints the tokens as JSON:
 *   node seq2seq.mjs FOLDER INPUTS.json DTYPES
 * INPUTS: { tokens, inputs: { name: { type, dims, data } } }; output: { dtype: [[tokens of a row], …] }, each beginning with the start token.
 */
import { readFileSync } from 'node:fs';
import { AutoConfig, AutoModelForSeq2SeqLM, AutoModelForSpeechSeq2Seq, Tensor } from '@huggingface/transformers';
import { localModel } from './local-model.mjs';

const [folder, inputsFile, dtypes] = process.argv.slice(2);
if (!dtypes) {
  console.error('usage: node seq2seq.mjs FOLDER INPUTS.json DTYPES');
  process.exit(2);
}
const name = localModel(folder);

const { tokens, inputs } = JSON.parse(readFileSync(inputsFile, 'utf8'));
const tensor = ({ type, dims, data }) => new Tensor(type, type === 'int64' ? BigInt64Array.from(data, BigInt) : Float32Array.from(data), dims);
const rowsOf = (all) =>
  Array.from({ length: Object.values(all)[0].dims[0] }, (_, i) =>
    Object.fromEntries(Object.entries(all).map(([key, { type, dims, data }]) => {
      const size = data.length / dims[0];
      return [key, { type, dims: [1, ...dims.slice(1)], data: data.slice(i * size, (i + 1) * size) }];
    })));
const config = await AutoConfig.from_pretrained(name);
const auto = config.model_type === 'whisper' ? AutoModelForSpeechSeq2Seq : AutoModelForSeq2SeqLM;
const results = {};
for (const dtype of dtypes.split(',')) {
  const model = await auto.from_pretrained(name, { dtype, device: 'cpu' });
  results[dtype] = [];
  // its Whisper starts from one row of tokens whatever the batch
  for (const part of config.model_type === 'whisper' ? rowsOf(inputs) : [inputs]) {
    const feeds = Object.fromEntries(Object.entries(part).map(([key, value]) => [key, tensor(value)]));
    const output = await model.generate({ ...feeds, max_new_tokens: tokens, do_sample: false, decoder_start_token_id: config.decoder_start_token_id });
    results[dtype].push(...output.tolist().map((row) => row.map(Number)));
  }
  await model.dispose();
}
console.log(JSON.stringify(results));
