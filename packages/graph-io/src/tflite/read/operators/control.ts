/** Subgraphs: branches, loops, calls; and the variables that live between runs. */
import { attribute, Graph, tensorType, type Value } from '@penjing/core';
import type { ReadRow, ReadTable, TfliteReading } from '../operator.js';

/** Operands from `from` on as a subgraph takes them, and the variables among them. */
function operandsOf(reading: TfliteReading, from: number): { readonly stored: Value[]; readonly handles: Map<number, string> } {
  const { values } = reading;
  const handles = new Map<number, string>();
  const stored = Array.from({ length: reading.inputCount - from }, (_, i) => {
    const index = reading.index(from + i);
    const handle = values.handles.get(index);
    if (handle !== undefined) handles.set(i, handle);
    return values.storedOperand(index);
  });
  return { stored, handles };
}

/** Results of a subgraph as those of the operator. */
function give(reading: TfliteReading, results: readonly Value[]): void {
  if (results.length !== reading.operator.outputs.length) throw reading.fail(`its subgraph gives ${results.length} tensors for ${reading.operator.outputs.length}`);
  results.forEach((value, i) => reading.values.input(reading.result(i), value));
}

/** A flag as Loop and If want it. */
const scalar = (reading: TfliteReading, flag: Value): Value => reading.op('Reshape', [flag, reading.ints([])]);

const call = (subgraph: (reading: TfliteReading) => number): ReadRow => (reading) => {
  const { program, builder } = reading.values;
  const { stored, handles } = operandsOf(reading, 0);
  give(reading, program.inline(subgraph(reading), builder, stored, handles));
};

const branch: ReadRow = (reading) => {
  const { values } = reading;
  const { thenSubgraphIndex, elseSubgraphIndex } = reading.options('IfOptions');
  const { stored, handles } = operandsOf(reading, 1);
  const condition = scalar(reading, reading.last(0));
  const of = (name: string, subgraph: number): Graph => {
    const graph = new Graph(name);
    values.within(graph, () => {
      const results = values.program.inline(subgraph, values.builder, stored, handles);
      // what a branch gives must be made in it
      graph.outputs.push(...results.map((value) => values.builder.op('Identity', [value])));
    });
    return graph;
  };
  const count = reading.operator.outputs.length;
  const branches = { then_branch: attribute.graph(of('then', thenSubgraphIndex)), else_branch: attribute.graph(of('else', elseSubgraphIndex)) };
  give(reading, reading.nodes('If', [condition], branches, count));
};

/** The condition is asked before the first round, and at the end of each for the next. */
const loop: ReadRow = (reading) => {
  const { values } = reading;
  const { program } = values;
  const { condSubgraphIndex, bodySubgraphIndex } = reading.options('WhileOptions');
  const { stored, handles } = operandsOf(reading, 0);
  const body = program.subgraph(bodySubgraphIndex);
  if (body.inputs.length !== stored.length || body.outputs.length !== stored.length) throw reading.fail(`its body takes ${body.inputs.length} tensors and gives ${body.outputs.length} for ${stored.length}`);
  const first = scalar(reading, conditionOf(program.inline(condSubgraphIndex, values.builder, stored, handles)));
  // handles of variables are not carried
  const carried = stored.map((_, i) => i).filter((i) => !handles.has(i));
  const graph = new Graph('body');
  values.within(graph, () => {
    const { builder } = values;
    builder.input('iteration', tensorType('int64', []));
    builder.input('condition', tensorType('bool', []));
    const own = [...stored];
    for (const i of carried) own[i] = builder.input(`carried_${i}`, tensorType(body.tensors[body.inputs[i]!]!.dtype, lastingShape(i)));
    const next = [...program.inline(bodySubgraphIndex, builder, own, handles)];
    for (const i of handles.keys()) next[i] = stored[i]!;
    const goesOn = scalar(reading, conditionOf(program.inline(condSubgraphIndex, builder, next, handles)));
    graph.outputs.push(goesOn, ...carried.map((i) => builder.op('Identity', [next[i]!])));
  });
  const results = reading.nodes('Loop', [undefined, first, ...carried.map((i) => stored[i]!)], { body: attribute.graph(graph) }, carried.length);
  carried.forEach((i, at) => values.input(reading.result(i), results[at]!));
  for (const [i, handle] of handles) values.handles.set(reading.result(i), handle);

  function conditionOf(results: readonly Value[]): Value {
    if (results.length !== 1) throw reading.fail(`its condition gives ${results.length} tensors`);
    return results[0]!;
  }

  /** The shape of a carried value when it is known to stay. */
  function lastingShape(i: number): readonly number[] | undefined {
    const [before, after] = [body.tensors[body.inputs[i]!]!, body.tensors[body.outputs[i]!]!];
    const same = before.shape.length === after.shape.length && before.shape.every((size, axis) => size === after.shape[axis]);
    return same && !before.shapeSignature && !after.shapeSignature && before.shape.length > 0 ? before.shape : undefined;
  }
};

const callOnce: ReadRow = (reading) => {
  const { program, builder } = reading.values;
  program.initializing = true;
  try {
    program.inline(reading.options('CallOnceOptions').initSubgraphIndex, builder, []);
  } finally {
    program.initializing = false;
  }
};

const handle: ReadRow = (reading) => {
  const { container, sharedName } = reading.options('VarHandleOptions');
  const name = [container, sharedName].filter((part) => part !== undefined && part !== '').join('/') || 'variable';
  reading.values.handles.set(reading.result(), name);
  // nothing reads it, but it may be handed on
  reading.define(reading.values.builder.constant('int32', 0));
};

function nameOf(reading: TfliteReading): string {
  const name = reading.values.handles.get(reading.index(0));
  if (name === undefined) throw reading.fail('which variable it means is computed');
  return name;
}

const read: ReadRow = (reading) => {
  const name = nameOf(reading);
  const { values } = reading;
  const { program } = values;
  const resource = program.resource(name);
  const { dtype, shape, shapeSignature } = reading.resultTensor();
  if (!resource.value) resource.value = program.assigns || !resource.initial ? port() : resource.initial;
  values.input(reading.result(), resource.value);

  /** What it holds from the last run, or what CALL_ONCE assigned before the first. */
  function port(): Value {
    return program.main.input(name, tensorType(dtype, shape.map((size, axis) => ((shapeSignature?.[axis] ?? size) < 0 ? `${name}_${axis}` : size))));
  }
};

const assign: ReadRow = (reading) => {
  const name = nameOf(reading);
  const { values } = reading;
  const resource = values.program.resource(name);
  const value = values.storedOperand(reading.index(1));
  if (values.program.initializing) {
    resource.initial = value;
    return;
  }
  if (values.builder.graph !== values.program.main.graph) throw reading.fail(`it assigns to ${name} in a branch or a loop`);
  resource.value = value;
  resource.assigned = true;
};

export const control: ReadTable = {
  CALL: call((reading) => reading.options('CallOptions').subgraph),
  STABLEHLO_COMPOSITE: call((reading) => reading.options2('StableHLOCompositeOptions').decompositionSubgraphIndex),
  IF: branch,
  WHILE: loop,
  CALL_ONCE: callOnce,
  VAR_HANDLE: handle,
  READ_VARIABLE: read,
  ASSIGN_VARIABLE: assign,
};
