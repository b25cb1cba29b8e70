/** A TorchScript archive, traced or scripted, to an ONNX model: its code is run on a graph under construction. */
import { type ByteSource, type Dim, type DType, Graph, Model, PenjingError, tensorType, type Value } from '@penjing/core';
import { scriptLimits } from '../../limits.js';
import { irVersionOf } from '../../onnx/ir-versions.js';
import { type PytorchFile, readPickle, readPytorchFile } from '../../pytorch/archive.js';
import { Materializer } from '../../pytorch/materialize.js';
import { isDict, isKind, itemsOf, type PyTensor } from '../../pytorch/values.js';
import { AtenContext, finishAten, isCell } from '../aten/index.js';
import { Interpreter, type ScriptSource } from './interpreter.js';
import { describeScript, isDictValue, isList, isScalar, type ObjectValue, type ScriptValue } from './script-values.js';

/** A tensor that the model takes, or the value that an argument always has. */
export type ScriptInput = ScriptTensorInput | { readonly value: number | boolean | string | null };

export interface ScriptTensorInput {
  readonly dtype: DType;
  /** Numbers, or names of sizes that may vary. Scripted code may decide by a size: that size must be a number. */
  readonly shape: readonly Dim[];
}

export interface ConvertTorchScriptOptions {
  /** Version of ai.onnx; 21 when absent. */
  readonly opset?: number;
  /** Types of the inputs, in order; those it was traced with when absent. Arguments at the end may be left out when they have a default. */
  readonly inputs?: readonly ScriptInput[];
  /** Path of a module inside, whose forward is converted instead of that of the whole. */
  readonly module?: string;
}

/**
 * Throws `E_FORMAT` for a file that is no TorchScript archive, `E_UNSUPPORTED` naming file and line of what depends on
 * values or has no ONNX form, `E_TORCHSCRIPT` for damaged code, `E_INPUT` when the shapes of inputs are not known.
 */
export async function openTorchScript(source: ByteSource, options: ConvertTorchScriptOptions = {}): Promise<Model> {
  return convertTorchScript(await readPytorchFile(source), options);
}

/** The same of a file that has been read. */
export async function convertTorchScript(file: PytorchFile, { opset = 21, ...options }: ConvertTorchScriptOptions = {}): Promise<Model> {
  const { source } = file;
  if (file.kind !== 'torchscript' || !file.archive || !isKind(file.root, 'object')) {
    throw new PenjingError('E_FORMAT', `${source.uri} is no TorchScript archive`, { hint: 'Give a file that torch.jit.save wrote.' });
  }
  const inputs = options.inputs ?? (await tracedInputs(file));
  const model = new Model(new Graph('main_graph'));
  model.irVersion = irVersionOf(opset);
  model.opsetImports.set('', opset);
  const constants = itemsOf(await readPickle(file.archive.zip, `${file.archive.folder}constants.pkl`)) ?? [];
  const script: ScriptSource = { uri: source.uri, code: await codeOf(file), materializer: file.materializer, constants: { items: constants, materializer: materializerOf(file, 'constants') } };
  const interpreter = new Interpreter(script, new AtenContext(model));
  runForward(interpreter, moduleAt(interpreter, { kind: 'object', object: file.root, path: '' }, options.module ?? '', source.uri), inputs, source.uri);
  finishAten(model);
  if (interpreter.written.size > 0) model.metadata.set('penjing.dropped_state', [...interpreter.written].join(', '));
  return model;
}

/** Source text by its path under `code/`. */
async function codeOf({ archive }: PytorchFile): Promise<ReadonlyMap<string, string>> {
  const { zip, folder } = archive!;
  const code = new Map<string, string>();
  let bytes = 0;
  for (const [name, entry] of zip.entries) {
    if (!name.startsWith(`${folder}code/`) || !name.endsWith('.py')) continue;
    bytes += entry.size;
    if (bytes > scriptLimits.codeBytes) throw new PenjingError('E_LIMIT', `${zip.source.uri} holds more than ${scriptLimits.codeBytes} bytes of code`);
    code.set(name.slice(folder.length + 'code/'.length), new TextDecoder().decode(await zip.read(name, scriptLimits.codeBytes)));
  }
  return code;
}

