/** The error of an operator, or of a form of it, that is not read. */
import { PenjingError } from '@penjing/core';
import type { TfliteOperator } from '../open-tflite.js';

export function unsupported(operator: TfliteOperator, output: string, why = 'it is not among those that are read'): PenjingError {
  const name = operator.custom === undefined ? operator.type : `the custom operator ${operator.custom}`;
  return new PenjingError('E_TFLITE_OPERATOR', `${name} (of ${output}) cannot be read from TFLite: ${why}`, {
    hint: 'docs/tflite-operators.md lists what converts. Convert the model from the framework it was trained in instead.',
    details: { operator: operator.custom ?? operator.type, output },
  });
}
