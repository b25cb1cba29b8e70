/** Scales of rounded activations, to be trained beside weights on grids, and int32 biases, which are counted in them. */
import { DenseTensor, denseOf, elementCount, type Graph, type Names, Node, sameShape, type Tensor, toDense, Value } from '@penjing/core';
import type { QuantizedWeight } from './quantized-weights.js';

/** Scales that move together: those of both ends of nodes that only move numbers are one grid, and stay one. */
export interface ActivationScale {
  /** Initializers, float32 of one element and of one value. */
  readonly scales: readonly Value[];
  readonly before: number;
}

/** A bias of int32: codes · (scale of the input · scales of the weight). */
export interface CountedBias {
  readonly node: Node;
  readonly codes: Value;
  readonly scales: Value;
  readonly input: Value;
  readonly weight: QuantizedWeight;
}

export interface Activations {
  readonly scales: readonly ActivationScale[];
  readonly biases: readonly CountedBias[];
}

const isQuantize = (node: Node | undefined): node is Node => node?.domain === '' && node.opType === 'QuantizeLinear';
const isDequantize = (node: Node | undefined): node is Node => node?.domain === '' && node.opType === 'DequantizeLinear';

/** What an activation is rounded to: the scale behind a value that comes through QuantizeLinear and DequantizeLinear. */
const scaleBehind = (value: Value | undefined | null): Value | undefined => (value && isDequantize(value.producer) && value.producer.input(0)?.tensor === undefined ? value.producer.input(1) : undefined);

/**
 * Undefined when some bias is counted in units that cannot be found again, or something else reads a scale: then all scales have to stay as they are. Only of the main graph, with scales that are constants.
 */
export async function activationScales(graph: Graph, weights: readonly QuantizedWeight[]): Promise<Activations | undefined> {
  const found = new Map<Value, number>();
  for (const node of graph.nodes()) {
    if (!isQuantize(node) || node.input(0)?.tensor) continue;
    const scale = node.input(1);
    if (!scale?.tensor || scale.tensor.dtype !== 'float32' || elementCount(scale.tensor.shape) !== 1 || node.int('block_size', 0) !== 0) return undefined;
    for (const { node: reader } of scale.uses()) if (reader.graph !== graph || !(isQuantize(reader) || isDequantize(reader)) || reader.input(0)?.tensor) return undefined;
    found.set(scale, (await floatsOf(scale.tensor))[0]!);
  }
  const biases: CountedBias[] = [];
  for (const node of graph.nodes()) {
    if (!isDequantize(node) || node.input(0)?.tensor?.dtype !== 'int32') continue;
    const bias = biasOf(node, weights);
    if (!bias || !found.has(bias.input) || !(await isCounted(bias, found.get(bias.input)!))) return undefined;
    biases.push(bias);
  }
  const groups = tied(graph, found);
  for (const scale of found.keys()) {
    // a pair whose ends have scales of their own, or a scale that is nobody's
    if (scale.uses().some(({ node }) => isQuantize(node) && node.output().uses().some(({ node: reader }) => isDequantize(reader) && groups.get(reader.input(1)!) !== groups.get(scale)))) return undefined;
  }
  const members = (group: Value): Value[] => [...found.keys()].filter((scale) => groups.get(scale) === group);
  return { biases, scales: [...new Set(groups.values())].map((group) => ({ scales: members(group), before: found.get(group)! })) };
}

function biasOf(node: Node, weights: readonly QuantizedWeight[]): CountedBias | undefined {
  const [codes, scales] = [node.input(0)!, node.input(1)];
  const [use, ...others] = node.output().uses();
  if (!use || others.length > 0 || !scales?.tensor || [codes, scales].some((value) => value.useCount > 1)) return undefined;
  const beside = use.node.inputs.filter((value) => value !== node.output());
  // an Add behind the product, or the product itself
  const product = use.node.opType === 'Add' ? beside[0]?.producer : use.node;
  const input = product?.inputs.map(scaleBehind).find((scale) => scale !== undefined);
  const weight = weights.find(({ sites }) => sites.some((site) => product?.inputs.includes(site.output())));
  return input && weight && weight.form.layout === 'linear' ? { node, codes, scales, input, weight } : undefined;
}

async function isCounted({ scales, codes, weight }: CountedBias, input: number): Promise<boolean> {
  const [units, steps] = [await floatsOf(scales.tensor!), await floatsOf(weight.scales.tensor!)];
  if (units.length !== steps.length || (units.length > 1 && codes.tensor!.shape.at(-1) !== units.length)) return false;
  return units.every((unit, i) => Math.abs(unit - input * steps[i]!) <= 1e-4 * unit);
}

