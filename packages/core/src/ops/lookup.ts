/** The one operator list: what an operator is called, and what it declares at an opset. */
import { attention } from './attention.js';
import { contrib } from './contrib.js';
import { control } from './control.js';
import { conv } from './conv.js';
import { elementwise } from './elementwise.js';
import { linalg } from './linalg.js';
import { ml } from './ml.js';
import { movement } from './movement.js';
import { norm } from './norm.js';
import { quant } from './quant.js';
import { recurrent } from './recurrent.js';
import { reduce } from './reduce.js';
import { type OpRows, type OpSchema, parseSchema } from './schema.js';
import { sequence } from './sequence.js';
import { signal } from './signal.js';
import { text } from './text.js';

const standard = {
  ...elementwise, ...reduce, ...movement, ...linalg, ...conv, ...norm, ...attention, ...recurrent, ...control, ...quant,
  ...sequence, ...text, ...signal,
};

const domains: Readonly<Record<string, OpRows>> = { '': standard, 'ai.onnx.ml': ml, 'com.microsoft': contrib };

/** Key of an operator in every table: its type, after its domain when that is not ai.onnx. */
export type OpName = keyof typeof standard | `ai.onnx.ml.${keyof typeof ml}` | `com.microsoft.${keyof typeof contrib}`;

/** Every operator with a declaration. */
export const opNames = Object.entries(domains).flatMap(([domain, rows]) =>
  Object.keys(rows).map((opType) => opName(domain, opType)),
) as readonly OpName[];

/** The key of an operator, known or not. */
export function opName(domain: string, opType: string): string {
  return domain === '' || domain === 'ai.onnx' ? opType : `${domain}.${opType}`;
}

const parsed = new Map<string, readonly OpSchema[]>();

/**
 * What an operator declares at `opset`; the declaration in force at opset 13 answers for older ones. Undefined for an operator
 * without a row or younger than `opset`: it is opaque, which is never an error.
 */
export function schemaOf(domain: string, opType: string, opset: number): OpSchema | undefined {
  const home = domain === 'ai.onnx' ? '' : domain;
  const key = opName(home, opType);
  let versions = parsed.get(key);
  if (versions === undefined) {
    const rows = domains[home];
    versions = rows && Object.hasOwn(rows, opType) ? rows[opType]!.map((row) => parseSchema(home, opType, row)) : [];
    parsed.set(key, versions);
  }
  return versions.findLast((schema) => schema.sinceVersion <= Math.max(opset, home === '' ? 13 : 1));
}
