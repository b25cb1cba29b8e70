/** An exported program to an ONNX model: nodes through the ATen table, weights as they stand in the file. */
import { type ByteSource, type Dim, Graph, isPenjingError, Model, PenjingError, type Tensor, tensorType, type Value } from '@penjing/core';
import { irVersionOf } from '../../onnx/ir-versions.js';
import { AtenContext, type Cell, Environment, finishAten, hasAten, isCell, isFloatScalar, isSym, isValue, type Scalar } from '../aten/index.js';
import { symOperator } from '../aten/sym.js';
import { type ExportedProgram, openExportedProgram } from './archive.js';
import { higherOrder } from './control-flow.js';
import type { ProgramArgument, ProgramGraph, ProgramNode, TensorMeta } from './program.js';
import { describeState, mutationsOf, nextName, type StateMode } from './state-ports.js';
import { nameSymbols } from './symbols.js';

export interface ConvertPt2Options {
  /** Version of ai.onnx; 21 when absent. */
  readonly opset?: number;
  /** What becomes of buffers that the program changes (caches, counters): `drop` when absent. */
  readonly state?: StateMode;
}

/** Checks of the program that hold when it was exported, and hints: nothing is left of them. */
const dropped = /^(torch\.ops\.aten\.(_assert|sym_constrain_range|_assert_scalar|_assert_async|_assert_tensor_metadata|sym_constrain_range_for_size)|torch\._check|torch\.ops\.profiler)/;

/** Python functions on numbers, by their names in a program. */
const pythonNames: Readonly<Record<string, string>> = {
  'math.ceil': 'ceil', 'math.floor': 'floor', 'math.trunc': 'trunc', 'math.sqrt': 'sqrt', 'torch.sym_max': 'max', 'torch.sym_min': 'min',
  'torch.sym_not': 'not', 'torch.sym_float': 'float', 'torch.sym_int': 'trunc', 'builtins.max': 'max', 'builtins.min': 'min', 'builtins.round': 'trunc',
  'torch._sym_sqrt': 'sqrt', '_operator.and_': 'and', '_operator.or_': 'or', '_operator.not_': 'not',
};

const pythonName = (target: string): string => pythonNames[target] ?? target.replace(/^(_operator|math)\./, '');

/** The model of a `.pt2` file. Throws what `openExportedProgram` and `convertPt2` throw. */
export async function openPt2(source: ByteSource, options: ConvertPt2Options = {}): Promise<Model> {
  return convertPt2(await openExportedProgram(source), options);
}

/**
 * Throws `E_UNSUPPORTED` naming an operator without an ONNX form, its node and module, and listing all of them;
 * `E_TRAINING` for a program that was exported in training mode; `E_PT2` for a program that does not fit together.
 */
export function convertPt2(exported: ExportedProgram, { opset = 21, state = 'drop' }: ConvertPt2Options = {}): Model {
  const irVersion = irVersionOf(opset);
  const { program } = exported;
  const unsupported = unsupportedNodes(program.graph);
  if (unsupported.length > 0) throw cannotConvert(unsupported);
  const run = (ports: ReadonlySet<string>): Pt2Converter => {
    const model = new Model(new Graph('main_graph'));
    model.irVersion = irVersion;
    model.opsetImports.set('', opset);
    const converter = new Pt2Converter(exported, model, ports);
    converter.run();
    return converter;
  };
  let converter = run(new Set());
  const changed = converter.changed;
  // Which tensors are written to is known at the end of a run, and must be known at its start.
  if (state === 'ports' && changed.length > 0) converter = run(new Set(changed));
  const { model } = converter.context;
  finishAten(model);
  describeState(model, changed, state);
  return model;
}

/** Nodes that nothing converts, in all graphs. */
function unsupportedNodes(graph: ProgramGraph): ProgramNode[] {
  return graph.nodes.flatMap((node) => {
    const inner = node.inputs.flatMap(({ argument }) => (argument.kind === 'graph' ? unsupportedNodes(argument.graph) : []));
    return isKnown(node.target) ? inner : [node, ...inner];
  });
}

