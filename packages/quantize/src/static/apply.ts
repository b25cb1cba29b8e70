/** Writes a plan into the graph: pairs of QuantizeLinear and DequantizeLinear, and weights and biases as integers. */
import { attribute, bytesOf, denseOf, DenseTensor, type Graph, type Names, Node, type Tensor, Value, type WeightRecord } from '@penjing/core';
import { type Grid, gridOf } from './grid.js';
import type { IntegerNode, StaticPlan } from './plan.js';
import type { ProductRule } from './rule.js';
import type { WeightJobInput, WeightJobOutput } from './weight-job.js';

export interface ApplyContext {
  readonly graph: Graph;
  readonly names: Names;
  readonly grids: ReadonlyMap<Value, Grid>;
  /** Of activations. */
  readonly dtype: Grid['dtype'];
  readonly perChannel: boolean;
  /** Codes of weights go from minus this to this. */
  readonly highest: number;
  readonly round: (input: WeightJobInput) => Promise<WeightJobOutput>;
  readonly method: string;
}

export interface Applied {
  readonly records: WeightRecord[];
  /** Weights that may no longer be read. */
  readonly replaced: ReadonlySet<Value>;
}

/** Largest code of a bias; a little below 2³¹, which float32 could round up to. */
const LARGEST_BIAS = 2 ** 31 - 1024;

export async function applyPlan(plan: StaticPlan, context: ApplyContext): Promise<Applied> {
  const writer = new Writer(context);
  for (const found of plan.nodes) {
    if (found.rule.kind === 'product') await writer.product(found, found.rule);
    else await writer.constants(found);
  }
  for (const found of plan.nodes) writer.result(found);
  for (const found of plan.nodes) writer.reads(found);
  return { records: writer.records, replaced: writer.replaced };
}

class Writer {
  readonly records: WeightRecord[] = [];
  readonly replaced = new Set<Value>();
  readonly #context: ApplyContext;
  /** Dequantized weights by what they were rounded from and how. */
  readonly #weights = new Map<string, { value: Value; scales: Float32Array }>();
  /** Values that came through a pair, by what they were before. */
  readonly #quantized = new Map<Value, Value>();

  constructor(context: ApplyContext) {
    this.#context = context;
  }

