/** What a model loses, end to end, when one of its weights alone is rounded. */
import { dtypes, type Feeds, type JobHost, lazy, type Model, PenjingError, type TaskOptions, tensorType } from '@penjing/core';
import { extractModel, type WeightMatrix, weightMatrices } from '@penjing/core/calibrate';
import type { WeightCandidate } from './candidates.js';
import { type ProbedWeight, probeJob, type ProbeMetric } from './probe-job.js';

export interface ProbeLossOptions extends TaskOptions {
  readonly jobs: JobHost;
  /** A few: the loss of one weight hardly varies between them. What the model gives for them stays in memory. */
  readonly samples: AsyncIterable<Feeds> | Iterable<Feeds>;
  /** `divergence` is of `logits`, the output of language models; `energy` of every output of floats. */
  readonly metric: ProbeMetric;
  /** What to round which weight to, by name; without data. */
  readonly probes: ReadonlyMap<string, readonly WeightCandidate[]>;
}

/**
 * The losses of every probe, in the order of its candidates. Weights become inputs of one session, which takes the memory of the model:
 * a probe is one run for each sample. Weights in subgraphs and functions, and those that are no float32, cannot: they are not in the
 * result. Throws `E_DATA` without samples, `E_OPTION` when the model gives no floats.
 */
export async function probeLosses(model: Model, { jobs, samples, metric, probes, ...task }: ProbeLossOptions): Promise<Map<string, readonly number[]>> {
  const { signal } = task;
  const outputs = model.graph.outputs.flatMap(({ name, type }) => (type?.kind === 'tensor' && type.dtype && dtypes[type.dtype].kind === 'float' && (metric === 'energy' || name === 'logits') ? [name] : []));
  if (outputs.length === 0) throw new PenjingError('E_OPTION', `the model has no ${metric === 'divergence' ? 'logits' : 'outputs of floats'} to measure`);
  const layers = weightMatrices(model, ['matmul', 'gemm', 'gather']).matrices.filter(({ owner, weight, matrix }) => owner === model.graph && matrix.dtype === 'float32' && probes.has(weight.name));
  if (layers.length === 0) return new Map();
  const inputs = model.graph.inputs.map(({ name }) => name).filter((name) => !model.graph.initializers.has(name));

  await using shelf = await jobs.openShelf();
  let count = 0;
  for await (const feeds of samples) {
    for (const name of inputs) {
      const tensor = feeds[name];
      if (tensor?.kind !== 'dense') throw new PenjingError('E_DATA', `sample ${count} has no tensor for the input ${name}`);
      await shelf.put(`${count}/${name}`, tensor);
    }
    count++;
  }
  if (count === 0) throw new PenjingError('E_DATA', 'there are no samples to probe with');
  await using prepared = await jobs.prepare(withWeightInputs(model, inputs, layers, outputs), signal ? { signal } : {});
  const weights: ProbedWeight[] = [];
  for (const { weight, matrix, turned } of layers) {
    weights.push({ name: weight.name, matrix: await jobs.refer(lazy.cast(matrix, 'float32')), turned, candidates: probes.get(weight.name)! });
  }
  const input = { model: { kind: prepared.kind, reference: prepared.reference }, shelf: { kind: shelf.kind, reference: shelf.reference }, samples: count, inputs, outputs, metric, weights };
  const losses = await jobs.run(probeJob, input, task);
  return new Map(weights.map(({ name }, i) => [name, losses[i]!]));
}

/** The model as it computes `outputs`, its weights given from outside. */
function withWeightInputs(model: Model, inputs: readonly string[], layers: readonly WeightMatrix[], outputs: readonly string[]): Model {
  const part = extractModel(model, [...inputs, ...layers.map(({ weight }) => weight.name)], outputs);
  for (const { weight } of layers) {
    const { dtype, shape } = weight.tensor!;
    const value = part.graph.inputs.find(({ name }) => name === weight.name)!;
    value.type = tensorType(dtype, shape);
  }
  return part;
}
