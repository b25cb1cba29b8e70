/** Fills in the types of values from the types of inputs and weights, through subgraphs and function calls. */
import { type DType, dtypes } from '../dtype.js';
import type { Graph } from '../graph/graph.js';
import type { Model } from '../graph/model.js';
import type { Node } from '../graph/node.js';
import { type ValueType, formatType } from '../graph/value-type.js';
import type { Value } from '../graph/value.js';
import { calledFunction, instantiate } from '../ops/instantiate.js';
import { type OpName, opName, schemaOf } from '../ops/lookup.js';
import { type Dim, elementCount } from '../shape.js';
import { constantValues, MAX_VALUES } from './constants.js';
import { mergeTypes } from './merge-types.js';
import type { Dims, InferContext, Known } from './rule.js';
import { inferRules } from './rules.js';

export interface InferResult {
  /** Values whose type became known or more exact. */
  readonly inferred: number;
  /** What could not be inferred or does not fit together, one sentence each. */
  readonly gaps: readonly string[];
}

/** Functions may call functions; deeper nesting than this is taken for recursion, which ONNX forbids. */
const MAX_CALL_DEPTH = 32;

interface State {
  readonly model: Model;
  readonly types: Map<Value, ValueType>;
  readonly values: Map<Value, Dims>;
  readonly gaps: Set<string>;
  readonly opsets: ReadonlyMap<string, number>;
  readonly depth: number;
  readonly strict: boolean;
}

/** What is known of the values of a model. */
export interface Inference {
  readonly types: ReadonlyMap<Value, ValueType>;
  /** Elements of small integer tensors, in row-major order. */
  readonly values: ReadonlyMap<Value, Dims>;
}

/**
 * Infers element types and symbolic shapes, in place, and never throws on an odd model: where a rule and a declared type contradict
 * each other the declared type stays and the contradiction is a gap. Bodies of functions keep their declared types.
 */
export function inferShapes(model: Model): InferResult {
  const state: State = { model, types: new Map(), values: new Map(), gaps: new Set(), opsets: model.opsetImports, depth: 0, strict: false };
  inferGraph(model.graph, state);
  let inferred = 0;
  for (const [value, type] of state.types) {
    if (formatType(value.type) === formatType(type)) continue;
    value.type = type;
    inferred++;
  }
  return { inferred, gaps: [...state.gaps] };
}

/**
 * Only what holds for every feed, in function bodies too, without touching the model: what a rewrite may rely on. Elements
 * of floating-point results are left out (they would have to be rounded as the operator does), sizes that a slice may
 * clamp too, and a rule wins over a declared type that contradicts it.
 */
export function inferFacts(model: Model): Inference {
  const state: State = { model, types: new Map(), values: new Map(), gaps: new Set(), opsets: model.opsetImports, depth: 0, strict: true };
  inferGraph(model.graph, state);
  for (const fn of model.functions) inferGraph(fn.body, { ...state, opsets: fn.opsetImports });
  return state;
}

/** Inference that keeps up with a graph while it is built: types are set on the values as each node comes in. */
export class GrowingInference {
  readonly #state: State;

  constructor(model: Model) {
    this.#state = { model, types: new Map(), values: new Map(), gaps: new Set(), opsets: model.opsetImports, depth: 0, strict: false };
  }

