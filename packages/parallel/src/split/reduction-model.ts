/** The graph that makes one output of those of N models: their mean or their sum. */
import { type DType, dtypes, formatType, GraphBuilder, Model, PenjingError, tensorType, type Value, type ValueInfo } from '@penjing/core';

/** The name under which a reduction reads an output of a replica. */
export function reducedInput(name: string, replica: number): string {
  return `${replica}:${name}`;
}

/**
 * Every output is ((f₀ + f₁) + f₂) + … in this order, each sum rounded to its type; a mean is that divided by N. Halves and smaller floats are added as float32 and rounded once, at the end. Throws
 * `E_DTYPE` for what cannot be added: strings and truth values, and integers in a mean, whose quotient would be cut off.
 */
export function reductionModel(outputs: readonly ValueInfo[], replicas: number, reduction: 'mean' | 'sum'): Model {
  const model = new Model();
  model.opsetImports.set('', 17);
  const b = new GraphBuilder(model.graph);
  const read = outputs.map(({ name, type }) => {
    const dtype = addable(name, type, reduction);
    return { name, dtype, terms: Array.from({ length: replicas }, (_, i) => b.input(reducedInput(name, i), tensorType(dtype))) };
  });
  for (const { name, dtype, terms } of read) {
    const { kind, bits } = dtypes[dtype];
    const wide: DType = kind === 'float' && bits < 32 ? 'float32' : dtype;
    const cast = (value: Value, to: DType): Value => b.op('Cast', [value], { to: dtypes[to].onnx });
    const sum = terms.map((term) => (wide === dtype ? term : cast(term, wide))).reduce((a, c) => b.op('Add', [a, c]));
    const whole = reduction === 'mean' ? b.op('Div', [sum, b.constant(wide, replicas)]) : sum;
    b.output(wide !== dtype ? cast(whole, dtype) : whole.producer ? whole : b.op('Identity', [whole]), name, tensorType(dtype));
  }
  return model;
}

function addable(name: string, type: ValueInfo['type'], reduction: string): DType {
  const dtype = type.kind === 'tensor' ? type.dtype : undefined;
  const kind = dtype && dtypes[dtype].kind;
  if (dtype && (kind === 'float' || (reduction === 'sum' && (kind === 'int' || kind === 'uint')))) return dtype;
  throw new PenjingError('E_DTYPE', `output ${name} is ${formatType(type)}, of which there is no ${reduction}`, { hint: 'Ask for the outputs that are floats by a model that gives only those.' });
}
