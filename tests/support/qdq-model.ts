/** Quantizes a small float model as static quantizers do: QuantizeLinear and DequantizeLinear around every computation, scales from one run. */
import { attribute, cloneModel, DenseTensor, denseOf, type Feeds, inferShapes, type Model, Node, toDense, type Value, Value as GraphValue } from '@penjing/core';
import { testEngine } from './ort-session.js';

export interface QdqOptions {
  /** Type of the activations. */
  readonly activations: 'uint8' | 'int8';
  readonly perChannel: boolean;
}

const weighted = new Set(['Conv', 'ConvTranspose', 'Gemm', 'MatMul']);
const quantized = new Set([...weighted, 'Add', 'Mul', 'Relu', 'Clip', 'MaxPool', 'GlobalAveragePool', 'AveragePool', 'Concat', 'Flatten', 'Reshape', 'Sigmoid', 'Softmax', 'HardSwish', 'ReduceMean', 'Transpose', 'Resize']);

export async function quantizeModel(original: Model, feeds: Feeds, { activations, perChannel }: QdqOptions): Promise<Model> {
  const ranges = await rangesOf(original, feeds);
  const model = cloneModel(original);
  const { graph } = model;
  const done = new Map<Value, Value>();
  const constant = (name: string, tensor: DenseTensor): Value => graph.addInitializer(name, tensor);

  const dequantize = (codes: Value, scale: Value, zero: Value, before: Node, axis: number, name: string): Value => {
    const output = new GraphValue(`${name}/dq`);
    graph.insertBefore(before, new Node('DequantizeLinear', [codes, scale, zero], [output], { attributes: [['axis', attribute.int(axis)]] }));
    return output;
  };
  const activation = (value: Value, before: Node): Value => {
    const known = done.get(value);
    if (known) return known;
    const [low, high] = ranges.get(value.name)!;
    const scale = Math.fround((high - low || 1) / 255);
    const zero = Math.round(-low / scale) - (activations === 'int8' ? 128 : 0);
    const [s, z] = [constant(`${value.name}/scale`, denseOf('float32', [], [scale])), constant(`${value.name}/zero`, denseOf(activations, [], [zero]))];
    const codes = new GraphValue(`${value.name}/q`);
    graph.insertBefore(before, new Node('QuantizeLinear', [value, s, z], [codes]));
    const output = dequantize(codes, s, z, before, 1, value.name);
    done.set(value, output);
    return output;
  };
  const scales = new Map<Value, Float32Array>();
  const weight = (value: Value, before: Node, axis: number): Value => {
    const known = done.get(value);
    if (known) return known;
    const tensor = value.tensor as DenseTensor;
    const data = tensor.data as Float32Array;
    const inner = tensor.shape.slice(axis + 1).reduce((a, b) => a * b, 1);
    const count = perChannel ? tensor.shape[axis]! : 1;
    const channel = (i: number): number => (perChannel ? Math.floor(i / inner) % count : 0);
    const scale = new Float32Array(count);
    data.forEach((x, i) => (scale[channel(i)] = Math.max(scale[channel(i)]!, Math.abs(x) / 127)));
    const codes = Int8Array.from(data, (x, i) => Math.round(x / scale[channel(i)]!));
    const shape = perChannel ? [count] : [];
    const parts = [DenseTensor.of('int8', tensor.shape, codes), DenseTensor.of('float32', shape, scale), denseOf('int8', shape, Array<number>(count).fill(0))] as const;
    const [w, s, z] = [constant(`${value.name}/codes`, parts[0]), constant(`${value.name}/scale`, parts[1]), constant(`${value.name}/zero`, parts[2])];
    scales.set(value, scale);
    done.set(value, dequantize(w, s, z, before, axis, value.name));
    return done.get(value)!;
  };

  const nodes = [...graph.nodes()];
  for (const node of nodes) {
    if (!quantized.has(node.opType)) continue;
    const x = node.input(0)!;
    // what computes shapes has no range
    if (!x.tensor && !ranges.has(x.name)) continue;
    const fused = (node.opType === 'Relu' || node.opType === 'Clip') && ['Conv', 'Gemm', 'Add'].includes(x.producer?.opType ?? '');
    if (fused) continue;
    const constantWeight = weighted.has(node.opType) ? node.input(1)!.tensor : undefined;
    const axis = node.opType === 'Conv' ? 0 : node.opType === 'Gemm' && node.int('transB', 0) === 1 ? 0 : 1;
    const [weightValue, biasValue] = [node.input(1), node.input(2)];
    const indices = constantWeight || !['Add', 'Mul', 'Concat', 'MatMul'].includes(node.opType) ? [0] : node.inputs.map((_, i) => i);
    for (const i of indices) if (!node.input(i)!.tensor) node.setInput(i, activation(node.input(i)!, node));
    if (!constantWeight || !weightValue) continue;
    node.setInput(1, weight(weightValue, node, axis));
    if (!biasValue?.tensor) continue;
    const [low, high] = ranges.get(x.name)!;
    const input = Math.fround((high - low || 1) / 255);
    const steps = Float32Array.from(scales.get(weightValue)!, (scale) => Math.fround(scale * input));
    const numbers = (biasValue.tensor as DenseTensor).data as Float32Array;
    const codes = Int32Array.from(numbers, (value, i) => Math.round(value / steps[steps.length === 1 ? 0 : i]!));
    const shape = steps.length === 1 ? [] : [steps.length];
    const parts = [DenseTensor.of('int32', [codes.length], codes), DenseTensor.of('float32', shape, steps), denseOf('int32', shape, Array<number>(steps.length).fill(0))] as const;
    const [b, s, z] = parts.map((part, i) => constant(`${biasValue.name}/bias${i}`, part)) as [Value, Value, Value];
    node.setInput(2, dequantize(b, s, z, node, 0, biasValue.name));
  }
  // Outputs lie on grids too, under their old names.
  for (const [i, output] of [...graph.outputs].entries()) {
    const name = output.name;
    const made = output.producer!;
    const value = new GraphValue(`${name}/raw`);
    const marker = new Node('Identity', [], [new GraphValue('unused')]);
    graph.insertAfter(made, marker);
    made.replaceOutput(made.outputs.indexOf(output), value);
    ranges.set(value.name, ranges.get(name)!);
    const rounded = activation(value, marker);
    // Nodes that read it too read what it is rounded to.
    output.replaceUsesWith(rounded);
    graph.remove(marker);
    rounded.name = name;
    graph.outputs[i] = rounded;
    rounded.type = output.type;
  }
  return model;
}

/** Smallest and largest number of every value, 0 included. */
async function rangesOf(original: Model, feeds: Feeds): Promise<Map<string, [number, number]>> {
  const model = cloneModel(original);
  const { graph } = model;
  inferShapes(model);
  for (const node of graph.nodes()) for (const value of node.outputs) if (!graph.outputs.includes(value) && value.type?.kind === 'tensor' && value.type.dtype === 'float32') graph.outputs.push(value);
  await using executor = await testEngine().load(model);
  const ranges = new Map<string, [number, number]>();
  const add = (name: string, data: Float32Array): void => void (ranges.has(name) || ranges.set(name, [data.reduce((a, b) => Math.min(a, b), 0), data.reduce((a, b) => Math.max(a, b), 0)]));
  // These are known without a run.
  for (const node of graph.nodes()) if (node.opType === 'Softmax' || node.opType === 'Sigmoid') ranges.set(node.output().name, [0, 1]);
  for (const [name, value] of Object.entries(await executor.run(feeds))) add(name, (await toDense(value)).data as Float32Array);
  for (const [name, value] of Object.entries(feeds)) if (value.dtype === 'float32') add(name, (await toDense(value)).data as Float32Array);
  return ranges;
}
