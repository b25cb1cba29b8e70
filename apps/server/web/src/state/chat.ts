/** The conversation and the answer under way; it goes on while the reader looks at another view. */
import { signal } from '@preact/signals';
import { type GenerationStats, type Message, streamChat } from '../api/generation.js';
import { parameters, typed } from './parameters.js';

export interface Turn extends Message {
  readonly id: number;
  readonly stats?: GenerationStats | undefined;
  readonly stopped?: boolean;
}

export const turns = signal<readonly Turn[]>([]);
export const draft = signal('');
export const chatError = signal<unknown>(undefined);
/** Set while an answer comes. */
export const answering = signal<AbortController | undefined>(undefined);

let nextId = 0;

export function sendMessage(model: string): void {
  const content = draft.value.trim();
  if (content === '' || answering.value) return;
  draft.value = '';
  turns.value = [...turns.value, { id: nextId++, role: 'user', content }];
  void answer(model);
}

/** Drops the last answer and asks for another. */
export function answerAgain(model: string): void {
  if (answering.value) return;
  const last = turns.value.findLastIndex(({ role }) => role === 'user');
  if (last < 0) return;
  turns.value = turns.value.slice(0, last + 1);
  void answer(model);
}

export function stopAnswer(): void {
  answering.value?.abort();
}

export function clearChat(): void {
  stopAnswer();
  turns.value = [];
  chatError.value = undefined;
}

async function answer(model: string): Promise<void> {
  const controller = new AbortController();
  const { signal } = controller;
  answering.value = controller;
  chatError.value = undefined;
  const system = typed.value.system.trim();
  const messages: Message[] = [...(system === '' ? [] : [{ role: 'system', content: system } as const]), ...turns.value.map(({ role, content }) => ({ role, content }))];
  const id = nextId++;
  turns.value = [...turns.value, { id, role: 'assistant', content: '' }];
  const change = (edit: (turn: Turn) => Turn): void => {
    turns.value = turns.value.map((turn) => (turn.id === id ? edit(turn) : turn));
  };
  try {
    const stats = await streamChat(messages, {
      model,
      parameters: parameters.value,
      signal,
      onText: (text, stats) => change((turn) => ({ ...turn, content: turn.content + text, stats })),
    });
    change((turn) => ({ ...turn, stats }));
  } catch (error) {
    if (signal.aborted) change((turn) => ({ ...turn, stopped: true }));
    else chatError.value = error;
    // An answer without a word is no turn: the next request would be refused because of it.
    turns.value = turns.value.filter((turn) => turn.id !== id || turn.content !== '' || turn.stopped === true);
  } finally {
    if (answering.value === controller) answering.value = undefined;
  }
}
