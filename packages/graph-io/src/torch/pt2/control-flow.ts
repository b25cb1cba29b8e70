/** Higher-order operators of exported programs: branches become If, loops Loop and Scan, wrappers are opened. */
import { attribute, type Dim, Graph, PenjingError, tensorType, type Value } from '@penjing/core';
import { type Cell, isCell, isSym, type Scalar } from '../aten/index.js';
import type { Pt2Converter, Variable } from './convert.js';
import type { ProgramArgument, ProgramGraph, ProgramNode } from './program.js';

type Variables = ReadonlyMap<string, Variable>;
type HigherOrder = (converter: Pt2Converter, node: ProgramNode, variables: Variables) => Variable;

function graphOf(node: ProgramNode, at: number): ProgramGraph {
  const argument = node.inputs[at]?.argument;
  if (argument?.kind === 'graph') return argument.graph;
  throw new PenjingError('E_PT2', `${node.target} holds no graph where one should be`);
}

/** A list of values; missing ones are none. */
function listOf(converter: Pt2Converter, node: ProgramNode, at: number, variables: Variables): readonly Variable[] {
  const argument: ProgramArgument | undefined = node.inputs[at]?.argument;
  return argument === undefined ? [] : converter.items(converter.value(argument, variables), node);
}

function cellsOf(node: ProgramNode, values: readonly Variable[]): readonly Cell[] {
  if (values.every(isCell)) return values;
  throw new PenjingError('E_UNSUPPORTED', `${node.target} gives or takes something that is no tensor`);
}

/** The results of a graph that is given these values. */
function run(converter: Pt2Converter, node: ProgramNode, graph: ProgramGraph, values: readonly Variable[]): readonly Variable[] {
  const bound = new Map<string, Variable>();
  graph.inputs.forEach((input, i) => {
    const value = values[i];
    if (input.kind !== 'value' || value === undefined) throw new PenjingError('E_PT2', `${node.target} does not give its graph what it takes`);
    bound.set(input.name, value);
  });
  return converter.body(graph, bound);
}

/** A boolean tensor without axes. */
function conditionOf({ context, environment }: Pt2Converter, node: ProgramNode, value: Variable | undefined): Value {
  if (isCell(value)) return context.cast(context.reshape(environment.read(value), []), 'bool');
  if (isSym(value) || typeof value === 'boolean') return context.scalarOf(value, 'bool');
  throw new PenjingError('E_PT2', `${node.target} has no condition`);
}

/** A wrapper that changes how gradients or types are kept: its graph is part of the program. */
const inline = (at: number): HigherOrder => (converter, node, variables) =>
  run(converter, node, graphOf(node, at), node.inputs.slice(at + 1).map(({ argument }) => converter.value(argument, variables)));

/** Outer tensors are read from inside; both branches give the same number of tensors. */
const branch: HigherOrder = (converter, node, variables) => {
  const { context, environment } = converter;
  const [condition] = node.inputs;
  const chosen = condition && converter.value(condition.argument, variables);
  const values = listOf(converter, node, 3, variables);
  const graphs = [graphOf(node, 1), graphOf(node, 2)];
  if (typeof chosen === 'boolean') return run(converter, node, graphs[chosen ? 0 : 1]!, values);
  const test = conditionOf(converter, node, chosen);
  const [then, otherwise] = graphs.map((graph, i) => context.inner(new Graph(`${node.name}_${i === 0 ? 'then' : 'else'}`), () => {
    // What a branch writes is its own: it starts from cells of its own.
    const own = values.map((value) => (isCell(value) ? environment.cell(environment.read(value)) : value));
    return cellsOf(node, run(converter, node, graph, own)).map((result) => environment.read(result));
  }));
  if (then!.outputs !== otherwise!.outputs || then!.outputs === 0) throw new PenjingError('E_PT2', `${node.target} has branches that give different numbers of tensors`);
  const outputs = context.ops('If', [test], { then_branch: attribute.graph(then!.graph), else_branch: attribute.graph(otherwise!.graph) }, { outputCount: then!.outputs });
  return outputs.map((value: Value) => environment.cell(value));
};

