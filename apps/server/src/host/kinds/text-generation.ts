/** A model that writes text: all texts that are asked for at one time share its runs (the runtime's continuous batching). */
import { type GenerateOptions, type Generator, loadGenerator, type Prompt, type TextPiece, type Tokenizer } from '@penjing/runtime';
import type { Handler, KindOpener, OpenedKind } from '../model-kind.js';
import type { TextEvent, TextPrompt, TokenProbability, WritingOptions } from '../protocol.js';

export const openTextGeneration: KindOpener = async ({ file }, { threads, device, prefixCacheBytes, kvCache, thread, signal }): Promise<OpenedKind> => {
  const generator = await loadGenerator(file, { thread, signal, prefixCacheBytes, kvCache, ...(threads !== undefined && { threads }), ...(device !== undefined && { device }) });
  return {
    handlers: { write: writeWith(generator) },
    contextLength: generator.contextLength,
    hasChatTemplate: generator.tokenizer.hasChatTemplate,
    close: async () => generator[Symbol.asyncDispose](),
  };
};

function writeWith(generator: Generator): Handler<'write'> {
  return async ({ prompt, choices, options }, { signal, emit }) => {
    const { logProbabilities } = options;
    const onPiece = (piece: TextPiece, choice: number): void => {
      if (piece.text === '' && piece.logProbability === undefined) return;
      emit({ choice, text: piece.text, ...tokenOf(generator.tokenizer, piece) });
    };
    const texts = await generator.choices(promptOf(generator, prompt), choices, { ...optionsOf(options), ...(logProbabilities !== undefined && { logProbabilities }), onPiece, signal });
    return {
      promptTokens: texts[0]!.promptTokens,
      texts: texts.map(({ text, tokens, finishReason }) => ({ text, tokens: tokens.length, finishReason })),
      prefillMs: Math.max(...texts.map(({ prefillMs }) => prefillMs)),
      decodeMs: Math.max(...texts.map(({ decodeMs }) => decodeMs)),
    };
  };
}

function promptOf(generator: Generator, prompt: TextPrompt): Prompt {
  if (prompt.kind === 'tokens') return prompt.tokens;
  if (prompt.kind === 'text') return prompt.text;
  const { messages, tools, variables } = prompt;
  return generator.chatPrompt(messages, { ...(tools && { tools }), ...(variables && { variables }) });
}

/** Maps do not cross between processes as what they are. */
function optionsOf({ logitBias, ...options }: WritingOptions): GenerateOptions {
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as GenerateOptions;
  return { ...given, ...(logitBias && { logitBias: new Map(logitBias) }) };
}

function tokenOf(tokenizer: Tokenizer, { token, logProbability, likeliest = [] }: TextPiece): Pick<TextEvent, 'token'> {
  if (logProbability === undefined) return {};
  const named = (id: number, probability: number): TokenProbability => ({ ...textOf(tokenizer, id), logProbability: probability });
  return { token: { ...named(token, logProbability), likeliest: likeliest.map((other) => named(other.token, other.logProbability)) } };
}

function textOf(tokenizer: Tokenizer, id: number): Pick<TokenProbability, 'text' | 'bytes'> {
  const decoded = tokenizer.decode([id], { skipSpecialTokens: false });
  // SentencePiece drops the space before the first word of a text, and each token is decoded as one.
  const text = tokenizer.tokenOf(id)?.startsWith('▁') && !decoded.startsWith(' ') ? ` ${decoded}` : decoded;
  return { text, bytes: text.includes('\ufffd') ? null : [...new TextEncoder().encode(text)] };
}
