/** One operator of a TFLite subgraph as the rows of the table see it: operands, options, and where the results go. */
import { type AttributeInput, type Value } from '@penjing/core';
import type { TfliteOperator, TfliteTensor } from '../open-tflite.js';
import type { BuiltinOptions, BuiltinOptions2 } from '../schema.js';
import type { BuiltinOperator } from '../operators-schema.js';
import { unsupported } from './unsupported.js';
import type { Place, TfliteValues } from './values.js';

type OptionsOf<T extends BuiltinOptions['type']> = Extract<BuiltinOptions, { readonly type: T }>['value'];
type Options2Of<T extends BuiltinOptions2['type']> = Extract<BuiltinOptions2, { readonly type: T }>['value'];
type Attributes = Readonly<Record<string, AttributeInput>>;

/**
 * What an operator sees of quantized tensors: the numbers they stand for, or, when it only moves them, their codes; `stored`: integers
 * without a scale that are moved into a tensor that has one.
 */
type Seen = 'numbers' | 'codes' | 'stored';

export class TfliteReading {
  readonly values: TfliteValues;
  readonly operator: TfliteOperator;
  readonly #sees: Seen;

  constructor(values: TfliteValues, operator: TfliteOperator, sees: Seen = 'numbers') {
    this.values = values;
    this.operator = operator;
    this.#sees = sees;
  }

  get type(): BuiltinOperator {
    return this.operator.type;
  }

  get inputCount(): number {
    return this.operator.inputs.length;
  }

  /** True when operand `i` is there: optional ones are left out by a -1 or by a shorter list. */
  has(i: number): boolean {
    return (this.operator.inputs[i] ?? -1) >= 0;
  }

  index(i: number): number {
    const index = this.operator.inputs[i] ?? -1;
    if (index < 0) throw this.fail(`operand ${i} is missing`);
    return index;
  }

  result(i = 0): number {
    const index = this.operator.outputs[i];
    if (index === undefined) throw this.fail(`result ${i} is missing`);
    return index;
  }

  tensor(i: number): TfliteTensor {
    return this.values.tensor(this.index(i));
  }

  resultTensor(i = 0): TfliteTensor {
    return this.values.tensor(this.result(i));
  }

  /** Operand `i` as TFLite has it. */
  last(i: number): Value {
    const index = this.index(i);
    return this.#isCarried(index) ? this.values.codes(index, 'last') : this.values.last(index);
  }

  /** Operand `i`, a picture, with its channels second. */
  first(i: number): Value {
    const index = this.index(i);
    return this.#isCarried(index) ? this.values.codes(index, 'first') : this.values.first(index);
  }

  #isCarried(index: number): boolean {
    return this.#sees === 'codes' && this.values.scales(index) !== undefined;
  }

  isFirst(i: number): boolean {
    return this.has(i) && this.values.isFirst(this.index(i));
  }

  /** The numbers of a constant operand. Throws when it is computed. */
  numbers(i: number, what: string): readonly number[] {
    const numbers = this.values.numbers(this.index(i));
    if (!numbers) throw this.fail(`its ${what} is computed, where only a constant is read`);
    return numbers;
  }

  int64(i: number): Value {
    return this.values.int64(this.index(i));
  }

  place(i = 0): Place {
    return this.isFirst(i) ? 'first' : 'last';
  }

  /** Where operands that must agree in rank and place can stand: channels first when some do already and the others can. */
  placeTogether(): Place {
    const all = this.operator.inputs.map((_, i) => this.index(i));
    if (!all.some((index) => this.values.isFirst(index))) return 'last';
    const movable = all.every((index) => {
      if (this.values.isConstant(index)) return this.values.hasFirst(index);
      return [0, 4].includes(this.values.tensor(index).shape.length);
    });
    return movable ? 'first' : 'last';
  }

  together(): { readonly operands: readonly Value[]; readonly first: boolean } {
    const first = this.placeTogether() === 'first';
    const operands = this.operator.inputs.map((_, i) => {
      const index = this.index(i);
      if (!first) return this.last(i);
      if (this.values.isConstant(index)) return this.#sees === 'codes' ? this.values.constantCodesFirst(index) : this.values.constantFirst(index);
      return this.values.tensor(index).shape.length === 0 ? this.last(i) : this.first(i);
    });
    return { operands, first };
  }

  /** Operand 0 where it is, and the axes of its other operands mapped accordingly. */
  follow(i = 0): { readonly x: Value; readonly first: boolean } {
    return this.isFirst(i) ? { x: this.first(i), first: true } : { x: this.last(i), first: false };
  }

  options<T extends BuiltinOptions['type']>(type: T): OptionsOf<T> {
    const { options } = this.operator;
    if (options?.type === type) return options.value as OptionsOf<T>;
    throw this.fail(`its options are ${options?.type ?? 'missing'}, not ${type}`);
  }

  /** Those of the second union, which later operators have. */
  options2<T extends BuiltinOptions2['type']>(type: T): Options2Of<T> {
    const { options2 } = this.operator;
    if (options2?.type === type) return options2.value as Options2Of<T>;
    throw this.fail(`its options are ${options2?.type ?? 'missing'}, not ${type}`);
  }

  /** Options that old writers leave out when all of them have their default. */
  optional<T extends BuiltinOptions['type']>(type: T): Partial<OptionsOf<T>> {
    const { options } = this.operator;
    return options?.type === type ? (options.value as Partial<OptionsOf<T>>) : {};
  }

  op(opType: string, inputs: readonly (Value | undefined)[], attributes: Attributes = {}): Value {
    return this.values.builder.op(opType, inputs, attributes, { name: `${this.type}/${opType}` });
  }

  nodes(opType: string, inputs: readonly (Value | undefined)[], attributes: Attributes, outputCount: number): Value[] {
    return this.values.builder.nodes(opType, inputs, attributes, { name: `${this.type}/${opType}`, outputCount });
  }

  ints(values: readonly number[] | number): Value {
    return this.values.builder.constant('int64', values);
  }

  /** A constant in float32, or in the integers of operand `like`. */
  scalar(value: number, like = 0): Value {
    return this.values.builder.constant(this.values.dtype(this.index(like)), value);
  }

  define(value: Value, first = false, i = 0): void {
    const index = this.result(i);
    const place = first ? 'first' : 'last';
    if (this.#sees === 'stored') this.values.defineStored(index, value, place);
    else if (this.#isCarried(index)) this.values.defineCodes(index, value, place);
    else this.values.define(index, value, place);
  }

  fail(why?: string): Error {
    const output = this.operator.outputs[0];
    return unsupported(this.operator, output === undefined ? 'nothing' : this.values.tensor(output).name, why);
  }
}

/** How an operator becomes nodes. */
export type ReadRow = (reading: TfliteReading) => void;

export type ReadTable = Readonly<Partial<Record<BuiltinOperator, ReadRow>>>;
