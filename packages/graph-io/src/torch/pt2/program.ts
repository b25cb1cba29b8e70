/** An exported program as torch.export serializes it (schema version 8), checked: what the converter reads is what is declared here. */
import { type Dim, type DType, PenjingError } from '@penjing/core';
import { isObject } from '../../safetensors/unique-json.js';
import { pt2Limits } from '../../limits.js';
import { dtypeOfExport, type Float } from '../aten/index.js';
import { dimOf } from './symbols.js';

/** What a node takes: names of values, plain values, lists, graphs of control flow. */
export type ProgramArgument =
  | { readonly kind: 'none' }
  | { readonly kind: 'value'; readonly name: string }
  | { readonly kind: 'plain'; readonly value: number | boolean | string | Float | null }
  | { readonly kind: 'list'; readonly items: readonly ProgramArgument[] }
  | { readonly kind: 'graph'; readonly name: string; readonly graph: ProgramGraph }
  | { readonly kind: 'other'; readonly tag: string };

export interface ProgramNode {
  readonly target: string;
  readonly name: string;
  readonly inputs: readonly { readonly name: string; readonly argument: ProgramArgument; readonly keyword: boolean }[];
  readonly outputs: readonly ProgramArgument[];
  /** Dotted path of the module, '' for the whole model. */
  readonly module: string;
  /** Class of the module. */
  readonly moduleClass: string;
  /** The line of the program that made it, `model.py:12`. */
  readonly place: string;
}

export interface TensorMeta {
  readonly dtype: DType;
  /** Symbols as torch names them. */
  readonly shape: readonly Dim[];
  /** Elements; undefined where they are symbolic. */
  readonly strides: readonly (number | null)[];
  readonly storageOffset: number;
}

export interface ProgramGraph {
  readonly inputs: readonly ProgramArgument[];
  readonly outputs: readonly ProgramArgument[];
  readonly nodes: readonly ProgramNode[];
  readonly tensors: ReadonlyMap<string, TensorMeta>;
}

export type InputSpec =
  | { readonly kind: 'parameter' | 'buffer' | 'constant'; readonly name: string; readonly target: string }
  | { readonly kind: 'user'; readonly argument: ProgramArgument }
  | { readonly kind: 'other'; readonly tag: string; readonly name: string };

export interface OutputSpec {
  readonly kind: 'user' | 'mutation';
  readonly argument: ProgramArgument;
  /** The buffer or input that is changed. */
  readonly target: string;
}

export interface Program {
  readonly graph: ProgramGraph;
  readonly inputs: readonly InputSpec[];
  readonly outputs: readonly OutputSpec[];
  /** Keys of a dictionary that the model returns, when each holds one output. */
  readonly outputNames: readonly string[] | undefined;
  readonly ranges: ReadonlyMap<string, { readonly min: number | undefined; readonly max: number | undefined }>;
  readonly torchVersion: string;
}

type Json = Readonly<Record<string, unknown>>;

/** Reads with the place of what is wrong in every message. */
export class ProgramReader {
  readonly uri: string;
  #nodes = 0;

  constructor(uri: string) {
    this.uri = uri;
  }

  program(value: unknown): Program {
    const root = this.#object(value, 'the program');
    const module = this.#object(root['graph_module'], 'graph_module');
    const signature = this.#object(module['signature'], 'signature');
    const version = this.#object(root['schema_version'] ?? {}, 'schema_version')['major'];
    if (typeof version === 'number' && version > 8) {
      throw new PenjingError('E_PT2', `${this.uri} is written in version ${version} of the export schema, only up to 8 is read`, { hint: 'Export with an older PyTorch.' });
    }
    return {
      graph: this.graph(module['graph'], 0),
      inputs: this.#list(signature['input_specs'], 'input_specs').map((spec) => this.#inputSpec(spec)),
      outputs: this.#list(signature['output_specs'], 'output_specs').map((spec) => this.#outputSpec(spec)),
      outputNames: outputNames(module['module_call_graph']),
      ranges: this.#ranges(root['range_constraints']),
      torchVersion: typeof root['torch_version'] === 'string' ? root['torch_version'] : '',
    };
  }