/** Storages of a pickle stand in a folder of its name. */
function materializerOf(file: PytorchFile, name: string): Materializer {
  const { zip, folder } = file.archive!;
  return new Materializer((storage, what) => {
    const entry = zip.entries.get(`${folder}${name}/${storage.key}`);
    if (!entry?.stored) throw new PenjingError('E_TORCHSCRIPT', `the storage of ${what} is not in ${file.source.uri}`);
    return { source: file.source, offset: entry.offset, byteLength: entry.size };
  });
}

/** Types of the tensors that the module was traced with. */
async function tracedInputs({ archive }: PytorchFile): Promise<ScriptTensorInput[] | undefined> {
  const { zip, folder } = archive!;
  const name = `${folder}traced_inputs.pkl`;
  if (!zip.entries.has(name)) return undefined;
  const root = await readPickle(zip, name);
  const given = isDict(root) ? root.get('forward') : root;
  const list = itemsOf(given) ?? [given];
  const tensors = list.filter((item): item is PyTensor => isKind(item, 'tensor'));
  return tensors.length === list.length ? tensors.map(({ dtype, shape }) => ({ dtype, shape })) : undefined;
}

function moduleAt(interpreter: Interpreter, root: ObjectValue, path: string, uri: string): ObjectValue {
  let module = root;
  for (const name of path === '' ? [] : path.split('.')) {
    const inner = module.object.get(name);
    if (!isKind(inner, 'object')) throw new PenjingError('E_KEY', `${uri} has no module ${path}`, { hint: 'penjing inspect lists the names of its weights.' });
    module = { kind: 'object', object: inner, path: module.path === '' ? name : `${module.path}.${name}` };
  }
  return module;
}

function runForward(interpreter: Interpreter, module: ObjectValue, inputs: readonly ScriptInput[] | undefined, uri: string): void {
  const forward = interpreter.method(module, 'forward');
  const parameters = forward.parameters.slice(1);
  const least = parameters.filter(({ fallback }) => !fallback).length;
  if (!inputs || inputs.length > parameters.length || inputs.length < least) {
    const named = parameters.map(({ name, type, fallback }) => `${name}${type === 'Tensor' || type === '' ? '' : `: ${type}`}${fallback ? ' (may be left out)' : ''}`);
    throw new PenjingError('E_INPUT', `${uri} takes ${named.join(', ')}, and the shapes of ${inputs ? inputs.length : 'none'} of them are known`, {
      hint: `Give the element type and shape of each: ${parameters.slice(0, least).map(({ name, type }) => (type === 'int' ? `--input '${name}=1'` : `--input '${name}:f32[1,3]'`)).join(' ')}.`,
    });
  }
  const { builder } = interpreter.context;
  const values = inputs.map((input, i): ScriptValue => ('value' in input ? input.value : interpreter.environment.cell(builder.input(parameters[i]!.name, tensorType(input.dtype, input.shape)))));
  const result = interpreter.run(forward, [module, ...values]);
  const outputs = flat(result, '');
  if (outputs.length === 0) throw new PenjingError('E_UNSUPPORTED', `the module returns ${describeScript(result)}, which is no tensor`);
  for (const { value, name } of outputs) addOutput(interpreter, value, name === '' ? 'output' : name);
}

/** Tensors and numbers of a result; keys of a dictionary are names. */
function flat(result: ScriptValue, name: string): { value: ScriptValue; name: string }[] {
  if (result === null || typeof result === 'string') return [];
  if (isDictValue(result)) return [...result.entries].flatMap(([key, value]) => flat(value, name === '' ? String(key) : `${name}.${key}`));
  if (isList(result)) return result.length === 1 ? flat(result[0]!, name) : result.flatMap((value, i) => flat(value, `${name === '' ? 'output' : name}_${i}`));
  return [{ value: result, name }];
}

function addOutput({ context, environment }: Interpreter, output: ScriptValue, name: string): void {
  if (!isCell(output) && !isScalar(output)) throw new PenjingError('E_UNSUPPORTED', `the module returns ${describeScript(output)}, which is no tensor`);
  let value: Value = isCell(output) ? environment.read(output) : context.scalarOf(output);
  const { graph } = context.builder;
  if (!value.producer || graph.outputs.includes(value)) value = context.op('Identity', [value]);
  const taken = new Set([...graph.inputs, ...graph.outputs, ...graph.initializers.values()].map((other) => other.name));
  let own = name;
  for (let i = 1; taken.has(own); i++) own = `${name}_${i}`;
  context.builder.output(value, own);
}
