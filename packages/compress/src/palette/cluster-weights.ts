/** Palettes: every weight becomes an entry of a small codebook, and the file holds places instead of floats. */
import { DenseTensor, inLanes, type JobHost, lazy, type Model, modelGraphs, Names, type Pass, PenjingError, type Tensor, type WeightRecord, bytesOf } from '@penjing/core';
import { calibrateLayers, layerGroups, type WeightMatrix } from '@penjing/core/calibrate';
import { firstRule, type LayerMatch } from '../layer-rules.js';
import { noJobs, prunable, recordOf } from '../sparse/prunable.js';
import { paletteJob, type PaletteOutput } from './palette-job.js';
import { planesOf, storePalette } from './palette-form.js';

export interface ClusterOptions {
  /** Bits of a place, 1 to 8: a codebook has 2 to the power of it entries. 4 when absent. */
  readonly bits?: number;
  /** Outputs that share a codebook; all outputs of a weight when absent. 1: a codebook for each. */
  readonly outputs?: number;
  /** Lookup tables too; true when absent. */
  readonly embeddings?: boolean;
  /** Weights to leave alone: exact names, or patterns. */
  readonly exclude?: readonly (string | RegExp)[];
  /** What certain weights get instead; the first rule that matches a name counts. */
  readonly layers?: readonly ClusterRule[];
}

export interface ClusterRule extends LayerMatch {
  readonly bits?: number;
}

/**
 * The codebook with the least squared error (k-means on a line, exact up to a histogram of 1 % steps), found in jobs; the places are
 * computed when the model is saved. Throws `E_OPTION` for impossible bits, `E_ENGINE` without a host for jobs, `E_NOTHING_TO_DO`.
 */
export function clusterWeights(options: ClusterOptions = {}): Pass {
  const settings = settingsOf(options);
  return {
    name: `cluster ${settings.described}`,
    async run(model, { jobs, ...task }) {
      if (!jobs) throw noJobs('clustering');
      const { matrices, leftAlone, find, apply, finish } = begin(model, settings, { jobs });
      let done = 0;
      const found = await inLanes(matrices, jobs.parallel, (layer, _, signal) => {
        task.onProgress?.({ phase: 'cluster', done: done++, total: matrices.length, unit: 'weights' });
        return find(layer, {}, signal);
      }, task.signal);
      return finish([...leftAlone, ...matrices.map((layer, i) => apply(layer, 'kmeans', found[i]!))]);
    },
  };
}

/**
 * As `clusterWeights`, each squared error times Σ x² of its input on `context.samples`: the diagonal of the Hessian, as in SqueezeLLM
 * (Kim et al. 2023, arXiv:2306.07629). Weights that no activation of the main graph multiplies count all the same, with a note.
 * Throws `E_DATA` without samples, besides.
 */
export function clusterBySensitivity(options: ClusterOptions = {}): Pass {
  const settings = settingsOf(options);
  return {
    name: `cluster ${settings.described} by sensitivity`,
    async run(model, { samples, jobs, ...task }) {
      if (!samples) throw new PenjingError('E_DATA', 'clustering by sensitivity needs samples of what the model will read', { hint: 'Give --data FILE, or choose --method kmeans.' });
      if (!jobs) throw noJobs('clustering');
      const { matrices, leftAlone, find, apply, finish } = begin(model, settings, { jobs });
      const findAll = (layers: readonly WeightMatrix[], factors: Float64Array | undefined, until: AbortSignal | undefined): Promise<readonly Palette[]> => inLanes(layers, jobs.parallel, (layer, _, signal) => find(layer, { factors }, signal), until);
      const records: WeightRecord[] = [...leftAlone];
      const { groups, skipped } = layerGroups(model, matrices);
      for await (const { group, problem, computed } of calibrateLayers(model, {
        ...task, jobs, samples, groups, statistics: ['norms'],
        compute: ({ group, statistics, problem }, signal) => findAll(group.layers, problem === undefined ? statistics.norms.squares : undefined, signal),
      })) {
        for (const [i, layer] of group.layers.entries()) records.push(apply(layer, problem === undefined ? 'sensitivity' : 'kmeans', computed[i]!, problem));
      }
      const rest = skipped.map(({ weight }) => matrices.find((layer) => layer.weight === weight)!);
      const found = await findAll(rest, undefined, task.signal);
      for (const [i, layer] of rest.entries()) records.push(apply(layer, 'kmeans', found[i]!, `every weight counts the same: ${skipped[i]!.reason}`));
      return finish(records);
    },
  };
}

