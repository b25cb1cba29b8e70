/** The graphs of a run: one step of training, and a measurement. The model itself stays as it is. */
import { allNodes, cloneModel, type Model, type Node, PenjingError, type Shape, type Tensor, tensorType, type Value } from '@penjing/core';
import { differentiate } from '../gradient/differentiate.js';
import { blockOutputs } from '../gradient/recompute.js';
import { addLoss, type Loss } from '../losses/loss.js';
import { batchStatistics, type RunningStatistic } from '../trainable/batch-statistics.js';
import { causalBlocks } from '../trainable/causal-blocks.js';
import { detachWeights, isTrainable } from '../trainable-inputs.js';
import { addDropout, type DropoutMask } from './dropout.js';

export interface TrainingGraph {
  /** Batches and weights in, `loss` and gradients out. */
  readonly model: Model;
  /** What the weights are before the first step, and running means and variances. */
  readonly weights: ReadonlyMap<string, Tensor>;
  /** Those of them that have no gradient: the step gives their next values. */
  readonly running: readonly RunningStatistic[];
  /** Inputs that a batch fills. */
  readonly inputs: readonly string[];
  /** Inputs that masks are fed to. */
  readonly masks: readonly DropoutMask[];
}

export interface TrainingGraphOptions {
  readonly loss: Loss;
  readonly select?: ((name: string) => boolean) | undefined;
  /** Shapes of the feeds of a step: a graph of known sizes has fewer nodes. */
  readonly shapes: ReadonlyMap<string, Shape>;
  /** What batch normalization goes by: see `TrainOptions.statistics`. */
  readonly statistics?: 'stored' | 'batch' | undefined;
  /** Keeps what goes from block to block only, and computes the rest once more for its gradients. */
  readonly recompute?: boolean | undefined;
  /** Has inputs for masks. */
  readonly dropout?: boolean | undefined;
}

/**
 * Weights that the loss does not depend on are left alone. Throws `E_NOTHING_TO_DO` when none is left, `E_DTYPE` for weights that are not float32, and what `differentiate` throws
 * for operators without gradients.
 */
export function trainingGraph(model: Model, { loss, select, shapes, statistics = 'stored', recompute = false, dropout = false }: TrainingGraphOptions): TrainingGraph {
  const graph = cloneModel(model);
  for (const value of graph.graph.inputs) {
    const shape = shapes.get(value.name);
    if (shape && value.type?.kind === 'tensor' && value.type.dtype && fits(value.type.shape, shape)) value.type = tensorType(value.type.dtype, shape);
  }
  const running = statistics === 'batch' ? batchStatistics(graph) : [];
  const masks = dropout ? addDropout(graph) : [];
  addLoss(graph, loss, { keep: running.map(({ output }) => output) });
  // after the loss, which may read what this leaves out: maps of attention, matrices of its own
  causalBlocks(graph);
  const keep = recompute ? blockOutputs(graph) : [];
  const used = upstream(graph.graph.outputs.find(({ name }) => name === 'loss')!);
  const stored = graph.graph.initializers;
  const weights = detachWeights(graph, { select: (name) => used.has(name) && isTrainable(name, stored.get(name)!.tensor!, select) });
  if (weights.size === 0) throw new PenjingError('E_NOTHING_TO_DO', 'no weight is to be trained', { hint: 'The choice leaves out every floating-point weight that the loss depends on; see `penjing inspect`.' });
  for (const [name, { dtype }] of weights) {
    if (dtype !== 'float32') throw new PenjingError('E_DTYPE', `${name} is ${dtype}: weights are trained in float32`, { hint: 'Convert the model with --dtype float32 first.' });
  }
  differentiate(graph, { loss: 'loss', of: [...weights.keys()], keep });
  for (const { name } of running) weights.set(name, model.graph.initializers.get(name)!.tensor!);
  const fed = new Set(masks.map(({ input }) => input));
  return { model: graph, weights, running, masks, inputs: batchInputs(graph, weights).filter((name) => !fed.has(name)) };
}

export interface EvaluationGraph {
  /** Batches and weights in, `loss` and metrics out. */
  readonly model: Model;
  readonly inputs: readonly string[];
  /** Names of the outputs of metrics. */
  readonly metrics: readonly string[];
}

/** Measures weights of these names: the loss, and scalars by name that are means over samples as well; outputs in `keep` come out as they are. */
export function evaluationGraph(model: Model, { loss, metrics, weights, keep = [] }: { readonly loss: Loss; readonly metrics: Readonly<Record<string, Loss>>; readonly weights: ReadonlyMap<string, Tensor>; readonly keep?: readonly string[] }): EvaluationGraph {
  const graph = cloneModel(model);
  const names = Object.keys(metrics).map((name) => `metric/${name}`);
  addLoss(graph, (context) => {
    for (const [name, metric] of Object.entries(metrics)) context.b.output(context.b.op('Identity', [metric(context)]), `metric/${name}`, tensorType('float32', []));
    return loss(context);
  }, { keep: [...names, ...keep] });
  detachWeights(graph, { select: (name) => weights.has(name) });
  return { model: graph, inputs: batchInputs(graph, weights), metrics: names };
}

function batchInputs({ graph }: Model, weights: ReadonlyMap<string, Tensor>): string[] {
  return graph.inputs.map(({ name }) => name).filter((name) => !weights.has(name) && !graph.initializers.has(name));
}

function fits(declared: readonly unknown[] | undefined, shape: Shape): boolean {
  return !declared || (declared.length === shape.length && declared.every((dim, i) => typeof dim !== 'number' || dim === shape[i]));
}

/** Names of the values that a value is computed from. */
function upstream(value: Value): ReadonlySet<string> {
  const seen = new Set<Value>();
  const open = [value];
  while (open.length > 0) {
    const next = open.pop()!;
    if (seen.has(next)) continue;
    seen.add(next);
    if (next.producer) open.push(...inputsOf(next.producer));
  }
  return new Set([...seen].map(({ name }) => name));
}

function inputsOf(node: Node): Value[] {
  // Stored scales and zero points are no weights: a step that suits weights would be many times a scale. `openGrids` has them computed from logarithms.
  if (node.domain === '' && (node.opType === 'QuantizeLinear' || node.opType === 'DequantizeLinear')) return node.inputs.filter((value, i): value is Value => value !== null && (i === 0 || value.producer !== undefined));
  const inner = [...node.subgraphs()].flatMap((graph) => [...allNodes(graph)]);
  return [node, ...inner].flatMap(({ inputs }) => inputs.filter((value): value is Value => value !== null));
}
