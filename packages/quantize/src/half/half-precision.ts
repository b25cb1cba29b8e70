/** A float32 model that computes in float16, but for what would not fit. */
import { inferShapes, type JobHost, type Node, type Pass, type PassContext, PenjingError, type WeightRecord } from '@penjing/core';
import { keepSamples } from '../keep-samples.js';
import { matchesName } from '../layer-rules.js';
import { raiseIrVersion } from '../raise-ir-version.js';
import { chooseNodes, type ChosenNodes } from './choose-nodes.js';
import { constantLimits, measureLimits } from './half-limits.js';
import { type StoredHalf, writeHalf } from './write-half.js';

export interface HalfPrecisionOptions {
  /** Values stay float32 when so many times what they held on the samples is beyond 65,504; 2 when absent. */
  readonly headroom?: number;
  /** Nodes that stay float32, by their own name, that of an output or that of their weight: exact names, or patterns. */
  readonly exclude?: readonly (string | RegExp)[];
}

/**
 * Operators that are declared for float16 compute in it, with float16 constants; inputs and outputs of the model keep their types, and
 * a Cast stands wherever the types meet. With `context.samples` the float32 model is run first: nodes around a value that float16
 * cannot hold, that add up more than it can, or that give NaN or infinities when everything is rounded to it, stay float32, as do those
 * that compute angles from positions. Without samples only constants are looked at, and a warning says so. Subgraphs and functions
 * stay float32. Throws `E_OPTION` for wrong options, `E_ENGINE` for samples without `context.jobs`, `E_NOTHING_TO_DO` when no node can.
 */
export function halfPrecision({ headroom = 2, exclude = [] }: HalfPrecisionOptions = {}): Pass {
  if (!(headroom >= 1 && Number.isFinite(headroom))) throw new PenjingError('E_OPTION', `headroom is ${headroom}; it must be at least 1`);
  return {
    name: 'compute in float16',
    async run(model, { samples, jobs, ...task }) {
      if (samples && !jobs) throw new PenjingError('E_ENGINE', 'looking for values that overflow runs the model: it needs a host for jobs', { hint: 'Give `ortJobs()` of @penjing/runtime as `jobs`.' });
      raiseIrVersion(model, 4);
      inferShapes(model);
      const keep = new Map<Node, string>([...model.graph.nodes()].flatMap((node) => (namesOf(node).some((name) => exclude.some((rule) => matchesName(rule, name))) ? [[node, 'excluded'] as const] : [])));
      for (const [node, reason] of await constantLimits(chooseNodes(model, { keep }).half, jobs, task)) keep.set(node, reason);
      const { found, unsolved } = samples && jobs ? await measured({ model, keep, samples, jobs, headroom, task }) : { found: new Map<Node, string>(), unsolved: [] };
      const chosen = chooseNodes(model, { keep: new Map([...keep, ...found]) });
      if (chosen.half.size === 0) throw new PenjingError('E_NOTHING_TO_DO', 'no node of this model can compute in float16', { hint: [...new Set(chosen.kept.values())].slice(0, 5).join('; ') });
      const left = weightsOf(chosen);
      const { stored } = writeHalf(model, chosen.half);
      model.origin = undefined;
      return {
        model,
        modified: true,
        records: [...stored.map(recordOf), ...left.filter(({ name }) => model.graph.initializers.has(name))],
        warnings: [
          ...(samples ? [] : ['without data nothing was looked at but constants: give --data to find values that float16 cannot hold']),
          ...keptWords(chosen),
          ...unsolved.map((name) => `${name} is not finite in float16 on the data, and float32 around it does not help`),
        ],
      };
    },
  };
}

interface Measuring extends Required<Pick<PassContext, 'samples' | 'jobs'>> {
  readonly model: Parameters<typeof measureLimits>[0];
  readonly keep: ReadonlyMap<Node, string>;
  readonly jobs: JobHost;
  readonly headroom: number;
  readonly task: Pick<PassContext, 'signal' | 'onProgress'>;
}

async function measured({ model, keep, samples, jobs, headroom, task }: Measuring): ReturnType<typeof measureLimits> {
  await using kept = await keepSamples(samples, jobs, task);
  return await measureLimits(model, keep, { ...task, jobs, samples: kept, headroom });
}

/** The names by which a user may mean a node. */
function namesOf(node: Node): string[] {
  return [node.name, ...node.outputs.map(({ name }) => name), ...node.inputs.flatMap((value) => (value?.tensor ? [value.name] : []))];
}

function recordOf({ name, before, stored }: StoredHalf): WeightRecord {
  return { name, method: 'float16', elements: before.byteLength / 4, bytesBefore: before.byteLength, bytesAfter: stored.tensor!.byteLength, measuredBy: stored.name };
}

/** Matrices and kernels that nodes read which stay. */
function weightsOf({ kept }: ChosenNodes): WeightRecord[] {
  const records = new Map<string, WeightRecord>();
  for (const [node, note] of kept) {
    for (const value of node.inputs) {
      if (!value?.tensor || value.producer || value.tensor.dtype !== 'float32' || value.tensor.shape.length < 2 || records.has(value.name)) continue;
      const { byteLength: bytes } = value.tensor;
      records.set(value.name, { name: value.name, method: 'none', elements: bytes / 4, bytesBefore: bytes, bytesAfter: bytes, note });
    }
  }
  return [...records.values()];
}

/** Nodes named for one reason, before the rest are counted. */
const NAMED = 4;

/** One sentence for each reason: which nodes stay float32. */
function keptWords({ kept }: ChosenNodes): string[] {
  const groups = new Map<string, string[]>();
  for (const [node, reason] of kept) {
    if (node.opType === 'Cast') continue;
    const list = groups.get(reason);
    const name = `${node.opType} ${node.name || node.outputs[0]?.name || ''}`.trim();
    if (list) list.push(name);
    else groups.set(reason, [name]);
  }
  return [...groups].map(([reason, nodes]) => `float32 stays, since ${reason}: ${nodes.slice(0, NAMED).join(', ')}${nodes.length > NAMED ? ` and ${nodes.length - NAMED} more` : ''}`);
}
