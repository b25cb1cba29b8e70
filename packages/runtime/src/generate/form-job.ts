/** Makes the form for generation of a file in the worker that will run it: simplifying the graph takes half a second of a core for 24 layers. */
import { dirname } from 'node:path';
import { isPenjingError, type Job, jobModule, type Model, PenjingError } from '@penjing/core';
import { layoutToBytes, serializeOnnx } from '@penjing/graph-io';
import { type CheckedModel, placesIn, withCheckedFile } from '../engine/model-source.js';
import type { Borders } from '../engine/open.js';
import { type DecoderForm, type FormOptions, type GenerationForm, generationForm } from './generation-form.js';

export interface StoredForm extends Pick<CheckedModel, 'weights' | 'bytes'> {
  readonly form: DecoderForm;
  /** The graph as ONNX, its weights where they lie in the folder of the file. */
  readonly graph: Uint8Array<ArrayBuffer>;
  readonly borders: Borders;
}

/** Of the file at an absolute path; undefined for a decoder that has no form. */
export const formJob: Job<FormOptions & { readonly file: string }, StoredForm | undefined> = {
  module: jobModule(import.meta.url, './form-job'),
  name: 'formJob',
  run: ({ file, ...options }, { signal }) => withCheckedFile(file, signal, async ({ model: original, weights, bytes }) => {
    const made = await formOf(original, options);
    if (!made) return undefined;
    const [layout] = serializeOnnx(made.model, { inPlace: placesIn(dirname(file)) });
    return { form: made.form, weights, bytes, borders: bordersOf(made.model), graph: (await layoutToBytes(layout!)) as Uint8Array<ArrayBuffer> };
  }),
};

async function formOf(model: Model, options: FormOptions): Promise<GenerationForm | undefined> {
  try {
    return await generationForm(model, options);
  } catch (error) {
    if (!isPenjingError(error) || error.code !== 'E_UNSUPPORTED') throw error;
    // Who asks for a cache of bytes is told why there is none; without, the model is run as it is.
    if (options.int8Cache) throw new PenjingError('E_UNSUPPORTED', `keys and values of this model cannot be int8: ${error.message}`, { cause: error, hint: 'Leave the cache as the model has it, or convert the model with `penjing convert`.' });
    return undefined;
  }
}

/** As plain data. */
function bordersOf({ graph }: Model): Borders {
  const told = (values: Model['graph']['inputs']): Borders['inputs'] => values.map(({ name, type, tensor }) => ({ name, type, ...(tensor && { tensor: true }) }));
  return { inputs: told(graph.inputs), outputs: told(graph.outputs) };
}
