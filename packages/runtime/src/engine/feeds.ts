/** Checks feeds against the declared inputs, so that a mistake is named before ONNX Runtime sees it. */
import { type Feeds, PenjingError, type ValueInfo, formatType } from '@penjing/core';

/** Throws `E_INPUT` for a missing, unknown or ill-typed feed. */
export function checkFeeds(inputs: readonly ValueInfo[], feeds: Feeds): void {
  const declared = new Map(inputs.map((input) => [input.name, input]));
  for (const name of Object.keys(feeds)) {
    if (!declared.has(name)) throw inputError(`there is no input ${name}`, inputs);
  }
  for (const { name, type } of inputs) {
    // Names come from files: `constructor` must not find what objects inherit.
    const tensor = Object.hasOwn(feeds, name) ? feeds[name] : undefined;
    if (!tensor) throw inputError(`input ${name} is missing`, inputs);
    if (type.kind !== 'tensor') {
      throw new PenjingError('E_UNSUPPORTED', `input ${name} is ${formatType(type)}; only tensors can be given from Node`);
    }
    if (type.dtype !== undefined && type.dtype !== tensor.dtype) {
      throw inputError(`input ${name} is ${tensor.dtype}, the model wants ${type.dtype}`, inputs);
    }
    const wanted = type.shape;
    // Of an input whose rank is not known ONNX Runtime says the same as of a scalar: it checks those itself.
    if (!wanted || wanted.length === 0) continue;
    const fits = wanted.length === tensor.shape.length && wanted.every((dim, i) => typeof dim !== 'number' || dim === tensor.shape[i]);
    if (!fits) throw inputError(`input ${name} has shape [${tensor.shape.join(', ')}], the model wants ${formatType(type)}`, inputs);
  }
}

/** Throws `E_INPUT` when a wanted output does not exist. */
export function checkOutputs(outputs: readonly ValueInfo[], wanted: readonly string[]): void {
  for (const name of wanted) {
    if (outputs.some((output) => output.name === name)) continue;
    throw new PenjingError('E_INPUT', `there is no output ${name}`, { hint: `The outputs are ${outputs.map((output) => output.name).join(', ')}.` });
  }
}

function inputError(message: string, inputs: readonly ValueInfo[]): PenjingError {
  return new PenjingError('E_INPUT', message, {
    hint: `The inputs are ${inputs.map(({ name, type }) => `${name} ${formatType(type)}`).join(', ') || '(none)'}.`,
  });
}
