/** A decoder as the generation engine runs it: caches lie in buffers that the engine owns, and only what is new comes out. */
import { attribute, cloneModel, type DType, dtypes, GraphBuilder, inferShapes, type Model, type Node, PenjingError, tensorType, type Value } from '@penjing/core';
import { removeDead, simplify } from '@penjing/core/rewrite';
import { isPaddingBias } from './padding-bias.js';

const CONTRIB = { domain: 'com.microsoft' };
const PAST = /^past_key_values\.\d+\.(key|value)$/;

/** One layer's buffers, (batch, kvHeads, capacity, headDim), and what it adds to them, (batch, kvHeads, seq, headDim). */
export interface LayerCache {
  readonly pastKey: string;
  readonly pastValue: string;
  readonly newKey: string;
  readonly newValue: string;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly dtype: DType;
}

/**
 * Inputs that say what is seen, as numbers that are added to scores (0 or very low). Rows are the new tokens in order, each `group` times: the queries that share a key.
 * `past` is (batch, 1, 1, capacity) where every new token sees the same places, (batch, 1, seq · group, capacity) otherwise; `fresh` is (batch, 1, seq · group, seq).
 */
export interface SightInputs {
  readonly past: string;
  readonly fresh: string;
  readonly group: number;
  /** Places before its own, with its own, that a token sees; all when absent. */
  readonly window: number | undefined;
  readonly dtype: DType;
}

/** How to run a model in the form, as plain data. */
export interface DecoderForm {
  readonly layers: readonly LayerCache[];
  readonly sight: readonly SightInputs[];
  /** Whether it reads `position_ids`. */
  readonly positions: boolean;
  /** What a row gives depends on the places of the others (LongRoPE chooses its frequencies by the last one): rows cannot share a run. */
  readonly alone: boolean;
}

export interface GenerationForm {
  readonly model: Model;
  readonly form: DecoderForm;
}

/**
 * Each GroupQueryAttention becomes attention in two parts, past and new, under one softmax: the operator copies its whole cache in every step, even where nobody asks for it. Inputs of the form are
 * `input_ids` and `position_ids` (batch, seq), `logit_rows` (count), the sight and the buffers; outputs are `logits` (count, vocabulary) of those rows of (batch · seq), and the new keys and values.
 *
 * Throws `E_UNSUPPORTED`, naming the node, for decoders that attend in another way; they can be run as they are.
 */
export async function generationForm(original: Model): Promise<GenerationForm> {
  // fewer and larger operators: a step has hundreds of small ones, which take an eighth of its time on two threads
  const { model } = await simplify({ only: ['fuse-rms-norm', 'fuse-skip-norm', 'dead'], fusions: 'onnxruntime', keepDefaults: true, allowGrowth: true }).run(cloneModel(original), {});
  inferShapes(model);
  const { graph } = model;
  const attentions = [...graph.nodes()].filter(({ opType, domain }) => opType === 'GroupQueryAttention' && domain === CONTRIB.domain);
  const pasts = graph.inputs.filter(({ name }) => PAST.test(name));
  if (attentions.length === 0 || pasts.length !== 2 * attentions.length) throw unsupported(`of ${pasts.length} caches, ${2 * attentions.length} are read by GroupQueryAttention`);
  graph.outputs.splice(0, graph.outputs.length, ...graph.outputs.filter(({ name }) => name === 'logits'));
  const b = new GraphBuilder(graph);
  const positions = graph.inputs.find(({ name }) => name === 'position_ids') ?? b.input('position_ids', tensorType('int64', ['batch_size', 'sequence_length']));
  const sights = new Map<string, Sight>();
  const layers: LayerCache[] = [];
  for (const [index, node] of attentions.entries()) {
    const plan = await planOf(node, model);
    const sight = sightOf(b, plan, sights);
    layers.push(b.before(node, () => b.scope(node.name || 'attention', () => inTwoParts(b, node, plan, sight, positions, index))));
  }
  inferShapes(model);
  keepRows(b, model);
  removeDead(model);
  const unknown = graph.inputs.filter((input) => input.useCount === 0 && !input.tensor);
  for (const input of unknown) graph.inputs.splice(graph.inputs.indexOf(input), 1);
  const mask = graph.inputs.find(({ name }) => name === 'attention_mask');
  if (mask) throw unsupported(`attention_mask is still read, by ${[...mask.uses()][0]?.node.describe() ?? 'an output'}`);
  return { model, form: { layers, sight: [...sights.values()].map(({ inputs }) => inputs), positions: graph.inputs.includes(positions), alone: isReduced(positions) } };
}

interface Plan {
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly scale: number;
  readonly softcap: number;
  readonly window: number | undefined;
  readonly dtype: DType;
}

