/** Writes text beside the session, so that the cache never crosses a thread. */
import type { MaskSource } from '../constrain/text-mask.js';
import type { Drawn, SamplingParams } from '../generate/sampler.js';
import type { DecoderForm } from '../generate/generation-form.js';
import type { LogitRows } from './logits.js';
import { Batcher, type Writing } from './batcher.js';
import { createDrafter, type Speculation } from './drafts.js';
import { createDrawer, type Drawer } from './drawer.js';
import { FormRunner } from './form-runner.js';
import { positionsOfForm, tokenModel } from './token-model.js';
import type { CallContext } from './wire-types.js';
import type { SessionTable } from './session-table.js';

export interface GenerateParams {
  readonly handle: number;
  /** Present for a session of a model in the form for generation. */
  readonly form?: DecoderForm | undefined;
  /** Of the session: what the first text says counts. */
  readonly prefixBytes?: number | undefined;
  readonly prompt: readonly number[];
  readonly maxNewTokens: number;
  /** Any of these ends the text and is not part of it. */
  readonly endTokens: readonly number[];
  readonly sampling: SamplingParams;
  /** How tokens are guessed, for a session of a model in the form. */
  readonly speculation?: Speculation | undefined;
  /** What the text is held to. */
  readonly mask?: MaskSource | undefined;
}

/** Of one text. */
export type WriteParams = Omit<GenerateParams, 'handle' | 'form' | 'prefixBytes'>;

/** Tokens since the last event, in order. */
export interface TokenEvent {
  readonly tokens: readonly Drawn[];
}

/** Tokens of a fast model are told together: waking the other thread for each cost stories260K a quarter of its speed on two cores. */
const TELL_EVERY_MS = 5;

export interface GenerateResult {
  /** 'complete': the grammar allows nothing more. */
  readonly finish: 'end-token' | 'complete' | 'length' | 'cancelled';
  /** The token that ended the text, when one did. */
  readonly endToken?: number;
  readonly prefillMs: number;
  readonly decodeMs: number;
  readonly cacheBytes: number;
  readonly speculation?: { readonly drafted: number; readonly accepted: number };
}

/** Batches by the session whose runs their texts share. */
export type Batchers = Map<number, Batcher>;

export async function generate(sessions: SessionTable, batchers: Batchers, { handle, form, prefixBytes, ...params }: GenerateParams, { signal, emit }: CallContext<TokenEvent>): Promise<GenerateResult> {
  let untold: Drawn[] = [];
  let told = 0;
  const tell = (): void => {
    if (untold.length > 0) emit({ tokens: untold });
    untold = [];
    told = performance.now();
  };
  const writing: Writing = {
    signal,
    onToken(drawn) {
      untold.push(drawn);
      if (performance.now() - told >= TELL_EVERY_MS) tell();
    },
  };
  const result = form ? await batcherOf(batchers, sessions, handle, form, prefixBytes).write(params, writing) : await writeAlone(sessions, handle, params, writing);
  tell();
  return result;
}

function batcherOf(batchers: Batchers, sessions: SessionTable, handle: number, form: DecoderForm, prefixBytes: number | undefined): Batcher {
  const known = batchers.get(handle) ?? new Batcher(new FormRunner(sessions, handle, form), positionsOfForm(form), { drafter: (speculation) => createDrafter(sessions, speculation), prefixBytes });
  batchers.set(handle, known);
  return known;
}

/** For decoders in other forms, whose caches hold one sequence. */
async function writeAlone(sessions: SessionTable, handle: number, params: WriteParams, writing: Writing): Promise<GenerateResult> {
  const drawer = createDrawer(params);
  try {
    return await writeWith(drawer, sessions, handle, params, writing);
  } finally {
    drawer.close();
  }
}

async function writeWith(drawer: Drawer, sessions: SessionTable, handle: number, { prompt, maxNewTokens }: WriteParams, { signal, onToken }: Writing): Promise<GenerateResult> {
  const { decoder, positionsPerRun } = tokenModel(sessions, handle, undefined);
  const context = [...prompt];
  const started = performance.now();
  let prefilled = started;
  const end = (finish: GenerateResult['finish'], endToken?: number): GenerateResult => ({
    finish,
    ...(endToken !== undefined && { endToken }),
    prefillMs: prefilled - started,
    decodeMs: performance.now() - prefilled,
    cacheBytes: decoder.cacheBytes,
  });
  let logits: LogitRows | undefined;
  for (let at = 0, next; at < prompt.length; at = next) {
    if (signal.aborted) return end('cancelled');
    next = Math.min(prompt.length, at + positionsPerRun(at));
    logits = await decoder.forward(prompt.slice(at, next), 1);
  }
  prefilled = performance.now();
  for (let count = 0; count < maxNewTokens; count++) {
    if (signal.aborted) return end('cancelled');
    const drawn = drawer.next(logits!.row(0), context);
    if (drawn.finish) return end(drawn.finish, drawn.endToken);
    context.push(drawn.token);
    onToken(drawn.drawn);
    // The last token needs no logits after it.
    if (count + 1 < maxNewTokens) logits = await decoder.forward([context.at(-1)!], 1);
  }
  return end('length');
}
