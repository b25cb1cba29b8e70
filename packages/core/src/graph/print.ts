/** A model as text, for people and for golden tests. */
import { decodeText, type Attribute } from './attribute.js';
import type { Graph } from './graph.js';
import type { Model } from './model.js';
import type { Node } from './node.js';
import { formatType } from './value-type.js';
import type { Value } from './value.js';

/** One line per value and node, subgraphs indented under their node. */
export function print(model: Model): string {
  const imports = [...model.opsetImports].map(([domain, version]) => `${domain || 'ai.onnx'} ${version}`);
  const head = `model ir ${model.irVersion}, ${imports.join(', ')}`;
  const functions = model.functions.map((fn) => printGraph(fn.body, `function ${fn.domain}.${fn.name}`, ''));
  return [head, printGraph(model.graph, `graph ${model.graph.name}`, ''), ...functions].join('\n');
}

function printGraph(graph: Graph, title: string, indent: string): string {
  const typed = (value: Value): string => `${value.name}: ${formatType(value.type)}`;
  const lines = [`${indent}${title}(${graph.inputs.map(typed).join(', ')}) -> ${graph.outputs.map(typed).join(', ')}`];
  for (const value of graph.initializers.values()) {
    const { tensor } = value;
    lines.push(`${indent}  weight ${value.name}: ${tensor ? `${tensor.dtype}[${tensor.shape.join(',')}]` : '?'}`);
  }
  for (const node of graph.nodes()) {
    lines.push(`${indent}  ${printNode(node)}`);
    for (const [name, attr] of node.attributes) {
      if (attr.kind === 'graph') lines.push(printGraph(attr.value, name, `${indent}    `));
    }
  }
  return lines.join('\n');
}

function printNode(node: Node): string {
  const type = node.domain ? `${node.domain}.${node.opType}` : node.opType;
  const attrs = [...node.attributes].filter(([, attr]) => attr.kind !== 'graph').map(([name, attr]) => `${name}=${printAttribute(attr)}`);
  const outputs = node.outputs.map((value) => value.name || '_').join(', ');
  const inputs = node.inputs.map((value) => value?.name ?? '_').join(', ');
  return `${outputs} = ${type}(${inputs})${attrs.length > 0 ? ` {${attrs.join(', ')}}` : ''}`;
}

function printAttribute(attr: Attribute): string {
  switch (attr.kind) {
    case 'ref': return `@${attr.name}`;
    case 'string': return JSON.stringify(decodeText(attr.value));
    case 'strings': return `[${attr.value.map((value) => JSON.stringify(decodeText(value))).join(', ')}]`;
    case 'float': case 'int': return String(attr.value);
    case 'floats': case 'ints': return `[${attr.value.join(', ')}]`;
    case 'tensor': case 'sparseTensor': return `${attr.value.dtype}[${attr.value.shape.join(',')}]`;
    case 'type': return formatType(attr.value);
    default: return `${attr.kind}(${attr.value instanceof Array ? attr.value.length : 1})`;
  }
}
