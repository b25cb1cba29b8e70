/** Finds the weights in what a checkpoint holds, and gives each the name torch would give it in a state dict. */
import { PenjingError } from '@penjing/core';
import { pickleLimits } from '../limits.js';
import { numpyArray } from './numpy-values.js';
import { describe, isDict, isKind, itemsOf, type PyObject, type PyTensor, type PyValue } from './values.js';

export interface State {
  readonly tensors: ReadonlyMap<string, PyTensor>;
  /** Numbers, texts and booleans beside the tensors, such as an epoch. */
  readonly metadata: ReadonlyMap<string, string>;
}

/** Where training scripts keep the weights beside the state of an optimizer, by how sure it is. */
const WELL_KNOWN = ['state_dict', 'model_state_dict', 'model_state', 'model', 'module', 'net', 'network', 'generator', 'params_ema', 'params', 'weights'];

const MAX_METADATA = 1000;
const MAX_METADATA_LENGTH = 1000;

/**
 * What `key`, a dotted path, names (the empty one: everything); without one, the weights among other things of a training checkpoint, or everything.
 * Throws `E_KEY` when there is nothing of that name.
 */
export function selectState(root: PyValue, key: string | undefined, uri: string): { value: PyValue; key: string } {
  if (key !== undefined) return { value: key === '' ? root : follow(root, key, uri), key };
  if (isDict(root) && ![...root.entries.values()].some((value) => tensorOf(value))) {
    for (const name of WELL_KNOWN) {
      const value = root.get(name);
      if (value !== undefined && !tensorOf(value) && holdsTensors(value)) return { value, key: name };
    }
  }
  return { value: root, key: '' };
}

function follow(root: PyValue, key: string, uri: string): PyValue {
  const direct = childrenOf(root).get(key);
  if (direct !== undefined) return direct;
  let value = root;
  for (const part of key.split('.')) {
    const children = childrenOf(value);
    const next = children.get(part);
    if (next === undefined) {
      const names = [...children.keys()];
      throw new PenjingError('E_KEY', `${uri} holds nothing called ${JSON.stringify(key)}`, {
        hint: names.length === 0 ? `It is ${describe(value)}.` : `It has ${names.slice(0, 20).join(', ')}${names.length > 20 ? ', …' : ''}.`,
      });
    }
    value = next;
  }
  return value;
}

/** Throws `E_LIMIT` for a structure deeper or larger than any checkpoint, `E_PICKLE` for two tensors of one name. */
export function flattenState(root: PyValue, uri: string): State {
  const tensors = new Map<string, PyTensor>();
  const metadata = new Map<string, string>();
  walk(root, (value, path, inObject) => {
    const tensor = tensorOf(value);
    if (tensor) {
      const name = path.join('.') || 'tensor';
      if (tensors.has(name)) throw new PenjingError('E_PICKLE', `${uri} holds two tensors called ${JSON.stringify(name)}`);
      tensors.set(name, tensor);
    } else if (!inObject && metadata.size < MAX_METADATA) {
      const text = plainText(value);
      if (text !== undefined && text.length <= MAX_METADATA_LENGTH) metadata.set(path.join('.'), text);
    }
    return !tensor;
  }, uri);
  return { tensors, metadata };
}

function holdsTensors(root: PyValue): boolean {
  let found = false;
  walk(root, (value) => {
    found ||= tensorOf(value) !== undefined;
    return !found;
  }, '');
  return found;
}

/** Depth first, in order, while `visit` says to go into a value. */
function walk(root: PyValue, visit: (value: PyValue, path: readonly string[], inObject: boolean) => boolean, uri: string): void {
  let visits = 0;
  const path: string[] = [];
  const into = (value: PyValue, inObject: boolean): void => {
    if (++visits > pickleLimits.visits) throw tooMuch(uri, `more than ${pickleLimits.visits} values, counting those that stand in several places`);
    if (!visit(value, path, inObject)) return;
    const children = childrenOf(value);
    if (children.size === 0) return;
    if (path.length >= pickleLimits.nesting) throw tooMuch(uri, `containers nested deeper than ${pickleLimits.nesting}: ${path.slice(0, 5).join('.')}.…`);
    const object = inObject || isKind(value, 'object');
    for (const [name, child] of children) {
      path.push(name);
      into(child, object);
      path.pop();
    }
  };
  into(root, false);
}

/** What stands in a value, under the names that attributes, keys and items have in a state dict. */
export function childrenOf(value: PyValue): ReadonlyMap<string, PyValue> {
  const children = new Map<string, PyValue>();
  if (isDict(value)) {
    for (const [key, child] of value.entries) if (typeof key === 'string' || typeof key === 'number') children.set(String(key), child);
  } else if (isKind(value, 'object')) {
    return isModule(value) ? moduleChildren(value) : objectChildren(value);
  } else {
    itemsOf(value)?.forEach((child, i) => children.set(String(i), child));
  }
  return children;
}

/** A record of an nn.Module, whatever its class. */
export function isModule(value: PyValue | undefined): value is PyObject {
  return isKind(value, 'object') && isDict(value.get('_parameters')) && isDict(value.get('_modules'));
}

/** Parameters, persistent buffers and submodules: what state_dict() gives, in its order. */
function moduleChildren(module: PyObject): ReadonlyMap<string, PyValue> {
  const children = new Map<string, PyValue>();
  const transient = new Set(itemsOf(module.get('_non_persistent_buffers_set')));
  for (const group of ['_parameters', '_buffers', '_modules']) {
    const entries = module.get(group);
    if (!isDict(entries)) continue;
    for (const [name, child] of entries.entries) {
      if (typeof name === 'string' && child !== null && !(group === '_buffers' && transient.has(name))) children.set(name, child);
    }
  }
  return children;
}

/** Attributes of other objects, such as those of TorchScript; for subclasses of dict and list their items too. */
function objectChildren(object: PyObject): ReadonlyMap<string, PyValue> {
  const children = new Map<string, PyValue>();
  for (const part of [object.state, object.dict]) {
    if (isDict(part)) for (const [name, child] of part.entries) if (typeof name === 'string') children.set(name, child);
  }
  object.items.forEach((child, i) => children.set(String(i), child));
  return children;
}

export function tensorOf(value: PyValue | undefined): PyTensor | undefined {
  if (isKind(value, 'tensor')) return value;
  return isKind(value, 'object') ? numpyArray(value) : undefined;
}

function plainText(value: PyValue): string | undefined {
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'bigint' || typeof value === 'boolean' ? String(value) : undefined;
}

function tooMuch(uri: string, what: string): PenjingError {
  return new PenjingError('E_LIMIT', `${uri || 'the pickle'} holds ${what}, more than any checkpoint`, { hint: 'Save the state dict alone: torch.save(model.state_dict(), …).' });
}
