/** Higher-order operators of exported programs: branches become If, wrappers are opened. */
import { attribute, Graph, PenjingError, type Value } from '@penjing/core';
import { type Cell, isCell, isSym } from '../aten/index.js';
import type { Pt2Converter, Variable } from './convert.js';
import type { ProgramArgument, ProgramGraph, ProgramNode } from './program.js';

type HigherOrder = (converter: Pt2Converter, node: ProgramNode, variables: ReadonlyMap<string, Variable>) => Variable;

function graphOf(node: ProgramNode, argument: ProgramArgument | undefined): ProgramGraph {
  if (argument?.kind === 'graph') return argument.graph;
  throw new PenjingError('E_PT2', `${node.target} holds no graph where one should be`);
}

/** The variables of a graph, by the names of its inputs. */
function bindArguments(node: ProgramNode, graph: ProgramGraph, values: readonly Variable[]): Map<string, Variable> {
  const bound = new Map<string, Variable>();
  graph.inputs.forEach((input, i) => {
    const value = values[i];
    if (input.kind !== 'value' || value === undefined) throw new PenjingError('E_PT2', `${node.target} does not give its graph what it takes`);
    bound.set(input.name, value);
  });
  return bound;
}

/** A wrapper that changes how gradients or types are kept: its graph is part of the program. */
const inline = (at: number): HigherOrder => (converter, node, variables) => {
  const graph = graphOf(node, node.inputs[at]?.argument);
  const values = node.inputs.slice(at + 1).map(({ argument }) => converter.value(argument, variables));
  return converter.body(graph, bindArguments(node, graph, values));
};

/** Outer tensors are read from inside; both branches give the same number of tensors. */
const branch: HigherOrder = (converter, node, variables) => {
  const { context, environment } = converter;
  const [condition, yes, no, operands] = node.inputs.map(({ argument }) => argument);
  const chosen = converter.value(condition!, variables);
  const values = operands ? (converter.value(operands, variables) as readonly Variable[]) : [];
  const graphs = [graphOf(node, yes), graphOf(node, no)];
  if (typeof chosen === 'boolean') {
    const graph = graphs[chosen ? 0 : 1]!;
    return converter.body(graph, bindArguments(node, graph, values));
  }
  const test = isCell(chosen) ? context.reshape(environment.read(chosen), []) : isSym(chosen) ? context.scalarOf(chosen, 'bool') : undefined;
  if (!test) throw new PenjingError('E_PT2', `${node.target} has no condition`);
  const [then, otherwise] = graphs.map((graph, i) => context.inner(new Graph(`${node.name}_${i === 0 ? 'then' : 'else'}`), () => {
    // What a branch writes is its own: it starts from cells of its own.
    const own = values.map((value) => (isCell(value) ? environment.cell(environment.read(value)) : value));
    return converter.body(graph, bindArguments(node, graph, own)).map((result) => environment.read(result as Cell));
  }));
  const outputs = context.ops('If', [test], { then_branch: attribute.graph(then!.graph), else_branch: attribute.graph(otherwise!.graph) }, { outputCount: then!.outputs });
  return outputs.map((value: Value) => environment.cell(value));
};

export const higherOrder: Readonly<Record<string, HigherOrder | undefined>> = {
  'torch.ops.higher_order.cond': branch,
  'torch.ops.higher_order.wrap_with_set_grad_enabled': inline(1),
  'torch.ops.higher_order.wrap_with_autocast': inline(4),
};