  graph(value: unknown, depth: number): ProgramGraph {
    if (depth > pt2Limits.graphDepth) throw new PenjingError('E_LIMIT', `${this.uri} nests graphs deeper than ${pt2Limits.graphDepth}`);
    const graph = this.#object(value, 'a graph');
    const nodes = this.#list(graph['nodes'], 'nodes');
    this.#nodes += nodes.length;
    if (this.#nodes > pt2Limits.nodes) throw new PenjingError('E_LIMIT', `${this.uri} has more than ${pt2Limits.nodes} nodes`);
    return {
      inputs: this.#list(graph['inputs'], 'inputs').map((item) => this.argument(item, depth)),
      outputs: this.#list(graph['outputs'], 'outputs').map((item) => this.argument(item, depth)),
      nodes: nodes.map((node, i) => this.#node(node, i, depth)),
      tensors: this.#metas(graph['tensor_values']),
    };
  }

  argument(value: unknown, depth: number): ProgramArgument {
    const [tag, body] = this.#variant(value, 'an argument');
    const read = Object.hasOwn(readers, tag) ? readers[tag] : undefined;
    if (tag === 'as_graph') {
      const { name, graph } = this.#object(body, 'a graph argument');
      return { kind: 'graph', name: this.#string(name, 'the name of a graph'), graph: this.graph(graph, depth + 1) };
    }
    const argument = read?.(body);
    if (argument === undefined && read) throw this.invalid(`${tag} holds ${JSON.stringify(body)?.slice(0, 100) ?? 'nothing'}`);
    return argument ?? { kind: 'other', tag };
  }

  /** `tensor_meta` of a stored tensor, or of a value. */
  meta(value: unknown, what: string): TensorMeta {
    const meta = this.#object(value, `the description of ${what}`);
    const dtype = typeof meta['dtype'] === 'number' ? dtypeOfExport.get(meta['dtype']) : undefined;
    if (!dtype) throw new PenjingError('E_DTYPE', `${what} in ${this.uri} has the element type ${String(meta['dtype'])}, which is not known`);
    const shape = this.#list(meta['sizes'], `the sizes of ${what}`).map((size) => dimOf(size));
    if (shape.length > pt2Limits.rank) throw new PenjingError('E_LIMIT', `${what} in ${this.uri} has ${shape.length} dimensions`);
    const number = (item: unknown): number | null => {
      const dim = dimOf(item);
      return typeof dim === 'number' ? dim : null;
    };
    return {
      dtype, shape, strides: this.#list(meta['strides'] ?? [], `the strides of ${what}`).map(number), storageOffset: number(meta['storage_offset']) ?? 0,
    };
  }

  invalid(why: string): PenjingError {
    return new PenjingError('E_PT2', `${this.uri} is no valid exported program: ${why}`, { hint: 'Export it again with torch.export.save.' });
  }

  #node(value: unknown, index: number, depth: number): ProgramNode {
    const node = this.#object(value, `node ${index}`);
    const target = this.#string(node['target'], `the target of node ${index}`);
    const inputs = this.#list(node['inputs'], `the inputs of ${target}`).map((item) => {
      const { name, arg, kind } = this.#object(item, `an input of ${target}`);
      return { name: this.#string(name, `the name of an input of ${target}`), argument: this.argument(arg, depth), keyword: kind === 2 };
    });
    const outputs = this.#list(node['outputs'], `the outputs of ${target}`).map((item) => this.argument(item, depth));
    const metadata = isObject(node['metadata']) ? node['metadata'] : {};
    const [first] = outputs;
    const name = typeof node['name'] === 'string' ? node['name'] : first?.kind === 'value' ? first.name : `node ${index}`;
    return { target, name, inputs, outputs, ...moduleOf(metadata['nn_module_stack']), place: placeOf(metadata['stack_trace']) };
  }

  #metas(value: unknown): ReadonlyMap<string, TensorMeta> {
    const metas = new Map<string, TensorMeta>();
    for (const [name, meta] of Object.entries(this.#object(value ?? {}, 'tensor_values'))) metas.set(name, this.meta(meta, name));
    return metas;
  }

  #inputSpec(value: unknown): InputSpec {
    const [tag, raw] = this.#variant(value, 'an input of the signature');
    const body = this.#object(raw, tag);
    const kinds = { parameter: 'parameter_name', buffer: 'buffer_name', tensor_constant: 'tensor_constant_name' } as const;
    if (tag === 'user_input') return { kind: 'user', argument: this.argument(body['arg'], 0) };
    if (tag in kinds) {
      const { name } = this.#object(body['arg'], tag);
      const target = this.#string(body[kinds[tag as keyof typeof kinds]], tag);
      return { kind: tag === 'tensor_constant' ? 'constant' : (tag as 'parameter' | 'buffer'), name: this.#string(name, tag), target };
    }
    const arg = isObject(body['arg']) ? body['arg'] : body;
    return { kind: 'other', tag, name: typeof arg['name'] === 'string' ? arg['name'] : '' };
  }

  #outputSpec(value: unknown): OutputSpec {
    const [tag, raw] = this.#variant(value, 'an output of the signature');
    const body = this.#object(raw, tag);
    if (tag === 'user_output') return { kind: 'user', argument: this.argument(body['arg'], 0), target: '' };
    if (tag === 'loss_output') return { kind: 'user', argument: this.#named(body['arg']), target: '' };
    const target = body['buffer_name'] ?? body['user_input_name'] ?? body['parameter_name'] ?? '';
    return { kind: 'mutation', argument: this.#named(body['arg']), target: typeof target === 'string' ? target : '' };
  }

  #named(value: unknown): ProgramArgument {
    return { kind: 'value', name: this.#string(this.#object(value, 'an output')['name'], 'the name of an output') };
  }

  #ranges(value: unknown): Program['ranges'] {
    const ranges = new Map<string, { min: number | undefined; max: number | undefined }>();
    for (const [name, range] of Object.entries(this.#object(value ?? {}, 'range_constraints'))) {
      const { min_val: min, max_val: max } = this.#object(range, name);
      ranges.set(name, { min: typeof min === 'number' ? min : undefined, max: typeof max === 'number' ? max : undefined });
    }
    return ranges;
  }

  #variant(value: unknown, what: string): [tag: string, body: unknown] {
    const entries = Object.entries(this.#object(value, what)).filter(([, body]) => body !== null);
    const [entry] = entries;
    if (!entry) throw this.invalid(`${what} is empty`);
    return entry;
  }

  #object(value: unknown, what: string): Json {
    if (!isObject(value)) throw this.invalid(`${what} is no object`);
    return value;
  }

  #list(value: unknown, what: string): readonly unknown[] {
    if (!Array.isArray(value)) throw this.invalid(`${what} is no list`);
    return value;
  }

  #string(value: unknown, what: string): string {
    if (typeof value !== 'string') throw this.invalid(`${what} is no text`);
    return value;
  }
}

