/** The one table of lowerings: ONNX operator to TFLite operators. */
import { opNameOf } from '../op-name.js';
import type { Node } from '@penjing/core';
import type { Lowering } from '../lowering.js';
import { activation } from './activation.js';
import { control } from './control.js';
import { conv } from './conv.js';
import { elementwise } from './elementwise.js';
import { linalg } from './linalg.js';
import { movement } from './movement.js';
import { norm } from './norm.js';
import { pool } from './pool.js';
import { recurrents } from './recurrent.js';
import { reductions } from './reduce.js';
import { quantization } from './quantization.js';
import { resize } from './resize.js';
import { scattering } from './scatter.js';
import { trigonometry } from './trigonometry.js';

export const lowerings: Readonly<Record<string, Lowering>> = {
  ...elementwise, ...activation, ...reductions, ...linalg, ...conv, ...pool, ...norm, ...movement, ...resize, ...quantization, ...recurrents, ...control, ...scattering, ...trigonometry,
};

export function loweringOf(node: Node): Lowering | undefined {
  const name = opNameOf(node);
  return Object.hasOwn(lowerings, name) ? lowerings[name] : undefined;
}
