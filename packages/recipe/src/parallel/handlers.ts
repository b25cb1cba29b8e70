/** Every handler a worker may have: what is not in this table is not run. */
import { batchHandler } from './batch-handler.js';
import { computeHandler } from './compute-handler.js';
import type { Handler } from './handler.js';
import { saveHandler } from './save-handler.js';

export interface HandlerSize {
  readonly slots: number;
  readonly threads: number;
}

const table: Readonly<Record<string, (size: HandlerSize) => Handler>> = {
  batch: () => batchHandler(),
  compute: ({ slots }) => computeHandler(slots),
  save: ({ slots }) => saveHandler(slots),
};

export const handlerNames: readonly string[] = Object.keys(table);

export function openHandler(name: string, size: HandlerSize): Handler | undefined {
  return Object.hasOwn(table, name) ? table[name]?.(size) : undefined;
}
