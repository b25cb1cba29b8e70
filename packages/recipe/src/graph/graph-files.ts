/** What graphs a model folder has, and one of them described: reads files on the thread that calls. */
import { basename, join } from 'node:path';
import { PenjingError } from '@penjing/core';
import { transformersJsModels } from '@penjing/graph-io';
import { readGraphEntries, readManifestRecords } from '../manifest.js';
import { splitGraphName } from '../graph-names.js';
import { graphNames } from '../inputs/model-folder.js';
import { openOnnx } from '../inputs/onnx.js';
import { graphBytes, openInput } from '../inputs/open-input.js';
import { describeGraph } from './describe-graph.js';
import type { DescribedGraph, GraphFile } from './look-at-graphs.js';

async function list(path: string): Promise<{ readonly folder: string; readonly names: readonly string[] }> {
  const { format } = await openInput(path);
  if (format === 'ONNX') return { folder: join(path, '..'), names: [basename(path)] };
  return { folder: path, names: await graphNames(path) };
}

export async function graphFiles(path: string): Promise<GraphFile[]> {
  const { folder, names } = await list(path);
  const entries = await readGraphEntries(folder);
  return Promise.all(
    names.map(async (name): Promise<GraphFile> => {
      const entry = entries[name];
      const steps = Array.isArray(entry?.steps) ? (entry.steps as readonly unknown[]).slice(0, 32).map(sayStep) : [];
      return {
        name,
        variant: variantOf(name),
        bytes: await graphBytes(join(folder, name)),
        steps,
        ...(typeof entry?.gate === 'string' && { gate: entry.gate.slice(0, 300) }),
        records: Array.isArray(entry?.records) ? entry.records.length : 0,
      };
    }),
  );
}

/** What `--variant` calls it: the dtype of transformers.js, which writes `q8` as `_quantized`. */
function variantOf(name: string): string {
  const { suffix } = splitGraphName(basename(name));
  return Object.entries(transformersJsModels).find(([, model]) => basename(model, '.onnx') === `model${suffix}`)?.[0] ?? (suffix.slice(1) || 'fp32');
}

/** `{quantize: {bits: 4, method: 'gptq'}}` → `quantize bits 4, method gptq`; paths of data stay out of it. */
function sayStep(step: unknown): string {
  const [[name, options] = ['step', {}]] = Object.entries((step ?? {}) as Readonly<Record<string, unknown>>);
  const said = Object.entries((options ?? {}) as Readonly<Record<string, unknown>>)
    .filter(([, value]) => typeof value === 'number' || typeof value === 'boolean' || (typeof value === 'string' && !/[/\\]/.test(value)))
    .map(([key, value]) => `${key} ${String(value)}`);
  return `${name}${said.length > 0 ? ` ${said.join(', ')}` : ''}`.slice(0, 200);
}

export async function describeFile(path: string, graph: string | undefined): Promise<DescribedGraph> {
  const { folder, names } = await list(path);
  const name = graph ?? names[0];
  // A name of the list, never a path that somebody made up.
  if (name === undefined || !names.includes(name)) throw new PenjingError('E_NOT_FOUND', 'the model has no such graph', { hint: `It has ${names.join(', ')}.` });
  const file = join(folder, name);
  return { name, ...describeGraph(await openOnnx(file), await readManifestRecords(file)) };
}
