/** Part of a graph as a model of its own. */
import { PenjingError } from '../errors.js';
import { cloneModel } from '../graph/clone.js';
import type { Graph } from '../graph/graph.js';
import type { Model } from '../graph/model.js';
import { capturedValues } from '../graph/traverse.js';
import { Value } from '../graph/value.js';
import type { ValueType } from '../graph/value-type.js';
import { removeDead, type RemoveDeadOptions } from '../rewrite/dead.js';

/**
 * A model that computes `outputs` from `inputs`, values of the main graph of `model` by name: the nodes between the two with their
 * weights. Tensors are shared, everything else is a copy. Throws `E_GRAPH` for a name that nothing in the graph has, and when an
 * output needs an input of the model that is not among `inputs`. For a part that computes the same bits as the whole, give `keepOutputs`: ONNX Runtime's
 * GroupQueryAttention takes another way when nothing asks for its caches.
 */
export function extractModel(model: Model, inputs: readonly string[], outputs: readonly string[], options: RemoveDeadOptions = {}): Model {
  const part = cloneModel(model);
  part.origin = undefined;
  const { graph } = part;
  const values = valuesByName(graph);
  const find = (name: string): Value => {
    const value = values.get(name);
    if (!value) throw new PenjingError('E_GRAPH', `the graph has no value ${name}`);
    return value;
  };
  // What is given is no longer computed: its readers read an input instead.
  const given = new Map(inputs.map((name) => [find(name), new Value(name, inputType(find(name)))]));
  for (const [value, input] of given) value.replaceUsesWith(input);
  graph.outputs.splice(0, Infinity, ...outputs.map((name) => given.get(find(name)) ?? find(name)));
  removeDead(part, options);

  const known = new Set([...given.values()]);
  for (const node of graph.nodes()) {
    for (const value of [...node.inputs, ...node.subgraphs().flatMap((inner) => [...capturedValues(inner)])]) {
      if (value && !value.producer && !value.tensor && !known.has(value)) throw new PenjingError('E_GRAPH', `${outputs.join(', ')} needs the input ${value.name} too`);
    }
  }
  graph.inputs.splice(0, Infinity, ...given.values());
  return part;
}

/** What files say of the shapes of computed values is not always true, and as that of an input it would be held against the tensor. */
function inputType({ type, producer }: Value): ValueType | undefined {
  return producer && type?.kind === 'tensor' ? { kind: 'tensor', ...(type.dtype && { dtype: type.dtype }) } : type;
}

function valuesByName(graph: Graph): Map<string, Value> {
  const values = new Map<string, Value>();
  for (const value of [...graph.inputs, ...graph.initializers.values()]) values.set(value.name, value);
  for (const node of graph.nodes()) for (const value of node.outputs) if (value.name !== '') values.set(value.name, value);
  return values;
}