type Reader = (body: unknown) => ProgramArgument | undefined;

const NONE: ProgramArgument = { kind: 'none' };

const plain = (value: number | boolean | string | Float | null): ProgramArgument => ({ kind: 'plain', value });
const named: Reader = (body) => (isObject(body) && typeof body['name'] === 'string' ? { kind: 'value', name: body['name'] } : undefined);
/** Ends of slices are the largest int64, which is rounded by JSON: anything beyond safe integers is an end. */
const integer: Reader = (body) => (typeof body === 'number' && Number.isInteger(body)
  ? plain(Math.max(-Number.MAX_SAFE_INTEGER, Math.min(Number.MAX_SAFE_INTEGER, body))) : undefined);
const specials: Readonly<Record<string, number>> = { Infinity, '-Infinity': -Infinity, NaN: NaN };
const float: Reader = (body) => {
  const number = typeof body === 'string' && Object.hasOwn(specials, body) ? specials[body] : body;
  return typeof number === 'number' ? plain({ kind: 'float', number }) : undefined;
};
const symbolic = (own: Reader): Reader => (body) => {
  if (!isObject(body)) return undefined;
  if (typeof body['as_name'] === 'string') return { kind: 'value', name: body['as_name'] };
  return own(body['as_int'] ?? body['as_float'] ?? body['as_bool']);
};
const bool: Reader = (body) => (typeof body === 'boolean' ? plain(body) : undefined);
const text: Reader = (body) => (typeof body === 'string' ? plain(body) : undefined);
const list = (item: Reader): Reader => (body) => {
  if (!Array.isArray(body)) return undefined;
  const items = body.map(item);
  return items.every((entry) => entry !== undefined) ? { kind: 'list', items } : undefined;
};
const optionalTensor: Reader = (body) => {
  if (!isObject(body)) return undefined;
  return 'as_tensor' in body ? named(body['as_tensor']) : NONE;
};
const scalarType: Reader = (body) => {
  const dtype = typeof body === 'number' ? dtypeOfExport.get(body) : undefined;
  return dtype && plain(dtype);
};
/** Devices and layouts of memory say nothing about elements. */
const ignored: Reader = () => NONE;

