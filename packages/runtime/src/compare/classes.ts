/** Which class each row of a result finds likeliest, and how often that is right. */
import { PenjingError } from '@penjing/core';
import type { WireTensor } from '../worker/wire-types.js';
import { addConfusion, type Confusion, mergeConfusion } from './class-scores.js';
import { numbers } from './difference.js';

/** Of rows that two models judged; without a second model the counts of b stay 0. */
export interface ClassCounts {
  /** Rows with a label. */
  labelled: number;
  rightA: number;
  rightB: number;
  /** Rows that one model has right and the other has not: what a paired test is made of. */
  onlyA: number;
  onlyB: number;
  rows: number;
  /** Rows where both find the same class. */
  agreed: number;
  /** Of the rows with a label. */
  readonly confusionA: Confusion;
  readonly confusionB: Confusion;
}

type Counted = Exclude<keyof ClassCounts, `confusion${string}`>;
const counted: readonly Counted[] = ['labelled', 'rightA', 'rightB', 'onlyA', 'onlyB', 'rows', 'agreed'];

export function classCounts(): ClassCounts {
  return { labelled: 0, rightA: 0, rightB: 0, onlyA: 0, onlyB: 0, rows: 0, agreed: 0, confusionA: new Map(), confusionB: new Map() };
}

export function mergeClasses(into: ClassCounts, from: Readonly<ClassCounts>): void {
  for (const key of counted) into[key] += from[key];
  mergeConfusion(into.confusionA, from.confusionA);
  mergeConfusion(into.confusionB, from.confusionB);
}

/**
 * The class of each row: scores (rows, classes, 1…) by their largest, integers (rows) as they are. Throws `E_SHAPE` for
 * a result that holds neither.
 */
export function classesOf(name: string, tensor: WireTensor): Int32Array {
  const [rows = 0, classes = 1, ...rest] = tensor.shape;
  const whole = /^u?int/.test(tensor.dtype);
  const isClasses = whole && [classes, ...rest].every((dim) => dim === 1);
  const isScores = !whole && classes > 1 && rest.every((dim) => dim === 1);
  if (tensor.dtype === 'string' || tensor.shape.length === 0 || !(isClasses || isScores)) {
    throw new PenjingError('E_SHAPE', `output ${name} is ${tensor.dtype} [${tensor.shape.join(', ')}]: neither scores (rows, classes) nor classes (rows)`, {
      hint: 'Accuracy needs a model that classifies.',
    });
  }
  const at = numbers(tensor);
  if (isClasses) return Int32Array.from({ length: rows }, (_, row) => at(row));
  return Int32Array.from({ length: rows }, (_, row) => largest(at, row * classes, classes));
}

/** The first of equals; -1, which is no class, when all are NaN. */
function largest(at: (index: number) => number, from: number, count: number): number {
  let best = -1;
  let value = -Infinity;
  for (let i = 0; i < count; i++) {
    if (at(from + i) > value || (best === -1 && at(from + i) === value)) [best, value] = [i, at(from + i)];
  }
  return best;
}

/** Counts rows of one run; `labels` has one entry per row, or is empty. Throws `E_DATA` for another number of labels. */
export function countClasses(name: string, a: WireTensor, b: WireTensor | undefined, labels: readonly number[]): ClassCounts {
  const [left, right] = [classesOf(name, a), b && classesOf(name, b)];
  if (labels.length !== 0 && labels.length !== left.length) {
    throw new PenjingError('E_DATA', `output ${name} has ${left.length} rows, the sample has ${labels.length} labels`);
  }
  const counts = classCounts();
  left.forEach((found, row) => {
    const other = right?.[row];
    counts.rows++;
    if (found === other) counts.agreed++;
    if (labels.length === 0) return;
    addConfusion(counts.confusionA, labels[row]!, found);
    if (other !== undefined) addConfusion(counts.confusionB, labels[row]!, other);
    const [rightA, rightB] = [found === labels[row], other === labels[row]];
    counts.labelled++;
    if (rightA) counts.rightA++;
    if (rightB) counts.rightB++;
    if (rightA && !rightB) counts.onlyA++;
    if (rightB && !rightA) counts.onlyB++;
  });
  return counts;
}
