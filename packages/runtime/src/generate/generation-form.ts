/** A decoder as the generation engine runs it: caches lie in buffers that the engine owns, and a run writes into them. */
import { cloneModel, type DType, GraphBuilder, inferShapes, type Model, type Node, PenjingError, tensorType, type Value } from '@penjing/core';
import { removeDead, simplify } from '@penjing/core/rewrite';
import { endOfRun } from './end-of-run.js';
import { CACHE_STEPS, toInt8Cache } from './int8-cache.js';
import type { KeyRotation } from './key-rotation.js';
import { mergeProducts } from './merge-products.js';
import { isPaddingBias } from './padding-bias.js';

const CONTRIB = 'com.microsoft';
/** Inputs of GroupQueryAttention. */
const [BIAS, KEY_SCALE] = [10, 12];
/** The operator takes heads whose width is a multiple of this. */
const HEAD_WIDTHS = 8;
const PAST = /^past_key_values\.\d+\.(key|value)$/;

/** One layer's buffers, (batch, kvHeads, capacity, headDim): a run reads them and writes what is new into them. */
export interface LayerCache {
  /** The same buffers under two names: what comes in, and what goes out. */
  readonly key: readonly [past: string, present: string];
  readonly value: readonly [past: string, present: string];
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly dtype: DType;
  /** Of caches of bytes: which channels of the keys turn into each other. */
  readonly rotation?: KeyRotation | undefined;
}

/** How to run a model in the form, as plain data. */
export interface DecoderForm {
  readonly layers: readonly LayerCache[];
  readonly logits: { readonly dtype: DType; readonly vocabSize: number };
  /** Whether it reads `position_ids`. */
  readonly positions: boolean;
  /** What a row gives depends on the places of the others (LongRoPE chooses its frequencies by the last one): rows cannot share a run. */
  readonly alone: boolean;
  /** How many numbers `cache_steps` takes, where caches hold bytes that are worth so much (see `int8-cache.ts`). */
  readonly steps?: number;
}

export interface GenerationForm {
  readonly model: Model;
  readonly form: DecoderForm;
}

export interface FormOptions {
  /** Caches hold bytes, in a quarter of the room. */
  readonly int8Cache?: boolean;
}

/** Inputs of the form. Last places that are filled after the run, (batch), and the places of the longest row, (). */
export const LAST_PLACES = 'last_places';
export const MOST_PLACES = 'most_places';

/** Inputs of the form besides the buffers. */
const FED: ReadonlySet<string> = new Set(['input_ids', 'position_ids', 'logit_rows', LAST_PLACES, MOST_PLACES, CACHE_STEPS]);

/**
 * GroupQueryAttention writes new keys and values into the buffers that it reads when both are one, and its lengths come from outside instead of from a mask. Inputs are `input_ids` and `position_ids` (batch, seq),
 * `logit_rows` (count), the lengths and the buffers; outputs are the end of the run (see `end-of-run.ts`), `logits` (count, vocabulary) of those rows of (batch · seq), and the buffers. Several tokens at once are of one sequence:
 * the operator refuses others.
 *
 * Throws `E_UNSUPPORTED`, naming the node, for decoders that attend in another way; they can be run as they are.
 */
export async function generationForm(original: Model, { int8Cache = false }: FormOptions = {}): Promise<GenerationForm> {
  // fewer and larger operators: a step has hundreds of small ones, which take an eighth of its time on two threads
  const { model } = await simplify({ only: ['fuse-rms-norm', 'fuse-skip-norm', 'dead'], fusions: 'onnxruntime', keepDefaults: true, allowGrowth: true }).run(cloneModel(original), {});
  inferShapes(model);
  const { graph } = model;
  const attentions = [...graph.nodes()].filter(({ opType, domain }) => opType === 'GroupQueryAttention' && domain === CONTRIB);
  const pasts = graph.inputs.filter(({ name }) => PAST.test(name));
  if (attentions.length === 0 || pasts.length !== 2 * attentions.length) throw unsupported(`of ${pasts.length} caches, ${2 * attentions.length} are read by GroupQueryAttention`);
  const b = new GraphBuilder(graph);
  const positions = graph.inputs.find(({ name }) => name === 'position_ids') ?? b.input('position_ids', tensorType('int64', ['batch_size', 'sequence_length']));
  const lengths = { last: b.input(LAST_PLACES, tensorType('int32', ['batch_size'])), most: b.input(MOST_PLACES, tensorType('int32', [])) };
  const logits = keepRows(b, model);
  graph.outputs.splice(0, graph.outputs.length, ...graph.outputs.filter(({ name }) => name === 'logits'));
  endOfRun(b);
  const found: LayerCache[] = [];
  for (const node of attentions) found.push(await inBuffers(node, model, lengths));
  const { layers, ...steps } = int8Cache ? toInt8Cache(b, attentions, found) : { layers: found };
  mergeProducts(model);
  removeDead(model);
  const unused = graph.inputs.filter((input) => input.useCount === 0 && !input.tensor);
  for (const input of unused) graph.inputs.splice(graph.inputs.indexOf(input), 1);
  for (const input of graph.inputs) {
    const reader = [...input.uses()].map(({ node }) => node).find((node) => !PAST.test(input.name) || !attentions.includes(node));
    if (reader && !input.tensor && !FED.has(input.name)) throw unsupported(`${input.name} is read by ${reader.describe()}, which the lengths of buffers would mislead`);
  }
  return { model, form: { layers, logits, positions: graph.inputs.includes(positions), alone: isReduced(positions), ...steps } };
}