interface Sight {
  readonly inputs: SightInputs;
  readonly past: Value;
  readonly fresh: Value;
  /** Numbers of past places and of new ones, (2). */
  readonly lengths: Value;
}

/** What the node computes. Throws `E_UNSUPPORTED` for what the form does not do. */
async function planOf(node: Node, model: Model): Promise<Plan> {
  const [heads, kvHeads] = [node.int('num_heads', 0), node.int('kv_num_heads', 0)];
  const past = node.input(3);
  const type = past?.type?.kind === 'tensor' ? past.type : undefined;
  const headDim = type?.shape?.[3];
  if (!past || !model.graph.inputs.includes(past) || typeof headDim !== 'number' || !type?.dtype) throw unsupported(`${node.describe()} does not read its cache from an input of known width`);
  if ([11, 12, 13, 14, 15].some((i) => node.input(i)) || node.int('smooth_softmax', 0) === 1) throw unsupported(`${node.describe()} has sinks, a quantized cache or norms`);
  const bias = node.input(10);
  if (bias && !(await isPaddingBias(model, bias))) throw unsupported(`${node.describe()} adds ${bias.name} to its scores, which is more than padding`);
  const window = node.int('local_window_size', -1);
  return { heads, kvHeads, headDim, scale: node.float('scale', 0) || 1 / Math.sqrt(headDim), softcap: node.float('softcap', 0), window: window > 0 ? window : undefined, dtype: type.dtype };
}

/** Layers that see the same share the inputs that say so. */
function sightOf(b: GraphBuilder, { heads, kvHeads, window, dtype }: Plan, known: Map<string, Sight>): Sight {
  const group = heads / kvHeads;
  const suffix = `${group}${window === undefined ? '' : `.${window}`}`;
  const found = known.get(suffix);
  if (found) return found;
  const inputs: SightInputs = { past: `sight.past.${suffix}`, fresh: `sight.new.${suffix}`, group, window, dtype };
  const past = b.input(inputs.past, tensorType(dtype, ['batch_size', 1, 'past_rows', 'capacity']));
  const fresh = b.input(inputs.fresh, tensorType(dtype, ['batch_size', 1, 'new_rows', 'sequence_length']));
  const [first] = b.graph.nodes();
  const lengths = b.before(first!, () => b.op('Concat', [past, fresh].map((value) => b.op('Shape', [value], { start: 3, end: 4 })), { axis: 0 }));
  const sight: Sight = { inputs, past, fresh, lengths };
  known.set(suffix, sight);
  return sight;
}

function inTwoParts(b: GraphBuilder, node: Node, plan: Plan, sight: Sight, positions: Value, index: number): LayerCache {
  const { heads, kvHeads, headDim, scale, softcap, dtype } = plan;
  const ints = (...values: number[]): Value => b.constant('int64', values);
  const [query, key, value] = turnedParts(b, node, plan, positions);
  const [pastKey, pastValue] = [node.input(3)!, node.input(4)!];
  for (const past of [pastKey, pastValue]) past.type = tensorType(dtype, ['batch_size', kvHeads, 'capacity', headDim]);
  // (batch, seq, kvHeads · width) → (batch, kvHeads, seq, width)
  const apart = (x: Value, width: number): Value => b.op('Transpose', [b.op('Reshape', [x, ints(0, 0, kvHeads, width)])], { perm: [0, 2, 1, 3] });
  const group = heads / kvHeads;
  // (batch, kvHeads, seq · group, headDim): the queries that share a key stand below each other
  const queries = b.op('Reshape', [apart(query, group * headDim), ints(0, 0, -1, headDim)]);
  const [newKey, newValue] = [apart(key, headDim), apart(value, headDim)];
  const scores = (keys: Value, seen: Value): Value => {
    const products = b.op('FusedMatMul', [queries, keys], { transB: 1, alpha: attribute.float(softcap > 0 ? scale / softcap : scale) }, CONTRIB);
    const capped = softcap > 0 ? b.op('Mul', [b.op('Tanh', [products]), scalar(b, softcap, dtype)]) : products;
    return b.op('Add', [capped, seen]);
  };
  const shares = b.op('Softmax', [b.op('Concat', [scores(pastKey, sight.past), scores(newKey, sight.fresh)], { axis: -1 })], { axis: -1 });
  const [ofPast, ofNew] = b.nodes('Split', [shares, sight.lengths], { axis: -1 }, { outputCount: 2 });
  const mixed = b.op('Add', [b.op('MatMul', [ofPast, pastValue]), b.op('MatMul', [ofNew, newValue])]);
  const together = b.op('Transpose', [b.op('Reshape', [mixed, ints(0, 0, -1, group * headDim)])], { perm: [0, 2, 1, 3] });
  const output = b.op('Reshape', [together, ints(0, 0, heads * headDim)]);
  const graph = node.graph!;
  graph.replaceValue(node.output(0), output);
  graph.remove(node);
  const fresh = tensorType(dtype, ['batch_size', kvHeads, 'sequence_length', headDim]);
  b.output(newKey, `new.${index}.key`, fresh);
  b.output(newValue, `new.${index}.value`, fresh);
  return { pastKey: pastKey.name, pastValue: pastValue.name, newKey: newKey.name, newValue: newValue.name, heads, kvHeads, headDim, dtype };
}

