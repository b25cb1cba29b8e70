/** What the variables of a TorchScript program hold while it becomes a graph. */
import { PenjingError } from '@penjing/core';
import { scriptLimits } from '../../limits.js';
import type { PyObject } from '../../pytorch/values.js';
import { type Cell, isCell, isFloatScalar, isSym, type Scalar } from '../aten/index.js';

/** A module, or an object of another class. */
export interface ObjectValue {
  readonly kind: 'object';
  readonly object: PyObject;
  /** Its name from the root, '' for the root. */
  readonly path: string;
}

/** A function or class of the code, by its name: `__torch__.torch.nn.functional.relu`. */
export interface CodeValue {
  readonly kind: 'code';
  readonly name: string;
}

export interface DictValue {
  readonly kind: 'dict';
  readonly entries: Map<string | number | boolean, ScriptValue>;
}

/** Lists and tuples are arrays; programs append to them. */
export type ScriptValue = Cell | Scalar | string | null | ObjectValue | CodeValue | DictValue | ScriptValue[];

const ofKind = (value: ScriptValue | undefined, kind: string): boolean => typeof value === 'object' && value !== null && (value as { kind?: string }).kind === kind;
export const isObjectValue = (value: ScriptValue | undefined): value is ObjectValue => ofKind(value, 'object');
export const isCode = (value: ScriptValue | undefined): value is CodeValue => ofKind(value, 'code');
export const isDictValue = (value: ScriptValue | undefined): value is DictValue => ofKind(value, 'dict');
export const isList = (value: ScriptValue | undefined): value is ScriptValue[] => Array.isArray(value);
export const isScalar = (value: ScriptValue | undefined): value is Scalar => typeof value === 'number' || typeof value === 'boolean' || isSym(value) || isFloatScalar(value);

/**
 * Refuses a list that would stand inside itself, or holds more than any program does, lists in lists counted each time:
 * whatever walks through it ends. Throws `E_LIMIT`.
 */
export function checkNesting(holder: ScriptValue, added: ScriptValue): void {
  let visits = 0;
  const visit = (value: ScriptValue): void => {
    if (++visits > scriptLimits.items || (value === holder && value !== null)) throw new PenjingError('E_LIMIT', 'a list stands inside itself, or holds too much');
    if (isList(value)) value.forEach(visit);
    else if (isDictValue(value)) value.entries.forEach(visit);
  };
  if (isList(added) || isDictValue(added)) visit(added);
}

/** How a value is called in messages. */
export function describeScript(value: ScriptValue | undefined): string {
  if (value === undefined) return 'nothing';
  if (value === null) return 'None';
  if (isCell(value)) return 'a tensor';
  if (isSym(value)) return 'a number computed in the graph';
  if (isObjectValue(value)) return `a ${value.object.type.split('.').at(-1)!}`;
  if (isCode(value)) return value.name;
  if (isDictValue(value)) return 'a dictionary';
  if (isList(value)) return `a list of ${value.length}`;
  return isFloatScalar(value) ? String(value.number) : JSON.stringify(value);
}

/** Something that a program does and a graph cannot; the place is added by whoever runs the line. */
export function beyond(what: string, hint = 'Export the model with torch.export.save, or trace it with torch.jit.trace.'): PenjingError {
  return new PenjingError('E_UNSUPPORTED', `${what} does not convert from TorchScript`, { hint });
}
