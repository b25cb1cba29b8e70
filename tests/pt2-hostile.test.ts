/** Hostile programs of torch.export: whatever the documents and the archive say, there is a sound model or a typed error, soon. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { check, isPenjingError, memorySource, type Model } from '@penjing/core';
import { openPt2 } from '@penjing/graph-io';
import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { type ZipPart, zipBytes } from '../packages/graph-io/src/pytorch/testing/zip-bytes.js';
import { openZip } from '../packages/graph-io/src/pytorch/zip.js';
import { mutated, mutations } from './support/json-mutations.js';
import { sweepFiles } from './support/pt2-sweep.js';

const folder = fileURLToPath(new URL('./fixtures/pt2/models', import.meta.url));
const MODELS = ['branch', 'causal', 'encoder.decomposed', 'mlp', 'tagger', 'tied', 'loops', 'cache.decomposed'];
/** Of the single-operator programs, those whose arguments are sizes, strides, indices or counts. */
const OPERATORS = /^(as_strided|arange|avg_pool|cat|col2im|constant_pad|conv|expand|full|gather|index|max_pool|permute|repeat|scatter|select|slice|split|sym_size|topk|unfold|upsample|view)/;
/** What a mutated program of these sizes may take at most: a sound one takes some 20 ms. */
const SECONDS = 3;

interface Program {
  readonly name: string;
  readonly parts: readonly ZipPart[];
  readonly documents: ReadonlyMap<string, unknown>;
}
const programs: Program[] = [];

async function unpacked(name: string, bytes: Uint8Array): Promise<Program> {
  const zip = await openZip(memorySource(bytes));
  const parts = await Promise.all([...zip.entries.keys()].map(async (path) => ({ name: path, data: await zip.read(path) })));
  const documents = new Map(parts.flatMap(({ name: path, data }) => (path.endsWith('.json') ? [[path, JSON.parse(new TextDecoder().decode(data)) as unknown]] : [])));
  return { name, parts, documents };
}

beforeAll(async () => {
  for (const name of MODELS) programs.push(await unpacked(name, readFileSync(join(folder, `${name}.pt2`))));
  for (const [path, bytes] of sweepFiles()) if (path.endsWith('.pt2') && !path.includes('backward') && OPERATORS.test(path)) programs.push(await unpacked(path, bytes));
});

/** The archive with some documents replaced. */
const packed = ({ parts }: Program, replaced: ReadonlyMap<string, unknown>): Uint8Array =>
  zipBytes(parts.map((part) => (replaced.has(part.name) ? { ...part, data: new TextEncoder().encode(JSON.stringify(replaced.get(part.name))) } : part)), { align: 64 });

/** Undefined when it was refused in words; throws for anything that is neither that nor a sound model. */
async function opened(bytes: Uint8Array, state: 'drop' | 'ports' = 'drop'): Promise<Model | undefined> {
  const start = performance.now();
  try {
    const model = await openPt2(memorySource(bytes), { state });
    expect(check(model)).toEqual([]);
    return model;
  } catch (error) {
    if (!isPenjingError(error)) throw error;
    return undefined;
  } finally {
    expect(performance.now() - start).toBeLessThan(SECONDS * 1000);
  }
}

