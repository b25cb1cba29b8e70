/** Describes a model without loading its weights: facts, element types, operators. */
import { allNodes, elementCount, type Model, modelGraphs, print, schemaOf, storedTensors, type Tensor } from '@penjing/core';
import { estimateConversion } from './estimate.js';

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

export interface Named {
  readonly name: string;
  readonly tensor: Pick<Tensor, 'dtype' | 'shape' | 'byteLength'>;
}

export function entriesOf(tensors: ReadonlyMap<string, Tensor>): Named[] {
  return [...tensors].map(([name, tensor]) => ({ name, tensor }));
}

export function describeModel(format: string, model: Model, before: readonly Fact[], options: InspectOptions): Inspection {
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
  const inspection = describeTensors(format, [...storedTensors(model)], facts, options);
  return { ...inspection, operators: countOperators(model), ...(options.graph ? { graph: print(model) } : {}) };
}

function countOperators(model: Model): Inspection['operators'] {
  const local = new Set(model.functions.map((fn) => `${fn.domain}.${fn.name}`));
  const nodes = [model.graph, ...model.functions.map((fn) => fn.body)].flatMap((graph) => [...allNodes(graph)]);
  return countNames(
    nodes.map(({ domain, opType }) => {
      const name = domain ? `${domain}.${opType}` : opType;
      return { name, known: () => local.has(name) || schemaOf(domain, opType, model.opset(domain) ?? 0) !== undefined };
    }),
  );
}

/** Operators by use; `known` is asked once per name. */
export function countNames(uses: Iterable<{ readonly name: string; readonly known: () => boolean }>): Inspection['operators'] {
  const counts = new Map<string, { count: number; known: boolean }>();
  for (const { name, known } of uses) {
    const entry = counts.get(name);
    if (entry) entry.count++;
    else counts.set(name, { count: 1, known: known() });
  }
  return [...counts].map(([name, entry]) => ({ name, ...entry })).sort((a, b) => b.count - a.count || (a.name < b.name ? -1 : 1));
}

export function describeTensors(format: string, tensors: readonly Named[], facts: readonly Fact[], options: InspectOptions): Inspection {
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

/** What a conversion would take, before anything runs. */
export function conversionFacts(tensors: readonly Named[]): Fact[] {
  const { parameters, runBytes, seconds, peakBytes } = estimateConversion(tensors);
  const mega = (bytes: number): string => (bytes < 1e9 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(2)} GB`);
  return [
    { name: 'parameters', value: parameters.toLocaleString('en') },
    { name: 'memory to run in float32', value: `about ${mega(runBytes)}` },
    { name: 'converting to float32', value: `about ${seconds < 1 ? 'a second' : `${Math.ceil(seconds)} s`}, peak memory about ${mega(peakBytes)}` },
  ];
}
