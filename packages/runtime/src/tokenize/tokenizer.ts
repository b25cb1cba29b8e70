/** Text to token ids and back, from a Hugging Face tokenizer.json, on the library that transformers.js uses. */
import { Tokenizer as Library } from '@huggingface/tokenizers';
import { PenjingError } from '@penjing/core';
import { type ChatMessage, type ChatTemplateOptions, type ChatTemplates, chatTemplates } from './chat-template.js';
import { type Completable, completeLibrary } from './complete-library.js';
import { type StreamDecoder, createStreamDecoder } from './stream-decoder.js';
import { withDeadline } from './with-deadline.js';

export interface EncodeOptions {
  /** Whether the tokens of the tokenizer's template (`<s>` and the like) are added; true when absent. */
  readonly specialTokens?: boolean;
}

export interface DecodeOptions {
  /** Whether special tokens are left out of the text; true when absent. */
  readonly skipSpecialTokens?: boolean;
}

export interface TokenizerFiles {
  /** tokenizer.json. */
  readonly tokenizer: object;
  /** tokenizer_config.json over special_tokens_map.json; empty when there is neither. */
  readonly config: Readonly<Record<string, unknown>>;
  /** chat_template.jinja or chat_template.json, where newer folders keep the template. */
  readonly template?: string;
}

export interface Tokenizer {
  /** One more than the largest token id. */
  readonly vocabSize: number;
  readonly bosToken: string | undefined;
  readonly eosToken: string | undefined;
  readonly hasChatTemplate: boolean;
  /** Longest text in tokens that the tokenizer's configuration allows, when it says so. */
  readonly maxLength: number | undefined;
  encode(text: string, options?: EncodeOptions): number[];
  decode(ids: readonly number[], options?: DecodeOptions): string;
  /** Decodes token by token and holds back incomplete characters; `context` are tokens that came before. */
  stream(context?: readonly number[]): StreamDecoder;
  idOf(token: string): number | undefined;
  tokenOf(id: number): string | undefined;
  /** The prompt of a conversation. Throws `E_CHAT_TEMPLATE` when the folder has no template. */
  applyChatTemplate(messages: readonly ChatMessage[], options?: ChatTemplateOptions): string;
}

export interface TokenizerLimits {
  /** What any text may take. */
  readonly milliseconds: number;
  /** And for each of its characters; honest tokenizers need some 0.005. */
  readonly millisecondsPerCharacter: number;
}

// The patterns of a tokenizer.json are somebody's regular expressions, and they run on the calling thread.
const LIMITS: TokenizerLimits = { milliseconds: 10_000, millisecondsPerCharacter: 0.2 };

/** Builds a tokenizer from the parsed files of a model folder. */
export function createTokenizer({ tokenizer, config, template }: TokenizerFiles, limits: TokenizerLimits = LIMITS): Tokenizer {
  const library = openLibrary(tokenizer, config);
  const special = specialTokens(config);
  const templates: ChatTemplates = chatTemplates(template ?? config['chat_template'], special);
  let vocabSize = 0;
  for (const id of library.get_vocab(true).values()) vocabSize = Math.max(vocabSize, id + 1);

  const allowed = (length: number): number => limits.milliseconds + length * limits.millisecondsPerCharacter;
  // Streams decode token by token, so only decoders that have patterns pay for the limit.
  const patterned = (JSON.stringify((tokenizer as { decoder?: unknown }).decoder) ?? '').includes('"Regex"');

  const decode = (ids: readonly number[], { skipSpecialTokens = true }: DecodeOptions = {}): string => {
    for (const id of ids) {
      if (!Number.isInteger(id) || id < 0 || id >= vocabSize) {
        throw new PenjingError('E_INPUT', `${id} is not a token id; this vocabulary has ${vocabSize}`);
      }
    }
    if (ids.length === 0) return '';
    // The clean-up of spaces that old configurations ask for would lose what the model wrote.
    const run = (): string => library.decode([...ids], { skip_special_tokens: skipSpecialTokens, clean_up_tokenization_spaces: false });
    return patterned ? withDeadline(allowed(ids.length * 8), 'decoding', run) : run();
  };
  const maxLength = config['model_max_length'];
  return {
    vocabSize,
    bosToken: special['bos_token'],
    eosToken: special['eos_token'],
    hasChatTemplate: templates.available,
    // Transformers writes 1e30 for "not known".
    maxLength: typeof maxLength === 'number' && maxLength < 1e9 ? maxLength : undefined,
    encode: (text, { specialTokens: add = true } = {}) =>
      withDeadline(allowed(text.length), `tokenizing ${text.length} characters`, () => library.encode(text, { add_special_tokens: add }).ids),
    decode,
    stream: (context = []) => createStreamDecoder(decode, context),
    idOf: (token) => library.token_to_id(token),
    tokenOf: (id) => library.id_to_token(id),
    applyChatTemplate: (messages, options) => withDeadline(limits.milliseconds, 'the chat template', () => templates.apply(messages, options)),
  };
}

/** What is used of the library; its own declarations do not resolve under Node's module rules. */
interface LibraryTokenizer extends Completable {
  encode(text: string, options: { add_special_tokens: boolean }): { ids: number[] };
  decode(ids: number[], options: { skip_special_tokens: boolean; clean_up_tokenization_spaces: boolean }): string;
  token_to_id(token: string): number | undefined;
  id_to_token(id: number): string | undefined;
  get_vocab(withAdded: boolean): Map<string, number>;
}

type LibraryConstructor = new (tokenizer: object, config: object) => LibraryTokenizer;

function openLibrary(tokenizer: object, config: object): LibraryTokenizer {
  try {
    const library = new (Library as unknown as LibraryConstructor)(tokenizer, config);
    completeLibrary(library);
    return library;
  } catch (cause) {
    if (cause instanceof PenjingError) throw cause;
    throw new PenjingError('E_TOKENIZER', `tokenizer.json cannot be used: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
      hint: 'Save the tokenizer again with a current version of transformers (`tokenizer.save_pretrained`).',
    });
  }
}

/** `bos_token` and its kin by name; a token is a string or an AddedToken object. */
function specialTokens(config: Readonly<Record<string, unknown>>): Record<string, string> {
  const found: Record<string, string> = {};
  for (const [name, value] of Object.entries(config)) {
    if (!name.endsWith('_token')) continue;
    const text = typeof value === 'object' && value !== null && 'content' in value ? value.content : value;
    if (typeof text === 'string') found[name] = text;
  }
  return found;
}
