/** Writes the choice into the graph: float16 constants and results, and a Cast wherever a value is needed in the other type. */
import { attribute, type DType, dtypes, type Graph, lazy, type Model, modelGraphs, Names, Node, type Tensor, Value, type ValueType } from '@penjing/core';
import { removeUnusedWeights } from '../remove-unused.js';
import type { HalfForm } from './half-form.js';

/** Constants that are stored as float16 now. */
export interface StoredHalf {
  readonly name: string;
  readonly before: Tensor;
  readonly stored: Value;
}

export interface WrittenHalf {
  readonly stored: readonly StoredHalf[];
  readonly casts: number;
}

/** Values of the float32 part keep their names; inputs and outputs of the model keep their types too. */
export function writeHalf(model: Model, half: ReadonlyMap<Node, HalfForm>): WrittenHalf {
  const { graph } = model;
  const graphs = [...modelGraphs(model)];
  const names = new Names(graphs);
  const outputs = new Set(graphs.flatMap((each) => each.outputs));
  const halves = new Map<Value, Value>();
  const stored: StoredHalf[] = [];
  let casts = 0;
  const cast = (from: Value, to: Value, dtype: DType, after: Node | undefined): void => {
    const node = new Node('Cast', [from], [to], { name: names.claim(`${to.name}/Cast`), attributes: [['to', attribute.int(dtypes[dtype].onnx)]] });
    const first = graph.nodes().next().value as Node | undefined;
    if (after) graph.insertAfter(after, node);
    else if (first) graph.insertBefore(first, node);
    casts++;
  };

  const computed = new Map<Value, Node>();
  for (const [node, form] of half) {
    for (const i of form.outputs) {
      const value = node.output(i);
      const made = new Value(names.claim(`${value.name}.half`), asHalf(value.type));
      node.replaceOutput(i, made);
      halves.set(value, made);
      computed.set(value, node);
    }
  }
  const halfOf = (value: Value): Value => {
    const known = halves.get(value) ?? before(value);
    if (known) return known;
    const name = names.claim(`${value.name}.half`);
    let made: Value;
    if (value.tensor && !value.producer && graph.initializers.get(value.name) === value && !graph.inputs.includes(value)) {
      made = graph.addInitializer(name, lazy.cast(value.tensor, 'float16'));
      stored.push({ name: value.name, before: value.tensor, stored: made });
    } else {
      made = new Value(name, asHalf(value.type));
      cast(value, made, 'float16', value.producer);
    }
    halves.set(value, made);
    return made;
  };
  for (const [node, form] of half) for (const i of form.inputs) node.setInput(i, halfOf(node.input(i)!));
  for (const [value, node] of computed) if (value.useCount > 0 || outputs.has(value)) cast(halves.get(value)!, value, 'float32', node);
  const constants = new Set(stored.map(({ name }) => graph.initializers.get(name)!));
  const emptied = casters(graph);
  removeUnusedWeights(model, constants);
  for (const node of emptied) if (node.output().useCount === 0 && !outputs.has(node.output())) graph.remove(node);
  return { stored, casts };
}

/** Weights that are stored as float16 already, and widened. */
function before(value: Value): Value | undefined {
  const { producer } = value;
  const from = producer?.opType === 'Cast' && producer.domain === '' ? producer.input(0) : undefined;
  return from?.type?.kind === 'tensor' && from.type.dtype === 'float16' ? from : undefined;
}

/** Casts from float16 that may be read by nobody now. */
function casters(graph: Graph): Node[] {
  return [...graph.nodes()].filter((node) => node.opType === 'Cast' && node.domain === '' && before(node.output()) !== undefined);
}

function asHalf(type: ValueType | undefined): ValueType {
  return { kind: 'tensor', dtype: 'float16', ...(type?.kind === 'tensor' && type.shape && { shape: type.shape }) };
}
