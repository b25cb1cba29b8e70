/** The one verb: a pass takes a model and gives a model back. */
import type { CalibrationStore } from './calibrate/calibration-store.js';
import type { Engine, Feeds } from './engine.js';
import type { JobHost } from './job.js';
import type { Model } from './graph/model.js';
import type { WeightRecord } from './record.js';
import type { TaskOptions } from './task.js';

export interface PassContext extends TaskOptions {
  /** Needed only by passes that must run a graph. */
  readonly engine?: Engine;
  /** Where passes run models and compute; needed only by those that are calibrated. */
  readonly jobs?: JobHost;
  /** What calibrated passes run the model on: the feeds of one run each. Read once. */
  readonly samples?: AsyncIterable<Feeds> | Iterable<Feeds>;
  /** Statistics of earlier runs; what calibrated passes gather is added. */
  readonly calibration?: CalibrationStore;
}

/** A size of the model's configuration that a pass changed. */
export interface ChangedSize {
  readonly before: number;
  readonly after: number;
  /** Which of them remain, where their order means something: configurations list a setting of each layer. */
  readonly kept?: readonly number[];
}

export interface PassResult {
  readonly model: Model;
  readonly modified: boolean;
  readonly records: readonly WeightRecord[];
  /** Things the user should know: a slow kernel, a weight left alone. */
  readonly warnings: readonly string[];
  /** What config.json counts otherwise now: heads that have keys and values of their own, features inside of feed-forward parts, features between the parts, layers. */
  readonly sizes?: Readonly<Partial<Record<'heads' | 'ffn' | 'hidden' | 'layers', ChangedSize>>>;
}

/** Owns the model it is given and may edit it in place; clone first to keep the original. */
export interface Pass {
  readonly name: string;
  run(model: Model, context: PassContext): Promise<PassResult>;
}

/** Passes in order, as one pass. */
export function pipeline(passes: readonly Pass[], name = passes.map((pass) => pass.name).join(' | ')): Pass {
  return {
    name,
    async run(model, context) {
      let current = model;
      let modified = false;
      const records: WeightRecord[] = [];
      const warnings: string[] = [];
      let sizes: PassResult['sizes'];
      for (const [index, pass] of passes.entries()) {
        context.signal?.throwIfAborted();
        context.onProgress?.({ phase: pass.name, done: index, total: passes.length, unit: 'passes' });
        const result = await pass.run(current, context);
        current = result.model;
        modified ||= result.modified;
        records.push(...result.records);
        warnings.push(...result.warnings);
        sizes = mergeSizes(sizes, result.sizes);
      }
      return { model: current, modified, records, warnings, ...(sizes && { sizes }) };
    },
  };
}

/** From the first size to the last one. */
function mergeSizes(a: PassResult['sizes'], b: PassResult['sizes']): PassResult['sizes'] {
  if (!a || !b) return a ?? b;
  const merged: Partial<Record<keyof typeof a, ChangedSize>> = { ...a };
  for (const [name, size] of Object.entries(b) as [keyof typeof a, ChangedSize][]) {
    const first = a[name];
    const kept = first?.kept && size.kept ? size.kept.map((index) => first.kept![index]!) : (size.kept ?? first?.kept);
    merged[name] = { before: first?.before ?? size.before, after: size.after, ...(kept && { kept }) };
  }
  return merged;
}