function isKnown(target: string): boolean {
  if (dropped.test(target) || Object.hasOwn(higherOrder, target) || target === '_operator.getitem') return true;
  return target.startsWith('torch.ops.') ? target.startsWith('torch.ops.aten.') && hasAten(target) : symOperator(pythonName(target)) !== undefined;
}

function cannotConvert(nodes: readonly ProgramNode[]): PenjingError {
  const [first] = nodes;
  const operators = [...new Set(nodes.map(({ target }) => target.replace(/^torch\.ops\./, '')))].sort();
  return new PenjingError('E_UNSUPPORTED', `no ONNX form is known of ${operators.join(', ')}; the first one is ${whereOf(first!)}`, {
    hint: 'docs/aten-operators.md lists what converts. program.run_decompositions() before saving may leave only operators that do.',
    details: { operators, nodes: nodes.slice(0, 100).map(({ name, target, module }) => ({ name, target, module })) },
  });
}

/** `node 'conv2d' of layer1.0.conv1 (torch.nn.modules.conv.Conv2d), model.py:12`. */
function whereOf({ name, module, moduleClass, place }: ProgramNode): string {
  const owner = module === '' ? '' : ` of ${module}${moduleClass === '' ? '' : ` (${moduleClass})`}`;
  return `node '${name}'${owner}${place === '' ? '' : `, ${place}`}`;
}

/** What a name of the program stands for: a cell, a number, null. */
export type Variable = Cell | Scalar | null | readonly Variable[];

export class Pt2Converter {
  readonly context: AtenContext;
  readonly environment: Environment;
  /** Buffers and inputs that the program has written to. */
  readonly changed: string[] = [];
  readonly #exported: ExportedProgram;
  readonly #ports: ReadonlySet<string>;
  /** By the names that a caller knows: of weights, and of inputs. */
  readonly #cells = new Map<string, Cell>();
  #symbols: ReadonlyMap<string, string> = new Map();

  /** `ports` are the tensors that come in and go out. */
  constructor(exported: ExportedProgram, model: Model, ports: ReadonlySet<string>) {
    this.#exported = exported;
    this.#ports = ports;
    this.context = new AtenContext(model);
    this.environment = new Environment(this.context);
  }

