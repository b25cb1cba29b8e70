/**
 * What LiteRT computed for files that this writer made, recorded by `peers/fixtures/tflite.py`. A record holds for the bytes it was made
 * from: a test makes the file again, and when its digest is the recorded one, the recorded outputs are what LiteRT gives for it.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type DenseTensor, memorySource, type Tensor, toDense } from '@penjing/core';
import { layoutToBytes, openSafetensors, safetensorsLayout } from '@penjing/graph-io';

const folder = fileURLToPath(new URL('../fixtures/tflite', import.meta.url));

/** Where files go to be judged: see peers/README.md. */
const recording = process.env['PENJING_RECORD_TFLITE'];

const digests: Readonly<Record<string, string>> = existsSync(join(folder, 'digests.json')) ? (JSON.parse(readFileSync(join(folder, 'digests.json'), 'utf8')) as Record<string, string>) : {};

/** Hands a file to be recorded when asked to; otherwise gives the outputs that LiteRT computed for exactly these bytes. */
export async function judged(name: string, bytes: Uint8Array, feeds: Readonly<Record<string, Tensor>>): Promise<Readonly<Record<string, DenseTensor>> | undefined> {
  if (recording) {
    mkdirSync(recording, { recursive: true });
    writeFileSync(join(recording, `${name}.tflite`), bytes);
    const [inputs] = safetensorsLayout({ format: 'safetensors', tensors: new Map(Object.entries(feeds)), metadata: new Map() } as unknown as Parameters<typeof safetensorsLayout>[0]);
    writeFileSync(join(recording, `${name}.safetensors`), await layoutToBytes(inputs!));
    return undefined;
  }
  const digest = createHash('sha256').update(bytes).digest('hex');
  if (digests[name] !== digest) throw new Error(`the bytes of ${name}.tflite are not those that LiteRT judged; record them again (peers/README.md)`);
  const { tensors } = await openSafetensors(memorySource(readFileSync(join(folder, `${name}.safetensors`))));
  return Object.fromEntries(await Promise.all([...tensors].map(async ([key, tensor]) => [key, await toDense(tensor)] as const)));
}