/** Groups of scales of one value around nodes that pass numbers on. */
function tied(graph: Graph, found: ReadonlyMap<Value, number>): ReadonlyMap<Value, Value> {
  const groups = new Map([...found.keys()].map((scale) => [scale, scale]));
  const join = (a: Value, b: Value): void => {
    const [from, to] = [groups.get(a), groups.get(b)];
    if (from && to && from !== to && found.get(a) === found.get(b)) for (const [scale, group] of groups) if (group === from) groups.set(scale, to);
  };
  for (const node of graph.nodes()) {
    const behind = node.outputs.flatMap((output) => output.uses()).map(({ node: reader }) => (isQuantize(reader) ? reader.input(1) : undefined));
    for (const before of node.inputs.map(scaleBehind)) for (const after of behind) if (before && after) join(before, after);
  }
  return groups;
}

async function floatsOf(tensor: Tensor): Promise<Float32Array> {
  return (await toDense(tensor)).data as Float32Array;
}

/** Scales as scale · e^r with an r that is trained, 0 to begin with; biases as floats. Gives the names of both. */
export async function openActivations(graph: Graph, { scales, biases }: Activations, names: Names): Promise<{ readonly logs: readonly string[]; readonly biasNames: readonly string[] }> {
  const biasNames: string[] = [];
  for (const { node, codes, scales: units } of biases) {
    const [numbers, unit] = [(await toDense(codes.tensor!)).data as Int32Array, await floatsOf(units.tensor!)];
    const name = names.claim(codes.name.replace(/_codes$/, ''));
    graph.replaceValue(node.output(), graph.addInitializer(name, denseOf('float32', codes.tensor!.shape, [...numbers].map((code, i) => code * unit[i % unit.length]!))));
    graph.remove(node);
    biasNames.push(name);
  }
  const logs = scales.map(({ scales: tiedScales, before }) => {
    const [first] = tiedScales as [Value, ...Value[]];
    const log = names.claim(`${first.name}_log`);
    const value = (suffix: string): Value => new Value(names.claim(`${first.name}_${suffix}`));
    const nodes = [
      new Node('Exp', [graph.addInitializer(log, denseOf('float32', [1], [0]))], [value('factor')]),
      new Node('Mul', [], [value('trained')]),
      new Node('Squeeze', [], [value('scalar')]),
    ] as const;
    nodes[1].setInput(0, nodes[0].output());
    nodes[1].setInput(1, graph.addInitializer(names.claim(`${first.name}_before`), denseOf('float32', [], [before])));
    nodes[2].setInput(0, nodes[1].output());
    const begin = graph.nodes().next().value as Node;
    for (const node of nodes) graph.insertBefore(begin, node);
    for (const scale of tiedScales) scale.replaceUsesWith(nodes[2].output());
    return log;
  });
  return { logs, biasNames };
}

/** Largest code of a bias; a little below 2³¹, which float32 could round up to. */
const LARGEST_BIAS = 2 ** 31 - 1024;

/** The initializers of the quantized model, by name, with what was trained; `stored` holds the new scales of weights already. */
export async function closeActivations({ scales, biases }: Activations, opened: { readonly logs: readonly string[]; readonly biasNames: readonly string[] }, trained: ReadonlyMap<string, Value>, stored: ReadonlyMap<string, Value>): Promise<void> {
  for (const [i, { scales: tiedScales, before }] of scales.entries()) {
    const log = trained.get(opened.logs[i]!)?.tensor;
    const now = Math.fround(before * Math.exp(log ? (await floatsOf(log))[0]! : 0));
    for (const { name } of tiedScales) {
      const value = stored.get(name)!;
      value.tensor = denseOf('float32', value.tensor!.shape, [now]);
    }
  }
  for (const [i, { codes, scales: units, input, weight }] of biases.entries()) {
    const numbers = trained.get(opened.biasNames[i]!)?.tensor;
    const [codesNow, unitsNow] = [stored.get(codes.name)!, stored.get(units.name)!];
    if (!numbers || !sameShape(numbers.shape, codesNow.tensor!.shape)) continue;
    const [step] = await floatsOf(stored.get(input.name)!.tensor!);
    const unit = (await floatsOf(stored.get(weight.scales.name)!.tensor!)).map((scale) => scale * step!);
    const rounded = Int32Array.from(await floatsOf(numbers), (x, k) => Math.max(-LARGEST_BIAS, Math.min(LARGEST_BIAS, Math.round(x / unit[k % unit.length]!))) || 0);
    unitsNow.tensor = denseOf('float32', unitsNow.tensor!.shape, [...unit]);
    codesNow.tensor = DenseTensor.of('int32', codesNow.tensor!.shape, rounded);
  }
}
