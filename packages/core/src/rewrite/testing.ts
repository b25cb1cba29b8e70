/** What every test of a rewrite does: apply it in a main graph and in the branches of an If, and compare the results. */
import { denseOf, GraphBuilder } from '../builder.js';
import { attribute } from '../graph/attribute.js';
import { check } from '../graph/check.js';
import { cloneModel } from '../graph/clone.js';
import { Graph } from '../graph/graph.js';
import { Model } from '../graph/model.js';
import { type ValueType, tensorType } from '../graph/value-type.js';
import type { Value } from '../graph/value.js';
import { modelGraphs } from '../graph/traverse.js';
import { referenceEngine } from '../reference/engine.js';
import { createRng } from '../rng.js';
import { elementCount, type Shape } from '../shape.js';
import { DenseTensor, type StringTensor } from '../tensor.js';
import type { DType } from '../dtype.js';
import { simplify, type SimplifyOptions, type SimplifyResult } from './simplify.js';

export interface RewriteTest {
  readonly opset?: number;
  readonly options: SimplifyOptions;
  /** Builds the graph and gives its outputs; inputs are made with `input`. */
  readonly build: (b: GraphBuilder, input: (name: string, type: ValueType) => Value) => Value | readonly Value[];
  /** Inputs by name; random ones for float inputs of fixed shape when absent. */
  readonly feeds?: Readonly<Record<string, DenseTensor>>;
  /** Largest difference relative to the largest output; 1e-5 when absent. */
  readonly tolerance?: number;
  /** The rewrite must leave everything as it is. */
  readonly unchanged?: boolean;
}

export interface RewriteOutcome {
  /** Operators of the main graph that was rewritten, in order, Constant aside. */
  readonly ops: readonly string[];
  /** The same for the then branch. */
  readonly branch: readonly string[];
  readonly model: Model;
  readonly result: SimplifyResult;
}

/** A float input of this shape. */
export const floats = (...shape: readonly (number | string)[]): ValueType => tensorType('float32', shape);

/** Seeded normal numbers. */
export function randomTensor(shape: Shape, seed = 1, scale = 1): DenseTensor {
  const rng = createRng(seed);
  return DenseTensor.of('float32', shape, Float32Array.from({ length: elementCount(shape) }, () => rng.normal() * scale));
}

/** Throws unless the rewritten graphs are sound and compute what they did; gives their operators. */
export async function rewriteBoth(test: RewriteTest): Promise<RewriteOutcome> {
  const main = await rewriteOne(test, false);
  const inBranch = await rewriteOne(test, true);
  const branch = [...inBranch.model.graph.nodes()].find((node) => node.opType === 'If')?.subgraph('then_branch');
  return { ops: opsOf(main.model.graph), branch: branch ? opsOf(branch) : [], model: main.model, result: main.result };
}

const opsOf = (graph: Graph): string[] => [...graph.nodes()].filter((node) => node.opType !== 'Constant').map((node) => (node.domain ? `${node.domain}.` : '') + node.opType);

async function rewriteOne(test: RewriteTest, inBranch: boolean): Promise<{ model: Model; result: SimplifyResult }> {
  const original = modelOf(test, inBranch);
  const result = await simplify({ engine: referenceEngine(), ...test.options }).run(cloneModel(original), {});
  const { model } = result;
  const issues = check(model);
  if (issues.length > 0) throw new Error(`unsound: ${issues.map((issue) => issue.message).join('; ')}`);
  const names = (graph: Graph): string => [...graph.inputs, ...graph.outputs].map((value) => value.name).join();
  if (names(original.graph) !== names(model.graph)) throw new Error(`inputs and outputs changed from ${names(original.graph)} to ${names(model.graph)}`);
  if (test.unchanged && result.nodesAfter !== result.nodesBefore) throw new Error(`changed by ${JSON.stringify(result.applied)}`);
  for (const condition of inBranch ? [1, 0] : [undefined]) {
    const feeds = { ...feedsOf(original, test), ...(condition !== undefined && { condition: denseOf('bool', [], [condition]) }) };
    const [a, b] = [await run(original, feeds), await run(model, feeds)];
    for (const name of Object.keys(a)) compare(name, a[name]!, b[name]!, test.tolerance ?? 1e-5);
  }
  return { model, result };
}

function modelOf({ opset = 17, build }: RewriteTest, inBranch: boolean): Model {
  const model = new Model();
  model.irVersion = 8;
  model.opsetImports.set('', opset);
  const b = new GraphBuilder(model.graph);
  const inputs = new Map<string, Value>();
  const input = (name: string, type: ValueType): Value => {
    const known = inputs.get(name) ?? b.input(name, type);
    inputs.set(name, known);
    return known;
  };
  const outputsOf = (builder: GraphBuilder): readonly Value[] => [build(builder, input)].flat();
  if (!inBranch) {
    outputsOf(b).forEach((value, i) => b.output(value, `y${i}`));
  } else {
    const branches = ['then', 'else'].map((name) => {
      const graph = new Graph(name);
      const builder = new GraphBuilder(graph);
      outputsOf(builder).forEach((value, i) => builder.output(value, `${name}_y${i}`));
      return graph;
    });
    const condition = b.input('condition', tensorType('bool', []));
    const outputs = b.nodes('If', [condition], { then_branch: attribute.graph(branches[0]!), else_branch: attribute.graph(branches[1]!) }, { outputCount: branches[0]!.outputs.length });
    outputs.forEach((value, i) => b.output(value, `y${i}`));
  }
  for (const graph of modelGraphs(model)) for (const node of graph.nodes()) if (node.domain) model.opsetImports.set(node.domain, 1);
  return model;
}

function feedsOf(model: Model, { feeds = {} }: RewriteTest): Record<string, DenseTensor> {
  return Object.fromEntries(model.graph.inputs.filter((value) => value.name !== 'condition').map((value, i) => {
    const given = feeds[value.name];
    if (given) return [value.name, given];
    const type = value.type as { dtype?: DType; shape?: Shape };
    if (type.dtype !== 'float32' || !type.shape?.every((dim) => typeof dim === 'number')) throw new Error(`feed ${value.name}`);
    return [value.name, randomTensor(type.shape, i + 10)];
  }));
}

async function run(model: Model, feeds: Record<string, DenseTensor>) {
  const executor = await referenceEngine().load(model);
  return executor.run(feeds);
}

function compare(name: string, a: DenseTensor | StringTensor, b: DenseTensor | StringTensor, tolerance: number): void {
  if (a.dtype !== b.dtype || a.shape.join() !== b.shape.join()) throw new Error(`${name} was ${a.dtype}[${a.shape.join()}], is ${b.dtype}[${b.shape.join()}]`);
  const [x, y] = [a, b].map((tensor) => Array.from((tensor as DenseTensor).data as ArrayLike<number | bigint>, Number)) as [number[], number[]];
  const scale = Math.max(1e-30, ...x.filter(Number.isFinite).map(Math.abs));
  x.forEach((value, i) => {
    const difference = Math.abs(value - y[i]!);
    if (!Object.is(value, y[i]) && !(difference <= tolerance * scale)) throw new Error(`${name}[${i}] was ${value}, is ${y[i]}`);
  });
}
