/** Fields that several requests of OpenAI's API share, with the ranges that they may have. */
import { randomInt } from 'node:crypto';
import { PenjingError } from '@penjing/core';
import { z } from 'zod';
import type { WritingOptions } from '../host/protocol.js';

/** Longer lists are nobody's request. */
export const MOST_CHOICES = 128;

/** null stands for "not given" in many clients. */
export function optional<T extends z.ZodType>(schema: T): z.ZodType<z.output<T> | undefined, z.input<T> | null | undefined> {
  return schema.nullish().transform((value) => value ?? undefined);
}

const penalty = z.number().min(-2).max(2);

/** Those after `seed` are no fields of OpenAI's: they go by the names that vLLM and llama.cpp have for them. */
export const samplingFields = {
  model: z.string().min(1).max(128),
  temperature: optional(z.number().min(0).max(2)),
  top_p: optional(z.number().gt(0).max(1)),
  frequency_penalty: optional(penalty),
  presence_penalty: optional(penalty),
  logit_bias: optional(z.record(z.string().regex(/^\d{1,9}$/), z.number().min(-100).max(100))),
  n: optional(z.int().min(1).max(MOST_CHOICES)),
  stop: optional(z.union([z.string().max(1024), z.array(z.string().max(1024)).max(16)])),
  seed: optional(z.int()),
  stream: optional(z.boolean()),
  stream_options: optional(z.object({ include_usage: optional(z.boolean()) })),
  user: optional(z.string()),
  top_k: optional(z.int().min(0).max(2 ** 31)),
  min_p: optional(z.number().min(0).max(1)),
  repetition_penalty: optional(z.number().min(0.01).max(100)),
  ignore_eos: optional(z.boolean()),
} as const;

type Sampling = z.output<z.ZodObject<typeof samplingFields>>;

/** As OpenAI has it: temperature 1, and another text each time, unless a seed is given. */
export function writingOptions(body: Omit<Sampling, 'model'>): WritingOptions {
  return {
    temperature: body.temperature ?? 1,
    topP: body.top_p,
    topK: body.top_k,
    minP: body.min_p,
    repetitionPenalty: body.repetition_penalty,
    ignoreEndToken: body.ignore_eos,
    frequencyPenalty: body.frequency_penalty,
    presencePenalty: body.presence_penalty,
    logitBias: body.logit_bias && Object.entries(body.logit_bias).map(([token, bias]) => [Number(token), bias] as const),
    stop: typeof body.stop === 'string' ? [body.stop] : body.stop,
    seed: body.seed === undefined ? randomInt(2 ** 32) : body.seed >>> 0,
  };
}

/** A request that is right in form and cannot be fulfilled. */
export function refused(param: string, message: string, hint?: string): PenjingError {
  return new PenjingError('E_REQUEST', `${param}: ${message}`, { details: { param }, ...(hint !== undefined && { hint }) });
}

export interface Usage {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly total_tokens: number;
}

export function usageOf(promptTokens: number, completionTokens: number): Usage {
  return { prompt_tokens: promptTokens, completion_tokens: completionTokens, total_tokens: promptTokens + completionTokens };
}
