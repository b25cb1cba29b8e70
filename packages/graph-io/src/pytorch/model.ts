/** Converts a PyTorch file to a graph: a module of known classes by itself, anything else with a forward that is given. */
import { type ByteSource, Model, PenjingError, type TaskOptions, type Value } from '@penjing/core';
import { AtenContext, type AtenArgument, type AtenResult, finishAten, isSym, isValue } from '../torch/aten/index.js';
import { irVersionOf } from '../onnx/ir-versions.js';
import { convertTorchScript, type ScriptInput } from '../torch/torchscript/convert.js';
import { type PytorchFile, readPytorchFile } from './archive.js';
import { ModuleApplier } from './forward/apply-module.js';
import { type ModuleDefinition, runDefinition } from './forward/define-module.js';
import { evaluateForward } from './forward/evaluate.js';
import { type InputSpec, parseInputSpec } from './forward/input-spec.js';
import { type ModuleNode, moduleOfObject, moduleOfTensors, unwrapped } from './forward/module-node.js';
import { type Expression, parseForward } from './forward/parse.js';
import { firstUnknown, forwardSkeleton, needsForward } from './forward/skeleton.js';
import { checkpointOf } from './open.js';
import { flattenState, isModule, selectState } from './state.js';
import type { PyValue } from './values.js';

export interface ModelFromPytorchOptions extends Pick<TaskOptions, 'signal'> {
  /**
   * How the model computes: `layer2(relu(layer1(x)))`, or a definition of `defineModule`. A pickled module made only of
   * classes of torch.nn needs none.
   */
  readonly forward?: string | ModuleDefinition;
  /** Inputs as in `x:f32[N,100]`: name, element type, sizes; `rate=16000` for an argument of a TorchScript program that is no tensor. */
  readonly inputs?: readonly string[];
  /** Dotted path to the weights, or to the module, inside the file; a module of a TorchScript archive is converted alone. */
  readonly key?: string;
  /** Version of ONNX operators, 21 by default. */
  readonly opset?: number;
}

/**
 * The graph of a `.pt` or `.pth` file, or of a TorchScript archive, its weights still on disk. Throws `E_FORWARD` with the tree of modules and a
 * forward to start from when the file does not say how they are used; what `openPytorch` throws; `E_UNSUPPORTED` for an
 * operation without an ONNX form.
 */
export async function modelFromPytorch(source: ByteSource, options: ModelFromPytorchOptions = {}): Promise<Model> {
  const file = await readPytorchFile(source);
  // An archive of TorchScript says itself how it computes.
  if (file.kind !== 'torchscript' || options.forward !== undefined) return modelOf(file, options);
  const { inputs = [], opset, key } = options;
  return convertTorchScript(file, { ...(opset !== undefined && { opset }), ...(inputs.length > 0 && { inputs: inputs.map(scriptInput) }), ...(key !== undefined && { module: key }) });
}

const FIXED = /^\s*[A-Za-z_]\w*\s*=\s*(.*?)\s*$/;
const words: Readonly<Record<string, boolean | null>> = { True: true, true: true, False: false, false: false, None: null };

/** `x:f32[1,512]`, or `rate=16000` for an argument of a script that is no tensor. */
function scriptInput(text: string): ScriptInput {
  const fixed = FIXED.exec(text)?.[1];
  if (fixed === undefined) {
    const { dtype = 'float32', shape = [] } = parseInputSpec(text).type;
    return { dtype, shape };
  }
  if (Object.hasOwn(words, fixed)) return { value: words[fixed]! };
  return { value: fixed !== '' && Number.isFinite(Number(fixed)) ? Number(fixed) : fixed };
}

