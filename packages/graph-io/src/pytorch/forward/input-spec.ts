/** Inputs as the command line has them: `x:f32[N,3,224,224]`. */
import { type Dim, type DType, dtypes, PenjingError, tensorType, type TensorType } from '@penjing/core';

export interface InputSpec {
  readonly name: string;
  readonly type: TensorType;
}

const aliases: Readonly<Record<string, DType>> = {
  f64: 'float64', f32: 'float32', f16: 'float16', bf16: 'bfloat16', i64: 'int64', i32: 'int32', i16: 'int16', i8: 'int8', u8: 'uint8',
  double: 'float64', float: 'float32', half: 'float16', long: 'int64', int: 'int32',
};

const MAX_RANK = 64;

/** Sizes are numbers, or names for those that may differ from run to run. Throws `E_OPTION`. */
export function parseInputSpec(text: string): InputSpec {
  const match = /^\s*([A-Za-z_]\w*)\s*:\s*([a-z]\w*)\s*\[([^[\]]*)\]\s*$/.exec(text);
  if (!match) throw wrong(text, 'is no input');
  const [, name, type, sizes] = match as unknown as [string, string, string, string];
  const dtype = aliases[type] ?? (Object.hasOwn(dtypes, type) ? (type as DType) : undefined);
  if (!dtype || dtype === 'string') throw wrong(text, `has the element type ${type}, which is not known`);
  const dims = sizes.trim() === '' ? [] : sizes.split(',').map((size) => dimOf(size.trim(), text));
  if (dims.length > MAX_RANK) throw wrong(text, `has ${dims.length} axes`);
  return { name, type: tensorType(dtype, dims) };
}

function dimOf(size: string, text: string): Dim {
  if (/^\d+$/.test(size) && Number.isSafeInteger(Number(size))) return Number(size);
  if (/^[A-Za-z_]\w*$/.test(size)) return size;
  throw wrong(text, `has the size ${JSON.stringify(size)}, which is neither a number nor a name`);
}

function wrong(text: string, why: string): PenjingError {
  return new PenjingError('E_OPTION', `${JSON.stringify(text)} ${why}`, { hint: "Write inputs as in 'x:f32[N,3,224,224]': name, element type, sizes; a name instead of a size stands for any." });
}