  /** Infers the outputs of a node whose inputs are known already. */
  add(node: Node): void {
    for (const value of node.inputs) if (value) this.values(value);
    for (const [index, known] of knownOutputs(node, this.#state).entries()) {
      const value = node.outputs[index];
      if (!value || value.name === '' || !known) continue;
      record(value, known, node, this.#state);
      value.type = this.#state.types.get(value) ?? value.type;
    }
  }

  /** Adds what a file says about a value; what contradicts the inferred type is left out, and false returned. */
  refine(value: Value, type: ValueType): boolean {
    const merged = mergeTypes(value.type, type);
    if (!merged) return false;
    this.#state.types.set(value, merged);
    value.type = merged;
    return true;
  }

  /** Elements of a small tensor, in row-major order: numbers, symbols where they are sizes, null where unknown. */
  values(value: Value): readonly Dim[] | undefined {
    const known = this.#state.values.get(value);
    if (known || !value.tensor) return known;
    const stored = constantValues(value.tensor);
    if (stored) this.#state.values.set(value, stored);
    return stored;
  }

  /** What did not fit together so far. */
  get gaps(): readonly string[] {
    return [...this.#state.gaps];
  }
}

function inferGraph(graph: Graph, state: State): void {
  for (const value of graph.initializers.values()) {
    if (!value.tensor) continue;
    if (!value.type) state.types.set(value, { kind: value.tensor.kind === 'sparse' ? 'sparse' : 'tensor', dtype: value.tensor.dtype, shape: value.tensor.shape });
    // An initializer that is an input too is only its default.
    const values = graph.inputs.includes(value) ? undefined : constantValues(value.tensor);
    if (values) state.values.set(value, values);
  }
  for (const node of graph.nodes()) {
    if (state.strict) for (const value of node.outputs) state.types.set(value, reliable(value, node) ?? { kind: 'opaque', bytes: NOTHING });
    for (const [index, known] of knownOutputs(node, state).entries()) {
      const value = node.outputs[index];
      if (value && value.name !== '' && known) record(value, known, node, state);
    }
  }
}

/** Keeps the more exact of what is declared and what is inferred. */
function record(value: Value, known: Known, node: Node, state: State): void {
  // A second round over a loop body must not be held to the first round.
  const declared = state.strict ? reliable(value, node) : value.type;
  const merged = mergeTypes(declared, known.type);
  if (merged === undefined) {
    if (state.strict && known.type) state.types.set(value, known.type);
    state.gaps.add(`${value.name} is declared ${formatType(declared)} but ${node.describe()} gives ${formatType(known.type)}`);
  } else {
    state.types.set(value, merged);
  }
  const values = state.strict ? exactValues(known, node) : known.values;
  // Elements combined one by one do not fill what their shapes broadcast to.
  const shape = known.type?.kind === 'tensor' ? known.type.shape : undefined;
  const fill = !shape?.every((dim) => typeof dim === 'number') || elementCount(shape) === values?.length;
  if (values && fill && values.length <= MAX_VALUES) state.values.set(value, values);
  else state.values.delete(value);
}

/** A type that says nothing. */
const NOTHING = new Uint8Array();

/**
 * What exporters declare of computed values is the shape they saw while tracing, which other feeds need not have: it counts only
 * where the operator is not known. ONNX Runtime merely warns when a declared output shape is wrong.
 */
function reliable({ type }: Value, node: Node): ValueType | undefined {
  if (type?.kind !== 'tensor' || !(opName(node.domain, node.opType) in inferRules)) return withoutSymbols(type);
  return type.dtype === undefined ? undefined : { kind: 'tensor', dtype: type.dtype };
}

/** Exporters repeat the symbols of intermediate values for sizes that differ; only those of inputs can be relied on. */
function withoutSymbols(type: ValueType | undefined): ValueType | undefined {
  if (type?.kind !== 'tensor' || !type.shape?.some((dim) => typeof dim === 'string')) return type;
  return { ...type, shape: type.shape.map((dim) => (typeof dim === 'string' ? null : dim)) };
}

/** Elements as the operator itself would give them, or none. */
function exactValues({ type, values }: Known, node: Node): Dims | undefined {
  if (!values || type?.kind !== 'tensor' || !type.dtype) return undefined;
  const { kind, bits } = dtypes[type.dtype];
  if (kind === 'float') return node.opType === 'Constant' ? values : undefined;
  if (type.shape?.every((dim) => typeof dim === 'number') && elementCount(type.shape) !== values.length) return undefined;
  const [low, high] = kind === 'bool' ? [0, 1] : kind === 'int' ? [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1] : [0, 2 ** bits - 1];
  return values.map((x) => (typeof x === 'number' && !(Number.isSafeInteger(x) && x >= low && x <= high) ? null : x));
}

function knownOutputs(node: Node, state: State): readonly (Known | undefined)[] {
  try {
    const fn = calledFunction(state.model, node);
    if (fn && state.depth < MAX_CALL_DEPTH) {
      const inner: State = { ...state, types: new Map(), values: new Map(), opsets: fn.opsetImports, depth: state.depth + 1 };
      return inferCall(instantiate(fn, node), node.inputs.map((value) => (value ? knownOf(value, state) : undefined)), inner);
    }
    const rule = inferRules[opName(node.domain, node.opType) as OpName];
    const bound = boundTypes(node, state);
    if (!rule) {
      for (const graph of node.subgraphs()) inferGraph(graph, state);
      if (bound.every((type) => type === undefined)) state.gaps.add(`${opName(node.domain, node.opType)} has no shape rule`);
      return bound.map((type) => type && { type });
    }
    const outputs = rule(contextOf(node, state));
    return node.outputs.map((_, i): Known | undefined => {
      const known = outputs[i];
      const type = known?.type ? (mergeTypes(known.type, bound[i]) ?? known.type) : bound[i];
      return type && { type, values: known?.values };
    });
  } catch (error) {
    state.gaps.add(`${node.describe()}: ${error instanceof Error ? error.message : String(error)}`);
    return [];
  }
}

/** Element types that the declaration of the operator ties to its inputs, or fixes. */
function boundTypes(node: Node, state: State): (ValueType | undefined)[] {
  const schema = schemaOf(node.domain, node.opType, state.opsets.get(node.domain) ?? 1);
  if (!schema) return node.outputs.map(() => undefined);
  const bound = new Map<string, DType>();
  const { inputs, outputs } = schema;
  node.inputs.forEach((value, i) => {
    const parameter = inputs[Math.min(i, inputs.length - 1)];
    const type = value && (state.types.get(value) ?? value.type);
    if (parameter?.typeVariable && parameter.homogeneous && type?.kind === 'tensor' && type.dtype) bound.set(parameter.typeVariable, type.dtype);
  });
  return node.outputs.map((_, i) => {
    const parameter = outputs[Math.min(i, outputs.length - 1)];
    if (!parameter?.homogeneous) return undefined;
    const only = parameter.types.length === 1 ? parameter.types[0]! : undefined;
    const dtype = bound.get(parameter.typeVariable ?? '') ?? (only && !only.includes('(') ? (only as DType) : undefined);
    return dtype && { kind: 'tensor', dtype };
  });
}

function knownOf(value: Value, state: State): Known {
  return { type: state.types.get(value) ?? value.type, values: state.values.get(value) };
}

/** Binds the inputs of a graph, infers it, and gives its outputs. */
function inferCall(graph: Graph, inputs: readonly (Known | undefined)[], state: State): Known[] {
  graph.inputs.forEach((value, i) => {
    const known = inputs[i];
    const declared = state.strict ? withoutSymbols(value.type) : value.type;
    const merged = known?.type ? (mergeTypes(declared, known.type) ?? declared) : state.strict ? declared : undefined;
    if (merged) state.types.set(value, merged);
    if (known?.values) state.values.set(value, known.values);
    else state.values.delete(value);
  });
  inferGraph(graph, state);
  return graph.outputs.map((value) => knownOf(value, state));
}

function contextOf(node: Node, state: State): InferContext {
  const known = (index: number): Known | undefined => {
    const value = node.inputs[index];
    return value ? knownOf(value, state) : undefined;
  };
  const tensorOf = (index: number) => {
    const type = known(index)?.type;
    return type?.kind === 'tensor' || type?.kind === 'sparse' ? type : undefined;
  };
  return {
    node,
    opset: state.opsets.get(node.domain) ?? 1,
    inputCount: node.inputs.length,
    outputCount: node.outputs.length,
    has: (index) => node.input(index) !== undefined && node.input(index)!.name !== '',
    known,
    type: (index) => known(index)?.type,
    dtype: (index) => tensorOf(index)?.dtype,
    shape: (index) => tensorOf(index)?.shape,
    values: (index) => known(index)?.values,
    numbers(index) {
      const values = known(index)?.values;
      return values?.every((value) => typeof value === 'number') ? (values) : undefined;
    },
    subgraph: (graph, inputs) => inferCall(graph, inputs, state),
    strict: state.strict,
    gap: (message) => void state.gaps.add(`${node.describe()}: ${message}`),
  };
}
