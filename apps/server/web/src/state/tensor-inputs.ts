/** What the reader has given each input of a model: typed values, filled ones, or a file. */
import { signal } from '@preact/signals';
import { infer, type InferResult, type NamedTensor, readSignature, type ModelSignature } from '../api/infer.js';
import { type ImageOptions, imageToTensor } from '../tensors/image.js';
import { convertTensor, readNpy } from '../tensors/npy.js';
import { parseShape, parseValues, type TensorSpec } from '../tensors/parse-values.js';
import { bytesTensor, checkShape, fillTensor, MAX_BYTES, sayShape, type TensorData, TensorProblem } from '../tensors/tensor-data.js';
import { sayBytes } from '../text/text.js';
import { createRun } from './run.js';

export interface TensorInput {
  readonly spec: TensorSpec;
  /** As typed. */
  readonly shape: string;
  readonly values: string;
  /** Stands in place of the typed values. */
  readonly given?: { readonly tensor: TensorData; readonly source: string };
  /** The picture that `given` was made from, to make it anew when the options change. */
  readonly image?: { readonly file: File; readonly options: ImageOptions };
  readonly problem?: TensorProblem | undefined;
}

export const signature = signal<ModelSignature | undefined>(undefined);
export const signatureError = signal<unknown>(undefined);
export const tensorInputs = signal<readonly TensorInput[]>([]);
export const inferring = createRun<InferResult>();

/** Reads what the model takes; inputs of the same name and type keep what was typed. */
export async function openSignature(model: string, abort: AbortSignal): Promise<void> {
  signatureError.value = undefined;
  try {
    const read = await readSignature(model, abort);
    const old = new Map(tensorInputs.value.map((input) => [input.spec.name, input]));
    signature.value = read;
    tensorInputs.value = read.inputs.map((spec) => {
      const kept = old.get(spec.name);
      return kept && JSON.stringify(kept.spec) === JSON.stringify(spec) ? kept : { spec, shape: spec.shape.map((size) => (size < 0 ? 1 : size)).join(', '), values: '' };
    });
    inferring.clear();
  } catch (error) {
    if (abort.aborted) return;
    signature.value = undefined;
    signatureError.value = error;
  }
}

export function changeInput(name: string, change: Partial<TensorInput>): void {
  tensorInputs.value = tensorInputs.value.map((input) => (input.spec.name === name ? { ...input, ...change } : input));
}

export type Fill = 'zeros' | 'ones' | 'random';

export function fillInput({ spec, shape }: TensorInput, fill: Fill, source: string): void {
  void attempt(spec.name, () => {
    const sizes = typedShape(spec, shape);
    if (spec.datatype === 'BYTES') return { given: { tensor: bytesTensor(new Array<string>(sizes.reduce((a, b) => a * b, 1)).fill(''), sizes), source } };
    const isFloat = /^(FP|BF)/.test(spec.datatype);
    const draw = (): number => (spec.datatype === 'BOOL' ? Math.round(Math.random()) : isFloat ? Math.random() * 2 - 1 : Math.floor(Math.random() * 100));
    const tensor = fillTensor(spec.datatype, sizes, fill === 'zeros' ? () => 0 : fill === 'ones' ? () => 1 : draw);
    return { given: { tensor, source } };
  });
}

/** A picture, a .npy file, or a text: JSON values, or itself when the input takes texts. */
export async function giveFile({ spec, image }: TensorInput, file: File): Promise<void> {
  await attempt(spec.name, async () => {
    if (file.size > MAX_BYTES) throw new TensorProblem('tensor.error.large', { size: sayBytes(file.size), limit: sayBytes(MAX_BYTES) });
    if (file.type.startsWith('image/') && spec.datatype !== 'BYTES') {
      const options = image?.options ?? { scale: 'imagenet', bgr: false };
      return { given: { tensor: await imageToTensor(file, spec, options), source: file.name }, image: { file, options } };
    }
    const bytes = new Uint8Array(await file.arrayBuffer());
    if (bytes[0] === 0x93) {
      const tensor = convertTensor(readNpy(bytes), spec.datatype);
      checkShape(spec.shape, tensor.shape);
      return { given: { tensor, source: file.name }, image: undefined };
    }
    const ones = spec.shape.map((size) => (size < 0 ? 1 : size));
    const isJson = /\.json$/i.test(file.name) || spec.datatype !== 'BYTES';
    const tensor = isJson ? parseValues(new TextDecoder().decode(bytes), spec, ones) : bytesTensor([bytes], ones);
    return { given: { tensor, source: file.name }, image: undefined };
  });
}

export async function changeImage(input: TensorInput, options: ImageOptions): Promise<void> {
  const { image, spec } = input;
  if (!image) return;
  await attempt(spec.name, async () => ({ given: { tensor: await imageToTensor(image.file, spec, options), source: image.file.name }, image: { file: image.file, options } }));
}

/** Runs the model; inputs that do not fit are marked and nothing is sent. */
export async function runModel(model: string): Promise<void> {
  const ready: NamedTensor[] = [];
  tensorInputs.value = tensorInputs.value.map((input) => {
    try {
      ready.push({ name: input.spec.name, ...(input.given?.tensor ?? parseValues(input.values, input.spec, typedShape(input.spec, input.shape))) });
      return { ...input, problem: undefined };
    } catch (problem) {
      if (problem instanceof TensorProblem) return { ...input, problem };
      throw problem;
    }
  });
  if (ready.length < tensorInputs.value.length) return;
  await inferring.start((signal) => infer(model, ready, signal));
}

function typedShape(spec: TensorSpec, text: string): number[] {
  const shape = parseShape(text);
  if (!shape) throw new TensorProblem('tensor.error.shape', { wanted: sayShape(spec.shape), given: text });
  checkShape(spec.shape, shape);
  return shape;
}

async function attempt(name: string, make: () => Partial<TensorInput> | Promise<Partial<TensorInput>>): Promise<void> {
  try {
    changeInput(name, { problem: undefined, ...(await make()) });
  } catch (problem) {
    if (!(problem instanceof TensorProblem)) throw problem;
    changeInput(name, { problem });
  }
}
