/**
 * Runs TorchScript on a graph under construction: what is known is computed, branches that are decided by it are taken,
 * loops over it unrolled, calls inlined; operators on tensors become nodes.
 */
import { attribute, Graph, isPenjingError, PenjingError, type Tensor } from '@penjing/core';
import { scriptLimits } from '../../limits.js';
import type { Materializer } from '../../pytorch/materialize.js';
import { isDict, isKind, itemsOf, PyObject, type PyValue } from '../../pytorch/values.js';
import { type AtenContext, type Cell, Environment, isCell, isSym } from '../aten/index.js';
import { callBuiltin, callPrimitive } from './builtins.js';
import type { Expression } from './expressions.js';
import { beyond, checkNesting, describeScript, isCode, isDictValue, isList, isObjectValue, type ObjectValue, type ScriptValue } from './script-values.js';
import { type Callable, onlyRaises, ScriptFile, type Statement } from './syntax.js';

export interface ScriptSource {
  readonly uri: string;
  /** Code by its path under `code/`. */
  readonly code: ReadonlyMap<string, string>;
  readonly materializer: Materializer;
  readonly constants: { readonly items: readonly PyValue[]; readonly materializer: Materializer };
}

type Variables = Map<string, ScriptValue>;
/** The result of a return; undefined while none was reached. */
type Outcome = { readonly value: ScriptValue } | undefined;

export class Interpreter {
  readonly context: AtenContext;
  readonly environment: Environment;
  /** Attributes that the program writes: state that a graph does not keep. */
  readonly written = new Set<string>();
  readonly #source: ScriptSource;
  readonly #files = new Map<string, ScriptFile | undefined>();
  readonly #weights = new Map<Tensor, Cell>();
  readonly #attributes = new Map<PyObject, Map<string, ScriptValue>>();
  #calls = 0;
  #depth = 0;
  #steps = 0;
  /** Inside of a branch that becomes a graph, where nothing outside may be changed. */
  #branches = 0;

  constructor(source: ScriptSource, context: AtenContext) {
    this.#source = source;
    this.context = context;
    this.environment = new Environment(context);
  }

  /** Throws `E_UNSUPPORTED` when there is none, `E_TORCHSCRIPT` when the code of the class is not there. */
  method({ object }: ObjectValue, name: string): Callable {
    const { file, className } = this.#fileOf(object.type);
    if (!file) throw new PenjingError('E_TORCHSCRIPT', `${this.#source.uri} has no code of ${object.type}`);
    const found = file.callable(className, name);
    if (!found) throw new PenjingError('E_UNSUPPORTED', `${object.type} has no method ${name}`, { hint: 'A module whose forward is not in the file gives its weights alone.' });
    return found;
  }

  /** `__torch__.torch.nn.modules.conv.Conv2d` stands in `__torch__/torch/nn/modules/conv.py`. */
  #fileOf(type: string): { readonly file: ScriptFile | undefined; readonly className: string } {
    const parts = type.split('.');
    const className = parts.pop()!;
    const path = `${parts.join('/')}.py`;
    if (!this.#files.has(path)) {
      const text = this.#source.code.get(path);
      this.#files.set(path, text === undefined ? undefined : new ScriptFile(`code/${path}`, text));
    }
    return { file: this.#files.get(path), className };
  }

