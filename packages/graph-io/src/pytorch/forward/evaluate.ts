/** Runs a forward expression over graph values: names are variables, modules of the file, or functions of torch. */
import { PenjingError, type Value } from '@penjing/core';
import { type AtenArgument, type AtenContext, type AtenResult, callAten, hasAten, isFloatScalar, isSym, isValue } from '../../torch/aten/index.js';
import { torchDtypes } from '../torch-types.js';
import { ModuleApplier } from './apply-module.js';
import { callFunction } from './functionals.js';
import type { ModuleNode } from './module-node.js';
import type { Expression, Program, Statement, Subscript } from './parse.js';
import { wrong } from './tokens.js';

/** A module that an expression names. */
interface ModuleRef {
  readonly kind: 'module';
  readonly node: ModuleNode;
}
/** A function of torch by name, or a method of a value. */
interface FunctionRef {
  readonly kind: 'function';
  readonly name: string;
  readonly self?: AtenArgument;
}
type Found = AtenArgument | ModuleRef | FunctionRef;
type Definition = Extract<Statement, { kind: 'definition' }>;

interface Scope {
  readonly variables: Map<string, Found>;
  /** Names of modules are looked up here. */
  readonly root: ModuleNode;
}

const namespaces = new Set(['F', 'torch', 'nn', 'functional', 'self']);
const constants: Readonly<Record<string, AtenArgument>> = { True: true, False: false, None: null, true: true, false: false };
const operators: Readonly<Record<string, string>> = { '+': 'add', '-': 'sub', '*': 'mul', '/': 'div', '//': 'floor_divide', '**': 'pow', '@': 'matmul' };
/** Definitions inside each other; one that calls itself never ends otherwise. */
const MAX_CALLS = 200;

const isModuleRef = (value: Found): value is ModuleRef => typeof value === 'object' && value !== null && !Array.isArray(value) && (value as ModuleRef).kind === 'module';
const isFunctionRef = (value: Found): value is FunctionRef => typeof value === 'object' && value !== null && !Array.isArray(value) && (value as FunctionRef).kind === 'function';

/** Throws `E_FORWARD` showing the place, or what the ATen table says of a call. */
export function evaluateForward(program: Program, root: ModuleNode, inputs: ReadonlyMap<string, Value>, context: AtenContext): AtenResult {
  return new Evaluator(program, context).run(root, inputs);
}

class Evaluator {
  readonly #program: Program;
  readonly #context: AtenContext;
  readonly #definitions: ReadonlyMap<string, Definition>;
  readonly #modules: ModuleApplier;
  #calls = 0;

