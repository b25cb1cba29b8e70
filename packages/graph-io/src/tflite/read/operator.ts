/** One operator of a TFLite subgraph as the rows of the table see it: operands, options, and where the results go. */
import { type AttributeInput, type Value } from '@penjing/core';
import type { TfliteOperator, TfliteTensor } from '../open-tflite.js';
import type { BuiltinOptions } from '../schema.js';
import type { BuiltinOperator } from '../operators-schema.js';
import { unsupported } from './unsupported.js';
import type { TfliteValues } from './values.js';

type OptionsOf<T extends BuiltinOptions['type']> = Extract<BuiltinOptions, { readonly type: T }>['value'];
type Attributes = Readonly<Record<string, AttributeInput>>;

export class TfliteReading {
  readonly values: TfliteValues;
  readonly operator: TfliteOperator;

  constructor(values: TfliteValues, operator: TfliteOperator) {
    this.values = values;
    this.operator = operator;
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
    return this.values.last(this.index(i));
  }

  /** Operand `i`, a picture, with its channels second. */
  first(i: number): Value {
    return this.values.first(this.index(i));
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

  /** Operands that must agree in rank and place: all channels-first when some are so already and the others can be. */
  together(): { readonly operands: readonly Value[]; readonly first: boolean } {
    const all = this.operator.inputs.map((_, i) => this.index(i));
    if (all.some((index) => this.values.isFirst(index))) {
      const moved = all.map((index) => {
        if (this.values.isConstant(index)) return this.values.constantFirst(index);
        const { shape } = this.values.tensor(index);
        if (shape.length === 0) return this.values.last(index);
        return shape.length === 4 ? this.values.first(index) : undefined;
      });
      if (moved.every((value) => value !== undefined)) return { operands: moved, first: true };
    }
    return { operands: all.map((index) => this.values.last(index)), first: false };
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
    this.values.define(this.result(i), value, first ? 'first' : 'last');
  }

  fail(why?: string): Error {
    const output = this.operator.outputs[0];
    return unsupported(this.operator, output === undefined ? 'nothing' : this.values.tensor(output).name, why);
  }
}

/** How an operator becomes nodes. */
export type ReadRow = (reading: TfliteReading) => void;

export type ReadTable = Readonly<Partial<Record<BuiltinOperator, ReadRow>>>;
