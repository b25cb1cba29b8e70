/** Vocabularies of other formats as tokenizer.json. */
export type { TokenizerJsonFiles } from './tokenizer-json.js';
export { type SentencePieceOptions, sentencePieceTokenizer } from './sentencepiece.js';
export { readCharsmap } from './charsmap.js';
export { ggufTokenizer } from './gguf-tokenizer.js';