  constructor(program: Program, context: AtenContext) {
    this.#program = program;
    this.#context = context;
    this.#definitions = new Map(program.statements.flatMap((statement) => (statement.kind === 'definition' ? [[statement.name, statement]] : [])));
    this.#modules = new ModuleApplier(context, (type, node, given) => {
      const definition = this.#definitions.get(type);
      return definition && this.#define(definition, given, node);
    });
  }

  run(root: ModuleNode, inputs: ReadonlyMap<string, Value>): AtenResult {
    const scope: Scope = { variables: new Map(inputs), root };
    for (const statement of this.#program.statements) if (statement.kind === 'assignment') this.#assign(statement, scope);
    return this.#value(this.#program.result, scope) as AtenResult;
  }

  #wrong(at: number, why: string): PenjingError {
    return wrong(this.#program.source, at, why);
  }

  #assign({ targets, value, at }: Extract<Statement, { kind: 'assignment' }>, scope: Scope): void {
    const found = this.#evaluate(value, scope);
    if (targets.length === 1) {
      scope.variables.set(targets[0]!, found);
      return;
    }
    if (!Array.isArray(found) || found.length !== targets.length) throw this.#wrong(at, `there are ${targets.length} names for ${Array.isArray(found) ? found.length : 1} values`);
    targets.forEach((target, i) => scope.variables.set(target, (found as AtenArgument[])[i]!));
  }

  /** Runs a definition; names of modules in it are those inside of the module it stands for. */
  #define({ parameters, body, name, at }: Definition, given: readonly Found[], root: ModuleNode): AtenResult {
    if (given.length !== parameters.length) throw this.#wrong(at, `${name} takes ${parameters.length} arguments, it was given ${given.length}`);
    if (++this.#calls > MAX_CALLS) throw this.#wrong(at, `definitions call each other deeper than ${MAX_CALLS}`);
    const scope: Scope = { variables: new Map(parameters.map((parameter, i) => [parameter, given[i]!])), root };
    const result = this.#value(body, scope) as AtenResult;
    this.#calls--;
    return result;
  }

  /** Something that can be computed with. */
  #value(expression: Expression, scope: Scope): AtenArgument {
    const found = this.#evaluate(expression, scope);
    if (isModuleRef(found)) throw this.#wrong(expression.at, `${found.node.path || 'the model'} is a module: call it, as in ${found.node.path || 'model'}(x)`);
    if (isFunctionRef(found)) throw this.#wrong(expression.at, `${found.name} is neither an input nor a module of the file`);
    return found;
  }

  #evaluate(expression: Expression, scope: Scope): Found {
    switch (expression.kind) {
      case 'number': return expression.float ? { kind: 'float', number: expression.value } : expression.value;
      case 'text': return expression.value;
      case 'tuple': return expression.items.map((item) => this.#value(item, scope));
      case 'name': return this.#name(expression.name, scope);
      case 'attribute': return this.#attribute(this.#evaluate(expression.of, scope), expression.name, expression.at);
      case 'call': return this.#guard(expression.at, () => this.#call(expression, scope));
      case 'negative': return this.#negative(this.#value(expression.of, scope), expression.at);
      case 'binary': return this.#guard(expression.at, () => this.#binary(expression.sign, this.#value(expression.left, scope), this.#value(expression.right, scope)));
      case 'subscript': return this.#guard(expression.at, () => this.#subscript(this.#evaluate(expression.of, scope), expression.items, scope, expression.at));
    }
  }

  /** Adds the place to what the table of operators says. */
  #guard<T>(at: number, compute: () => T): T {
    try {
      return compute();
    } catch (error) {
      const { code, message, hint } = error as PenjingError;
      if ((code as string) !== 'E_ARGUMENT' && (code as string) !== 'E_SHAPE') throw error;
      const placed = this.#wrong(at, message);
      throw new PenjingError(placed.code, placed.message, { cause: error, ...(hint !== undefined && { hint }) });
    }
  }

  #name(name: string, scope: Scope): Found {
    const variable = scope.variables.get(name);
    if (variable !== undefined) return variable;
    const child = scope.root.children.get(name);
    if (child) return { kind: 'module', node: child };
    const weight = this.#modules.weight(scope.root, name);
    if (weight) return weight;
    if (Object.hasOwn(constants, name)) return constants[name]!;
    if (name === 'self') return { kind: 'module', node: scope.root };
    return { kind: 'function', name };
  }

  #attribute(of: Found, name: string, at: number): Found {
    if (isModuleRef(of)) {
      const child = of.node.children.get(name);
      if (child) return { kind: 'module', node: child };
      const weight = this.#modules.weight(of.node, name);
      if (weight) return weight;
      const attribute = of.node.attribute(name);
      if (attribute !== undefined) return attribute;
      // Nothing is trained here.
      if (name === 'training') return false;
      const names = [...of.node.children.keys(), ...of.node.tensors.keys()];
      throw this.#wrong(at, `${of.node.path || 'the model'} has no ${name}; it has ${names.slice(0, 20).join(', ') || 'nothing'}`);
    }
    if (isFunctionRef(of)) {
      if (!namespaces.has(of.name)) throw this.#wrong(at, `${of.name} is neither an input nor a module of the file`);
      if (Object.hasOwn(torchDtypes, name) && of.name === 'torch' && !hasAten(name)) return torchDtypes[name]!;
      return { kind: 'function', name: namespaces.has(name) ? 'F' : name };
    }
    if (isValue(of)) {
      if (name === 'shape') return this.#context.sizes(of);
      if (name === 'ndim') return this.#context.rank(of);
      if (name === 'dtype') return this.#context.dtype(of);
      if (name === 'T' || name === 'mT') return callAten(this.#context, 'aten.transpose.int', [of, -2, -1]);
    }
    return { kind: 'function', name, self: of };
  }

  #call({ callee, positional, keyword, at }: Extract<Expression, { kind: 'call' }>, scope: Scope): Found {
    const target = this.#evaluate(callee, scope);
    const named = Object.fromEntries(keyword.map(([name, value]) => [name, this.#value(value, scope)]));
    if (isModuleRef(target)) return this.#modules.apply(target.node, positional.map((argument) => this.#value(argument, scope)), named);
    if (!isFunctionRef(target)) throw this.#wrong(at, 'this is a value, which cannot be called');
    const { name, self } = target;
    const definition = self === undefined ? this.#definitions.get(name) : undefined;
    if (definition) return this.#define(definition, positional.map((argument) => this.#evaluate(argument, scope)), scope.root);
    const given = positional.map((argument) => this.#value(argument, scope));
    const all = self === undefined ? given : [self, ...given];
    const result = callFunction(this.#context, name, all, named);
    if (result !== undefined) return result;
    const modules = [...scope.root.children.keys()];
    throw this.#wrong(at, `there is neither a module nor a function called ${name}${modules.length > 0 ? `; modules are ${modules.slice(0, 20).join(', ')}` : ''}`);
  }

  #negative(value: AtenArgument, at: number): AtenArgument {
    if (typeof value === 'number') return -value;
    if (isFloatScalar(value)) return { kind: 'float', number: -value.number };
    return this.#guard(at, () => callAten(this.#context, 'aten.neg', [value]) as Value);
  }

  #binary(sign: string, left: AtenArgument, right: AtenArgument): AtenArgument {
    const numbers = [left, right].map((side) => (typeof side === 'number' ? side : isFloatScalar(side) ? side.number : undefined));
    const [a, b] = numbers;
    if (a !== undefined && b !== undefined) {
      const value = { '+': a + b, '-': a - b, '*': a * b, '/': a / b, '//': Math.floor(a / b), '**': a ** b }[sign];
      if (value === undefined) throw new PenjingError('E_ARGUMENT', 'two numbers have no matrix product');
      return sign === '/' || isFloatScalar(left) || isFloatScalar(right) ? { kind: 'float', number: value } : value;
    }
    const sized = (side: AtenArgument): boolean => isSym(side) || typeof side === 'number';
    const math = ({ '+': 'Add', '-': 'Sub', '*': 'Mul', '//': 'Div' } as const)[sign];
    if (math && sized(left) && sized(right)) return this.#context.math(math, left as number, right as number);
    if (sign === '+' && Array.isArray(left) && Array.isArray(right)) return [...(left as AtenArgument[]), ...(right as AtenArgument[])];
    return callAten(this.#context, `aten.${operators[sign]!}`, [left, right]);
  }

  #subscript(of: Found, items: readonly Subscript[], scope: Scope, at: number): Found {
    const [first] = items;
    const single = items.length === 1 && first?.kind === 'index' ? this.#value(first.value, scope) : undefined;
    if (isModuleRef(of)) {
      const name = typeof single === 'number' || typeof single === 'string' ? String(single) : '';
      const child = of.node.children.get(name);
      if (!child) throw this.#wrong(at, `${of.node.path || 'the model'} has no module ${JSON.stringify(name)}`);
      return { kind: 'module', node: child };
    }
    if (Array.isArray(of)) {
      if (typeof single !== 'number') throw this.#wrong(at, 'a tuple takes one number');
      const item = (of as AtenArgument[]).at(single);
      if (item === undefined) throw this.#wrong(at, `the tuple has ${(of as AtenArgument[]).length} items`);
      return item;
    }
    if (!isValue(of)) throw this.#wrong(at, 'this has no items');
    return this.#slice(of, items, scope);
  }

  /** x[…] of a tensor: numbers take an axis away, slices keep it, None makes one, … stands for all that are not said. */
  #slice(of: Value, items: readonly Subscript[], scope: Scope): Value {
    const context = this.#context;
    let value = of;
    let axis = 0;
    const given = items.map((item) => ({ item, index: item.kind === 'index' ? this.#value(item.value, scope) : undefined }));
    const taken = given.filter(({ item, index }) => item.kind !== 'rest' && index !== null).length;
    for (const { item, index } of given) {
      if (item.kind === 'rest') axis += context.rank(of) - taken;
      else if (item.kind === 'slice') {
        const bound = (side: Expression | undefined): AtenArgument => (side ? this.#value(side, scope) : null);
        value = callAten(context, 'aten.slice.Tensor', [value, axis++, bound(item.start), bound(item.end), bound(item.step) ?? 1]) as Value;
      } else if (index === null) value = callAten(context, 'aten.unsqueeze', [value, axis++]) as Value;
      else if (isValue(index)) value = callAten(context, 'aten.index_select', [value, axis++, index]) as Value;
      else value = callAten(context, 'aten.select.int', [value, axis, index!]) as Value;
    }
    return value;
  }
}
