/** What `penjing.json` of a model folder remembers of each graph: the steps that made it and what they did to the weights. */
import { readFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { WeightRecord } from '@penjing/core';
import { saveLayouts } from '@penjing/graph-io/node';
import type { RecipeStep } from './recipe-schema.js';

interface GraphEntry {
  readonly steps: readonly RecipeStep[];
  readonly records: readonly WeightRecord[];
}

type Graphs = Readonly<Record<string, GraphEntry>>;

/** Writes the entry of a graph into the manifest of its folder; the other entries stay. */
export async function rememberGraph(folder: string, graph: string, entry: GraphEntry): Promise<void> {
  const { graphs = {} } = await readManifest(folder);
  await saveLayouts(folder, [], { add: true, manifest: { graphs: { ...graphs, [graph]: entry } } });
}

/** Records of a graph file, when its folder remembers them; infinite ratios come back from null. */
export async function readManifestRecords(file: string): Promise<readonly WeightRecord[]> {
  const inner = basename(dirname(file)) === 'onnx';
  const folder = inner ? dirname(dirname(file)) : dirname(file);
  const { graphs = {} } = await readManifest(folder);
  const entry = graphs[inner ? `onnx/${basename(file)}` : basename(file)];
  return (entry?.records ?? []).map((record) => ((record.snrDb as number | null) === null ? { ...record, snrDb: Infinity } : record));
}

async function readManifest(folder: string): Promise<{ readonly graphs?: Graphs }> {
  try {
    return JSON.parse(await readFile(join(folder, 'penjing.json'), 'utf8')) as { graphs?: Graphs };
  } catch {
    return {};
  }
}