const readers: Readonly<Record<string, Reader | undefined>> = {
  as_none: ignored, as_tensor: named, as_tensors: list(named), as_int: integer, as_ints: list(integer), as_float: float, as_floats: list(float),
  as_string: text, as_strings: list(text), as_sym_int: symbolic(integer), as_sym_ints: list(symbolic(integer)), as_scalar_type: scalarType,
  as_memory_format: ignored, as_layout: ignored, as_device: ignored, as_bool: bool, as_bools: list(bool), as_sym_bool: symbolic(bool),
  as_sym_bools: list(symbolic(bool)), as_sym_float: symbolic(float), as_sym_floats: list(symbolic(float)), as_optional_tensors: list(optionalTensor),
  as_optional_tensor: optionalTensor, as_int_lists: list(list(integer)), as_nested_tensors: list(list(named)),
};

/** `L__self__,,__main__.M;L__self__l,l,torch.nn.modules.linear.Linear`: the innermost module. */
function moduleOf(stack: unknown): { module: string; moduleClass: string } {
  const last = typeof stack === 'string' ? stack.split(';').at(-1)!.split(',') : [];
  const [, path = '', type = ''] = last;
  return path.startsWith('_') && type.startsWith('_') ? { module: '', moduleClass: '' } : { module: path, moduleClass: type };
}

function placeOf(trace: unknown): string {
  if (typeof trace !== 'string') return '';
  const lines = [...trace.matchAll(/File "([^"\n]*)", line (\d+)/g)];
  const own = lines.filter(([, file]) => !file!.includes('site-packages')).at(-1) ?? lines.at(-1);
  return own ? `${own[1]!.slice(own[1]!.lastIndexOf('/') + 1)}:${own[2]!}` : '';
}

/** From the tree of the outputs, `[1, {"type": "builtins.dict", "context": "[\"a\"]", …}]`. */
function outputNames(calls: unknown): string[] | undefined {
  const root: unknown = Array.isArray(calls) ? calls[0] : undefined;
  const signature = isObject(root) ? root['signature'] : undefined;
  const spec = isObject(signature) ? signature['out_spec'] : undefined;
  if (typeof spec !== 'string') return undefined;
  try {
    const parsed: unknown = JSON.parse(spec);
    const tree: unknown = Array.isArray(parsed) ? parsed[1] : undefined;
    if (!isObject(tree) || tree['type'] !== 'builtins.dict' || typeof tree['context'] !== 'string') return undefined;
    const keys: unknown = JSON.parse(tree['context']);
    const children = tree['children_spec'];
    const leaves = Array.isArray(children) && children.every((child) => isObject(child) && child['type'] === null);
    return leaves && Array.isArray(keys) && keys.length === children.length && keys.every((key) => typeof key === 'string') ? keys : undefined;
  } catch {
    return undefined;
  }
}
