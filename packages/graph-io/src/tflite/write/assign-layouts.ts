/**
 * Gives every value of a graph one order of axes, once, for the whole graph: a minimum cut over the operators, where the price of an edge
 * is what it takes to transpose its value. Operators that work on channels-last images stand on one side, those that are tied to ONNX's
 * order on the other, and the rest goes wherever fewer elements are transposed.
 */
import { type Graph, type Node, type Value } from '@penjing/core';
import { hasLayouts, type Layout, movesNothing, toLast } from './layouts.js';
import { Network, UNBOUNDED } from './min-cut.js';
import { knownCount } from './tf-graph.js';

/** What an operator asks of its images: one order, any as long as all have the same, or one order going in and another coming out. */
export type LayoutWish = Layout | 'any' | { readonly input: Layout; readonly output: Layout };

export interface NodeLayouts {
  readonly input: Layout;
  readonly output: Layout;
}

export interface LayoutProblem {
  readonly graph: Graph;
  /** Nodes that are written, in execution order. */
  readonly nodes: readonly Node[];
  wish(node: Node): LayoutWish;
  /** Values that a node reads while the model runs: constants are stored in whatever order they are read. */
  reads(node: Node): readonly Value[];
  shapeOf(value: Value): readonly (number | string | null)[];
  /** Order of the images among the inputs and outputs of the graph. */
  readonly border: Layout;
}

export function assignLayouts(problem: LayoutProblem): Map<Node, NodeLayouts> {
  const { graph } = problem;
  const network = new Network();
  const last = network.node();
  const first = network.node();
  const pin = (node: number, layout: Layout): void => (layout === 'last' ? network.edge(last, node, UNBOUNDED) : network.edge(node, first, UNBOUNDED));

  const ports = new Map<Node, { readonly input: number; readonly output: number }>();
  for (const node of problem.nodes) {
    const wish = problem.wish(node);
    const input = network.node();
    if (typeof wish === 'string') {
      ports.set(node, { input, output: input });
      if (wish !== 'any') pin(input, wish);
      continue;
    }
    // A transpose: it costs nothing between these two orders, and as much as its value otherwise; half of that for each side is close enough.
    const output = network.node();
    ports.set(node, { input, output });
    const price = priceOf(problem.shapeOf(node.output())) / 2;
    for (const [port, layout] of [[input, wish.input], [output, wish.output]] as const) {
      if (layout === 'last') network.edge(last, port, price);
      else network.edge(port, first, price);
    }
  }

  const readers = new Map<Value, number[]>();
  const read = (value: Value, port: number): void => void (readers.get(value)?.push(port) ?? readers.set(value, [port]));
  for (const node of problem.nodes) for (const value of problem.reads(node)) read(value, ports.get(node)!.input);
  const border = network.node();
  pin(border, problem.border);
  for (const value of graph.outputs) read(value, border);

  for (const [value, consumers] of readers) {
    const shape = problem.shapeOf(value);
    if (value.tensor || !hasLayouts(shape.length)) continue;
    const producer = value.producer ? ports.get(value.producer)!.output : border;
    const price = priceOf(shape);
    // A value is transposed once, however many read it: one node for each direction gathers them.
    const [back, forth] = [network.node(), network.node()];
    network.edge(producer, back, price);
    network.edge(forth, producer, price);
    for (const consumer of consumers) {
      network.edge(back, consumer, UNBOUNDED);
      network.edge(consumer, forth, UNBOUNDED);
    }
  }

  const side = network.cut(last, first);
  const layoutOf = (port: number): Layout => (side.has(port) ? 'last' : 'first');
  return new Map([...ports].map(([node, { input, output }]) => [node, { input: layoutOf(input), output: layoutOf(output) }]));
}

/** Elements that move; none when only axes of size 1 do. */
function priceOf(shape: readonly (number | string | null)[]): number {
  if (!hasLayouts(shape.length) || movesNothing(shape, toLast(shape.length))) return 0;
  return knownCount(shape);
}
