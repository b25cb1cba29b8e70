/** Dynamic int8 quantization: int8 weights, and activations rounded over the range they have in each run. No samples are needed. */
import { allGraphs, inferShapes, modelGraphs, Names, type Node, type Pass, PenjingError, type Value, type WeightRecord } from '@penjing/core';
import { simplify } from '@penjing/core/rewrite';
import { matchesName } from '../layer-rules.js';
import { raiseIrVersion } from '../raise-ir-version.js';
import { removeUnusedWeights } from '../remove-unused.js';
import { type CpuKind, cpuSchemes } from '../static/cpu-schemes.js';
import { dynamicRules } from './dynamic-rules.js';
import { DynamicWriter } from './dynamic-writer.js';

export interface DynamicOptions {
  /** Processor that the file is for; `x64-vnni` when absent. Without VNNI weights are uint8: int8 ones would overflow 16-bit sums. */
  readonly cpu?: CpuKind;
  /** Operators to rewrite; `MatMul`, `Gemm`, `Conv` and `LSTM` when absent. ConvInteger is often slower than a float convolution. */
  readonly operators?: readonly string[];
  /** Nodes to leave alone, by their own name, that of an output or that of their weight: exact names, or patterns. */
  readonly exclude?: readonly (string | RegExp)[];
  /** Simplifies first, so that normalization is in the weights, and constants are weights; true when absent. */
  readonly simplify?: boolean;
}

/** DynamicQuantizeLinear is younger than many models. */
const FIRST_OPSET = 11;

/**
 * A lazy pass: weights are rounded when the model is saved. Subgraphs (`If`, `Loop`, `Scan`) are quantized too; bodies of model functions
 * are not. Throws `E_OPTION` for wrong options, `E_NOTHING_TO_DO` when no weight fits, `E_OPSET` for models below opset 11 that cannot be raised.
 * Source: DynamicQuantizeLinear of ONNX; the fusions of ONNX Runtime 1.30.
 */
export function quantizeDynamic(options: DynamicOptions = {}): Pass {
  const { cpu = 'x64-vnni', operators = Object.keys(dynamicRules), exclude = [] } = options;
  if (!Object.hasOwn(cpuSchemes, cpu)) throw new PenjingError('E_OPTION', `cpu is ${String(cpu)}`, { hint: `Choose ${Object.keys(cpuSchemes).join(', ')}.` });
  const unknown = operators.find((name) => !Object.hasOwn(dynamicRules, name));
  if (unknown !== undefined) throw new PenjingError('E_OPTION', `${unknown} is not quantized dynamically`, { hint: `Choose of ${Object.keys(dynamicRules).join(', ')}.` });
  const dtype = cpu === 'x64' ? 'uint8' : 'int8';
  return {
    name: 'dynamic int8',
    async run(original, { signal, ...context }) {
      const prepared = options.simplify === false ? { model: original, records: [], warnings: [] } : await simplify({ opset: FIRST_OPSET }).run(original, { ...context, ...(signal && { signal }) });
      const { model } = prepared;
      if ((model.opset() ?? 1) < FIRST_OPSET) throw new PenjingError('E_OPSET', `dynamic quantization needs opset ${FIRST_OPSET}, the model has ${model.opset() ?? 1}`, { hint: `Raise it first: penjing simplify --opset ${FIRST_OPSET}.` });
      raiseIrVersion(model, 6);
      inferShapes(model);
      const graphs = [...allGraphs(model.graph)];
      const owners = new Map(graphs.flatMap((graph) => [...graph.initializers.values()].filter((value) => !graph.inputs.includes(value)).map((value) => [value, graph] as const)));
      const writer = new DynamicWriter(new Names(modelGraphs(model)), dtype, owners);
      const records = new Map<string, WeightRecord>();
      const replaced = new Set<Value>();
      const read = new Set<Value>();
      let recurrent = false;
      for (const node of graphs.flatMap((graph) => [...graph.nodes()])) {
        signal?.throwIfAborted();
        const rule = node.domain === '' && Object.hasOwn(dynamicRules, node.opType) ? dynamicRules[node.opType]! : undefined;
        if (!rule || !operators.includes(node.opType)) continue;
        const weights = rule.weights.map((index) => node.input(index));
        if (!weights.every((value): value is Value => value !== undefined && owners.has(value))) continue;
        const excluded = [node.name, ...node.outputs.map(({ name }) => name), ...weights.map(({ name }) => name)].some((name) => exclude.some((rule) => matchesName(rule, name)));
        const reason = excluded ? 'excluded' : (unreadable(node, weights) ?? rule.refuse(node));
        if (reason === undefined) {
          // The bias of a convolution is stored in another shape.
          for (const value of node.inputs) if (value && owners.has(value)) read.add(value);
          rule.apply(node, writer);
          recurrent ||= node.opType === 'LSTM';
          for (const value of weights) replaced.add(value);
        }
        for (const value of weights) record(records, value, dtype, reason, writer);
      }
      if (replaced.size === 0) throw nothingToDo([...records.values()]);
      if (recurrent) model.opsetImports.set('com.microsoft', model.opset('com.microsoft') ?? 1);
      const kept = removeUnusedWeights(model, read);
      model.origin = undefined;
      return {
        model, modified: true, records: [...prepared.records, ...records.values()],
        warnings: [...prepared.warnings, ...kept.filter((value) => replaced.has(value)).map(({ name }) => `${name} stays in the file too: something else still reads it`)],
      };
    },
  };
}

function unreadable(node: Node, weights: readonly Value[]): string | undefined {
  const input = node.input(0);
  if (input?.type?.kind === 'tensor' && input.type.dtype !== undefined && input.type.dtype !== 'float32') return `its input is ${input.type.dtype}`;
  for (const { tensor } of weights) {
    if (tensor!.dtype !== 'float32') return `it is ${tensor!.dtype}`;
    if (tensor!.kind !== 'dense' && tensor!.kind !== 'lazy') return 'it is stored as a sparse tensor';
    if (tensor!.shape.includes(0)) return 'it is empty';
  }
  return undefined;
}

/** One record for each weight; a weight that one node took is quantized, whatever others refused. */
function record(records: Map<string, WeightRecord>, { name, tensor }: Value, dtype: string, reason: string | undefined, writer: DynamicWriter): void {
  if (!tensor || (records.get(name)?.method ?? 'none') !== 'none') return;
  const elements = tensor.shape.reduce((product, dim) => product * dim, 1);
  const bytesBefore = tensor.byteLength;
  if (reason !== undefined) records.set(name, { name, method: 'none', elements, bytesBefore, bytesAfter: bytesBefore, note: reason });
  else {
    const stored = writer.storedOf(name);
    records.set(name, { name, method: `dynamic ${dtype} per channel`, elements, bytesBefore, bytesAfter: stored.bytes, measuredBy: stored.name });
  }
}

function nothingToDo(records: readonly WeightRecord[]): PenjingError {
  const reasons = [...new Set(records.map(({ note }) => note))].join('; ');
  return new PenjingError('E_NOTHING_TO_DO', `nothing of this model can be quantized${reasons ? `: ${reasons}` : ''}`, { hint: 'Dynamic quantization works on MatMul, Gemm, Conv and LSTM with constant float32 weights.' });
}
