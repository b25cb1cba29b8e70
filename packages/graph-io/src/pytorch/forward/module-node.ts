/** A tree of modules with their weights: out of a pickled module, or out of the names of a state dict. */
import { PenjingError, type Tensor } from '@penjing/core';
import { pickleLimits } from '../../limits.js';
import type { Materializer } from '../materialize.js';
import { childrenOf, isModule, tensorOf } from '../state.js';
import { isKind, itemsOf, type PyObject, type PyValue } from '../values.js';

export interface ModuleNode {
  /** Dotted path from the root; empty for the root. */
  readonly path: string;
  /** Full name of the class, when the file tells. */
  readonly type: string | undefined;
  readonly children: ReadonlyMap<string, ModuleNode>;
  /** Parameters and buffers of its own, also those that a state dict leaves out. */
  readonly tensors: ReadonlyMap<string, Tensor>;
  /** What its constructor was given, as plain values; undefined for what is not known. */
  attribute(name: string): PlainValue | undefined;
}

/** Modules of one model. The largest have some 10,000. */
const MAX_MODULES = 1 << 17;

const tooDeep = (path: string): PenjingError =>
  new PenjingError('E_LIMIT', `the modules around ${JSON.stringify(path.slice(0, 200))} are more, or deeper inside each other, than those of any model`);

export type PlainValue = number | boolean | string | null | readonly PlainValue[];

/** Class name without its module. */
export const shortType = (type: string): string => type.slice(type.lastIndexOf('.') + 1);

/** Of torch itself, so that its forward is known. */
export const isTorchType = (type: string | undefined): boolean => type !== undefined && type.startsWith('torch.nn.');

/** Throws `E_LIMIT` for a tree deeper or larger than any model: a module may stand in several places, or in itself. */
export function moduleOfObject(object: PyObject, materializer: Materializer, path = '', budget = { nodes: MAX_MODULES }): ModuleNode {
  if (--budget.nodes < 0 || path.split('.').length > pickleLimits.nesting) throw tooDeep(path);
  const children = new Map<string, ModuleNode>();
  const tensors = new Map<string, Tensor>();
  const at = (name: string): string => (path === '' ? name : `${path}.${name}`);
  for (const [name, value] of allChildren(object)) {
    const tensor = tensorOf(value);
    if (tensor) tensors.set(name, materializer.tensor(tensor, at(name)));
    else if (isModule(value)) children.set(name, moduleOfObject(value, materializer, at(name), budget));
  }
  return { path, type: object.type, children, tensors, attribute: (name) => plainValue(object.get(name)) };
}

/** As in a state dict, with the buffers that it leaves out: a forward may need them. */
function allChildren(object: PyObject): ReadonlyMap<string, PyValue> {
  const children = new Map(childrenOf(object));
  const buffers = object.get('_buffers');
  if (isKind(buffers, 'dict')) for (const [name, value] of buffers.entries) if (typeof name === 'string' && value !== null) children.set(name, value);
  return children;
}

function plainValue(value: PyValue | undefined): PlainValue | undefined {
  if (value === null || typeof value === 'number' || typeof value === 'boolean' || typeof value === 'string') return value;
  // A function, as the activation of a transformer layer: its name.
  if (isKind(value, 'global')) return value.name;
  const items = itemsOf(value)?.map(plainValue);
  return items?.every((item) => item !== undefined) ? items : undefined;
}

interface Branch {
  readonly children: Map<string, Branch>;
  readonly tensors: Map<string, Tensor>;
}

/** Names are split at their dots: everything in front of the last is a module. */
export function moduleOfTensors(tensors: ReadonlyMap<string, Tensor>): ModuleNode {
  const root: Branch = { children: new Map(), tensors: new Map() };
  for (const [name, tensor] of tensors) {
    const parts = name.split('.');
    if (parts.length > pickleLimits.nesting) throw tooDeep(name);
    let branch = root;
    for (const part of parts.slice(0, -1)) {
      let next = branch.children.get(part);
      if (!next) branch.children.set(part, (next = { children: new Map(), tensors: new Map() }));
      branch = next;
    }
    branch.tensors.set(parts.at(-1)!, tensor);
  }
  return nodeOf(root, '');
}

function nodeOf(branch: Branch, path: string): ModuleNode {
  const children = [...branch.children].map(([name, child]) => [name, nodeOf(child, path === '' ? name : `${path}.${name}`)] as const);
  return { path, type: undefined, children: new Map(children), tensors: branch.tensors, attribute: () => undefined };
}

/** DataParallel and its kin wrap a module of which everything is; the name of the wrapper stands in no forward. */
export function unwrapped(root: ModuleNode): ModuleNode {
  const inner = root.children.get('module') ?? root.children.get('_orig_mod');
  return inner && root.children.size === 1 && root.tensors.size === 0 ? unwrapped(inner) : root;
}