function modelOf(file: PytorchFile, options: ModelFromPytorchOptions): Model {
  const { forward, opset = 21, signal } = options;
  signal?.throwIfAborted();
  const root = unwrapped(moduleOf(file, options.key));
  const specs = inputsOf(options, root);
  const model = new Model();
  model.irVersion = irVersionOf(opset);
  model.opsetImports.set('', opset);
  const context = new AtenContext(model);
  const inputs = new Map<string, Value>(specs.map(({ name, type }) => [name, context.builder.input(name, type)]));
  if (forward === undefined) addOutputs(context, new ModuleApplier(context).apply(root, [...inputs.values()]), []);
  else if (typeof forward === 'string') {
    const program = parseForward(forward);
    addOutputs(context, evaluateForward(program, root, inputs, context), namesOf(program.result));
  } else {
    const result = runDefinition(forward, root, inputs, context);
    const named = typeof result === 'object' && result !== null && !Array.isArray(result) && !isValue(result) && !isSym(result);
    if (named) addOutputs(context, Object.values(result as Record<string, AtenResult>), Object.keys(result));
    else addOutputs(context, result as AtenResult, []);
  }
  finishAten(model);
  return model;
}

/** The module in the file, or one made of the names of its weights. */
function moduleOf(file: PytorchFile, key: string | undefined): ModuleNode {
  const { source, root, materializer } = file;
  const found = moduleIn(root, key, source.uri);
  if (found) {
    // Names and sizes of everything are checked before anything is built.
    flattenState(found, source.uri);
    return moduleOfObject(found, materializer);
  }
  return moduleOfTensors(checkpointOf(file, key === undefined ? {} : { key }).tensors);
}

function moduleIn(root: PyValue, key: string | undefined, uri: string): Extract<PyValue, { kind: 'object' }> | undefined {
  if (key === undefined && isModule(root)) return root;
  const { value } = selectState(root, key, uri);
  return isModule(value) ? value : undefined;
}

/** A module that converts by itself still needs the sizes of its input. */
function inputsOf({ forward, inputs }: ModelFromPytorchOptions, root: ModuleNode): InputSpec[] {
  const given = typeof forward === 'object' ? forward.inputs : inputs;
  // What is missing most comes first: the forward, then the inputs.
  const unknown = forward === undefined ? firstUnknown(root) : undefined;
  if (unknown) throw needsForward(unknown, root);
  if (given === undefined || given.length === 0) {
    throw new PenjingError('E_OPTION', 'the inputs of the model are not known: the file does not hold their sizes', { hint: `Give them, for example --input '${forwardSkeleton(root).input}'.` });
  }
  const specs = given.map(parseInputSpec);
  const twice = specs.find(({ name }, i) => specs.findIndex((other) => other.name === name) !== i);
  if (twice) throw new PenjingError('E_OPTION', `two inputs are called ${twice.name}`);
  return specs;
}

/** The names of variables in the result. */
function namesOf(result: Expression): (string | undefined)[] {
  const items = result.kind === 'tuple' ? result.items : [result];
  return items.map((item) => (item.kind === 'name' ? item.name : undefined));
}

function addOutputs(context: AtenContext, result: AtenResult, names: readonly (string | undefined)[]): void {
  const { builder } = context;
  const { graph } = builder;
  const flat = flatten(result);
  if (flat.length === 0) throw new PenjingError('E_FORWARD', 'the forward gives no tensor');
  flat.forEach((value, i) => {
    const taken = !value.producer || graph.outputs.includes(value);
    const fallback = flat.length === 1 ? 'output' : `output_${i}`;
    const name = names.length === flat.length ? (names[i] ?? fallback) : fallback;
    const free = graph.inputs.some((input) => input.name === name) ? `${name}_out` : name;
    builder.output(taken ? context.op('Identity', [value]) : value, free);
  });
}

function flatten(value: AtenArgument): Value[] {
  if (isValue(value)) return [value];
  if (isSym(value)) return [value.value];
  if (Array.isArray(value)) return (value as AtenArgument[]).flatMap(flatten);
  if (value === null) return [];
  throw new PenjingError('E_FORWARD', 'the forward gives a number, which is no tensor');
}
