/** What is in a model, read without its weights. */
import { join } from 'node:path';
import { allNodes, elementCount, type Model, modelGraphs, print, schemaOf, storedTensors, type Tensor } from '@penjing/core';
import { openHuggingFaceFolder, openSafetensors } from '@penjing/graph-io';
import { fileSource } from '@penjing/graph-io/node';
import { detectInput, openOnnx } from './open-input.js';

export interface Fact {
  readonly name: string;
  readonly value: string;
}

export interface Inspection {
  readonly format: string;
  readonly facts: readonly Fact[];
  /** Weights by element type, largest first. */
  readonly dtypes: readonly { readonly dtype: string; readonly tensors: number; readonly elements: number; readonly bytes: number }[];
  /** Operators by use; `known` false is carried byte for byte without being understood. */
  readonly operators: readonly { readonly name: string; readonly count: number; readonly known: boolean }[];
  readonly tensors?: readonly { readonly name: string; readonly dtype: string; readonly shape: readonly number[]; readonly bytes: number }[];
  /** The whole graph as text. */
  readonly graph?: string;
}

export interface InspectOptions {
  readonly tensors?: boolean;
  readonly graph?: boolean;
  readonly signal?: AbortSignal;
}

interface Named {
  readonly name: string;
  readonly tensor: Tensor;
}

/** Opens a file or folder and describes it; throws what `detectInput` and the readers throw. */
export async function inspectInput(path: string, options: InspectOptions = {}): Promise<Inspection> {
  const input = await detectInput(path);
  switch (input.kind) {
    case 'onnx':
      return describeModel(await openOnnx(path, options.signal), [], options);
    case 'model-folder': {
      const model = await openOnnx(join(path, input.graphs[0]!), options.signal);
      const facts = [{ name: 'folder', value: path }, { name: 'graphs', value: input.graphs.join(', ') }];
      return { ...describeModel(model, facts, options), format: 'model folder' };
    }
    case 'safetensors': {
      const { tensors, metadata } = await openSafetensors(await fileSource(path));
      const facts = [...metadata].map(([name, value]) => ({ name, value }));
      return describeTensors('safetensors', entries(tensors), facts, options);
    }
    case 'huggingface': {
      const opened = await openHuggingFaceFolder(input.folder);
      const facts = Object.entries(opened.config)
        .filter(([, value]) => ['string', 'number', 'boolean'].includes(typeof value))
        .map(([name, value]) => ({ name, value: String(value) }));
      return describeTensors('Hugging Face folder', entries(opened.checkpoint.tensors), facts, options);
    }
  }
}

function entries(tensors: ReadonlyMap<string, Tensor>): Named[] {
  return [...tensors].map(([name, tensor]) => ({ name, tensor }));
}

function describeModel(model: Model, before: readonly Fact[], options: InspectOptions): Inspection {
  const ports = (values: Model['graph']['inputs']): string =>
    values.slice(0, 6).map((value) => value.name).join(', ') + (values.length > 6 ? ` and ${values.length - 6} more` : '');
  let nodes = 0;
  for (const graph of modelGraphs(model)) nodes += graph.nodeCount;
  const facts: Fact[] = [
    ...before,
    { name: 'ir version', value: String(model.irVersion) },
    { name: 'opsets', value: [...model.opsetImports].map(([domain, version]) => `${domain || 'ai.onnx'} ${version}`).join(', ') },
    { name: 'producer', value: `${model.producerName} ${model.producerVersion}`.trim() || '—' },
    { name: 'inputs', value: ports(model.graph.inputs.filter((value) => !model.graph.initializers.has(value.name))) },
    { name: 'outputs', value: ports(model.graph.outputs) },
    { name: 'nodes', value: String(nodes) },
    ...(model.functions.length > 0 ? [{ name: 'functions', value: model.functions.map((fn) => `${fn.domain}.${fn.name}`).join(', ') }] : []),
  ];
  const inspection = describeTensors('ONNX', [...storedTensors(model)], facts, options);
  return { ...inspection, operators: countOperators(model), ...(options.graph ? { graph: print(model) } : {}) };
}

function countOperators(model: Model): Inspection['operators'] {
  const counts = new Map<string, { count: number; known: boolean }>();
  const local = new Set(model.functions.map((fn) => `${fn.domain}.${fn.name}`));
  for (const graph of [model.graph, ...model.functions.map((fn) => fn.body)]) {
    for (const node of allNodes(graph)) {
      const name = node.domain ? `${node.domain}.${node.opType}` : node.opType;
      const entry = counts.get(name);
      if (entry) entry.count++;
      else counts.set(name, { count: 1, known: local.has(name) || schemaOf(node.domain, node.opType, model.opset(node.domain) ?? 0) !== undefined });
    }
  }
  return [...counts].map(([name, entry]) => ({ name, ...entry })).sort((a, b) => b.count - a.count || (a.name < b.name ? -1 : 1));
}

function describeTensors(format: string, tensors: readonly Named[], facts: readonly Fact[], options: InspectOptions): Inspection {
  const byType = new Map<string, { tensors: number; elements: number; bytes: number }>();
  for (const { tensor } of tensors) {
    const entry = byType.get(tensor.dtype) ?? { tensors: 0, elements: 0, bytes: 0 };
    entry.tensors++;
    entry.elements += elementCount(tensor.shape);
    entry.bytes += tensor.byteLength;
    byType.set(tensor.dtype, entry);
  }
  const dtypes = [...byType].map(([dtype, entry]) => ({ dtype, ...entry })).sort((a, b) => b.bytes - a.bytes);
  const total = dtypes.reduce((sum, { elements }) => sum + elements, 0);
  return {
    format,
    facts: [{ name: 'format', value: format }, ...facts, { name: 'stored elements', value: total.toLocaleString('en') }],
    dtypes,
    operators: [],
    ...(options.tensors ? { tensors: tensors.map(({ name, tensor }) => ({ name, dtype: tensor.dtype, shape: tensor.shape, bytes: tensor.byteLength })) } : {}),
  };
}