/** Throws `E_UNSUPPORTED` for what the form does not do. */
async function inBuffers(node: Node, model: Model, { last, most }: { readonly last: Value; readonly most: Value }): Promise<LayerCache> {
  const { graph } = model;
  const [pastKey, pastValue] = [node.input(3), node.input(4)];
  const type = pastKey?.type?.kind === 'tensor' ? pastKey.type : undefined;
  const [kvHeads, headDim] = [node.int('kv_num_heads', 0), type?.shape?.[3]];
  if (!pastKey || !pastValue || !graph.inputs.includes(pastKey) || !graph.inputs.includes(pastValue) || typeof headDim !== 'number' || !type?.dtype) throw unsupported(`${node.describe()} does not read its cache from an input of known width`);
  if (headDim % HEAD_WIDTHS !== 0 && !node.input(KEY_SCALE)) throw unsupported(`${node.describe()} has heads of ${headDim} numbers, which the operator refuses`);
  const bias = node.input(BIAS);
  if (bias && !(await isPaddingBias(model, bias))) throw unsupported(`${node.describe()} adds ${bias.name} to its scores, which is more than padding`);
  if (bias) node.setInput(BIAS, null);
  node.setInput(5, last);
  node.setInput(6, most);
  const presents = [node.output(1), node.output(2)];
  for (const value of [pastKey, pastValue, ...presents]) value.type = tensorType(type.dtype, ['batch_size', kvHeads, 'capacity', headDim]);
  graph.outputs.push(...presents);
  return { key: [pastKey.name, presents[0]!.name], value: [pastValue.name, presents[1]!.name], heads: node.int('num_heads', 0), kvHeads, headDim, dtype: type.dtype };
}

/** Scores words for the rows that `logit_rows` names alone, of (batch · seq). */
function keepRows(b: GraphBuilder, { graph }: Model): DecoderForm['logits'] {
  const logits = graph.outputs.find(({ name }) => name === 'logits');
  if (!logits) throw unsupported('there is no output logits');
  const tail = tailOf(logits);
  const head = tail.at(-1);
  if (!head || !PRODUCTS.has(head.opType)) throw unsupported('the product that ends in the logits is not found');
  const states = head.input(0)!;
  const type = states.type?.kind === 'tensor' ? states.type : undefined;
  const width = type?.shape?.at(-1);
  if (typeof width !== 'number' || type?.shape?.length !== 3) throw unsupported(`what the logits are computed of, ${states.name}, has an unknown shape`);
  const rows = b.input('logit_rows', tensorType('int64', ['count']));
  const chosen = (x: Value): Value => b.op('Gather', [b.op('Reshape', [x, b.constant('int64', [-1, width])]), rows], { axis: 0 });
  head.setInput(0, b.before(head, () => chosen(states)));
  const [dtype, vocabSize] = logits.type?.kind === 'tensor' ? [logits.type.dtype, logits.type.shape?.at(-1)] : [];
  if (typeof vocabSize !== 'number' || (dtype !== 'float32' && dtype !== 'float16')) throw unsupported(`logits are ${dtype ?? 'of an unknown type'}, for ${vocabSize ?? 'an unknown number of'} words`);
  for (const { outputs: [value] } of tail) value!.type = tensorType(value!.type?.kind === 'tensor' ? value!.type.dtype : undefined, ['count', vocabSize]);
  return { dtype, vocabSize };
}

/** Whether something is made of all numbers of a value together. */
function isReduced(value: Value): boolean {
  return [...value.uses()].some(({ node }) => node.opType.startsWith('Reduce') || (SAME_NUMBERS.has(node.opType) && node.outputs.some(isReduced)));
}
const SAME_NUMBERS = new Set(['Add', 'Cast', 'Identity', 'Mul', 'Reshape', 'Squeeze', 'Sub', 'Unsqueeze']);

/** The nodes that end in the logits, back through elementwise steps with constants alone to the product before them. */
function tailOf(logits: Value): readonly Node[] {
  const tail: Node[] = [];
  for (let node = logits.producer; node; node = node.input(0)?.producer) {
    tail.push(node);
    if (!ELEMENTWISE.has(node.opType) || !node.inputs.slice(1).every((value) => value?.tensor && value.tensor.shape.length <= 1)) break;
  }
  return tail;
}
const ELEMENTWISE = new Set(['Add', 'Cast', 'Mul', 'Div', 'Tanh', 'Identity']);
const PRODUCTS = new Set(['MatMul', 'FusedMatMul', 'MatMulNBits']);

function unsupported(why: string): PenjingError {
  return new PenjingError('E_UNSUPPORTED', `the decoder does not become the form that generation is fastest in: ${why}`, { hint: 'It is run as it is.' });
}
