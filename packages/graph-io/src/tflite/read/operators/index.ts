/** Every TFLite operator that is read, by its name in the schema. */
import { dtypes } from '@penjing/core';
import type { TfliteOperator } from '../../open-tflite.js';
import { exactTable, movesCodes } from '../integer/index.js';
import { gridOf, sameGrid } from '../integer/range.js';
import { type ReadTable, TfliteReading } from '../operator.js';
import type { TfliteValues } from '../values.js';
import { bits } from './bits.js';
import { complex } from './complex.js';
import { control } from './control.js';
import { conv } from './conv.js';
import { elementwise } from './elementwise.js';
import { choices } from './choices.js';
import { image } from './image.js';
import { linalg } from './linalg.js';
import { matrices } from './matrices.js';
import { movement } from './movement.js';
import { recurrent } from './recurrent.js';
import { reductions } from './reduce.js';
import { segments } from './segments.js';
import { stablehlo } from './stablehlo.js';
import { volumes } from './volumes.js';

export const readTable: ReadTable = { ...elementwise, ...conv, ...linalg, ...reductions, ...movement, ...image, ...recurrent, ...control, ...bits, ...choices, ...complex, ...matrices, ...segments, ...stablehlo, ...volumes };

/** Makes the nodes of an operator that has a row. */
export function readOperator(values: TfliteValues, operator: TfliteOperator): void {
  // pairs of floats, which only their own operators understand
  if (complex[operator.type] === undefined && [...operator.inputs, ...operator.outputs].some((index) => index >= 0 && dtypes[values.tensor(index).dtype].kind === 'complex')) {
    throw new TfliteReading(values, operator).fail('it works on complex numbers');
  }
  const row = readTable[operator.type]!;
  if (movesCodes.has(operator.type) && gainsScale(values, operator)) return row(new TfliteReading(values, operator, 'stored'));
  if (values.arithmetic !== 'exact') return row(new TfliteReading(values, operator));
  if (exactTable[operator.type]?.(new TfliteReading(values, operator))) return;
  row(new TfliteReading(values, operator, movesCodes.has(operator.type) && onOneGrid(values, operator) ? 'codes' : 'numbers'));
}

/** Old files give results a scale that their operands, integers too, do not have: the integers are the same. */
function gainsScale(values: TfliteValues, { inputs, outputs }: TfliteOperator): boolean {
  const [from, to] = [inputs.find((index) => index >= 0), outputs[0]];
  if (from === undefined || to === undefined || !values.scales(to)) return false;
  return values.scales(from) === undefined && values.tensor(from).dtype === values.tensor(to).dtype;
}

/** All quantized tensors of the operator have 8 bits and the same scale. */
function onOneGrid(values: TfliteValues, { inputs, outputs, options }: TfliteOperator): boolean {
  const value = options?.value as { readonly fusedActivationFunction?: number } | undefined;
  if ((value?.fusedActivationFunction ?? 0) > 1) return false;
  const quantized = [...inputs, ...outputs].filter((index) => index >= 0 && values.scales(index));
  if (!outputs.every((index) => values.scales(index))) return false;
  const grids = quantized.map((index) => gridOf(values, index));
  return grids.every((grid) => grid !== undefined && sameGrid(grid, grids[0]!));
}
