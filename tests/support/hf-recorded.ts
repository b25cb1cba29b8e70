/** What transformers computed with a checkpoint, by task and run: `fill-mask.right.in.input_ids`, `….out.logits`. */
import { readFileSync } from 'node:fs';
import { type DenseTensor, memorySource, toDense } from '@penjing/core';
import { openSafetensors } from '@penjing/graph-io';

export interface RecordedRun {
  readonly inputs: Readonly<Record<string, DenseTensor>>;
  readonly outputs: Readonly<Record<string, DenseTensor>>;
}

/** Runs of one task by name. */
export async function recordedRuns(path: string, task: string): Promise<ReadonlyMap<string, RecordedRun>> {
  const { tensors } = await openSafetensors(memorySource(new Uint8Array(readFileSync(path))));
  const runs = new Map<string, { inputs: Record<string, DenseTensor>; outputs: Record<string, DenseTensor> }>();
  for (const [name, tensor] of tensors) {
    const [of, run, side, ...rest] = name.split('.');
    if (of !== task) continue;
    const known = runs.get(run!) ?? { inputs: {}, outputs: {} };
    runs.set(run!, known);
    known[side === 'in' ? 'inputs' : 'outputs'][rest.join('.')] = await toDense(tensor);
  }
  if (runs.size === 0) throw new Error(`${path} has nothing for ${task}`);
  return runs;
}
