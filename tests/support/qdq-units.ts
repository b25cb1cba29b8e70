/** The computations of a quantized model one by one: what lies between codes and the next codes, as models of their own. */
import { type Model, type Node, type Value, inferShapes } from '@penjing/core';
import { extractModel } from '@penjing/core/calibrate';

export interface QdqUnit {
  /** Name of the value it computes. */
  readonly output: string;
  /** Names of the codes (or numbers) it reads. */
  readonly inputs: readonly string[];
  /** The operators between, without those that quantize; empty for what only quantizes an input. */
  readonly operators: readonly string[];
  readonly model: Model;
}

const QUANTIZING: ReadonlySet<string> = new Set(['QuantizeLinear', 'DequantizeLinear']);

/** In execution order: a unit may read what earlier ones compute, and the inputs of the model. The model gets shapes. */
export function qdqUnits(model: Model): QdqUnit[] {
  inferShapes(model);
  const { graph } = model;
  const nodes = [...graph.nodes()];
  const codes = nodes.filter((node) => node.opType === 'QuantizeLinear' && !node.input(0)!.tensor).map((node) => node.output());
  const stops = new Set<Value>([...graph.inputs, ...codes]);
  const ends = [...new Set([...codes, ...graph.outputs])];
  const order = new Map(nodes.map((node, i) => [node, i]));
  return ends.sort((a, b) => order.get(a.producer!)! - order.get(b.producer!)!).map((end) => {
    const between = new Set<Node>();
    const inputs = new Set<Value>();
    const walk = (node: Node): void => {
      if (between.has(node)) return;
      between.add(node);
      for (const value of node.inputs) {
        if (!value || value.tensor) continue;
        if (stops.has(value)) inputs.add(value);
        else if (value.producer) walk(value.producer);
      }
    };
    walk(end.producer!);
    const names = [...inputs].map(({ name }) => name);
    const operators = [...between].filter((node) => !QUANTIZING.has(node.opType)).sort((a, b) => order.get(a)! - order.get(b)!).map(({ opType }) => opType);
    const unit = extractModel(model, names, [end.name]);
    // These shapes are inferred, so TensorFlow Lite may have them fixed.
    for (const value of unit.graph.inputs) value.type = [...inputs].find(({ name }) => name === value.name)?.type;
    return { output: end.name, inputs: names, operators, model: unit };
  });
}
