/** Matrix products. */
import { lazy, type Value } from '@penjing/core';
import { activateResult } from '../activation.js';
import { hybridProduct, isHybrid, roundAsymmetric, roundSymmetric } from '../integer/hybrid.js';
import type { ReadRow, ReadTable, TfliteReading } from '../operator.js';

/** WeightsFormat of fully connected layers: only the plain one is documented. */
const PLAIN_WEIGHTS = 0;

/** Operand 0 as rows of what the weights (outputs, inputs) take. */
export function rowsOf(reading: TfliteReading, given: Value): Value {
  const { shape } = reading.tensor(0);
  const inputs = reading.tensor(1).shape[1]!;
  return shape.length === 2 && shape[1] === inputs ? given : reading.op('Reshape', [given, reading.ints([-1, inputs])]);
}

/** The rows of a result in the shape of the result. */
export function fromRows(reading: TfliteReading, flat: Value): Value {
  const { keepNumDims } = reading.optional('FullyConnectedOptions');
  const given = reading.tensor(0).shape;
  const outputs = reading.tensor(1).shape[0]!;
  // 0 keeps a size of the input to the reshape, which has lost them: the last known ones stand here, one may be open
  return keepNumDims && given.length !== 2 ? reading.op('Reshape', [flat, reading.ints([-1, ...given.slice(1, -1), outputs])]) : flat;
}

const fullyConnected: ReadRow = (reading) => {
  const { fusedActivationFunction, weightsFormat, asymmetricQuantizeInputs } = reading.optional('FullyConnectedOptions');
  if ((weightsFormat ?? PLAIN_WEIGHTS) !== PLAIN_WEIGHTS) throw reading.fail('its weights are shuffled');
  if (reading.tensor(1).shape.length !== 2) throw reading.fail(`its weights have ${reading.tensor(1).shape.length} dimensions, not 2`);
  const { values } = reading;
  const x = rowsOf(reading, reading.last(0));
  const product = isHybrid(reading, 0, 1) ? hybridProduct(reading, x, 1, asymmetricQuantizeInputs ?? false) : reading.op('MatMul', [x, weights()]);
  const sum = reading.has(2) ? reading.op('Add', [product, reading.last(2)]) : product;
  reading.define(fromRows(reading, activateResult(reading, sum, fusedActivationFunction)));

  /** Weights are (outputs, inputs). */
  function weights(): Value {
    return values.isConstant(reading.index(1))
      ? values.weight(reading.index(1), (tensor) => lazy.transpose(tensor, [1, 0]), 1)
      : reading.op('Transpose', [reading.last(1)], { perm: [1, 0] });
  }
};

const batchMatmul: ReadRow = (reading) => {
  const { adjX, adjY, asymmetricQuantizeInputs } = reading.optional('BatchMatMulOptions');
  const perm = (i: number): number[] => {
    const rank = reading.tensor(i).shape.length;
    return [...Array.from({ length: rank - 2 }, (_, axis) => axis), rank - 1, rank - 2];
  };
  const operand = (i: number, turned = false): Value => (turned ? reading.op('Transpose', [reading.last(i)], { perm: perm(i) }) : reading.last(i));
  const { values } = reading;
  if (!isHybrid(reading, 0, 1) || values.scales(reading.index(1))!.scales.length > 1) return reading.define(reading.op('MatMul', [operand(0, adjX), operand(1, adjY)]));
  // rows of the left side are rounded, one scale each
  const { codes, scale } = (asymmetricQuantizeInputs ? roundAsymmetric : roundSymmetric)(reading, operand(0, adjX), [-1]);
  const weight = values.weightCodes(reading.index(1), (tensor) => (adjY ? lazy.transpose(tensor, perm(1)) : tensor));
  const factor = reading.op('Mul', [scale, values.builder.constant('float32', values.scales(reading.index(1))!.scales[0]!)]);
  reading.define(reading.op('Mul', [reading.op('MatMul', [codes, weight]), factor]));
};

export const linalg: ReadTable = { FULLY_CONNECTED: fullyConnected, BATCH_MATMUL: batchMatmul };
