/**
 * Reads and writes models of the shared test material and lets ONNX Runtime judge: does the new file load where the old
 * one did, and give the same bits? Weights inside the file and outside of it are both tried.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { isPenjingError, memorySource, PenjingError, type StringTensor, type Tensor } from '@penjing/core';
import { type FileLayout, layoutToBytes, readOnnx, serializeOnnx } from '@penjing/graph-io';
import { type CorpusModel, onnxCorpus } from './onnx-corpus.js';
import { type OrtAnswer, type OrtJob, runJobs } from './ort-batch.js';

export interface FidelityRow {
  readonly id: string;
  readonly archive: string;
  /** Loads in onnxruntime-node, as recorded. */
  readonly ok: boolean | undefined;
  readonly verdict: OrtAnswer['verdict'] | 'refused';
  readonly detail: string;
}

/** Every `step`-th model of each archive. A failure without a type is thrown. */
export async function fidelity(data: string, step: number): Promise<FidelityRow[]> {
  const folder = mkdtempSync(join(tmpdir(), 'penjing-fidelity-'));
  try {
    const models: { id: string; archive: string; ok: boolean | undefined; refused?: string }[] = [];
    const jobs: OrtJob[] = [];
    const seen = new Map<string, number>();
    for (const model of onnxCorpus(data)) {
      const { id, archive, ok } = model;
      const index = seen.get(archive) ?? 0;
      seen.set(archive, index + 1);
      if (index % step !== 0) continue;
      try {
        jobs.push(await rewrite(model, folder));
        models.push({ id, archive, ok });
      } catch (error) {
        if (!isPenjingError(error)) throw new Error(`${id}: untyped failure`, { cause: error });
        models.push({ id, archive, ok, refused: `${error.code}: ${error.message}` });
      }
    }
    const half = Math.ceil(jobs.length / 2);
    const runs = await Promise.all([runJobs(jobs.slice(0, half), folder, 'a'), runJobs(jobs.slice(half), folder, 'b')]);
    const answers = new Map(runs.flat().map((answer) => [answer.id, answer]));
    return models.map(({ id, archive, ok, refused }) => {
      const answer = answers.get(id);
      return { id, archive, ok, verdict: answer?.verdict ?? 'refused', detail: answer?.detail ?? refused ?? '' };
    });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** One line per archive. */
export function summary(rows: readonly FidelityRow[]): string {
  return [...new Set(rows.map(({ archive }) => archive))].map((archive) => {
    const mine = rows.filter((row) => row.archive === archive);
    const counts = new Map<string, number>();
    for (const { verdict } of mine) counts.set(verdict, (counts.get(verdict) ?? 0) + 1);
    return `${archive}: ${mine.length} models, ${[...counts].map(([verdict, count]) => `${count} ${verdict}`).join(', ')}`;
  }).join('\n');
}

export const count = (rows: readonly FidelityRow[], ...verdicts: FidelityRow['verdict'][]): number =>
  rows.filter(({ verdict }) => verdicts.includes(verdict)).length;

/** Writes original, rewritten and rewritten-with-external-data files, and collects the inputs. */
async function rewrite({ id, bytes, inputs, beside }: CorpusModel, folder: string): Promise<OrtJob> {
  const place = join(folder, id.replace(/\.onnx$/, ''));
  const original = join(place, 'original', 'model.onnx');
  put(original, bytes);
  const model = await readOnnx(memorySource(bytes, id), {
    externalSource: async (location) => {
      const file = beside(location);
      if (!file) throw new PenjingError('E_EXTERNAL_DATA', `${location} is not in the archive`);
      put(join(place, 'original', location), file);
      return memorySource(file);
    },
  });
  const variants = [original, await save(join(place, 'inside'), serializeOnnx(model, { externalData: 'never' }))];
  const outside = serializeOnnx(model, { externalData: 'always', externalMinBytes: 64 });
  if (outside.length > 1) variants.push(await save(join(place, 'outside'), outside));
  const types = model.graph.inputs.map(({ type }) => type?.kind);
  const fixtures = inputs.length > 0 && inputs.every((_, k) => types[k] === 'tensor');
  return { id, variants, ...(fixtures && { fixtures: await Promise.all(inputs.map(fixture)) }) };
}

async function save(place: string, files: readonly FileLayout[]): Promise<string> {
  for (const file of files) put(join(place, file.name), await layoutToBytes(file));
  return join(place, files[0]!.name);
}

function put(path: string, bytes: Uint8Array): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, bytes);
}

/** A serialized TensorProto, read as the only initializer of a model around it. */
export async function fixture(bytes: Uint8Array): Promise<unknown> {
  const field = (tag: number, body: Uint8Array): Uint8Array => Buffer.concat([Uint8Array.of(tag, ...varint(body.length)), body]);
  const { graph } = await readOnnx(memorySource(field(0x3a, field(0x2a, bytes))));
  const tensor = [...graph.initializers.values()][0]!.tensor!;
  const { dtype, shape } = tensor;
  if (dtype === 'string') {
    return { dtype, shape, data: (tensor as StringTensor).values.map((value) => Buffer.from(value).toString('base64')) };
  }
  return { dtype, shape, data: Buffer.from(await loaded(tensor)).toString('base64') };
}

/** Through a layout, which needs no evaluation for plain ranges. */
async function loaded(tensor: Tensor): Promise<Uint8Array> {
  return layoutToBytes({ name: '', size: tensor.byteLength, pieces: [{ kind: 'tensor', offset: 0, name: '', tensor }] });
}

const varint = (value: number): number[] => (value < 128 ? [value] : [(value & 127) | 128, ...varint(value >>> 7)]);
