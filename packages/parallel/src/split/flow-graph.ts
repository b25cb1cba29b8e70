/** A directed graph of steps tied together by names of values: checked, put in order, and what of it a request needs. */
import { formatType, PenjingError, type ValueInfo, type ValueType } from '@penjing/core';

/** What a step says of itself. */
export interface StepShape {
  readonly name: string;
  /** What it reads and gives, under its own names. */
  readonly reads: readonly ValueInfo[];
  readonly gives: readonly ValueInfo[];
  /** Its own name of an input to that of a value of the flow; the same where none is given. */
  readonly inputs?: Readonly<Record<string, string>>;
  readonly outputs?: Readonly<Record<string, string>>;
}

/** A step with its edges: its own name and the value's. */
export interface Step {
  readonly name: string;
  /** Its place in the list that was given. */
  readonly index: number;
  readonly inputs: readonly Edge[];
  readonly outputs: readonly Edge[];
}

export interface Edge {
  readonly own: string;
  readonly value: string;
  readonly type: ValueType;
}

export interface FlowGraph {
  /** In an order in which each finds its inputs. */
  readonly steps: readonly Step[];
  readonly inputs: readonly ValueInfo[];
  readonly outputs: readonly ValueInfo[];
}

/**
 * Throws `E_GRAPH` for a value that two steps give, one that none gives, a mapping of a name that a step does not have, types that do not fit, and steps that wait for each other.
 */
export function flowGraph(steps: readonly StepShape[], inputs: readonly ValueInfo[], outputs: readonly string[]): FlowGraph {
  const made = new Map<string, { readonly by: string; readonly type: ValueType }>(inputs.map(({ name, type }) => [name, { by: 'the request', type }]));
  const edged = steps.map((step, index): Step => ({
    name: step.name,
    index,
    inputs: edgesOf(step.name, step.reads, step.inputs),
    outputs: edgesOf(step.name, step.gives, step.outputs),
  }));
  for (const { name, outputs: given } of edged) {
    for (const { value, type } of given) {
      const other = made.get(value);
      if (other) throw new PenjingError('E_GRAPH', `${value} is given by ${other.by} and by ${name}`, { hint: 'Give one of them another name in `outputs`.' });
      made.set(value, { by: name, type });
    }
  }
  for (const { name, inputs: read } of edged) {
    for (const { value, type } of read) {
      const source = made.get(value);
      if (!source) throw new PenjingError('E_GRAPH', `${name} reads ${value}, which nothing gives`, { hint: `There are ${[...made.keys()].join(', ') || 'no values'}.` });
      if (!fits(source.type, type)) throw new PenjingError('E_GRAPH', `${value} is ${formatType(source.type)} of ${source.by}, and ${name} reads ${formatType(type)}`);
    }
  }
  return {
    steps: inOrder(edged, new Set(inputs.map(({ name }) => name))),
    inputs,
    outputs: outputs.map((name) => {
      const source = made.get(name);
      if (!source) throw new PenjingError('E_GRAPH', `there is no value ${name} to give back`, { hint: `There are ${[...made.keys()].join(', ') || 'no values'}.` });
      return { name, type: source.type };
    }),
  };
}

function edgesOf(step: string, values: readonly ValueInfo[], names: Readonly<Record<string, string>> = {}): Edge[] {
  const unknown = Object.keys(names).find((own) => !values.some(({ name }) => name === own));
  if (unknown !== undefined) throw new PenjingError('E_GRAPH', `${step} has no value ${unknown}`, { hint: `It has ${values.map(({ name }) => name).join(', ') || 'none'}.` });
  return values.map(({ name, type }) => ({ own: name, value: Object.hasOwn(names, name) ? names[name]! : name, type }));
}

/** What is not known of a type fits; sizes with symbols are seen at run time. */
export function fits(given: ValueType, wanted: ValueType): boolean {
  if (given.kind !== wanted.kind) return false;
  if (given.kind !== 'tensor' || wanted.kind !== 'tensor') return true;
  if (given.dtype !== undefined && wanted.dtype !== undefined && given.dtype !== wanted.dtype) return false;
  const [a, b] = [given.shape, wanted.shape];
  // ONNX Runtime says "rank unknown" as the shape of a scalar
  if (!a || !b || a.length === 0 || b.length === 0) return true;
  return a.length === b.length && a.every((dim, i) => typeof dim !== 'number' || typeof b[i] !== 'number' || dim === b[i]);
}

/** Steps in the order given, but each behind those whose values it reads. */
function inOrder(steps: readonly Step[], known: Set<string>): Step[] {
  const left = [...steps];
  const order: Step[] = [];
  while (left.length > 0) {
    const at = left.findIndex(({ inputs }) => inputs.every(({ value }) => known.has(value)));
    if (at < 0) throw new PenjingError('E_GRAPH', `${left.map(({ name }) => name).join(', ')} wait for each other`, { hint: 'A flow has no cycles: unroll the loop, or put it into one step.' });
    const [step] = left.splice(at, 1);
    for (const { value } of step!.outputs) known.add(value);
    order.push(step!);
  }
  return order;
}

/** The steps that are needed for some outputs, in their order, each with the values it has to give. */
export function neededSteps({ steps }: Pick<FlowGraph, 'steps'>, wanted: readonly string[]): readonly { readonly step: Step; readonly gives: readonly Edge[] }[] {
  const names = new Set(wanted);
  const needed: { step: Step; gives: Edge[] }[] = [];
  for (const step of [...steps].reverse()) {
    const gives = step.outputs.filter(({ value }) => names.has(value));
    if (gives.length === 0) continue;
    needed.unshift({ step, gives });
    for (const { value } of step.inputs) names.add(value);
  }
  return needed;
}
