/** A quantized model as one that can be trained, its weights as floats on their grids; and back, with the integers that training found. */
import { cloneModel, dtypes, type JobHost, type Model, modelGraphs, Names, Node, type PassResult, PenjingError, sameShape, type TaskOptions, type Tensor, Value, type WeightRecord } from '@penjing/core';
import { orProblem } from '@penjing/core/calibrate';
import { removeDead } from '@penjing/core/rewrite';
import { activationScales, closeActivations, openActivations } from './activation-scales.js';
import { closeGridJob, openGridJob, type OpenGridOutput } from './grid-job.js';
import type { GridConstraint } from './on-grids.js';
import { COUNTED, type LeftQuantized, type QuantizedWeight, quantizedWeights } from './quantized-weights.js';

export interface GridTools extends Pick<TaskOptions, 'signal' | 'onProgress'> {
  readonly jobs: JobHost;
}

/** A model to be trained under constraints, and the way back. */
export interface OpenedGrids {
  /** Computes what the quantized one does, with float activations; weights have the names of the originals. */
  readonly model: Model;
  readonly grids: readonly GridConstraint[];
  /** Logarithms of what scales of rounded activations are multiplied by, which are trained like weights. */
  readonly activations: readonly string[];
  /** Quantized weights that stay as they are, and why. */
  readonly left: readonly LeftQuantized[];
  /** The quantized model, given back with new integers, scales and whatever else was trained: in exactly the form it had. `trained` is `model` after training, or a copy of it. */
  close(trained: Model, tools: GridTools): Promise<PassResult>;
}

interface Opened {
  readonly weight: QuantizedWeight;
  readonly name: string;
  readonly open: OpenGridOutput;
}

/**
 * Weights of MatMulNBits, GatherBlockQuantized and DequantizeLinear become floats, each read in a job; their grids are those of the model, whoever quantized it: GPTQ, AWQ, rounding to the nearest, another tool. Train the result
 * with `onGrids`. Weights with float16 scales, `g_idx`, or in subgraphs are left as they are. Throws `E_NOTHING_TO_DO` when no weight is quantized.
 */
export async function openGrids(quantized: Model, tools: GridTools): Promise<OpenedGrids> {
  const { jobs } = tools;
  const model = cloneModel(quantized);
  const { weights, left } = quantizedWeights(model.graph);
  if (weights.length === 0) {
    throw new PenjingError('E_NOTHING_TO_DO', `no weight of this model lies on an integer grid${left.length > 0 ? `: ${left.slice(0, 3).map(({ name, reason }) => `${name}: ${reason}`).join('; ')}` : ''}`, { hint: 'Quantize it first.' });
  }
  const names = new Names(modelGraphs(model));
  const activations = await activationScales(model.graph, weights);
  const opened: Opened[] = [];
  for (const [done, weight] of weights.entries()) {
    tools.signal?.throwIfAborted();
    tools.onProgress?.({ phase: 'read integers', done, total: weights.length, unit: 'weights' });
    const { values, scales, zeroPoints, form, layout, shape } = weight;
    const input = { form, layout, shape, values: await jobs.refer(values.tensor!), scales: await jobs.refer(scales.tensor!), zeroPoints: zeroPoints && (await jobs.refer(zeroPoints.tensor!)) };
    const open = await jobs.run(openGridJob, input, tools.signal ? { signal: tools.signal } : {});
    opened.push({ weight, open, name: names.claim(values.name.replace(/(\.q\d|_codes)$/, '')) });
  }
  for (const { weight, name, open } of opened) {
    const value = model.graph.addInitializer(name, await jobs.tensor(open.weights));
    for (const site of weight.sites) replaceSite(site, value, weight, names);
  }
  const rounding = activations && (await openActivations(model.graph, activations, names));
  removeDead(model);
  model.origin = undefined;
  // Biases of int32 are counted in units of input scale times weight scale: where these are not found, weight scales stay.
  const counted = !activations && left.some(({ reason }) => reason === COUNTED);
  const grids = opened.map(({ name, open: { grid, scales } }): GridConstraint => ({ ...grid, weight: name, scales, ...(counted && { fixed: true }) }));
  return {
    model, grids, activations: rounding?.logs ?? [], left: activations ? left.filter(({ reason }) => reason !== COUNTED) : left,
    async close(trained, closing) {
      const result = await closeGrids(quantized, trained, opened, closing);
      if (activations && rounding) await closeActivations(activations, rounding, trained.graph.initializers, quantized.graph.initializers);
      return result;
    },
  };
}