  /** The weight and the bias of a product. */
  async product({ node, inputs, biasAdd }: IntegerNode, rule: ProductRule): Promise<void> {
    const { grids, perChannel } = this.#context;
    const weight = node.input(rule.weight)!;
    const inputScale = grids.get(inputs[0]!)!.scale;
    const axis = perChannel ? rule.axis(node) : undefined;
    const biasPlace = biasAdd ? biasAdd.inputs.findIndex((value) => value?.tensor !== undefined) : rule.bias;
    const biasNode = biasAdd ?? node;
    const bias = biasPlace === undefined ? undefined : biasNode.input(biasPlace);
    const numbers = bias && (await floatsOf(bias.tensor!));
    const { value, scales } = await this.#weight(weight, axis, rule.axis(node) === undefined, numbers, inputScale, node);
    node.setInput(rule.weight, value);
    if (bias && numbers) biasNode.setInput(biasPlace!, this.#bias(bias, numbers, scales, inputScale, biasNode));
  }

  /** Constants beside activations lie on grids too, of their own range. */
  async constants({ node, rule }: IntegerNode): Promise<void> {
    if (rule.activations) return;
    for (const [i, value] of node.inputs.entries()) {
      if (!value?.tensor || value.producer) continue;
      const { shape } = value.tensor;
      const data = await floatsOf(value.tensor);
      const grid = gridOf({ min: Math.min(0, ...data), max: Math.max(0, ...data) }, this.#context.dtype);
      const lowest = grid.dtype === 'uint8' ? 0 : -128;
      const codes = [...data].map((x) => Math.max(lowest, Math.min(lowest + 255, Math.round(x / grid.scale) + grid.zeroPoint)));
      node.setInput(i, this.#dequantize(denseOf(grid.dtype, shape, codes), value.name, [grid.scale], grid.dtype, grid.zeroPoint, undefined, node));
      this.replaced.add(value);
    }
  }

  /** The pair behind a node whose result lies on a grid; everyone reads what comes out of it. */
  result({ node, biasAdd, activation, outputs }: IntegerNode): void {
    const { grids, graph, names } = this.#context;
    const last = biasAdd ?? node;
    for (const output of outputs) {
      const grid = grids.get(output);
      if (!grid) continue;
      const place = activation ? 0 : last.outputs.indexOf(output);
      if (activation) {
        activation.replaceOutput(0, new Value(''));
        graph.remove(activation);
      }
      const raw = new Value(names.claim(`${output.name}_unrounded`), output.type);
      last.replaceOutput(place, raw);
      this.#pair(raw, output, grid, last, 'after');
      this.#quantized.set(output, output);
    }
  }

  /** Values of the float part of the graph go through a pair before integers are read from them; others read them as they are. */
  reads({ node, inputs }: IntegerNode): void {
    const { grids, names } = this.#context;
    for (const input of inputs) {
      let quantized = this.#quantized.get(input);
      if (!quantized) {
        quantized = new Value(names.claim(`${input.name}_rounded`), input.type);
        this.#pair(input, quantized, grids.get(input)!, input.producer ?? firstNode(this.#context.graph), input.producer ? 'after' : 'before');
        this.#quantized.set(input, quantized);
      }
      if (quantized !== input) node.inputs.forEach((value, i) => value === input && node.setInput(i, quantized));
    }
  }

  #pair(from: Value, to: Value, { scale, zeroPoint, dtype }: Grid, anchor: Node, where: 'before' | 'after'): void {
    const { graph, names } = this.#context;
    const parameters = [
      graph.addInitializer(names.claim(`${to.name}_scale`), denseOf('float32', [], [scale])),
      graph.addInitializer(names.claim(`${to.name}_zero_point`), denseOf(dtype, [], [zeroPoint])),
    ];
    const shape = from.type?.kind === 'tensor' ? from.type.shape : undefined;
    const codes = new Value(names.claim(`${to.name}_codes`), { kind: 'tensor', dtype, ...(shape && { shape }) });
    const quantize = new Node('QuantizeLinear', [from, ...parameters], [codes], { name: names.claim(`${to.name}/quantize`) });
    const dequantize = new Node('DequantizeLinear', [codes, ...parameters], [to], { name: names.claim(`${to.name}/dequantize`) });
    if (where === 'before') graph.insertBefore(anchor, quantize);
    else graph.insertAfter(anchor, quantize);
    graph.insertAfter(quantize, dequantize);
  }

  async #weight(weight: Value, axis: number | undefined, whole: boolean, bias: Float32Array | undefined, inputScale: number, node: Node): Promise<{ value: Value; scales: Float32Array }> {
    const { highest, round, method } = this.#context;
    const tensor = weight.tensor!;
    const key = `${weight.name} ${axis}`;
    const known = this.#weights.get(key);
    if (known && !overflows(bias, known.scales, inputScale)) return known;
    const weights = await floatsOf(tensor);
    let rounded = await round({ weights: weights.slice(), shape: tensor.shape, axis, highest });
    const raised = overflows(bias, rounded.scales, inputScale);
    if (raised) rounded = await round({ weights, shape: tensor.shape, axis, highest, leastScales: leastScales(bias!, rounded.scales.length, inputScale) });
    const { codes, scales, stats } = rounded;
    const value = this.#dequantize(new DenseTensor('int8', tensor.shape, bytesOf(codes)), weight.name, scales, 'int8', 0, axis, node);
    const made = { value, scales };
    if (!raised) this.#weights.set(key, made);
    this.replaced.add(weight);
    const elements = codes.length;
    this.records.push({
      name: weight.name,
      method: `${method}, ${axis === undefined ? 'per tensor' : 'per channel'}`,
      elements,
      bytesBefore: tensor.byteLength,
      bytesAfter: elements + scales.length * 5,
      objective: stats.sumSquaredError / 2,
      snrDb: stats.sumSquaredError === 0 ? Infinity : 10 * Math.log10(stats.sumSquares / stats.sumSquaredError),
      maxError: stats.maxError,
      ...notes([[stats.nonFinite > 0, `${stats.nonFinite} values were not finite`], [raised, 'scales raised so that its bias fits into int32'], [whole && this.#context.perChannel, 'it has no one axis of channels']]),
    });
    return made;
  }

  /** Sums of products are in units of input scale times weight scale, and so is what is added to them. */
  #bias(bias: Value, numbers: Float32Array, scales: Float32Array, inputScale: number, node: Node): Value {
    const shape = bias.tensor!.shape;
    const units = Float32Array.from(scales, (scale) => Math.fround(scale * inputScale));
    const codes = [...numbers].map((x, i) => Math.round(Math.max(-LARGEST_BIAS, Math.min(LARGEST_BIAS, x / units[i % units.length]!)) || 0));
    const perChannel = units.length > 1;
    this.replaced.add(bias);
    return this.#dequantize(denseOf('int32', shape, codes), bias.name, units, 'int32', 0, perChannel ? shape.length - 1 : undefined, node);
  }

  #dequantize(codes: Tensor, name: string, scales: ArrayLike<number>, dtype: 'int8' | 'uint8' | 'int32', zeroPoint: number, axis: number | undefined, before: Node): Value {
    const { graph, names } = this.#context;
    const shape = axis === undefined ? [] : [scales.length];
    const inputs = [
      graph.addInitializer(names.claim(`${name}_codes`), codes),
      graph.addInitializer(names.claim(`${name}_scale`), denseOf('float32', shape, Array.from(scales))),
      graph.addInitializer(names.claim(`${name}_zero_point`), denseOf(dtype, shape, Array.from(scales, () => zeroPoint))),
    ];
    const value = new Value(names.claim(`${name}_dequantized`), { kind: 'tensor', dtype: 'float32', shape: codes.shape });
    // Before everything: a weight may be read by several nodes.
    graph.insertBefore(dtype === 'int8' ? firstNode(graph) : before, new Node('DequantizeLinear', inputs, [value], {
      name: names.claim(`${name}/dequantize`),
      ...(axis !== undefined && { attributes: [['axis', attribute.int(axis)]] as const }),
    }));
    return value;
  }
}

function firstNode(graph: Graph): Node {
  return graph.nodes().next().value as Node;
}

async function floatsOf(tensor: Tensor): Promise<Float32Array> {
  // A copy: the bytes of a tensor may not be aligned.
  return new Float32Array(new Uint8Array(await tensor.load()).buffer);
}

function overflows(bias: Float32Array | undefined, scales: Float32Array, inputScale: number): boolean {
  return bias?.some((x, i) => Math.abs(x) > LARGEST_BIAS * scales[i % scales.length]! * inputScale) ?? false;
}

/** Scales below which a bias would not fit into int32. */
function leastScales(bias: Float32Array, channels: number, inputScale: number): Float32Array {
  const least = new Float32Array(channels);
  bias.forEach((x, i) => (least[i % channels] = Math.max(least[i % channels]!, Math.abs(x) / (inputScale * LARGEST_BIAS))));
  return least;
}

function notes(list: readonly (readonly [boolean, string])[]): { note?: string } {
  const said = list.filter(([holds]) => holds).map(([, text]) => text);
  return said.length > 0 ? { note: said.join('; ') } : {};
}