interface Settings {
  /** Of the places of a weight; undefined when it is left alone. */
  readonly bitsOf: (name: string) => number | undefined;
  readonly outputs: number | undefined;
  readonly embeddings: boolean;
  readonly exclude: readonly (string | RegExp)[];
  readonly described: string;
}

function settingsOf({ bits = 4, outputs, embeddings = true, exclude = [], layers = [] }: ClusterOptions): Settings {
  for (const each of [bits, ...layers.map((rule) => rule.bits ?? bits)]) {
    if (!(Number.isInteger(each) && each >= 1 && each <= 8)) throw new PenjingError('E_OPTION', `${each} bits: a place in a codebook takes 1 to 8`);
  }
  if (outputs !== undefined && !(Number.isInteger(outputs) && outputs >= 1)) throw new PenjingError('E_OPTION', `${outputs} outputs cannot share a codebook`);
  const bitsOf = (name: string): number | undefined => {
    const rule = firstRule(layers, name);
    return rule?.method === 'none' ? undefined : (rule?.bits ?? bits);
  };
  return { bitsOf, outputs, embeddings, exclude, described: describeEntries(bits, outputs) };
}

function describeEntries(bits: number, outputs: number | undefined): string {
  return `${2 ** bits} entries${outputs === undefined ? '' : ` per ${outputs === 1 ? 'output' : `${outputs} outputs`}`}`;
}

/** Measured: `bench/RESULTS.md`, "Palettes". */
const NO_SPEED_UP = 'palettes make the file smaller, not the model in memory and not its computation: ONNX Runtime makes floats of them when it loads the model, which takes longer';

/** How a weight can be stored. */
interface Form {
  /** Of a place; undefined when the weight is excluded. */
  readonly bits: number | undefined;
  readonly groups: number;
  /** Whose places are stored. */
  readonly rows: Tensor | undefined;
  readonly bytesAfter: number;
  /** Why not. */
  readonly refused: string | undefined;
}

interface Palette {
  readonly form: Form;
  /** Undefined when the form is refused. */
  readonly found: PaletteOutput | undefined;
}

interface Clustering {
  readonly matrices: readonly WeightMatrix[];
  readonly leftAlone: readonly WeightRecord[];
  /** Edits nothing. */
  readonly find: (layer: WeightMatrix, weighed: { readonly factors?: Float64Array | undefined }, signal: AbortSignal) => Promise<Palette>;
  readonly apply: (layer: WeightMatrix, method: 'kmeans' | 'sensitivity', palette: Palette, note?: string) => WeightRecord;
  readonly finish: (records: readonly WeightRecord[]) => Awaited<ReturnType<Pass['run']>>;
}

