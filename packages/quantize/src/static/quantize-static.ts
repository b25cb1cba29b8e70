/** Static int8 quantization: weights, activations and biases as integers, with scales that samples decide. */
import { type Graph, inferShapes, type Model, modelGraphs, Names, type Node, type Pass, PenjingError, type Value, type WeightRecord } from '@penjing/core';
import { simplify } from '@penjing/core/rewrite';
import { matchesName } from '../layer-rules.js';
import { raiseIrVersion } from '../raise-ir-version.js';
import { removeUnusedWeights } from '../remove-unused.js';
import { applyPlan } from './apply.js';
import { assignGrids } from './assign-grids.js';
import { measureRanges } from './calibrate-ranges.js';
import { type CpuKind, cpuSchemes } from './cpu-schemes.js';
import { planStatic, type StaticPlan } from './plan.js';
import { onnxruntimePolicy, tflitePolicy } from './policies.js';
import { type RangeMethod, rangeMethods } from './ranges-job.js';
import { ruleOf } from './rule.js';
import { weightJob } from './weight-job.js';

export interface StaticOptions {
  /** How the range of an activation is chosen from what it held; `minmax` when absent. */
  readonly calibrate?: RangeMethod;
  /** Share of the values that `percentile` keeps, in per cent; 99.999 when absent. */
  readonly percentile?: number;
  /** A scale for each output channel of a weight; true when absent. */
  readonly perChannel?: boolean;
  /** Processor that the file is for; `x64-vnni` when absent. */
  readonly cpu?: CpuKind;
  /** Runtime whose integer kernels are aimed at; `onnxruntime` when absent. `tflite`: int8 from the inputs to the outputs. */
  readonly target?: 'onnxruntime' | 'tflite';
  /** Nodes to leave alone, by their own name, that of an output or that of their weight: exact names, or patterns. */
  readonly exclude?: readonly (string | RegExp)[];
  /** Simplifies first, so that normalization and scaling are in the weights; true when absent. */
  readonly simplify?: boolean;
}

/** DequantizeLinear has an axis from here on. */
const FIRST_OPSET = 13;

/**
 * An eager pass: runs the model over `context.samples` block by block, then writes pairs of QuantizeLinear and DequantizeLinear where the
 * target has integer kernels (`onnxruntimePolicy`, `tflitePolicy`), int8 weights around zero and int32 biases. Nodes without a rule, in
 * subgraphs, or with values that are not finite stay float32, and the records of their weights say why. Throws `E_OPTION` for wrong
 * options, `E_DATA` without samples, `E_ENGINE` without `context.jobs`, `E_NOTHING_TO_DO` when nothing can be quantized.
 * Source: the QDQ format of ONNX Runtime's documentation; Jacob et al. 2018, arXiv:1712.05877.
 */
