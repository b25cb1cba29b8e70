/** A small pattern matcher over use-def links, from a root node up to the values it is computed from. */
import type { Node } from '../graph/node.js';
import type { Value } from '../graph/value.js';
import { isPlain, type Rewriter } from './rewriter.js';

/** Values by the name that the pattern gives them, and the nodes in between. */
export interface Match {
  readonly values: ReadonlyMap<string, Value>;
  readonly nodes: ReadonlySet<Node>;
  readonly value: (name: string) => Value;
}

interface State {
  readonly values: ReadonlyMap<string, Value>;
  readonly nodes: readonly Node[];
}

/** Every way in which a value fits, lazily: commutative operators may fit in several. */
export type Pattern = (value: Value | undefined, state: State, context: Rewriter) => Iterable<State>;

/** Any value; the same name must stand for the same value. */
export function any(name: string): Pattern {
  return function* (value, state) {
    if (!value) return;
    const known = state.values.get(name);
    if (known === undefined) yield { ...state, values: new Map(state.values).set(name, value) };
    else if (known === value) yield state;
  };
}

/** A constant of one element near `number` (relative 1e-3: exporters write √2 in several precisions), or any when absent. */
export function scalar(number?: number, name?: string): Pattern {
  return function* (value, state, context) {
    const found = context.scalar(value);
    if (found === undefined || (number !== undefined && Math.abs(found - number) > 1e-3 * Math.abs(number))) return;
    yield name === undefined ? state : { ...state, values: new Map(state.values).set(name, value!) };
  };
}

/** A stored value. */
export function stored(name: string): Pattern {
  const bind = any(name);
  return function* (value, state, context) {
    if (value && context.weight(value)) yield* bind(value, state, context);
  };
}

export interface OpOptions {
  /** Names its output. */
  readonly name?: string;
  /** A further condition on the node. */
  readonly where?: (node: Node, context: Rewriter) => boolean;
}

const COMMUTATIVE: ReadonlySet<string> = new Set(['Add', 'Mul', 'Max', 'Min']);

/** Output 0 of a node of ai.onnx with exactly these inputs; Add and Mul in either order. */
export function op(opType: string, inputs: readonly Pattern[], { name, where }: OpOptions = {}): Pattern {
  return function* (value, state, context) {
    const node = value?.producer;
    if (!node || node.opType !== opType || node.domain !== '' || node.outputs[0] !== value || !isPlain(node)) return;
    if (node.inputs.length !== inputs.length || (where && !where(node, context))) return;
    const start: State = {
      nodes: state.nodes.includes(node) ? state.nodes : [...state.nodes, node],
      values: name === undefined ? state.values : new Map(state.values).set(name, value),
    };
    yield* all(inputs, node.inputs, start, context);
    if (inputs.length === 2 && COMMUTATIVE.has(opType)) yield* all(inputs, [node.inputs[1]!, node.inputs[0]!], start, context);
  };
}

/** The first pattern that fits. */
export function either(...patterns: readonly Pattern[]): Pattern {
  return function* (value, state, context) {
    for (const pattern of patterns) yield* pattern(value, state, context);
  };
}

function* all(patterns: readonly Pattern[], values: readonly (Value | null)[], state: State, context: Rewriter): Iterable<State> {
  const [first, ...rest] = patterns;
  if (!first) {
    yield state;
    return;
  }
  for (const next of first(values[0] ?? undefined, state, context)) yield* all(rest, values.slice(1), next, context);
}

/**
 * Fits a pattern to the first output of `root` such that every node in between serves nothing else: what matched can
 * then be replaced by one node.
 */
export function match(pattern: Pattern, root: Node, context: Rewriter): Match | undefined {
  for (const { values, nodes } of pattern(root.outputs[0], { values: new Map(), nodes: [] }, context)) {
    const inside = new Set(nodes);
    if (!nodes.every((node) => node === root || isPrivate(node, inside, context))) continue;
    return { values, nodes: inside, value: (name) => values.get(name)! };
  }
  return undefined;
}

function isPrivate(node: Node, inside: ReadonlySet<Node>, context: Rewriter): boolean {
  return node.outputs.every((value) => !context.isOutput(value) && value.uses().every((use) => inside.has(use.node)));
}
