/** Learning values of a teacher: logits, hidden states, maps of attention, embeddings. */
import type { Value } from '@penjing/core';
import { dtypeOf, type Loss, maskedMean, shapeOf } from './loss.js';

export interface MatchOptions {
  /** Value of the student, (…, width). */
  readonly value: string;
  /** Input that is added, of the same shape; `teacher/VALUE` when absent. */
  readonly teacher?: string;
  /** Input of ones and zeros over the leading axes, (…): elements that count; all when absent. */
  readonly mask?: string;
  /** Matrix (width, width of the teacher) that is trained with the student and thrown away, where the two are not as wide: name of an initializer or input. */
  readonly projection?: string;
}

const match = ({ value: name, teacher = `teacher/${name}`, mask, projection }: MatchOptions, distance: (b: Parameters<Loss>[0]['b'], ours: Value, theirs: Value) => Value): Loss =>
  (context) => {
    const { b, value, input } = context;
    const student = value(name);
    const matrix = projection === undefined ? undefined : value(projection);
    const shape = shapeOf(student).slice(0, -1);
    const width = matrix ? shapeOf(matrix)[1]! : shapeOf(student).at(-1)!;
    const theirs = input(teacher, dtypeOf(student), [...shape, width]);
    return maskedMean(context, distance(b, matrix ? b.op('MatMul', [student, matrix]) : student, theirs), shape, mask);
  };

/** Mean of the squared differences. */
export function meanSquare(options: MatchOptions): Loss {
  return match(options, (b, ours, theirs) => {
    const difference = b.op('Sub', [ours, theirs]);
    return b.op('ReduceMean', [b.op('Mul', [difference, difference]), b.constant('int64', [-1])], { keepdims: 0 });
  });
}

/** Mean of ‖ours − theirs‖² ÷ ‖theirs‖² over the rows: a weight of it means the same for states of any size. */
export function relativeSquare(options: MatchOptions): Loss {
  return match(options, (b, ours, theirs) => {
    const square = (x: Value): Value => b.op('ReduceSum', [b.op('Mul', [x, x]), b.constant('int64', [-1])], { keepdims: 0 });
    return b.op('Div', [square(b.op('Sub', [ours, theirs])), b.op('Max', [square(theirs), b.op('CastLike', [b.constant('float32', 1e-16), ours])])]);
  });
}

/** Mean of 1 − cos of the angle between the two, as DistilBERT aligns hidden states (arXiv:1910.01108). */
export function cosineDistance(options: MatchOptions): Loss {
  return match(options, (b, ours, theirs) => {
    const dot = (x: Value, y: Value): Value => b.op('ReduceSum', [b.op('Mul', [x, y]), b.constant('int64', [-1])], { keepdims: 0 });
    const like = (number: number): Value => b.op('CastLike', [b.constant('float32', number), ours]);
    const lengths = b.op('Sqrt', [b.op('Max', [b.op('Mul', [dot(ours, ours), dot(theirs, theirs)]), like(1e-16)])]);
    return b.op('Sub', [like(1), b.op('Div', [dot(ours, theirs), lengths])]);
  });
}
