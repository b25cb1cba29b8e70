/** The invariants of a graph, executable: run after every pass in tests, and before a model is written. */
import { PenjingError } from '../errors.js';
import { sameShape } from '../shape.js';
import type { Graph } from './graph.js';
import type { Model } from './model.js';
import type { Node } from './node.js';
import type { Value } from './value.js';

/** One broken invariant, with the place where it was seen. */
export interface GraphIssue {
  readonly graph: string;
  readonly message: string;
}

/** Every broken invariant of a model; empty when it is sound. */
export function check(model: Model): GraphIssue[] {
  const issues: GraphIssue[] = [];
  const domains = new Set([...model.opsetImports.keys(), ...model.functions.map((fn) => fn.domain)]);
  checkGraph(model.graph, new Set(), new Map(), domains, issues);
  for (const fn of model.functions) {
    checkGraph(fn.body, new Set(), new Map(), new Set(fn.opsetImports.keys()), issues);
  }
  return issues;
}

/** Throws `E_GRAPH` naming the first broken invariants. */
export function assertSound(model: Model): void {
  const issues = check(model);
  if (issues.length === 0) return;
  const shown = issues.slice(0, 5).map(({ graph, message }) => `${graph || 'main'}: ${message}`);
  throw new PenjingError('E_GRAPH', `the graph is not sound: ${shown.join('; ')}`, {
    details: { issues: issues.length },
  });
}

function checkGraph(
  graph: Graph,
  outerValues: ReadonlySet<Value>,
  outerNames: ReadonlyMap<string, Value>,
  domains: ReadonlySet<string>,
  issues: GraphIssue[],
): void {
  const fail = (message: string): void => void issues.push({ graph: graph.name, message });
  const available = new Set(outerValues);
  const names = new Set<string>();
  // What each name means in this graph. A local name may hide an outer one, as long as nobody here reads the outer one.
  const visible = new Map(outerNames);
  for (const value of localValues(graph)) {
    visible.set(value.name, value);
    checkUses(value, fail);
  }
  const define = (value: Value): void => {
    if (value.name === '') return;
    if (names.has(value.name)) fail(`${value.name} is defined twice`);
    names.add(value.name);
    available.add(value);
  };

  graph.inputs.forEach(define);
  const inputs = new Set(graph.inputs);
  for (const [name, value] of graph.initializers) {
    if (value.name !== name) fail(`initializer ${name} is a value named ${value.name}`);
    if (!inputs.has(value)) define(value);
    if (value.producer) fail(`initializer ${name} is also computed by ${value.producer.describe()}`);
    const type = value.type;
    if (!value.tensor) fail(`initializer ${name} has no tensor`);
    else if (type?.kind === 'tensor' && type.dtype !== undefined && type.dtype !== value.tensor.dtype) {
      fail(`initializer ${name} is ${value.tensor.dtype} but its type says ${type.dtype}`);
    } else if (type?.kind === 'tensor' && !shapeAgrees(value)) {
      fail(`initializer ${name} has shape [${value.tensor.shape.join(', ')}] but its type says otherwise`);
    }
  }
  for (const node of graph.nodes()) {
    checkNode(node, graph, available, domains, fail);
    for (const value of node.inputs) {
      if (value && available.has(value) && visible.get(value.name) !== value) fail(hides(node, value));
    }
    for (const inner of node.subgraphs()) checkGraph(inner, available, visible, domains, issues);
    node.outputs.forEach(define);
  }
  for (const output of graph.outputs) {
    if (!available.has(output)) fail(`output ${output.name} is not computed in this graph`);
    else if (output.name !== '' && visible.get(output.name) !== output) fail(`output ${output.name} is hidden by a value of the same name`);
  }
}

function checkNode(
  node: Node,
  graph: Graph,
  available: ReadonlySet<Value>,
  domains: ReadonlySet<string>,
  fail: (message: string) => void,
): void {
  if (node.graph !== graph) fail(`${node.describe()} is listed here but belongs elsewhere`);
  if (!domains.has(node.domain)) fail(`${node.describe()} uses domain '${node.domain}', which is not imported`);
  node.inputs.forEach((value, index) => {
    if (!value) return;
    if (!available.has(value)) fail(`${node.describe()} reads ${value.name} before it is defined`);
    if (!value._uses.get(node)?.has(index)) fail(`${value.name} does not know its use by ${node.describe()}`);
  });
  for (const value of node.outputs) {
    if (value.producer !== node) fail(`${value.name} does not know its producer ${node.describe()}`);
  }
}

function checkUses(value: Value, fail: (message: string) => void): void {
  for (const { node, index } of value.uses()) {
    if (node.inputs[index] !== value) fail(`${value.name} lists a use that ${node.describe()} does not have`);
    if (!node.graph) fail(`${value.name} is used by ${node.describe()}, which is in no graph`);
  }
}

function localValues(graph: Graph): Value[] {
  const outputs = [...graph.nodes()].flatMap((node) => node.outputs.filter((value) => value.name !== ''));
  return [...graph.inputs, ...graph.initializers.values(), ...outputs];
}

const hides = (node: Node, value: Value): string =>
  `${node.describe()} reads ${value.name} of an outer graph, which a value of the same name hides`;

/** Declared sizes may be symbols or unknown; sizes that are given must be those of the tensor. */
function shapeAgrees(value: Value): boolean {
  const type = value.type;
  if (type?.kind !== 'tensor' || !type.shape || !value.tensor) return true;
  const { shape } = value.tensor;
  return sameShape(shape, type.shape.map((dim, i) => (typeof dim === 'number' ? dim : shape[i] ?? -1)));
}
