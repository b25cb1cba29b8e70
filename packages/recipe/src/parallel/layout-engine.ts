/** The engine that runs a layout of a model: the same where layouts are tried as where a plan is carried out, or trials would say something else. */
import type { Engine, Model } from '@penjing/core';
import type { Layout } from '@penjing/parallel';
import type { Device } from '@penjing/runtime';
import { loadRuntime } from '../load-runtime.js';

/** Where a model lies as it is; what is a function is asked when the model is loaded whole, and may find that it lies nowhere. */
export type ModelFile = string | (() => Promise<string | undefined>) | undefined;

export interface LayoutEngineOptions {
  readonly file?: ModelFile;
  /** As `SessionOptions.device`, for every engine. */
  readonly device?: Device | undefined;
}

/** The file as it is goes by its path: the page cache then holds its weights once for all replicas. */
export async function layoutEngine(model: Model, layout: Layout, { file, device }: LayoutEngineOptions = {}): Promise<Engine> {
  const { enginesOf } = await import('@penjing/parallel');
  const { ortEngine } = await loadRuntime();
  const ort = ortEngine({ device, ...sharing(enginesOf(layout).length) });
  if (file === undefined) return ort;
  const load: Engine['load'] = async (part, options) => {
    const path = part !== model ? undefined : typeof file === 'string' ? file : await file();
    return path === undefined ? ort.load(part, options) : ort.loadFile(path, options);
  };
  return { name: ort.name, load, ...(ort.loadChain && { loadChain: ort.loadChain }) };
}

/** Idle threads of one engine that spin take the core of another. */
export function sharing(engines: number): { readonly sessionConfig?: Readonly<Record<string, string>> } {
  return engines > 1 ? { sessionConfig: { 'session.intra_op.allow_spinning': '0' } } : {};
}