/** The node with floats in place of integers. */
function replaceSite(site: Node, weight: Value, { layout }: QuantizedWeight, names: Names): void {
  const graph = site.graph!;
  const output = site.output();
  const put = (opType: string, inputs: readonly Value[], result: Value, attributes: readonly (readonly [string, { kind: 'ints'; value: bigint[] }])[] = []): Value => {
    graph.insertBefore(site, new Node(opType, inputs, [result], { name: names.claim(`${site.name}/${opType}`), attributes }));
    return result;
  };
  const own = (suffix: string): Value => new Value(names.claim(`${output.name}_${suffix}`), output.type);
  site.replaceOutput(0, new Value(''));
  if (site.opType === 'DequantizeLinear') graph.replaceValue(output, weight);
  else if (site.opType === 'GatherBlockQuantized') put('Gather', [weight, site.input(1)!], output);
  else {
    const bias = site.input(5);
    // (rows, cols) serves a lookup too
    const matrix = layout.outer === 1 ? weight : put('Transpose', [weight], new Value(names.claim(`${weight.name}_turned`), { kind: 'tensor', dtype: 'float32', shape: [layout.length, layout.outer] }), [['perm', { kind: 'ints', value: [1n, 0n] }]]);
    const product = put('MatMul', [site.input(0)!, matrix], bias ? own('product') : output);
    if (bias) put('Add', [product, bias], output);
  }
  graph.remove(site);
}

async function closeGrids(quantized: Model, trained: Model, opened: readonly Opened[], { jobs, signal, onProgress }: GridTools): Promise<PassResult> {
  const stored = quantized.graph.initializers;
  const records: WeightRecord[] = [];
  for (const [done, { weight, name, open }] of opened.entries()) {
    signal?.throwIfAborted();
    onProgress?.({ phase: 'write integers', done, total: opened.length, unit: 'weights' });
    const tensor = trained.graph.initializers.get(name)?.tensor;
    if (!tensor || !sameShape(tensor.shape, weight.shape)) throw new PenjingError('E_INPUT', `the trained model has no weight ${name} [${weight.shape.join(', ')}]`, { hint: 'Close the model that was opened.' });
    const [values, scales] = [stored.get(weight.values.name)!, stored.get(weight.scales.name)!];
    const elements = weight.shape.reduce((product, size) => product * size, 1);
    const bytes = values.tensor!.byteLength + scales.tensor!.byteLength + (weight.zeroPoints?.tensor?.byteLength ?? 0);
    const record = { name, method: `trained int${bitsOf(open)}`, elements, bytesBefore: bytes, bytesAfter: bytes };
    const input = { weights: await jobs.refer(tensor), form: weight.form, grid: open.grid, scales: open.scales, stored: { values: await jobs.refer(values.tensor!), scales: await jobs.refer(scales.tensor!) } };
    const closed = await orProblem(jobs.run(closeGridJob, input, signal ? { signal } : {}));
    if (typeof closed === 'string') throw new PenjingError('E_DATA', `${name}: ${closed}`, { hint: 'Take an earlier checkpoint.' });
    values.tensor = await jobs.tensor(closed.values);
    scales.tensor = await jobs.tensor(closed.scales);
    const { stats: { sumSquares, sumSquaredError, maxError }, rounded } = closed;
    records.push({
      ...record, objective: sumSquaredError / 2, maxError, snrDb: sumSquaredError === 0 ? Infinity : 10 * Math.log10(sumSquares / sumSquaredError),
      ...(rounded > 0 && { note: `${rounded} blocks were on no grid and were rounded to the nearest` }),
    });
  }
  copyOthers(trained, stored);
  quantized.origin = undefined;
  return { model: quantized, modified: true, records, warnings: [] };
}

const bitsOf = ({ grid: { lowest, highest } }: OpenGridOutput): number => Math.ceil(Math.log2(highest - lowest + 1));

/** What was trained beside the integers: norms, biases, tables. */
function copyOthers(trained: Model, stored: ReadonlyMap<string, Value>): void {
  for (const [name, { tensor }] of trained.graph.initializers) {
    const value = stored.get(name);
    if (tensor && value?.tensor && isFloat(tensor) && tensor.dtype === value.tensor.dtype && sameShape(tensor.shape, value.tensor.shape)) value.tensor = tensor;
  }
}

const isFloat = ({ dtype }: Tensor): boolean => dtypes[dtype].kind === 'float';
