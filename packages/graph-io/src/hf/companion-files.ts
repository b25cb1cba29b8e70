/** Files that travel beside the graphs, whatever the layout: tokenizer, generation settings, processors, licences. */
import type { FileLayout } from '../layout.js';
import { folderTokenizer } from '../tokenizer/folder-tokenizer.js';
import { isObject, type JsonObject, readJsonObject } from './folder.js';
import type { HuggingFaceConfig } from './open.js';
import { sentenceFiles } from './sentence/files.js';
import { copiedFile, jsonFile } from './small-files.js';

/** Copied byte for byte when they are there; licences travel with the weights. */
const COPIED = [
  'generation_config.json', 'tokenizer.json', 'tokenizer_config.json', 'special_tokens_map.json', 'added_tokens.json',
  'tokenizer.model', 'spiece.model', 'sentencepiece.bpe.model', 'vocab.txt', 'vocab.json', 'merges.txt', 'normalizer.json',
  'preprocessor_config.json', 'processor_config.json', 'video_preprocessor_config.json', 'bpe.codes', 'tekken.json',
  'chat_template.jinja', 'chat_template.json', 'LICENSE', 'LICENSE.txt', 'LICENSE.md', 'LICENCE', 'USE_POLICY.md', 'NOTICE',
];

const PREPROCESSOR = 'preprocessor_config.json';
const PROCESSOR = 'processor_config.json';

/**
 * Those of the folder; a SentencePiece model without a tokenizer.json becomes one. Throws what
 * `sentencePieceTokenizer` throws.
 */
export async function companionFiles(folder: HuggingFaceConfig): Promise<FileLayout[]> {
  const tokenizer = await folderTokenizer(folder);
  const written = tokenizer ? [jsonFile('tokenizer.json', tokenizer.tokenizerJson), jsonFile('tokenizer_config.json', tokenizer.tokenizerConfig)] : [];
  const preprocessor = await preprocessorFile(folder);
  const names = COPIED.filter((name) => folder.files.includes(name) && !written.some((file) => file.name === name));
  return [...(await Promise.all(names.map((name) => copiedFile(folder, name)))), ...written, ...preprocessor, ...(await sentenceFiles(folder))];
}

/**
 * transformers 5 keeps what processors of several kinds do in one processor_config.json; transformers.js reads the part of pictures or
 * sounds from a file of its own.
 */
async function preprocessorFile({ folder, files }: HuggingFaceConfig): Promise<FileLayout[]> {
  if (files.includes(PREPROCESSOR) || !files.includes(PROCESSOR)) return [];
  const processor = await readJsonObject(folder, PROCESSOR);
  const own = [processor['feature_extractor'], processor['image_processor']].find(isObject);
  const { processor_class: processorClass } = processor;
  return own ? [jsonFile(PREPROCESSOR, { ...own, ...(processorClass !== undefined && { processor_class: processorClass }) })] : [];
}

/**
 * config.json for graphs that stand beside it, whatever the layout. Weights packed by GPTQ or AWQ are in the graphs now, in
 * another form: a `quantization_config` would have transformers and others look for the old one. Copied byte for byte when
 * nothing is to be changed.
 */
export async function configFile(folder: HuggingFaceConfig, added: JsonObject = {}): Promise<FileLayout> {
  const { quantization_config: packed, ...config } = folder.config;
  const same = packed === undefined && folder.leftOut === undefined && folder.changed !== true && Object.keys(added).length === 0;
  return same ? copiedFile(folder, 'config.json') : jsonFile('config.json', { ...config, ...added });
}
