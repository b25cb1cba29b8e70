/** Simplifies models of the shared test material and lets ONNX Runtime compare them with the originals. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { type Engine, isPenjingError, memorySource, type Model, modelGraphs, PenjingError } from '@penjing/core';
import { simplify, type SimplifyOptions, upgradeOpset } from '@penjing/core/rewrite';
import { type FileLayout, layoutToBytes, readOnnx, serializeOnnx } from '@penjing/graph-io';
import { expect } from 'vitest';
import { type CorpusModel, onnxCorpus } from './onnx-corpus.js';
import { fixture } from './onnx-fidelity.js';
import { type OrtAnswer, type OrtJob, runJobs } from './ort-batch.js';

export interface SimplifyRow {
  readonly id: string;
  readonly verdict: OrtAnswer['verdict'] | 'refused';
  readonly detail: string;
  readonly nodes: readonly [before: number, after: number];
  readonly bytes: readonly [before: number, after: number];
  readonly ops: Readonly<Record<string, number>>;
  readonly applied: Readonly<Record<string, number>>;
  readonly warnings: readonly string[];
  readonly seconds: number;
}

export interface SimplifyCorpusOptions {
  readonly engine: Engine;
  readonly simplify?: SimplifyOptions;
  readonly tolerance?: number;
  /** Raise the operator set first. */
  readonly opset?: number;
  /** Keep the files here. */
  readonly keep?: string;
}

/** The share of the largest output magnitude by which outputs may differ. */
export const TOLERANCE = 1e-5;

export async function simplifyCorpus(data: string, wanted: (id: string) => boolean, options: SimplifyCorpusOptions): Promise<SimplifyRow[]> {
  const folder = options.keep ?? mkdtempSync(join(tmpdir(), 'penjing-simplify-'));
  try {
    const rows: (Omit<SimplifyRow, 'verdict' | 'detail'> & { refused?: string })[] = [];
    const jobs: OrtJob[] = [];
    for (const model of onnxCorpus(data)) {
      if (!wanted(model.id)) continue;
      try {
        const made = await simplifyOne(model, folder, options);
        rows.push(made.row);
        jobs.push(made.job);
      } catch (error) {
        if (!isPenjingError(error)) throw new Error(`${model.id}: untyped failure`, { cause: error });
        rows.push({ id: model.id, refused: `${error.code}: ${error.message}`, nodes: [0, 0], bytes: [0, 0], ops: {}, applied: {}, warnings: [], seconds: 0 });
      }
    }
    const answers = new Map((await runJobs(jobs, folder, 'simplify')).map((answer) => [answer.id, answer]));
    return rows.map(({ refused, ...row }) => {
      const answer = answers.get(row.id);
      return { ...row, verdict: answer?.verdict ?? 'refused', detail: answer?.detail ?? refused ?? '' };
    });
  } finally {
    if (!options.keep) rmSync(folder, { recursive: true });
  }
}

async function simplifyOne(entry: CorpusModel, folder: string, options: SimplifyCorpusOptions) {
  const { id, bytes, inputs, beside } = entry;
  const place = join(folder, id.replace(/\.onnx$/, ''));
  const original = join(place, 'original', basename(id));
  put(original, bytes);
  const model = await readOnnx(memorySource(bytes, id), {
    externalSource: async (location) => {
      const file = beside(location);
      if (!file) throw new PenjingError('E_EXTERNAL_DATA', `${location} is not in the archive`);
      put(join(place, 'original', location), file);
      return memorySource(file);
    },
  });
  const types = model.graph.inputs.filter((value) => !value.tensor).map(({ type }) => type?.kind);
  // Rewritten without any change, so that sizes compare.
  const before = await save(join(place, 'same'), serializeOnnx(model, { externalData: 'never' }));
  if (options.opset && (model.opset() ?? 99) < options.opset) upgradeOpset(model, options.opset);
  const started = performance.now();
  const result = await simplify({ engine: options.engine, ...options.simplify }).run(model, {});
  const seconds = (performance.now() - started) / 1000;
  const after = await save(join(place, 'simplified'), serializeOnnx(result.model, { externalData: 'never' }));
  const fixtures = inputs.length > 0 && inputs.length === types.length && inputs.every((_, k) => types[k] === 'tensor');
  return {
    row: {
      id, nodes: [result.nodesBefore, result.nodesAfter] as const, bytes: [statSync(before).size, statSync(after).size] as const,
      ops: operators(result.model), applied: result.applied, warnings: result.warnings, seconds,
    },
    job: { id, variants: [original, after], tolerance: options.tolerance ?? TOLERANCE, ...(fixtures && { fixtures: await Promise.all(inputs.map(fixture)) }) },
  };
}

/** What ONNX Runtime says of the original alone, which tells nothing about the rewritten one. */
const UNTOLD: readonly SimplifyRow['verdict'][] = ['original-refused', 'not-run', 'not-fed', 'not-deterministic', 'refused'];

/** The rewritten model loads where the original does and gives the same outputs. */
export function expectSame({ id, verdict, detail }: SimplifyRow): void {
  expect.soft(['identical', 'equal-as-written', ...UNTOLD], `${id}: ${detail}`).toContain(verdict);
}

/** How often each operator stands in a model, Constant nodes aside. */
export function operators(model: Model): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const graph of modelGraphs(model)) {
    for (const node of graph.nodes()) {
      const name = node.domain ? `${node.domain}.${node.opType}` : node.opType;
      if (name !== 'Constant') counts[name] = (counts[name] ?? 0) + 1;
    }
  }
  return counts;
}

export interface SlimRecord {
  readonly error?: string;
  readonly before?: { readonly nodes: number };
  readonly after?: { readonly nodes: number };
}

/** What OnnxSlim leaves of each model, recorded by peers/bench/onnxslim.py. */
export function slimRecords(file = 'onnxslim.json'): Record<string, SlimRecord> {
  const path = new URL(`../fixtures/simplify/${file}`, import.meta.url);
  return (JSON.parse(readFileSync(path, 'utf8')) as { models: Record<string, SlimRecord> }).models;
}

async function save(place: string, files: readonly FileLayout[]): Promise<string> {
  for (const file of files) put(join(place, file.name), await layoutToBytes(file));
  return join(place, files[0]!.name);
}

function put(path: string, bytes: Uint8Array): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, bytes);
}
