/** A model in float32 that rounds where the one in half precision would: what calibration can run and measure. */
import { attribute, cloneModel, dtypes, lazy, type Model, modelGraphs, Names, Node, Value } from '@penjing/core';
import type { HalfForm } from './half-form.js';

/** A copy; its values have the names of the original. */
export function simulateHalf(model: Model, half: ReadonlyMap<Node, HalfForm>): Model {
  const copy = cloneModel(model);
  copy.origin = undefined;
  const { graph } = copy;
  const names = new Names(modelGraphs(copy));
  const rounded = new Map<Value, Value>();
  const round = (from: Value, to: Value, after: Node | undefined): void => {
    const middle = new Value(names.claim(`${to.name}.half`), { kind: 'tensor', dtype: 'float16' });
    const narrow = castNode(from, middle, 'float16');
    const first = graph.nodes().next().value as Node;
    if (after) graph.insertAfter(after, narrow);
    else graph.insertBefore(first, narrow);
    graph.insertAfter(narrow, castNode(middle, to, 'float32'));
  };
  const originals = [...model.graph.nodes()];
  const copies = [...graph.nodes()];
  const forms = originals.map((node) => half.get(node));
  const computed = new Set<Value>();
  copies.forEach((node, n) => {
    for (const i of forms[n]?.outputs ?? []) {
      const value = node.output(i);
      const raw = new Value(names.claim(`${value.name}.raw`), value.type);
      node.replaceOutput(i, raw);
      round(raw, value, node);
      computed.add(value);
    }
  });
  copies.forEach((node, n) => {
    for (const i of forms[n]?.inputs ?? []) {
      const value = node.input(i)!;
      if (computed.has(value)) continue;
      let made = rounded.get(value);
      if (!made) {
        const name = names.claim(`${value.name}.rounded`);
        if (value.tensor && !value.producer && !graph.inputs.includes(value)) made = graph.addInitializer(name, lazy.cast(lazy.cast(value.tensor, 'float16'), 'float32'));
        else round(value, (made = new Value(name, value.type)), value.producer);
        rounded.set(value, made);
      }
      node.setInput(i, made);
    }
  });
  return copy;
}

function castNode(from: Value, to: Value, dtype: 'float16' | 'float32'): Node {
  return new Node('Cast', [from], [to], { name: `${to.name}/Cast`, attributes: [['to', attribute.int(dtypes[dtype].onnx)]] });
}
