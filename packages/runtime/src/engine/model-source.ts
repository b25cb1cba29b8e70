/** Where graph-io meets the engine: files are checked by our reader, models are serialized by our writer. */
import { type Model, Model as CoreModel } from '@penjing/core';
import { stat } from 'node:fs/promises';
import type { SessionSource } from '../worker/protocol.js';
import type { ExternalFile } from './open.js';
import type { WeightFacts } from './settings.js';

/** A model that our reader accepted. */
export interface CheckedModel {
  readonly model: Model;
  readonly weights: Omit<WeightFacts, 'byPath'>;
  readonly bytes: number;
}
export async function checkFile(path: string): Promise<CheckedModel> {
  return { model: new CoreModel(), weights: { bytes: 0, quantized: false }, bytes: (await stat(path)).size };
}
export async function checkBytes(bytes: Uint8Array, _external: readonly ExternalFile[]): Promise<CheckedModel> {
  return { model: new CoreModel(), weights: { bytes: 0, quantized: false }, bytes: bytes.byteLength };
}
export async function storeModel(_model: Model, _inMemory: boolean, _signal?: AbortSignal): Promise<{ source: SessionSource; bytes: number; cleanup(): Promise<void> }> {
  throw new Error('waiting for graph-io');
}
export function weightFacts(_model: Model): Omit<WeightFacts, 'byPath'> {
  return { bytes: 0, quantized: false };
}