describe('programs of torch.export', () => {
  test('unpacked and packed again convert', async () => {
    for (const program of programs) expect(await opened(packed(program, program.documents)), program.name).toBeDefined();
  });

  const runs = (count: number): { numRuns: number } => ({ numRuns: Number(process.env['PENJING_FUZZ'] ?? count) });
  const seed = fc.nat(1 << 20);
  const picked = (which: number): Program => programs[which % programs.length]!;
  const modelOf = ({ documents }: Program): string => [...documents.keys()].find((path) => path.includes('/models/'))!;

  test('with changed documents convert or are refused in words', async () => {
    await fc.assert(fc.asyncProperty(seed, fc.nat(9), mutations(3), async (which, part, changes) => {
      const program = picked(which);
      // Mostly the program itself, sometimes the lists of weights.
      const paths = [...program.documents.keys()].sort((a, b) => Number(b.includes('/models/')) - Number(a.includes('/models/')));
      const path = paths[part < 7 ? 0 : part % paths.length]!;
      await opened(packed(program, new Map([[path, mutated(program.documents.get(path), changes)]])), part % 2 === 0 ? 'drop' : 'ports');
    }), runs(300));
  }, 600_000);

  test.each(['arg', 'sizes', 'expr_str', 'signature'])('with other values of %s convert or are refused in words', async (within) => {
    await fc.assert(fc.asyncProperty(seed, mutations(2), async (which, changes) => {
      const program = picked(which);
      const path = modelOf(program);
      await opened(packed(program, new Map([[path, mutated(program.documents.get(path), changes, within)]])));
    }), runs(150));
  }, 600_000);

  test('whose archive has other bytes convert or are refused in words', async () => {
    await fc.assert(fc.asyncProperty(seed, fc.array(fc.tuple(fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }), fc.nat(255)), { minLength: 1, maxLength: 3 }), async (which, edits) => {
      const program = picked(which);
      const bytes = packed(program, program.documents);
      for (const [at, value] of edits) bytes[Math.floor(at * bytes.length)] = value;
      await opened(bytes);
    }), runs(150));
  }, 600_000);
});

describe('a program of torch.export', () => {
  /** The program that multiplies its input, with other nodes and types. */
  const changed = async (change: (model: Json) => void): Promise<{ code: string; message: string }> => {
    const program = programs.find(({ name }) => name === 'mlp')!;
    const path = [...program.documents.keys()].find((name) => name.includes('/models/'))!;
    const document = structuredClone(program.documents.get(path)) as Json;
    change(document);
    const start = performance.now();
    const error: unknown = await openPt2(memorySource(packed(program, new Map([[path, document]])))).then(() => undefined, (thrown: unknown) => thrown);
    expect(performance.now() - start).toBeLessThan(SECONDS * 1000);
    expect(isPenjingError(error)).toBe(true);
    return error as { code: string; message: string };
  };
  const graphOf = (model: Json): Graph => model.graph_module.graph;

  test.each<[what: string, change: (model: Json) => void, code: string, named: string]>([
    ['of version 99', (model) => (model.schema_version = { major: 99 }), 'E_PT2', 'version 99'],
    ['of a million and more nodes', (model) => (graphOf(model).nodes = new Array<Graph['nodes'][0]>(2 ** 20 + 1).fill({ target: '' })), 'E_LIMIT', 'nodes'],
    ['of graphs in graphs in graphs', (model) => {
      let graph: Graph = { ...graphOf(model), nodes: [] };
      for (let i = 0; i < 40; i++) graph = { inputs: [], outputs: [{ as_graph: { name: 'g', graph } }], nodes: [], tensor_values: {} };
      model.graph_module.graph = graph;
    }, 'E_LIMIT', 'deeper'],
    ['of 70 axes', (model) => (Object.values(graphOf(model).tensor_values)[0]!.sizes = new Array<unknown>(70).fill({ as_int: 1 })), 'E_LIMIT', '70 dimensions'],
    ['of an unknown element type', (model) => (Object.values(graphOf(model).tensor_values)[0]!.dtype = 99), 'E_DTYPE', '99'],
    ['that reads what is not there', (model) => graphOf(model).nodes.splice(0, 1), 'E_PT2', 'before it is there'],
    ['without outputs', (model) => {
      graphOf(model).outputs = [];
      model.graph_module.signature.output_specs = [];
    }, 'E_PT2', 'no outputs'],
    ['of an operator nobody knows', (model) => (graphOf(model).nodes[0]!.target = 'torch.ops.evil.run.default'), 'E_UNSUPPORTED', 'evil.run.default'],
  ])('%s is refused by name', async (_, change, code, named) => {
    const error = await changed(change);
    expect([error.code, error.message]).toEqual([code, expect.stringContaining(named)]);
  });
});

interface Graph {
  inputs: unknown[];
  outputs: unknown[];
  nodes: { target: string }[];
  tensor_values: Record<string, { sizes: unknown[]; dtype: number }>;
}
interface Json {
  schema_version: unknown;
  graph_module: { graph: Graph; signature: { output_specs: unknown[] } };
}
