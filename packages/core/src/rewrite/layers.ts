/** The residual layers of a network: where they begin and end, and the network without some of them. */
import { type Block, blocks } from '../graph/blocks.js';
import type { Model } from '../graph/model.js';
import type { Value } from '../graph/value.js';
import { removeDead } from './dead.js';

/** Consecutive blocks between two activations of the same shape. */
export interface Layer {
  /** Names of the activations. */
  readonly input: string;
  readonly output: string;
  readonly blocks: readonly Block[];
}

/** Attention in any form: a fused operator, or a softmax. */
const ATTENTION: ReadonlySet<string> = new Set(['Softmax', 'Attention', 'MultiHeadAttention', 'GroupQueryAttention']);

/**
 * In order: each an attention with the feed-forward part behind it, or a residual block where nothing attends. Shapes must be known: `inferShapes` first. What stands in subgraphs is
 * part of the layer that its node is in.
 */
export function residualLayers(model: Model): Layer[] {
  const parts = blocks(model).flatMap((block) => {
    const before = block.inputs.filter((value) => value.producer && rows(value) !== undefined);
    const [output, ...others] = block.activations;
    if (!output || others.length > 0 || model.graph.outputs.includes(output)) return [];
    const input = before.find((value) => rows(value) === rows(output) && block.nodes.some((node) => node.opType === 'Add' && node.inputs.includes(value)));
    return input ? [{ input: input.name, output: output.name, blocks: [block] }] : [];
  });
  const attends = ({ blocks: [block] }: Layer): boolean => block!.nodes.some(({ opType }) => ATTENTION.has(opType));
  if (!parts.some(attends)) return parts;
  const layers: Layer[] = [];
  for (const part of parts) {
    const last = layers.at(-1);
    if (attends(part) || !last || last.output !== part.input) layers.push(part);
    else layers[layers.length - 1] = { input: last.input, output: part.output, blocks: [...last.blocks, ...part.blocks] };
  }
  return layers.filter(({ blocks: all }) => all.some((block) => block.nodes.some(({ opType }) => ATTENTION.has(opType))));
}

/** The shape as text, for floats of three dimensions or more. */
function rows({ tensor, type }: Value): string | undefined {
  const shape = tensor ? tensor.shape : type?.kind === 'tensor' ? (type.shape ?? []) : [];
  return shape.length >= 3 ? shape.map(String).join() : undefined;
}

/** Matrices of a layer, and larger weights. */
export function layerWeights({ blocks: all }: Layer): Value[] {
  return [...new Set(all.flatMap((block) => block.weights))].filter(({ tensor }) => (tensor?.shape.length ?? 0) >= 2 && tensor?.dtype !== 'int64');
}

/** Takes layers out, in place: what comes in goes out. Their caches go, and those of the others are numbered from 0. */
export function removeLayers(model: Model, layers: readonly Layer[], indices: readonly number[]): void {
  const { graph } = model;
  // the last one first: what a layer before it gave is then still its input
  for (const index of [...new Set(indices)].sort((i, j) => j - i)) {
    const { input, output, blocks: all } = layers[index]!;
    const values = new Map([...graph.nodes()].flatMap((node) => node.outputs.map((value) => [value.name, value] as const)));
    graph.replaceValue(values.get(output)!, values.get(input)!);
    const made = new Set(all.flatMap((block) => block.nodes.flatMap((node) => [...node.outputs])));
    graph.outputs.splice(0, Infinity, ...graph.outputs.filter((value) => !made.has(value)));
  }
  removeDead(model);
  renumberCaches(model);
  model.origin = undefined;
}

const PORT = /^(past|present)(.*?)\.(\d+)\.(.*)$/;

/** Inputs that nothing reads any more go, and the rest are numbered from 0. */
function renumberCaches({ graph }: Model): void {
  graph.inputs.splice(0, Infinity, ...graph.inputs.filter((value) => value.useCount > 0 || !PORT.test(value.name)));
  const numbers = new Map<string, number>();
  for (const value of [...graph.inputs, ...graph.outputs]) {
    const number = PORT.exec(value.name)?.[3];
    if (number !== undefined && !numbers.has(number)) numbers.set(number, numbers.size);
  }
  const renamed = [...graph.inputs, ...graph.outputs].flatMap((value) => {
    const match = PORT.exec(value.name);
    return match ? [{ value, name: `${match[1]}${match[2]}.${numbers.get(match[3]!)}.${match[4]}` }] : [];
  });
  for (const { value, name } of renamed) value.name = name;
}
