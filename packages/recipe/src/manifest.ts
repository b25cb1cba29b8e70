/** What `penjing.json` of a model folder remembers of each graph: the steps that made it and what they did to the weights. */
import { readFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { WeightRecord } from '@penjing/core';
import type { RecipeStep } from './steps/steps.js';

interface GraphEntry {
  readonly steps: readonly RecipeStep[];
  readonly records: readonly WeightRecord[];
  /** Of a squeezed graph: whether it passed, and what it lost. */
  readonly gate?: string;
}

export type Graphs = Readonly<Record<string, GraphEntry>>;

/** Fields of a manifest with one more entry for each of the graphs; those of `earlier` stay. */
export function withGraphs(earlier: unknown, graphs: readonly string[], entry: GraphEntry): { readonly graphs: Graphs } {
  return { graphs: { ...graphsOf(earlier), ...Object.fromEntries(graphs.map((graph) => [graph, entry])) } };
}

/** Records of a graph file, when its folder remembers them; infinite ratios come back from null. */
export async function readManifestRecords(file: string): Promise<readonly WeightRecord[]> {
  const inner = basename(dirname(file)) === 'onnx';
  const folder = inner ? dirname(dirname(file)) : dirname(file);
  const graphs = await readGraphEntries(folder);
  const entry = graphs[inner ? `onnx/${basename(file)}` : basename(file)];
  const records: unknown = entry?.records;
  return Array.isArray(records) ? records.map(revive).filter(isRecord) : [];
}

/** JSON has no infinities: a weight that lost nothing was written with a null. */
function revive(value: unknown): unknown {
  return isObject(value) && value['snrDb'] === null ? { ...value, snrDb: Infinity } : value;
}

/** The file may have been edited, or come with a downloaded folder: what is no record is left out. */
function isRecord(value: unknown): value is WeightRecord {
  const isNumber = (field: unknown): boolean => field === undefined || typeof field === 'number';
  return (
    isObject(value) &&
    typeof value['name'] === 'string' &&
    typeof value['method'] === 'string' &&
    [value['elements'], value['bytesBefore'], value['bytesAfter']].every((field) => typeof field === 'number') &&
    [value['snrDb'], value['maxError']].every(isNumber)
  );
}

/** What a folder remembers of its graphs, unchecked; no manifest, or none that is understood, remembers nothing. */
export async function readGraphEntries(folder: string): Promise<Graphs> {
  try {
    return graphsOf(JSON.parse(await readFile(join(folder, 'penjing.json'), 'utf8')));
  } catch {
    return {};
  }
}

function graphsOf(manifest: unknown): Graphs {
  return isObject(manifest) && isObject(manifest['graphs']) ? (manifest['graphs'] as unknown as Graphs) : {};
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}