function begin(model: Model, { bitsOf, outputs, embeddings, exclude }: Settings, { jobs }: { readonly jobs: JobHost }): Clustering {
  const { matrices, leftAlone } = prunable(model, { embeddings, exclude });
  const names = new Names(modelGraphs(model));

  function formOf(layer: WeightMatrix): Form {
    const { weight, owner, opsets } = layer;
    const bits = bitsOf(weight.name);
    const groups = outputs === undefined ? 1 : layer.matrix.shape[0]! / outputs;
    const rows = groups === 1 ? rowsOf(weight.tensor!) : layer.matrix;
    const { elements, bytesBefore } = recordOf(layer, 'none');
    const bytesAfter = bits === undefined ? bytesBefore : Math.ceil((elements * bits) / 8) + (groups * 2 ** bits * bytesBefore) / Math.max(1, elements);
    const refused =
      bits === undefined ? 'excluded'
      : (opsets.get('') ?? 1) < 11 ? 'its graph is older than opset 11, which has no BitShift'
      : !Number.isInteger(groups) ? `its ${layer.matrix.shape[0]} outputs are no multiple of ${outputs}`
      : rows === undefined || planesOf(bits).some((plane) => (rows.shape[1]! * plane.bits) % 8 !== 0) ? 'its places fill no whole bytes'
      : bytesAfter >= bytesBefore ? 'as a palette it would be larger'
      : owner.outputs.includes(weight) ? 'it is an output of the graph'
      : undefined;
    return { bits, groups, rows, bytesAfter, refused };
  }

  async function find(layer: WeightMatrix, { factors }: { readonly factors?: Float64Array | undefined }, signal: AbortSignal): Promise<Palette> {
    const form = formOf(layer);
    if (form.refused !== undefined) return { form, found: undefined };
    return { form, found: await jobs.run(paletteJob, { matrix: await jobs.refer(layer.matrix), groups: form.groups, entries: 2 ** form.bits!, factors }, { signal }) };
  }

  function apply(layer: WeightMatrix, method: 'kmeans' | 'sensitivity', { form: { bits, groups, rows, bytesAfter, refused }, found }: Palette, note?: string): WeightRecord {
    const { weight, owner } = layer;
    if (bits === undefined || !rows || !found) return { ...recordOf(layer, 'none'), note: refused ?? '' };
    const before = recordOf(layer, `${method} ${describeEntries(bits, outputs)}`);
    const { codebook, nonFinite, ...measured } = found;
    const books = new DenseTensor('float32', [groups, 2 ** bits], bytesOf(codebook));
    // what is not finite counts as 0, in the job and here
    const finite = nonFinite > 0 ? lazy.sparsify(rows, { kind: 'threshold', least: 0 }) : rows;
    storePalette(owner, weight, {
      planes: planesOf(bits).map((plane) => ({ bits: plane.bits, tensor: lazy.assign(finite, books, plane) })),
      codebook: lazy.cast(books, weight.tensor!.dtype),
      ...(groups === 1 ? { shape: weight.tensor!.shape, turned: false } : storedForm(layer)),
    }, names);
    const notes = [...(note === undefined ? [] : [note]), ...(nonFinite > 0 ? [`${nonFinite} values were not finite and count as 0`] : [])];
    return { ...before, bytesAfter, paletteBits: bits, ...measured, ...(notes.length > 0 && { note: notes.join('; ') }) };
  }

  return {
    matrices, leftAlone, find, apply,
    finish(records) {
      model.origin = undefined;
      if (records.every(({ method }) => method === 'none')) throw new PenjingError('E_NOTHING_TO_DO', `no weight of this model can become a palette: ${[...new Set(records.map((record) => record.note))].join('; ')}`);
      return { model, modified: true, records, warnings: [NO_SPEED_UP] };
    },
  };
}

/** All weights in rows whose places fill whole bytes, in the order in which they are stored. */
function rowsOf(tensor: Tensor): Tensor | undefined {
  const elements = tensor.shape.reduce((product, dim) => product * dim, 1);
  const cols = tensor.shape.slice(1).reduce((product, dim) => product * dim, 1);
  if (elements === 0 || elements % 8 !== 0) return undefined;
  let width = cols;
  while (width % 8 !== 0) width *= 2;
  // rows may be cut or joined as long as they come out even
  return lazy.reshape(tensor, elements % width === 0 ? [elements / width, width] : [elements / 8, 8]);
}

/** The weight as (outputs, …), and whether it is stored the other way round. */
function storedForm({ weight, turned }: WeightMatrix): { shape: readonly number[]; turned: boolean } {
  const { shape } = weight.tensor!;
  return { shape: turned ? [...shape].reverse() : shape, turned };
}