/** Queries, keys and values, (batch, seq, heads · headDim), turned by their positions where the operator would have done it. */
function turnedParts(b: GraphBuilder, node: Node, { heads, kvHeads, headDim }: Plan, positions: Value): readonly [Value, Value, Value] {
  const split = (): readonly Value[] => b.nodes('Split', [node.input(0), b.constant('int64', [heads * headDim, kvHeads * headDim, kvHeads * headDim])], { axis: -1 }, { outputCount: 3 });
  const [query, key, value] = node.input(1) ? [node.input(0)!, node.input(1)!, node.input(2)!] : split();
  if (node.int('do_rotary', 0) === 0) return [query!, key!, value!];
  const [cos, sin] = [node.input(7), node.input(8)];
  const pairs = cos?.tensor?.shape[1];
  if (!cos || !sin || pairs === undefined) throw unsupported(`${node.describe()} turns by tables that are computed`);
  const turn = (x: Value, count: number): Value => b.op('RotaryEmbedding', [x, node.input(9) ?? positions, cos, sin], {
    interleaved: node.int('rotary_interleaved', 0), ...(2 * pairs < headDim && { num_heads: count, rotary_embedding_dim: 2 * pairs }),
  }, CONTRIB);
  return [turn(query!, heads), turn(key!, kvHeads), value!];
}

/** Scores words for the rows that `logit_rows` names alone, of (batch · seq). */
function keepRows(b: GraphBuilder, { graph }: Model): void {
  const logits = graph.outputs.find(({ name }) => name === 'logits');
  if (!logits) throw unsupported('there is no output logits');
  const head = headOf(logits);
  if (!head) throw unsupported('the product that ends in the logits is not found');
  const states = head.input(0)!;
  const type = states.type?.kind === 'tensor' ? states.type : undefined;
  const width = type?.shape?.at(-1);
  if (typeof width !== 'number' || type?.shape?.length !== 3) throw unsupported(`what the logits are computed of, ${states.name}, has an unknown shape`);
  const rows = b.input('logit_rows', tensorType('int64', ['count']));
  const chosen = (x: Value): Value => b.op('Gather', [b.op('Reshape', [x, b.constant('int64', [-1, width])]), rows], { axis: 0 });
  head.setInput(0, b.before(head, () => chosen(states)));
  logits.type = tensorType(logits.type?.kind === 'tensor' ? logits.type.dtype : undefined, ['count', 'vocabulary']);
}

/** Whether something is made of all numbers of a value together. */
function isReduced(value: Value): boolean {
  return [...value.uses()].some(({ node }) => node.opType.startsWith('Reduce') || (SAME_NUMBERS.has(node.opType) && node.outputs.some(isReduced)));
}
const SAME_NUMBERS = new Set(['Add', 'Cast', 'Identity', 'Mul', 'Reshape', 'Squeeze', 'Sub', 'Unsqueeze']);

/** The product that ends in the logits, through elementwise steps with constants alone. */
function headOf(logits: Value): Node | undefined {
  let node = logits.producer;
  while (node && ELEMENTWISE.has(node.opType) && node.inputs.slice(1).every((value) => value?.tensor && value.tensor.shape.length <= 1)) node = node.input(0)?.producer;
  return node && PRODUCTS.has(node.opType) ? node : undefined;
}
const ELEMENTWISE = new Set(['Add', 'Cast', 'Mul', 'Div', 'Tanh', 'Identity']);
const PRODUCTS = new Set(['MatMul', 'FusedMatMul', 'MatMulNBits']);

function scalar(b: GraphBuilder, value: number, dtype: DType): Value {
  return dtype === 'float32' ? b.constant('float32', value) : b.op('Cast', [b.constant('float32', value)], { to: dtypes[dtype].onnx });
}

function unsupported(why: string): PenjingError {
  return new PenjingError('E_UNSUPPORTED', `the decoder does not become the form that generation is fastest in: ${why}`, { hint: 'It is run as it is.' });
}