  /** Runs a function or method; what is not given has its default. */
  run(callable: Callable, args: readonly ScriptValue[], keyword: Readonly<Record<string, ScriptValue>> = {}, module = ''): ScriptValue {
    if (++this.#calls > scriptLimits.calls) throw new PenjingError('E_LIMIT', `${this.#source.uri} calls more than ${scriptLimits.calls} methods`);
    if (++this.#depth > scriptLimits.depth) throw new PenjingError('E_LIMIT', `${this.#source.uri} nests calls deeper than ${scriptLimits.depth}`);
    const variables: Variables = new Map();
    callable.parameters.forEach(({ name, fallback }, i) => {
      const given = Object.hasOwn(keyword, name) ? keyword[name]! : args[i];
      variables.set(name, given === undefined ? (fallback ? this.#evaluate(fallback, variables) : null) : given);
    });
    const outcome = this.#block(callable.body, variables, callable.file, module);
    this.#depth--;
    return outcome?.value ?? null;
  }

  #block(block: readonly Statement[], variables: Variables, file: string, module: string): Outcome {
    for (const statement of block) {
      if (++this.#steps > scriptLimits.steps) throw new PenjingError('E_LIMIT', `${this.#source.uri} runs more than ${scriptLimits.steps} statements`);
      try {
        const outcome = this.#statement(statement, variables, file, module);
        if (outcome) return outcome;
      } catch (error) {
        if (!isPenjingError(error) || error.details['line'] !== undefined) throw error;
        const { line } = statement;
        throw new PenjingError(error.code, `${error.message} (${file}:${line}${module === '' ? '' : `, module ${module}`})`, {
          cause: error, ...(error.hint === undefined ? {} : { hint: error.hint }), details: { ...error.details, file, line, module },
        });
      }
    }
    return undefined;
  }

  #statement(statement: Statement, variables: Variables, file: string, module: string): Outcome {
    switch (statement.kind) {
      case 'assign': {
        const { targets, apart, value } = statement;
        const result = this.#evaluate(value, variables);
        if (!apart) for (const target of targets) variables.set(target, result);
        else {
          if (!isList(result) || result.length < targets.length) throw beyond(`taking ${describeScript(result)} apart into ${targets.length}`);
          targets.forEach((target, i) => variables.set(target, result[i]!));
        }
        return undefined;
      }
      case 'set': {
        const owner = this.#evaluate(statement.of, variables);
        if (!isObjectValue(owner)) throw beyond(`an attribute of ${describeScript(owner)}`);
        if (this.#branches > 0) throw beyond(`writing ${statement.name} where a computed condition decides`);
        let own = this.#attributes.get(owner.object);
        if (!own) this.#attributes.set(owner.object, (own = new Map<string, ScriptValue>()));
        own.set(statement.name, this.#evaluate(statement.value, variables));
        if (this.#source.code.size > 0 && owner.object.state !== null) this.written.add(owner.path === '' ? statement.name : `${owner.path}.${statement.name}`);
        return undefined;
      }
      case 'return': return { value: this.#evaluate(statement.value, variables) };
      case 'with': return this.#block(statement.body, variables, file, module);
      case 'if': return this.#if(statement, variables, file, module);
      case 'for': {
        const over = statement.over;
        const range = over.kind === 'call' && over.callee.kind === 'name' && over.callee.name === 'range' ? this.#known(over.args[0], variables, 'a loop over') : undefined;
        const items = range === undefined ? this.#evaluate(over, variables) : undefined;
        if (range === undefined && !isList(items)) throw beyond(`a loop over ${describeScript(items)}`);
        const count = range ?? (items as ScriptValue[]).length;
        for (let i = 0; i < count; i++) {
          if (++this.#steps > scriptLimits.steps) throw new PenjingError('E_LIMIT', `${this.#source.uri} runs more than ${scriptLimits.steps} statements`);
          variables.set(statement.target, range === undefined ? (items as ScriptValue[])[i]! : i);
          const outcome = this.#block(statement.body, variables, file, module);
          if (outcome) return outcome;
        }
        return undefined;
      }
      case 'while':
        for (;;) {
          if (++this.#steps > scriptLimits.steps) throw new PenjingError('E_LIMIT', `${this.#source.uri} runs more than ${scriptLimits.steps} statements`);
          if (this.#known(statement.test, variables, 'a loop while') === 0) return undefined;
          const outcome = this.#block(statement.body, variables, file, module);
          if (outcome) return outcome;
        }
    }
  }

  /** A number that is known. */
  #known(expression: Expression | undefined, variables: Variables, what: string): number {
    const value = expression === undefined ? null : this.#evaluate(expression, variables);
    if (typeof value === 'number' || typeof value === 'boolean') return Number(value);
    throw beyond(`${what} ${describeScript(value)}`, 'Give fixed sizes for the inputs; a loop over values of a tensor converts from torch.export with while_loop alone.');
  }

  #if({ test, then, otherwise }: Extract<Statement, { kind: 'if' }>, variables: Variables, file: string, module: string): Outcome {
    const condition = this.#evaluate(test, variables);
    if (typeof condition === 'boolean' || typeof condition === 'number') return this.#block(condition ? then : otherwise, variables, file, module);
    if (!isSym(condition) && !isCell(condition)) throw beyond(`a condition that is ${describeScript(condition)}`);
    // What only guards against wrong inputs is left out.
    if (onlyRaises(otherwise)) return this.#block(then, variables, file, module);
    if (onlyRaises(then)) return this.#block(otherwise, variables, file, module);
    this.#graphs(condition, [then, otherwise], variables, file, module);
    return undefined;
  }

  /** Both branches as graphs of an If; the variables that both set are its results. */
  #graphs(condition: ScriptValue, blocks: readonly (readonly Statement[])[], variables: Variables, file: string, module: string): void {
    const { context, environment } = this;
    const names = assigned(blocks[0]!).filter((name) => assigned(blocks[1]!).includes(name));
    const before = [...variables.values()].filter(isCell).map((cell) => [cell, cell.version] as const);
    const plain = new Map<string, ScriptValue[]>(names.map((name) => [name, []]));
    const test = isCell(condition) ? context.cast(context.reshape(environment.read(condition), []), 'bool') : context.scalarOf(condition as Extract<ScriptValue, { kind: 'sym' }>, 'bool');
    this.#branches++;
    const graphs = blocks.map((block, i) => context.inner(new Graph(i === 0 ? 'then' : 'else'), () => {
      const own = new Map(variables);
      if (this.#block(block, own, file, module)) throw beyond('a return where a computed condition decides');
      for (const name of names) plain.get(name)!.push(own.get(name) ?? null);
      return names.flatMap((name) => {
        const value = own.get(name);
        return isCell(value) ? [environment.read(value)] : [];
      });
    }));
    this.#branches--;
    if (before.some(([cell, version]) => cell.version !== version)) throw beyond('writing into a tensor where a computed condition decides');
    if (graphs[0]!.outputs !== graphs[1]!.outputs) throw beyond('branches that give different kinds of values');
    const outputs = graphs[0]!.outputs === 0 ? [] : context.ops('If', [test], { then_branch: attribute.graph(graphs[0]!.graph), else_branch: attribute.graph(graphs[1]!.graph) }, { outputCount: graphs[0]!.outputs });
    let at = 0;
    for (const [name, [yes, no]] of plain) {
      if (isCell(yes) && isCell(no)) variables.set(name, environment.cell(outputs[at++]!));
      else if (isCell(yes) || isCell(no)) throw beyond(`${name}, a tensor in one branch and ${describeScript(isCell(yes) ? no : yes)} in the other,`);
      // A number that differs is not known from here on.
      else if (JSON.stringify(yes) === JSON.stringify(no)) variables.set(name, yes ?? null);
      else variables.delete(name);
    }
  }

  #evaluate(expression: Expression, variables: Variables): ScriptValue {
    switch (expression.kind) {
      case 'literal': return expression.float ? { kind: 'float', number: expression.value as number } : expression.value;
      case 'list': {
        const items = expression.items.map((item) => this.#evaluate(item, variables));
        if (items.some((item) => isList(item) || isDictValue(item))) checkNesting(null, items);
        return items;
      }
      case 'dict': return { kind: 'dict', entries: new Map(expression.entries.map(([key, value]) => [keyOf(this.#evaluate(key, variables)), this.#evaluate(value, variables)])) };
      case 'name': {
        const value = variables.get(expression.name);
        if (value !== undefined) return value;
        if (expression.name === '__torch__') return { kind: 'code', name: '__torch__' };
        throw beyond(`the name ${expression.name}`);
      }
      case 'attribute': {
        const { of, name } = expression;
        if (of.kind === 'name' && of.name === 'CONSTANTS') return this.#constant(name);
        const owner = this.#evaluate(of, variables);
        if (isCode(owner)) return { kind: 'code', name: `${owner.name}.${name}` };
        if (!isObjectValue(owner)) throw beyond(`the attribute ${name} of ${describeScript(owner)}`);
        return this.member(owner, name);
      }
      case 'subscript': return this.#subscript(this.#evaluate(expression.of, variables), this.#evaluate(expression.index, variables));
      case 'call': return this.#call(expression, variables);
    }
  }

  #subscript(of: ScriptValue, index: ScriptValue): ScriptValue {
    if (isDictValue(of)) {
      const value = of.entries.get(keyOf(index));
      if (value === undefined) throw beyond(`the key ${describeScript(index)}, which is not there,`);
      return value;
    }
    if (isList(of) && typeof index === 'number') {
      const value = of.at(index);
      if (value === undefined) throw beyond(`item ${index} of a list of ${of.length}`);
      return value;
    }
    throw beyond(`an index into ${describeScript(of)}`);
  }

  /** An attribute of an object: written before, of the class, or of the file. */
  member(owner: ObjectValue, name: string): ScriptValue {
    const path = owner.path === '' ? name : `${owner.path}.${name}`;
    const own = this.#attributes.get(owner.object)?.get(name);
    if (own !== undefined) return own;
    const { file, className } = this.#fileOf(owner.object.type);
    const declared = file?.attributes(className).get(name);
    if (declared?.value) return typed(this.#evaluate(declared.value, new Map()), declared.type);
    return typed(this.#stored(owner.object.get(name), path, 0), declared?.type ?? '');
  }

  #stored(value: PyValue | undefined, path: string, depth: number): ScriptValue {
    if (depth > scriptLimits.nesting) throw new PenjingError('E_LIMIT', `${path} nests deeper than ${scriptLimits.nesting}`);
    if (isKind(value, 'object')) return { kind: 'object', object: value, path };
    if (isKind(value, 'tensor')) return this.#weight(this.#source.materializer.tensor(value, path), path);
    if (value === null || typeof value === 'boolean' || typeof value === 'number' || typeof value === 'string') return value;
    const items = itemsOf(value);
    if (items) return items.map((item, i) => this.#stored(item, `${path}.${i}`, depth + 1));
    if (isDict(value)) return { kind: 'dict', entries: new Map([...value.entries].map(([key, item]) => {
      const name = keyOf(key as ScriptValue);
      return [name, this.#stored(item, `${path}.${String(name)}`, depth + 1)];
    })) };
    throw beyond(`the attribute ${path}`);
  }

  #constant(name: string): ScriptValue {
    const { items, materializer } = this.#source.constants;
    const value = items[Number(name.slice(1))];
    if (!isKind(value, 'tensor')) throw beyond(`the constant ${name}`);
    return this.#weight(materializer.tensor(value, name), `CONSTANTS.${name}`);
  }

  #weight(tensor: Tensor, name: string): Cell {
    let cell = this.#weights.get(tensor);
    if (!cell) this.#weights.set(tensor, (cell = this.environment.cell(this.context.builder.initializer(name, tensor))));
    return cell;
  }

  #call({ callee, args, keyword }: Extract<Expression, { kind: 'call' }>, variables: Variables): ScriptValue {
    const values = (from = 0): ScriptValue[] => args.slice(from).map((arg) => this.#evaluate(arg, variables));
    const named = (): Record<string, ScriptValue> => Object.fromEntries(Object.entries(keyword).map(([key, value]) => [key, this.#evaluate(value, variables)]));
    if (callee.kind === 'name' && !variables.has(callee.name)) {
      if (callee.name === 'annotate' || callee.name === 'unchecked_cast') return values(1)[0] ?? null;
      if (callee.name === 'uninitialized') return null;
      const given = values();
      const [owner, name] = given;
      if (callee.name === 'getattr' && isObjectValue(owner) && typeof name === 'string') return this.member(owner, name);
      return this.#primitive(callee.name, given);
    }
    if (callee.kind === 'attribute') {
      const { of, name } = callee;
      if (of.kind === 'name' && of.name === 'torch' && !variables.has('torch')) return this.#operator(name, values(), named());
      if (of.kind === 'attribute' && of.of.kind === 'name' && of.of.name === 'ops') {
        if (of.name === 'aten') return this.#operator(name, values(), named());
        return this.#primitive(name, values());
      }
      const owner = this.#evaluate(of, variables);
      if (isObjectValue(owner)) {
        const scope = owner.path.split('.').at(-1)!;
        return this.context.builder.scope(scope, () => this.run(this.method(owner, name), [owner, ...values()], named(), owner.path));
      }
      if (isCode(owner)) return name === '__new__' ? { kind: 'object', object: new PyObject(owner.name), path: '' } : this.#function(`${owner.name}.${name}`, values(), named());
      throw beyond(`the method ${name} of ${describeScript(owner)}`);
    }
    const target = this.#evaluate(callee, variables);
    if (isCode(target)) return this.#function(target.name, values(), named());
    throw beyond(`a call of ${describeScript(target)}`);
  }

  #primitive(name: string, args: readonly ScriptValue[]): ScriptValue {
    const result = callPrimitive({ c: this.context, environment: this.environment }, name, args);
    if (result === undefined) throw beyond(`the function ${name}`);
    return result;
  }

  #function(name: string, args: readonly ScriptValue[], keyword: Readonly<Record<string, ScriptValue>>): ScriptValue {
    // Whether torch's own fast path is on: it computes the same.
    if (name.endsWith('.get_fastpath_enabled')) return false;
    const { file, className } = this.#fileOf(name);
    const found = file?.callable(className);
    if (found) return this.run(found, args, keyword);
    throw beyond(`the function ${name}`);
  }

  #operator(name: string, args: readonly ScriptValue[], keyword: Readonly<Record<string, ScriptValue>>): ScriptValue {
    const changesList = ['append', 'extend', 'insert', 'pop', 'reverse', 'clear', '_set_item'].includes(name);
    if (changesList && this.#branches > 0) throw beyond('changing a list where a computed condition decides');
    const built = callBuiltin({ c: this.context, environment: this.environment }, name, args, keyword);
    return built === undefined ? (this.environment.call(`aten.${name}`, args, keyword) as ScriptValue) : built;
  }
}

/** Names that a block sets, at any depth. */
function assigned(block: readonly Statement[]): string[] {
  return block.flatMap((statement): string[] => {
    switch (statement.kind) {
      case 'assign': return [...statement.targets];
      case 'if': return [...assigned(statement.then), ...assigned(statement.otherwise)];
      case 'for': case 'while': case 'with': return assigned(statement.body);
      default: return [];
    }
  });
}

function keyOf(value: ScriptValue): string | number | boolean {
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') return value;
  throw beyond(`a key that is ${describeScript(value)}`);
}

/** Pickles write 2.0 and 2 alike. */
function typed(value: ScriptValue, type: string): ScriptValue {
  if (typeof value === 'number' && /^(Optional\[)?float\b/.test(type)) return { kind: 'float', number: value };
  if (isList(value) && /\b(List|Tuple)\[float\b/.test(type)) return value.map((item) => typed(item, 'float'));
  return value;
}
