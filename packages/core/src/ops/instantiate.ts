/** The body of a model-local function as one call of it sees it. */
import type { Attribute } from '../graph/attribute.js';
import { cloneGraph } from '../graph/clone.js';
import type { Graph } from '../graph/graph.js';
import type { Model, ModelFunction } from '../graph/model.js';
import type { Node } from '../graph/node.js';
import { allNodes } from '../graph/traverse.js';

/** The function that a node calls, if it calls one. */
export function calledFunction(model: Model, node: Node): ModelFunction | undefined {
  return model.functions.find((fn) => fn.domain === node.domain && fn.name === node.opType && fn.overload === node.overload);
}

/** A copy of the body with references to attributes replaced by those of the call; absent ones are left out. */
export function instantiate(fn: ModelFunction, call: Node): Graph {
  const body = cloneGraph(fn.body);
  for (const node of allNodes(body)) {
    for (const [name, attr] of [...node.attributes]) {
      if (attr.kind !== 'ref') continue;
      const value: Attribute | undefined = call.attributes.get(attr.name) ?? fn.attributeDefaults.get(attr.name);
      if (value) node.attributes.set(name, value);
      else node.attributes.delete(name);
    }
  }
  return body;
}
