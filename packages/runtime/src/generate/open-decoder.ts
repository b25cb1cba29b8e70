/** Opens a language model for generation: in the form for it where it has one. */
import { dirname, resolve } from 'node:path';
import { isPenjingError, type Model } from '@penjing/core';
import { layoutToBytes, serializeOnnx } from '@penjing/graph-io';
import { placesIn, weightFolder, withCheckedFile } from '../engine/model-source.js';
import { type OpenedModel, openFile, type OpenOptions, openSource } from '../engine/open.js';
import { providersOf } from '../engine/settings.js';
import type { SessionHost } from '../session-host.js';
import { type DecoderForm, type GenerationForm, generationForm } from './generation-form.js';

export interface OpenedDecoder extends OpenedModel {
  /** Absent for a model that is run as it is. */
  readonly form: DecoderForm | undefined;
}

/** The file stays as it is: the form points at its weights, which ONNX Runtime reads where they are. */
export async function openDecoder(host: SessionHost, path: string, options: OpenOptions, asStored = false): Promise<OpenedDecoder> {
  // What other providers copy, and what they fuse, is another matter.
  if (asStored || providersOf(options).flat().some((provider) => provider !== 'cpu')) return { ...(await openFile(host, path, options)), form: undefined };
  const file = resolve(path);
  const folder = dirname(file);
  const made = await withCheckedFile(file, options.signal, async (checked) => {
    const form = await formOf(checked.model);
    if (!form) return undefined;
    const [layout] = serializeOnnx(form.model, { inPlace: placesIn(folder) });
    return { ...form, checked, bytes: await layoutToBytes(layout!) };
  });
  if (!made) return { ...(await openFile(host, path, options)), form: undefined };
  const { model, form, checked, bytes } = made;
  const settings = { ...options, sessionConfig: { ...weightFolder(folder), ...options.sessionConfig } };
  const source = { kind: 'memory' as const, bytes: bytes.buffer as ArrayBuffer, externalData: [] };
  return { ...(await openSource(host, source, { ...checked, model, weightsInFiles: true }, settings)), form };
}

async function formOf(model: Model): Promise<GenerationForm | undefined> {
  try {
    return await generationForm(model);
  } catch (error) {
    if (isPenjingError(error) && error.code === 'E_UNSUPPORTED') return undefined;
    throw error;
  }
}
