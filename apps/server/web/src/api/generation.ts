/** Streams of text from the OpenAI routes, with what the page shows of their speed. */
import { requestEvents } from './client.js';

export interface GenerationParameters {
  readonly temperature: number;
  readonly topP: number;
  readonly topK: number | undefined;
  readonly maxTokens: number | undefined;
  readonly seed: number | undefined;
  readonly stop: readonly string[];
  readonly frequencyPenalty: number;
  readonly presencePenalty: number;
  /** JSON schema of the answer. */
  readonly schema: Readonly<Record<string, unknown>> | undefined;
}

export interface Message {
  readonly role: 'system' | 'user' | 'assistant';
  readonly content: string;
}

export interface Usage {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
}

export interface GenerationStats {
  /** Milliseconds from the request to the first text. */
  readonly firstMs: number | undefined;
  /** Tokens per second after the first; counted by the server's usage, or by pieces until that has come. */
  readonly rate: number | undefined;
  readonly tokens: number;
  readonly promptTokens: number | undefined;
  readonly finish: string | undefined;
  /** The name of the model that answered: under overload a smaller variant may. */
  readonly servedBy: string | undefined;
}

interface Chunk {
  readonly model?: string;
  readonly choices: readonly { readonly text?: string; readonly delta?: { readonly content?: string | null; readonly refusal?: string | null }; readonly finish_reason: string | null }[];
  readonly usage?: Usage | null;
}

export interface GenerationOptions {
  readonly model: string;
  readonly parameters: GenerationParameters;
  readonly signal: AbortSignal;
  readonly onText: (text: string, stats: GenerationStats) => void;
}

/** Answers the conversation; resolves with the last figures when the stream has ended. */
export async function streamChat(messages: readonly Message[], options: GenerationOptions): Promise<GenerationStats> {
  const { schema } = options.parameters;
  const format = schema && { response_format: { type: 'json_schema', json_schema: { name: 'answer', strict: true, schema } } };
  const { maxTokens } = options.parameters;
  return stream('v1/chat/completions', { messages, ...format, ...(maxTokens !== undefined && { max_completion_tokens: maxTokens }) }, options);
}

/** Goes on with a text. */
export async function streamCompletion(prompt: string, options: GenerationOptions): Promise<GenerationStats> {
  const { maxTokens } = options.parameters;
  return stream('v1/completions', { prompt, ...(maxTokens !== undefined && { max_tokens: maxTokens }) }, options);
}

async function stream(path: string, fields: object, { model, parameters, signal, onText }: GenerationOptions): Promise<GenerationStats> {
  const json = { model, ...fields, ...sampling(parameters), stream: true, stream_options: { include_usage: true } };
  const started = performance.now();
  let first: number | undefined;
  let last = started;
  let pieces = 0;
  let usage: Usage | undefined;
  let finish: string | undefined;
  let servedBy: string | undefined;
  const stats = (): GenerationStats => {
    const tokens = usage?.completion_tokens ?? pieces;
    const seconds = first === undefined ? 0 : (last - first) / 1000;
    return {
      firstMs: first === undefined ? undefined : first - started,
      rate: seconds > 0 && tokens > 1 ? (tokens - 1) / seconds : undefined,
      tokens,
      promptTokens: usage?.prompt_tokens,
      finish,
      servedBy: servedBy === model ? undefined : servedBy,
    };
  };
  for await (const chunk of requestEvents<Chunk>(path, { json, signal })) {
    servedBy ??= chunk.model;
    usage = chunk.usage ?? usage;
    const [choice] = chunk.choices;
    finish = choice?.finish_reason ?? finish;
    const text = choice?.delta?.content ?? choice?.delta?.refusal ?? choice?.text ?? '';
    if (text === '') continue;
    last = performance.now();
    first ??= last;
    pieces++;
    onText(text, stats());
  }
  return stats();
}

/** Only what differs from what the server does anyway is sent: a base model may not know the rest. */
function sampling(parameters: GenerationParameters): object {
  const { temperature, topP, topK, seed, stop, frequencyPenalty, presencePenalty } = parameters;
  return {
    temperature,
    top_p: topP,
    ...(topK !== undefined && { top_k: topK }),
    ...(seed !== undefined && { seed }),
    ...(stop.length > 0 && { stop }),
    ...(frequencyPenalty !== 0 && { frequency_penalty: frequencyPenalty }),
    ...(presencePenalty !== 0 && { presence_penalty: presencePenalty }),
  };
}
