/** What a model reads, as far as feeds must know it. */
import { type DType, inferShapes, type Model, PenjingError, type ValueInfo } from '@penjing/core';

export interface ModelInput {
  readonly name: string;
  readonly dtype: DType;
  /** Sizes, and names or null where they are free; undefined when nothing is declared. */
  readonly shape: readonly (number | string | null)[] | undefined;
}

export interface ModelInputs {
  readonly all: readonly ModelInput[];
  /** As the runtime's makers of feeds take them. */
  readonly infos: readonly ValueInfo[];
}

export function modelInputs(model: Model): ModelInputs {
  inferShapes(model);
  const values = model.graph.inputs.filter(({ name }) => !model.graph.initializers.has(name));
  return {
    infos: values.map(({ name, type }) => ({ name, type: type ?? { kind: 'tensor' } })),
    all: values.map(({ name, type }) => ({ name, dtype: (type?.kind === 'tensor' ? type.dtype : undefined) ?? 'float32', shape: type?.kind === 'tensor' ? type.shape : undefined })),
  };
}

/** Throws `E_DATA` unless the model reads one tensor. */
export function onlyInput({ all }: ModelInputs, what: string): ModelInput {
  const [input] = all;
  if (input && all.length === 1) return input;
  throw new PenjingError('E_DATA', `${what} fill one input, the model has ${all.length}: ${all.map(({ name }) => name).join(', ')}`, {
    hint: 'Give arrays for all of them: an .npz file with one array per input, the first dimension counting the samples.',
  });
}

/** `[1, 3, n, n]`. */
export function describeShape(shape: ModelInput['shape']): string {
  return shape ? `[${shape.map((dim) => dim ?? '?').join(', ')}]` : 'any shape';
}
