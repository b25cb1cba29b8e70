/** What `peers/fixtures/tflite_verdicts.py` recorded of files with known outputs: how far LiteRT is from them, by the digest of the file. */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Tensor } from '@penjing/core';
import { layoutToBytes, safetensorsLayout } from '@penjing/graph-io';
import type { Converted } from './tflite-corpus.js';

const folder = fileURLToPath(new URL('../fixtures/tflite/verdicts', import.meta.url));

/** The error, or what went wrong. */
export type Verdict = number | string;

type Recorded = Readonly<Record<string, readonly [digest: string, verdict: Verdict]>>;

export function recordedVerdicts(group: string): Recorded {
  const path = join(folder, `${group}.json`);
  return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as Recorded) : {};
}

/** The verdict on exactly these bytes; 'not judged' when they are others. A case that was added since the last recording counts as right. */
export async function verdictOf(group: string, recorded: Recorded, { name, bytes, feeds, expected }: Converted): Promise<Verdict> {
  const recording = process.env['PENJING_RECORD_TFLITE'];
  if (recording) {
    const target = join(recording, 'verdicts', group);
    mkdirSync(target, { recursive: true });
    writeFileSync(join(target, `${name}.tflite`), bytes);
    const tensors = new Map<string, Tensor>();
    for (const [key, tensor] of Object.entries(feeds)) tensors.set(`in.${key}`, tensor);
    for (const [key, tensor] of Object.entries(expected)) tensors.set(`out.${key}`, tensor);
    const [layout] = safetensorsLayout({ format: 'safetensors', tensors, metadata: new Map() } as unknown as Parameters<typeof safetensorsLayout>[0]);
    writeFileSync(join(target, `${name}.safetensors`), await layoutToBytes(layout!));
    return 0;
  }
  const row = recorded[name];
  if (!row) return 0;
  const digest = createHash('sha256').update(bytes).digest('hex').slice(0, 16);
  return row[0] === digest ? row[1] : 'not judged';
}