export function quantizeStatic(options: StaticOptions = {}): Pass {
  const { calibrate = 'minmax', percentile = 99.999, perChannel = true, cpu = 'x64-vnni', target = 'onnxruntime', exclude = [] } = options;
  if (!rangeMethods.includes(calibrate)) throw new PenjingError('E_OPTION', `calibrate is ${String(calibrate)}`, { hint: `Choose ${rangeMethods.join(', ')}.` });
  if (!(percentile > 50 && percentile <= 100)) throw new PenjingError('E_OPTION', `percentile is ${percentile}; it must be above 50 and at most 100`);
  if (!Object.hasOwn(cpuSchemes, cpu)) throw new PenjingError('E_OPTION', `cpu is ${String(cpu)}`, { hint: `Choose ${Object.keys(cpuSchemes).join(', ')}.` });
  const scheme = target === 'tflite' ? cpuSchemes.arm64 : cpuSchemes[cpu];
  const policy = target === 'tflite' ? tflitePolicy : onnxruntimePolicy;
  const method = `static int8, ${scheme.activations} activations by ${calibrate}`;
  return {
    name: `static int8 ${calibrate}`,
    async run(original, { samples, jobs, ...task }) {
      if (!samples) throw new PenjingError('E_DATA', 'static quantization needs samples of what the model will read', { hint: 'Give --data FILE, or quantize with --dynamic.' });
      if (!jobs) throw new PenjingError('E_ENGINE', 'static quantization runs the model: it needs a host for jobs', { hint: 'Give `ortJobs()` of @penjing/runtime as `jobs`.' });
      const prepared = options.simplify === false ? { model: original, records: [], warnings: [] } : await simplify({ opset: Math.max(FIRST_OPSET, original.opset() ?? 1) }).run(original, task);
      const { model } = prepared;
      if ((model.opset() ?? 1) < FIRST_OPSET) throw new PenjingError('E_OPSET', `scales for each channel need opset ${FIRST_OPSET}, the model has ${model.opset() ?? 1}`, { hint: `Raise it first: penjing simplify --opset ${FIRST_OPSET}.` });
      raiseIrVersion(model, 7);
      inferShapes(model);

      const excluded = (node: Node): boolean => namesOf(node).some((name) => exclude.some((rule) => matchesName(rule, name)));
      const planWith = (unusable: ReadonlyMap<Value, string>): StaticPlan => planStatic(model.graph, { policy, activations: scheme.activations, everything: target === 'tflite', excluded, unusable });
      const first = planWith(new Map());
      if (first.nodes.length === 0) throw nothingToDo(leftAlone(model, first, policy));
      const wanted = new Set([...first.values].map(first.rootOf));
      const { ranges, unusable } = await measureRanges(model, wanted, { ...task, jobs, samples, method: calibrate, percent: percentile });
      const plan = unusable.size === 0 ? first : planWith(unusable);
      if (plan.nodes.length === 0) throw nothingToDo(leftAlone(model, plan, policy));

      const unchanged = leftAlone(model, plan, policy);
      const { records, replaced } = await applyPlan(plan, {
        graph: model.graph,
        names: new Names(modelGraphs(model)),
        grids: assignGrids(plan, ranges, scheme.activations),
        dtype: scheme.activations,
        perChannel,
        highest: scheme.highest,
        round: (input) => jobs.run(weightJob, input, { transfer: [input.weights.buffer as ArrayBuffer], ...(task.signal && { signal: task.signal }) }),
        method,
      });
      const kept = removeUnusedWeights(model, replaced);
      model.origin = undefined;
      return {
        model,
        modified: true,
        records: [...prepared.records, ...records, ...unchanged],
        warnings: [...prepared.warnings, ...[...unusable.values()].map((reason) => `${reason}; what reads it stays float32`), ...kept.map(({ name }) => `${name} stays in the file too: something else still reads it`)],
      };
    },
  };
}

/** The names by which a user may mean a node. */
function namesOf(node: Node): string[] {
  return [node.name, ...node.outputs.map(({ name }) => name), ...node.inputs.flatMap((value) => (value?.tensor ? [value.name] : []))];
}

/** Records of the weights that nothing quantizes: of nodes that were refused, and of those in subgraphs. */
function leftAlone(model: Model, { nodes, refused }: StaticPlan, policy: Parameters<typeof ruleOf>[0]): WeightRecord[] {
  const chosen = new Set(nodes.map(({ node }) => node));
  const records = new Map<string, WeightRecord>();
  const look = (graph: Graph, reasonOf: (node: Node) => string): void => {
    for (const node of graph.nodes()) {
      const rule = ruleOf(policy, node);
      if (chosen.has(node)) continue;
      const weights = rule?.kind === 'product' ? [node.input(rule.weight)] : rule ? [] : node.inputs;
      for (const value of weights) {
        if (!value?.tensor || value.tensor.dtype !== 'float32' || value.tensor.shape.length < 2 || records.has(value.name)) continue;
        const { byteLength: bytes, shape } = value.tensor;
        records.set(value.name, { name: value.name, method: 'none', elements: shape.reduce((product, dim) => product * dim, 1), bytesBefore: bytes, bytesAfter: bytes, note: reasonOf(node) });
      }
    }
  };
  for (const graph of modelGraphs(model)) {
    look(graph, (node) => (graph === model.graph ? (refused.get(node) ?? `${node.opType} has no integer kernel there`) : 'calibration measures the main graph only; quantize with --dynamic to reach subgraphs'));
  }
  return [...records.values()];
}

function nothingToDo(records: readonly WeightRecord[]): PenjingError {
  const reasons = [...new Set(records.map((record) => record.note))].join('; ');
  return new PenjingError('E_NOTHING_TO_DO', `nothing of this model can be quantized${reasons ? `: ${reasons}` : ''}`, {
    hint: 'Static quantization works on convolutions and matrix products of the main graph by constant weights.',
  });
}