/** An input of the body under construction, shaped as a value outside, or as a part of it along the first axis. */
function portOf({ context }: Pt2Converter, outer: Value, dims: readonly Dim[] = context.dims(outer)): Value {
  const { builder } = context;
  return builder.input(`${builder.graph.name}.in`, tensorType(context.dtype(outer), dims));
}

/** while_loop(condition, body, carried, read): Loop without a count, whose body computes the next condition. */
const loop: HigherOrder = (converter, node, variables) => {
  const { context, environment } = converter;
  const [condition, body] = [graphOf(node, 0), graphOf(node, 1)];
  const [carried, read] = [listOf(converter, node, 2, variables), listOf(converter, node, 3, variables)];
  const first = conditionOf(converter, node, run(converter, node, condition, [...carried, ...read])[0]);
  // Numbers are carried in tensors of shape [1].
  const outer = carried.map((value) => (isCell(value) ? environment.read(value) : context.vector([numberOf(node, value)])));
  const wrap = (value: Value, i: number): Variable => (isCell(carried[i]) ? environment.cell(value) : { kind: 'sym', value });
  const graph = new Graph(node.name);
  context.inner(graph, () => {
    context.builder.input(`${node.name}.step`, tensorType('int64', []));
    context.builder.input(`${node.name}.goes_on`, tensorType('bool', []));
    const own = outer.map((value) => portOf(converter, value)).map(wrap);
    const next = run(converter, node, body, [...own, ...read]);
    if (next.length !== carried.length) throw new PenjingError('E_PT2', `${node.target} gives ${next.length} values for ${carried.length} that it carries`);
    const goesOn = conditionOf(converter, node, run(converter, node, condition, [...next, ...read])[0]);
    return [goesOn, ...next.map((value) => (isCell(value) ? environment.read(value) : context.vector([numberOf(node, value)])))];
  });
  return context.ops('Loop', [null, first, ...outer], { body: attribute.graph(graph) }, { outputCount: Math.max(1, outer.length) }).map(wrap);
};

function numberOf(node: ProgramNode, value: Variable | undefined): Parameters<Pt2Converter['context']['vector']>[0][number] {
  const scalar = value as Scalar;
  if (isSym(scalar) || (typeof scalar === 'number' && Number.isSafeInteger(scalar))) return scalar;
  throw new PenjingError('E_UNSUPPORTED', `${node.target} carries something that is neither a tensor nor an integer`);
}

/** scan(combine, initial, along, read) and map(body, along, read): Scan along the first axes. */
const scan = (states: boolean): HigherOrder => (converter, node, variables) => {
  const { context, environment } = converter;
  const body = graphOf(node, 0);
  const lists = [1, 2, 3].map((at) => listOf(converter, node, at, variables));
  const initial = states ? cellsOf(node, lists[0]!).map((cell) => environment.read(cell)) : [];
  const along = cellsOf(node, lists[states ? 1 : 0]!).map((cell) => environment.read(cell));
  const read = lists[states ? 2 : 1]!;
  if (along.length === 0) throw new PenjingError('E_PT2', `${node.target} goes along no tensor`);
  const graph = new Graph(node.name);
  const { outputs } = context.inner(graph, () => {
    const own = [...initial.map((value) => portOf(converter, value)), ...along.map((value) => portOf(converter, value, context.dims(value).slice(1)))];
    return cellsOf(node, run(converter, node, body, [...own.map((value) => environment.cell(value)), ...read])).map((cell) => environment.read(cell));
  });
  return context.ops('Scan', [...initial, ...along], { body: attribute.graph(graph), num_scan_inputs: along.length }, { outputCount: outputs }).map((value) => environment.cell(value));
};

export const higherOrder: Readonly<Record<string, HigherOrder | undefined>> = {
  'torch.ops.higher_order.cond': branch,
  'torch.ops.higher_order.while_loop': loop,
  'torch.ops.higher_order.scan': scan(true),
  'torch.ops.higher_order.map_impl': scan(false),
  'torch.ops.higher_order.wrap_with_set_grad_enabled': inline(1),
  'torch.ops.higher_order.wrap_with_autocast': inline(4),
};
