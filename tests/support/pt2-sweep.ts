/** The recorded single-operator programs, each converted and run. */
import { fileURLToPath } from 'node:url';
import type { Engine } from '@penjing/core';
import { readTarGz } from '../tools/tar.js';
import { reason, recordedOf, runProgram } from './pt2-cases.js';

export interface SweepIndex {
  /** Every operator that torch tags as core. */
  readonly core: readonly string[];
  readonly skipped: Readonly<Record<string, string>>;
  readonly torch: string;
}

export interface SweepRow {
  /** `add.Tensor`. */
  readonly operator: string;
  readonly cases: number;
  readonly passed: number;
  /** Why the first case that fails does. */
  readonly failure: string | undefined;
}

const TOLERANCE = 1e-4;

/** Their elements are random, or whatever stood in memory: only type and shape are compared. */
const undefinedValues: ReadonlySet<string> = new Set(['rand.default', 'randn.default', 'randperm.default', 'empty.memory_format', 'empty_strided.default']);

export const sweepFiles = (): Map<string, Buffer> => readTarGz(fileURLToPath(new URL('../fixtures/pt2/sweep.tar.gz', import.meta.url)));

export const sweepIndex = (files: ReadonlyMap<string, Buffer>): SweepIndex => JSON.parse(files.get('index.json')!.toString()) as SweepIndex;

export async function sweep(engine: Engine, files: ReadonlyMap<string, Buffer>, only?: string): Promise<SweepRow[]> {
  const rows = new Map<string, { cases: number; passed: number; failure: string | undefined }>();
  for (const [name, bytes] of files) {
    if (!name.endsWith('.pt2')) continue;
    const [operator, file] = name.split('/') as [string, string];
    if (only !== undefined && operator !== only) continue;
    const row = rows.get(operator) ?? { cases: 0, passed: 0, failure: undefined };
    rows.set(operator, row);
    row.cases++;
    try {
      const { error } = await runProgram(engine, bytes, await recordedOf(files.get(name.replace(/\.pt2$/, '.safetensors'))!));
      if (error > TOLERANCE && !undefinedValues.has(operator)) throw new Error(`values differ by ${error.toExponential(1)}`);
      row.passed++;
    } catch (error) {
      row.failure ??= `${file.replace('.pt2', '')}: ${reason(error)}`;
    }
  }
  return [...rows].map(([operator, row]) => ({ operator, ...row }));
}
