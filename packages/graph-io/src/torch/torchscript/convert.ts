/** A traced TorchScript archive to an ONNX model: its code is read line by line, its calls go through the ATen table. */
import { type ByteSource, type Dim, type DType, Graph, isPenjingError, Model, PenjingError, type Tensor, tensorType, type Value } from '@penjing/core';
import { scriptLimits } from '../../limits.js';
import { irVersionOf } from '../../onnx/ir-versions.js';
import { type PytorchFile, readPickle, readPytorchFile } from '../../pytorch/archive.js';
import { Materializer } from '../../pytorch/materialize.js';
import { isDict, isKind, itemsOf, type PyObject, type PyTensor, type PyValue } from '../../pytorch/values.js';
import { AtenContext, type Cell, Environment, finishAten, isCell, isSym, type Scalar } from '../aten/index.js';
import { type Expression, type Method, parseMethod } from './syntax.js';

export interface ScriptInput {
  readonly dtype: DType;
  readonly shape: readonly Dim[];
}

export interface ConvertTorchScriptOptions {
  /** Version of ai.onnx; 21 when absent. */
  readonly opset?: number;
  /** Types of the inputs, in order; those it was traced with when absent. Sizes may be symbols. */
  readonly inputs?: readonly ScriptInput[];
}

interface ModuleValue {
  readonly kind: 'module';
  readonly object: PyObject;
  readonly path: string;
}
type ScriptValue = Cell | Scalar | string | null | ModuleValue | readonly ScriptValue[];

const isModule = (value: ScriptValue): value is ModuleValue => typeof value === 'object' && value !== null && (value as ModuleValue).kind === 'module';

