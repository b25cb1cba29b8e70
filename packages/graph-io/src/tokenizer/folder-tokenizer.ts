/** tokenizer.json of a Hugging Face folder that has only a SentencePiece model. */
import { PenjingError } from '@penjing/core';
import { type JsonObject, readJsonObject } from '../hf/folder.js';
import type { HuggingFaceConfig } from '../hf/open.js';
import { tokenizerLimits } from '../limits.js';
import { sentencePieceTokenizer } from './sentencepiece.js';
import type { TokenizerJsonFiles } from './tokenizer-json.js';

/** Names of the model in published folders. */
const MODELS = ['tokenizer.model', 'spiece.model', 'sentencepiece.bpe.model', 'sentencepiece.model', 'spm.model', 'source.spm'];

/** Undefined when the folder has a tokenizer.json, or no SentencePiece model. Throws what `sentencePieceTokenizer` throws. */
export async function folderTokenizer({ folder, files, modelType }: HuggingFaceConfig): Promise<TokenizerJsonFiles | undefined> {
  const name = files.includes('tokenizer.json') ? undefined : MODELS.find((model) => files.includes(model));
  if (name === undefined) return undefined;
  const source = await folder.open(name);
  if (source.size > tokenizerLimits.modelBytes) throw new PenjingError('E_LIMIT', `${name} takes ${source.size} bytes, more than a vocabulary can`);
  const json = async (file: string): Promise<JsonObject | undefined> => (files.includes(file) ? readJsonObject(folder, file) : undefined);
  const [bytes, config, special, addedTokens, vocabulary] = await Promise.all([
    source.read(0, source.size), json('tokenizer_config.json'), json('special_tokens_map.json'), json('added_tokens.json'), json('vocab.json'),
  ]);
  if (config?.['separate_vocabs'] === true) {
    throw new PenjingError('E_TOKENIZER', `${folder.name} numbers the pieces of its two languages apart, which one tokenizer.json cannot express`, { hint: 'Take a model with a shared vocab.json.' });
  }
  return sentencePieceTokenizer(bytes, {
    tokenizerConfig: { ...special, ...config }, modelType, ...(addedTokens && { addedTokens }), ...(vocabulary && { vocabulary }),
  });
}
