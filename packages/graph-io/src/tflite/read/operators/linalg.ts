/** Matrix products. */
import { lazy } from '@penjing/core';
import { activate } from '../activation.js';
import type { ReadRow, ReadTable } from '../operator.js';

/** WeightsFormat of fully connected layers: only the plain one is documented. */
const PLAIN_WEIGHTS = 0;

const fullyConnected: ReadRow = (reading) => {
  const { fusedActivationFunction, weightsFormat, keepNumDims } = reading.optional('FullyConnectedOptions');
  if ((weightsFormat ?? PLAIN_WEIGHTS) !== PLAIN_WEIGHTS) throw reading.fail('its weights are shuffled');
  // weights are (outputs, inputs)
  const { values } = reading;
  const { shape } = reading.tensor(1);
  const [outputs, inputs] = shape as [number, number];
  const given = reading.tensor(0).shape;
  const x = given.length === 2 && given[1] === inputs ? reading.last(0) : reading.op('Reshape', [reading.last(0), reading.ints([-1, inputs])]);
  const weight = values.isConstant(reading.index(1))
    ? values.weight(reading.index(1), (tensor) => lazy.transpose(tensor, [1, 0]), 1)
    : reading.op('Transpose', [reading.last(1)], { perm: [1, 0] });
  const product = reading.op('MatMul', [x, weight]);
  const sum = reading.has(2) ? reading.op('Add', [product, reading.last(2)]) : product;
  const flat = activate(reading, sum, fusedActivationFunction);
  const deep = keepNumDims && given.length !== 2;
  // 0 keeps a size of the input to the reshape, which has lost them: the last known ones stand here, one may be open
  reading.define(deep ? reading.op('Reshape', [flat, reading.ints([-1, ...given.slice(1, -1), outputs])]) : flat);
};

const batchMatmul: ReadRow = (reading) => {
  const { adjX, adjY } = reading.optional('BatchMatMulOptions');
  const operand = (i: number, turned: boolean | undefined) => {
    const rank = reading.tensor(i).shape.length;
    if (!turned) return reading.last(i);
    const perm = [...Array.from({ length: rank - 2 }, (_, axis) => axis), rank - 1, rank - 2];
    return reading.op('Transpose', [reading.last(i)], { perm });
  };
  reading.define(reading.op('MatMul', [operand(0, adjX), operand(1, adjY)]));
};

export const linalg: ReadTable = { FULLY_CONNECTED: fullyConnected, BATCH_MATMUL: batchMatmul };