/**
 * Throws `E_FORMAT` for a file that is no TorchScript archive, `E_UNSUPPORTED` naming file and line of what is beyond
 * traced graphs or has no ONNX form, `E_TORCHSCRIPT` for damaged code, `E_INPUT` when the shapes of inputs are not known.
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
  const script = new Script(file, await codeOf(file), await constantsOf(file));
  const inputs = options.inputs ?? (await tracedInputs(file));
  const model = new Model(new Graph('main_graph'));
  model.irVersion = irVersionOf(opset);
  model.opsetImports.set('', opset);
  script.convert(model, file.root, inputs);
  finishAten(model);
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

interface Constants {
  readonly items: readonly PyValue[];
  readonly materializer: Materializer;
}

async function constantsOf(file: PytorchFile): Promise<Constants> {
  const { zip, folder } = file.archive!;
  return { items: itemsOf(await readPickle(zip, `${folder}constants.pkl`)) ?? [], materializer: materializerOf(file, 'constants') };
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
async function tracedInputs({ archive }: PytorchFile): Promise<ScriptInput[] | undefined> {
  const { zip, folder } = archive!;
  const name = `${folder}traced_inputs.pkl`;
  if (!zip.entries.has(name)) return undefined;
  const root = await readPickle(zip, name);
  const given = isDict(root) ? root.get('forward') : root;
  const list = itemsOf(given) ?? [given];
  const tensors = list.filter((item): item is PyTensor => isKind(item, 'tensor'));
  return tensors.length === list.length ? tensors.map(({ dtype, shape }) => ({ dtype, shape })) : undefined;
}

class Script {
  readonly #file: PytorchFile;
  readonly #code: ReadonlyMap<string, string>;
  readonly #constants: Constants;
  readonly #methods = new Map<string, Method>();
  readonly #weights = new Map<Tensor, Cell>();
  #context!: AtenContext;
  #environment!: Environment;
  #calls = 0;

  constructor(file: PytorchFile, code: ReadonlyMap<string, string>, constants: Constants) {
    this.#file = file;
    this.#code = code;
    this.#constants = constants;
  }

  convert(model: Model, root: PyObject, inputs: readonly ScriptInput[] | undefined): void {
    this.#context = new AtenContext(model);
    this.#environment = new Environment(this.#context);
    const { parameters } = this.#method(root.type, 'forward').method;
    if (!inputs || inputs.length !== parameters.length) {
      throw new PenjingError('E_INPUT', `${this.#file.source.uri} takes ${parameters.join(', ')}, and the shapes of ${inputs ? inputs.length : 'none'} of them are known`, { hint: 'Give the element type and shape of each input.' });
    }
    const { builder } = this.#context;
    const cells = parameters.map((name, i) => this.#environment.cell(builder.input(name, tensorType(inputs[i]!.dtype, inputs[i]!.shape))));
    const result = this.#run({ kind: 'module', object: root, path: '' }, 'forward', cells);
    const outputs = Array.isArray(result) ? (result as ScriptValue[]).flat() : [result];
    outputs.forEach((output, i) => this.#output(output, outputs.length === 1 ? 'output' : `output_${i}`));
  }

  #output(output: ScriptValue, name: string): void {
    if (!isCell(output)) throw new PenjingError('E_UNSUPPORTED', 'the module returns something that is no tensor');
    let value: Value = this.#environment.read(output);
    if (!value.producer || this.#context.builder.graph.outputs.includes(value)) value = this.#context.op('Identity', [value]);
    this.#context.builder.output(value, name);
  }

  /** `__torch__.torch.nn.modules.conv.___torch_mangle_2.Conv2d` stands in `__torch__/torch/nn/modules/conv/___torch_mangle_2.py`. */
  #method(type: string, name: string): { method: Method; file: string } {
    const parts = type.split('.');
    const className = parts.pop()!;
    const file = `${parts.join('/')}.py`;
    const key = `${type}:${name}`;
    let method = this.#methods.get(key);
    if (!method) {
      const text = this.#code.get(file);
      if (text === undefined) throw new PenjingError('E_TORCHSCRIPT', `${this.#file.source.uri} has no code of ${type}`);
      this.#methods.set(key, (method = parseMethod(text, `code/${file}`, className, name)));
    }
    return { method, file: `code/${file}` };
  }

  #run(self: ModuleValue, name: string, args: readonly ScriptValue[]): ScriptValue {
    if (++this.#calls > scriptLimits.calls) throw new PenjingError('E_LIMIT', `${this.#file.source.uri} calls more than ${scriptLimits.calls} methods`);
    const { method, file } = this.#method(self.object.type, name);
    const variables = new Map<string, ScriptValue>([['self', self]]);
    method.parameters.forEach((parameter, i) => variables.set(parameter, args[i] ?? null));
    for (const { line, targets, apart, value } of method.body) {
      try {
        const result = this.#evaluate(value, variables);
        if (targets === undefined) return result;
        if (!apart) for (const target of targets) variables.set(target, result);
        else targets.forEach((target, i) => variables.set(target, (result as readonly ScriptValue[])[i] ?? null));
      } catch (error) {
        if (!isPenjingError(error) || error.details['line'] !== undefined) throw error;
        throw new PenjingError(error.code, `${error.message} (${file}:${line}${self.path === '' ? '' : `, module ${self.path}`})`, {
          cause: error, ...(error.hint === undefined ? {} : { hint: error.hint }), details: { ...error.details, file, line, module: self.path },
        });
      }
    }
    return null;
  }

  #evaluate(expression: Expression, variables: ReadonlyMap<string, ScriptValue>): ScriptValue {
    switch (expression.kind) {
      case 'literal': return expression.float ? { kind: 'float', number: expression.value as number } : expression.value;
      case 'list': return expression.items.map((item) => this.#evaluate(item, variables));
      case 'name': {
        const value = variables.get(expression.name);
        if (value === undefined) throw this.#beyond(`the name ${expression.name}`);
        return value;
      }
      case 'attribute': return this.#attribute(expression, variables);
      case 'subscript': {
        const of = this.#evaluate(expression.of, variables);
        const index = this.#evaluate(expression.index, variables);
        if (Array.isArray(of) && typeof index === 'number') return (of as ScriptValue[]).at(index) ?? null;
        throw this.#beyond('an index into what is no list');
      }
      case 'call': return this.#call(expression, variables);
    }
  }

  #attribute({ of, name }: Extract<Expression, { kind: 'attribute' }>, variables: ReadonlyMap<string, ScriptValue>): ScriptValue {
    if (of.kind === 'name' && of.name === 'CONSTANTS') return this.#constant(name);
    const owner = this.#evaluate(of, variables);
    if (!isModule(owner)) throw this.#beyond(`the attribute ${name}`);
    return this.#member(owner, name);
  }

  #member(owner: ModuleValue, name: string): ScriptValue {
    const path = owner.path === '' ? name : `${owner.path}.${name}`;
    const value = owner.object.get(name);
    if (isKind(value, 'object')) return { kind: 'module', object: value, path };
    if (isKind(value, 'tensor')) return this.#weight(this.#file.materializer.tensor(value, path), path);
    if (value === null || typeof value === 'boolean' || typeof value === 'number' || typeof value === 'string') return value;
    throw this.#beyond(`the attribute ${path}`);
  }

  #constant(name: string): ScriptValue {
    const value = this.#constants.items[Number(name.slice(1))];
    if (!isKind(value, 'tensor')) throw this.#beyond(`the constant ${name}`);
    return this.#weight(this.#constants.materializer.tensor(value, name), `CONSTANTS.${name}`);
  }

  #weight(tensor: Tensor, name: string): Cell {
    let cell = this.#weights.get(tensor);
    if (!cell) this.#weights.set(tensor, (cell = this.#environment.cell(this.#context.builder.initializer(name, tensor))));
    return cell;
  }

  #call({ callee, args, keyword }: Extract<Expression, { kind: 'call' }>, variables: ReadonlyMap<string, ScriptValue>): ScriptValue {
    const values = (from = 0): ScriptValue[] => args.slice(from).map((arg) => this.#evaluate(arg, variables));
    if (callee.kind === 'attribute') {
      const { of, name } = callee;
      if (of.kind === 'name' && of.name === 'torch' && !variables.has('torch')) {
        if (name === 'device') return 'cpu';
        const named = Object.fromEntries(Object.entries(keyword).map(([key, value]) => [key, this.#evaluate(value, variables)]));
        return this.#environment.call(`aten.${name}`, values(), named) as ScriptValue;
      }
      if (of.kind === 'attribute' && of.of.kind === 'name' && of.of.name === 'ops') return this.#builtin(name, values());
      const owner = this.#evaluate(of, variables);
      if (!isModule(owner)) throw this.#beyond(`the method ${name}`);
      const scope = owner.path.split('.').at(-1)!;
      return this.#context.builder.scope(scope, () => this.#run(owner, name, values()));
    }
    if (callee.kind !== 'name') throw this.#beyond('a call of what is no function');
    if (callee.name === 'annotate' || callee.name === 'unchecked_cast') return values(1)[0] ?? null;
    if (callee.name === 'getattr') {
      const [owner, name] = values();
      if (owner !== undefined && isModule(owner) && typeof name === 'string') return this.#member(owner, name);
    }
    return this.#builtin(callee.name, values());
  }

  /** Python's own functions, and `ops.prim`. */
  #builtin(name: string, [value = null]: readonly ScriptValue[]): ScriptValue {
    const inner = value;
    if (['NumToTensor', 'unchecked_unwrap_optional', 'unwrap_optional', 'uninitialized'].includes(name)) return inner;
    if (name === 'int' || name === 'float' || name === 'bool') {
      if (isCell(inner)) return this.#context.sym(this.#context.reshape(this.#environment.read(inner), [1]));
      if (typeof inner === 'string') return { kind: 'float', number: inner.includes('inf') ? (inner.startsWith('-') ? -Infinity : Infinity) : NaN };
      if (isSym(inner) || typeof inner === 'number' || typeof inner === 'boolean') return inner;
    }
    throw this.#beyond(`the function ${name}`);
  }

  #beyond(what: string): PenjingError {
    return new PenjingError('E_UNSUPPORTED', `${what} is beyond what tracing writes`, { hint: 'Export the model with torch.export.save, or trace it with torch.jit.trace.' });
  }
}