  run(): void {
    const { program } = this.#exported;
    const variables = this.#bindInputs();
    const results = this.body(program.graph, variables);
    // The signature says which results are the user's; the graph gives all in the same order.
    const user = program.outputs.flatMap((spec, i) => {
      if (spec.kind === 'mutation') return [];
      return [{ result: results[i] ?? null, name: spec.argument.kind === 'value' ? spec.argument.name : `output_${i}` }];
    });
    const kept = user.filter(({ result }) => result !== null);
    const names = program.outputNames?.length === user.length ? program.outputNames.filter((_, i) => user[i]!.result !== null) : undefined;
    kept.forEach(({ result, name }, i) => this.#output(result, names?.[i] ?? name));
    const given = new Map(mutationsOf(program).map(({ target, at }) => [target, results[at] ?? null]));
    // In the training dialect nothing is said of them: the writes stand in the program.
    for (const [name, cell] of this.#cells) if (cell.version > 0) given.set(name, cell);
    for (const [name, result] of given) {
      if (!isCell(result)) continue;
      this.changed.push(name);
      if (this.#ports.has(name)) this.#output(result, nextName(name));
    }
    if (kept.length === 0) throw new PenjingError('E_PT2', `${program.torchVersion ? 'the program' : 'it'} has no outputs`);
  }

  /** Runs the nodes of a graph and gives its results. */
  body(graph: ProgramGraph, variables: Map<string, Variable>): Variable[] {
    for (const node of graph.nodes) this.#step(node, variables, graph);
    return graph.outputs.map((argument) => this.value(argument, variables));
  }

  /** What an argument stands for; dtype names and numbers stay. */
  value(argument: ProgramArgument, variables: ReadonlyMap<string, Variable>): Variable {
    switch (argument.kind) {
      case 'none': return null;
      case 'plain': return argument.value as Variable;
      case 'list': return argument.items.map((item) => this.value(item, variables));
      case 'value': {
        const variable = variables.get(argument.name);
        if (variable === undefined) throw new PenjingError('E_PT2', `the program reads ${argument.name} before it is there`);
        return variable;
      }
      case 'graph': case 'other':
        throw new PenjingError('E_UNSUPPORTED', `an argument ${argument.kind === 'graph' ? argument.name : argument.tag} is of a kind that is not read`);
    }
  }

  /** The results of a node that gives several. */
  items(value: Variable | undefined, node: ProgramNode): readonly Variable[] {
    if (Array.isArray(value)) return value as readonly Variable[];
    throw new PenjingError('E_PT2', `${node.target} gives one result where the program takes several apart`);
  }

  #bindInputs(): Map<string, Variable> {
    const { program, weights, constants } = this.#exported;
    const { builder } = this.context;
    const variables = new Map<string, Variable>();
    const metaOf = (name: string): TensorMeta => {
      const meta = program.graph.tensors.get(name);
      if (!meta) throw new PenjingError('E_PT2', `the program says nothing about its input ${name}`);
      return meta;
    };
    const tensors = program.inputs.flatMap((spec) => (spec.kind === 'user' && spec.argument.kind === 'value' && program.graph.tensors.has(spec.argument.name) ? [spec.argument.name] : []));
    this.#symbols = nameSymbols(tensors.map((name) => ({ name, shape: metaOf(name).shape })));
    // One tensor for all names of a tied weight.
    const known = new Map<Tensor, Cell>();
    for (const spec of program.inputs) {
      if (spec.kind === 'user') {
        const { argument } = spec;
        if (argument.kind !== 'value') continue;
        if (program.graph.tensors.has(argument.name)) {
          const { dtype, shape } = metaOf(argument.name);
          const cell = this.environment.cell(builder.input(argument.name, tensorType(dtype, shape.map((dim) => this.#dim(dim)))));
          variables.set(argument.name, cell);
          this.#cells.set(argument.name, cell);
        } else {
          const number = builder.input(argument.name, tensorType('int64', []));
          variables.set(argument.name, { kind: 'sym', value: this.context.reshape(number, [1]) });
        }
      } else if (spec.kind === 'other') {
        if (spec.tag !== 'constant_input') throw new PenjingError('E_UNSUPPORTED', `the input ${spec.name} is a ${spec.tag}, which has no form in ONNX`);
      } else {
        const tensor = weights.get(spec.target) ?? constants.get(spec.target) ?? constants.get(spec.name);
        if (!tensor) throw new PenjingError('E_PT2', `the weight ${spec.target} is not in the file`, { hint: 'Save it again with torch.export.save.' });
        let cell = known.get(tensor);
        if (!cell) {
          const { dtype, shape } = tensor;
          const port = this.#ports.has(spec.target);
          known.set(tensor, (cell = this.environment.cell(port ? builder.input(spec.target, tensorType(dtype, shape)) : builder.initializer(spec.target, tensor))));
          this.#cells.set(spec.target, cell);
        }
        variables.set(spec.name, cell);
      }
    }
    // State comes behind what the user gives.
    const isState = ({ name }: Value): boolean => this.#ports.has(name) && this.#exported.program.graph.tensors.has(name) === false;
    builder.graph.inputs.sort((a, b) => Number(isState(a)) - Number(isState(b)));
    return variables;
  }

  #dim(dim: Dim): Dim {
    return typeof dim === 'string' ? (this.#symbols.get(dim) ?? dim) : dim;
  }

  #step(node: ProgramNode, variables: Map<string, Variable>, graph: ProgramGraph): void {
    if (dropped.test(node.target)) return;
    const { builder } = this.context;
    try {
      const scopes = node.module === '' ? [] : node.module.split('.');
      const run = scopes.reduceRight<() => Variable>((inner, scope) => () => builder.scope(scope, inner), () => this.#apply(node, variables));
      this.#assign(node, run(), variables, graph);
    } catch (error) {
      if (!isPenjingError(error) || error.details['node'] !== undefined) throw error;
      throw new PenjingError(error.code, `${error.message} (${whereOf(node)})`, {
        cause: error, ...(error.hint === undefined ? {} : { hint: error.hint }), details: { ...error.details, node: node.name, module: node.module },
      });
    }
  }

  #apply(node: ProgramNode, variables: ReadonlyMap<string, Variable>): Variable {
    const { target } = node;
    const control = Object.hasOwn(higherOrder, target) ? higherOrder[target] : undefined;
    if (control) return control(this, node, variables);
    const positional = node.inputs.filter(({ keyword }) => !keyword).map(({ argument }) => this.value(argument, variables));
    if (target === '_operator.getitem') return this.items(positional[0], node)[positional[1] as number] ?? null;
    if (!target.startsWith('torch.ops.')) {
      this.context.operator = target;
      // Comparisons of tensors with Python's operators, too.
      const [a, b] = positional;
      if (isCell(a) || isCell(b)) return this.environment.call(`aten.${pythonName(target)}`, positional) as Variable;
      if (![a, b ?? 0].every(isScalar)) throw new PenjingError('E_PT2', `${target} computes with what is no number`);
      return symOperator(pythonName(target))!(this.context, a as Scalar, (b ?? undefined) as Scalar | undefined);
    }
    const keyword = Object.fromEntries(node.inputs.filter((input) => input.keyword).map(({ name, argument }) => [name, this.value(argument, variables)]));
    return this.environment.call(target.replace(/^torch\.ops\./, ''), positional, keyword) as Variable;
  }

  /** Results to their names; several results of one node are a list, or stand one after the other. */
  #assign(node: ProgramNode, result: Variable, variables: Map<string, Variable>, graph: ProgramGraph): void {
    const bind = (output: ProgramArgument, value: Variable | undefined): void => {
      if (output.kind === 'list') output.items.forEach((item, i) => bind(item, this.items(value, node)[i]));
      else if (output.kind === 'value') {
        if (value === undefined) throw new PenjingError('E_PT2', `${node.target} gives fewer results than the program expects`);
        variables.set(output.name, value);
        if (isCell(value)) this.#refine(value, output.name, graph);
      }
    };
    const [first] = node.outputs;
    if (node.outputs.length === 1 && first) {
      // A tuple of one, as higher-order operators give it.
      bind(first, first.kind !== 'list' && Array.isArray(result) ? (result as readonly Variable[])[0] : result);
    } else node.outputs.forEach((output, i) => bind(output, this.items(result, node)[i]));
  }

  /** The file says the type of every value: it fills gaps, and a different element type is converted. */
  #refine(cell: Cell, name: string, graph: ProgramGraph): void {
    const meta = graph.tensors.get(name);
    if (!meta) return;
    const { context } = this;
    if (cell.value.type?.kind === 'tensor' && cell.value.type.dtype !== undefined && cell.value.type.dtype !== meta.dtype) {
      cell.value = context.cast(cell.value, meta.dtype);
    }
    const shape = meta.shape.map((dim) => this.#dim(dim));
    if (context.refine(cell.value, meta.dtype, shape)) return;
    throw new PenjingError('E_PT2', `${name} is [${shape.join(', ')}] in the program, its ONNX form [${context.dims(cell.value).join(', ')}]`);
  }

  #output(result: Variable, name: string): void {
    const { context, environment } = this;
    const { builder } = context;
    if (Array.isArray(result)) {
      result.forEach((item: Variable, i) => this.#output(item, `${name}_${i}`));
      return;
    }
    if (!isCell(result) && !isScalar(result)) throw new PenjingError('E_PT2', `the output ${name} is no tensor and no number`);
    let value = isCell(result) ? environment.read(result) : isSym(result) ? context.scalarOf(result) : context.scalarOf(result);
    const fresh = value.producer && !builder.graph.outputs.includes(value) && !isFloatScalar(result) && isValue(value);
    if (!fresh) value = context.op('Identity', [value]);
    builder.output(value, uniqueName(name, builder.graph));
  }
}

function isScalar(value: unknown): value is Scalar {
  return typeof value === 'number' || typeof value === 'boolean' || isSym(value) || isFloatScalar(value);
}

/** A name that no input and no weight has; names of nodes never look like it. */
function uniqueName(name: string, graph: Graph): string {
  const taken = new Set([...graph.inputs, ...graph.outputs, ...graph.initializers.values()].map((value) => value.name));
  const base = name === '' ? 'output' : name;
  let own = base;
  for (let i = 1; taken.has(own); i++) own = `${base}_${i}`;
  return own;
}
