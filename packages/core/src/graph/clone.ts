/** Deep copies of graphs; tensors are immutable and shared. */
import type { Attribute } from './attribute.js';
import { Graph } from './graph.js';
import { Model, type ModelFunction } from './model.js';
import { Node } from './node.js';
import { Value } from './value.js';

/** A model that can be edited without touching the original. */
export function cloneModel(model: Model): Model {
  const copy = new Model(cloneGraph(model.graph));
  copy.irVersion = model.irVersion;
  copy.producerName = model.producerName;
  copy.producerVersion = model.producerVersion;
  copy.domain = model.domain;
  copy.modelVersion = model.modelVersion;
  copy.doc = model.doc;
  copy.extra = model.extra;
  copy.origin = model.origin;
  for (const [domain, version] of model.opsetImports) copy.opsetImports.set(domain, version);
  for (const [key, value] of model.metadata) copy.metadata.set(key, value);
  copy.functions.push(...model.functions.map(cloneFunction));
  return copy;
}

/**
 * A copy of a graph and of the graphs nested in it. Values captured from outside are looked up in `values`
 * (original → copy) and kept as they are when not found there.
 */
export function cloneGraph(graph: Graph, values: Map<Value, Value> = new Map()): Graph {
  const copy = new Graph(graph.name);
  copy.doc = graph.doc;
  copy.extra = graph.extra;
  for (const [key, value] of graph.metadata) copy.metadata.set(key, value);
  const copyValue = (value: Value): Value => {
    const known = values.get(value);
    if (known) return known;
    const made = new Value(value.name, value.type, value.tensor);
    made.doc = value.doc;
    made.extra = value.extra;
    for (const [key, text] of value.metadata) made.metadata.set(key, text);
    values.set(value, made);
    return made;
  };
  const resolve = (value: Value): Value => values.get(value) ?? value;

  copy.inputs.push(...graph.inputs.map(copyValue));
  for (const [name, value] of graph.initializers) copy.initializers.set(name, copyValue(value));
  // Outputs first: an unsorted graph may read a value before the node that makes it.
  for (const node of graph.nodes()) node.outputs.forEach(copyValue);
  for (const node of graph.nodes()) copy.append(cloneNode(node, values, resolve));
  copy.outputs.push(...graph.outputs.map(resolve));
  return copy;
}

function cloneNode(node: Node, values: Map<Value, Value>, resolve: (value: Value) => Value): Node {
  const copy = new Node(
    node.opType,
    node.inputs.map((value) => value && resolve(value)),
    node.outputs.map(resolve),
    {
      domain: node.domain,
      overload: node.overload,
      name: node.name,
      attributes: [...node.attributes].map(([name, attr]) => [name, cloneAttribute(attr, values)] as const),
    },
  );
  copy.doc = node.doc;
  copy.extra = node.extra;
  for (const [key, value] of node.metadata) copy.metadata.set(key, value);
  return copy;
}

function cloneAttribute(attr: Attribute, values: Map<Value, Value>): Attribute {
  if (attr.kind === 'graph') return { ...attr, value: cloneGraph(attr.value, values) };
  if (attr.kind === 'graphs') return { ...attr, value: attr.value.map((graph) => cloneGraph(graph, values)) };
  return attr;
}

function cloneFunction(fn: ModelFunction): ModelFunction {
  return { ...fn, body: cloneGraph(fn.body), opsetImports: new Map(fn.opsetImports) };
}
