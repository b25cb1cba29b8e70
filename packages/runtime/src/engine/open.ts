/** Opens a session on a model, a file or bytes: checks first, then configures, then hands over. */
import { realpath } from 'node:fs/promises';
import { resolve } from 'node:path';
import { type Model, PenjingError, type TaskOptions, type ValueInfo, tensorType } from '@penjing/core';
import type { SessionHost } from '../session-host.js';
import type { SessionInfo, SessionSource, SessionValue } from '../worker/wire-types.js';
import { type CheckedModel, type ExternalFile, checkBytes, hasLooseWeights, storeInPlace, storeModel, weightFacts, weightFolder, withCheckedFile, withFixedWeights } from './model-source.js';
import { type SessionOptions, type WeightFacts, sessionSettings } from './settings.js';

/** A session in a worker, and what the calling thread knows of it. */
export interface OpenedModel {
  readonly handle: number;
  readonly inputs: readonly ValueInfo[];
  readonly outputs: readonly ValueInfo[];
  /** As the worker sees them, for the code that recognises layouts. */
  readonly session: Omit<SessionInfo, 'handle'>;
  /** Size of the model: graph and weights. */
  readonly bytes: number;
  /** Deletes what was written for this session. */
  readonly cleanup: () => Promise<void>;
}

export interface OpenOptions extends SessionOptions {
  readonly signal?: AbortSignal;
  readonly onProgress?: TaskOptions['onProgress'];
  readonly memoryLimit?: number;
  readonly externalData?: readonly ExternalFile[];
  readonly transfer?: boolean;
  /** See SessionSettings.spin. */
  readonly spin?: boolean;
}

/** What the graph of a model declares. */
export interface Borders {
  readonly inputs: readonly BorderValue[];
  readonly outputs: readonly BorderValue[];
}

export interface BorderValue {
  readonly name: string;
  readonly type: ValueInfo['type'] | undefined;
  /** Set where it is a weight. */
  readonly tensor?: unknown;
}

/** Above this the weights are computed by the pool of graph-io instead of the calling thread. */
const MEMORY_LIMIT = 64 * 2 ** 20;

export async function openFile(host: SessionHost, path: string, options: OpenOptions): Promise<OpenedModel> {
  const absolute = resolve(path);
  return withCheckedFile(absolute, options.signal, async (checked) => {
    if (await canFixWeights(checked.model, absolute, options)) return openModel(host, checked.model, options);
    return openSource(host, { kind: 'file', path: absolute }, checked, options);
  });
}

/** Whether a file with weights among its inputs can be opened as a model without a copy of them on disk. ONNX Runtime takes no weights through a link that leads out of the folder. */
async function canFixWeights(model: Model, path: string, { memoryLimit = MEMORY_LIMIT }: OpenOptions): Promise<boolean> {
  if (!hasLooseWeights(model)) return false;
  if (weightFacts(model).bytes <= memoryLimit) return true;
  return (await realpath(path)) === path && (await storeInPlace(withFixedWeights(model), memoryLimit)) !== undefined;
}

export async function openBytes(host: SessionHost, bytes: Uint8Array, options: OpenOptions): Promise<OpenedModel> {
  const external = options.externalData ?? [];
  const checked = await checkBytes(bytes, external);
  if (hasLooseWeights(checked.model) && checked.weights.bytes <= (options.memoryLimit ?? MEMORY_LIMIT)) return openModel(host, checked.model, options);
  const give = (array: Uint8Array): ArrayBuffer => ownBuffer(array, options.transfer ?? false);
  const source: SessionSource = {
    kind: 'memory',
    bytes: give(bytes),
    externalData: external.map(({ path, bytes: content }) => ({ path, data: give(content) })),
  };
  return openSource(host, source, checked, options);
}

/** Serializes a model: in memory when it is small or its weights lie in files as they are, which engines then share, else into a temporary folder that lives as long as the session. */
export async function openModel(host: SessionHost, given: Model, options: OpenOptions): Promise<OpenedModel> {
  const model = withFixedWeights(given);
  refuseForeignTypes(model);
  const facts = weightFacts(model);
  const { memoryLimit = MEMORY_LIMIT, signal, onProgress } = options;
  const inPlace = facts.bytes > memoryLimit ? await storeInPlace(model, memoryLimit) : undefined;
  if (inPlace) {
    const { source, folder } = inPlace;
    return openSource(host, source, { model, weights: facts, bytes: facts.bytes, weightsInFiles: true }, { ...options, sessionConfig: { ...weightFolder(folder), ...options.sessionConfig } });
  }
  const stored = await storeModel(model, facts.bytes <= memoryLimit, { ...(signal && { signal }), ...(onProgress && { onProgress }) });
  try {
    return await openSource(host, stored.source, { model, weights: facts, bytes: stored.bytes }, options, stored.cleanup);
  } catch (error) {
    await stored.cleanup();
    throw error;
  }
}

export async function openSource(
  host: SessionHost,
  source: SessionSource,
  { model, weights, bytes, weightsInFiles = source.kind === 'file' }: Omit<CheckedModel, 'model'> & { readonly model: { readonly graph: Borders } },
  options: OpenOptions,
  cleanup: () => Promise<void> = async () => {},
): Promise<OpenedModel> {
  refuseForeignTypes(model);
  const byPath: WeightFacts = { ...weights, byPath: weightsInFiles };
  const settings = sessionSettings(options, byPath, options.spin);
  const transfer = source.kind === 'file' ? [] : [source.bytes, ...source.externalData.map(({ data }) => data)];
  const { handle, inputs, outputs } = await host.call('open', { source, settings }, {
    transfer,
    ...(options.signal ? { signal: options.signal } : {}),
  });
  return {
    handle,
    inputs: inputs.map((value) => valueInfo(value, model.graph.inputs)),
    outputs: outputs.map((value) => valueInfo(value, model.graph.outputs)),
    session: { inputs, outputs },
    bytes,
    cleanup,
  };
}

/** The binding throws away the whole model when a border value has a type it does not know; this names the value. */
function refuseForeignTypes(model: { readonly graph: Borders }): void {
  const borders = [['input', model.graph.inputs], ['output', model.graph.outputs]] as const;
  for (const [side, values] of borders) {
    for (const { name, type, tensor } of values) {
      if (tensor || type?.kind !== 'tensor' || type.dtype === undefined || !foreign.test(type.dtype)) continue;
      throw new PenjingError('E_UNSUPPORTED', `${side} ${name} is ${type.dtype}, which cannot cross from Node to ONNX Runtime`, {
        hint: 'Give the model float32 or float16 inputs and outputs, with a Cast inside.',
      });
    }
  }
}

const foreign = /^(bfloat16|float8|float4|complex|u?int[24]$)/;

/** ONNX Runtime says which values there are; the graph knows their types better (sequences, symbols). */
function valueInfo({ name, dtype, shape }: SessionValue, declared: readonly BorderValue[]): ValueInfo {
  const type = declared.find((value) => value.name === name)?.type;
  return { name, type: type ?? tensorType(dtype, shape) };
}

/** The bytes as a buffer of their own: given away when the caller allows it, copied otherwise. */
function ownBuffer({ buffer, byteOffset, byteLength }: Uint8Array, give: boolean): ArrayBuffer {
  const whole = byteOffset === 0 && byteLength === buffer.byteLength;
  return give && whole ? (buffer as ArrayBuffer) : (buffer as ArrayBuffer).slice(byteOffset, byteOffset + byteLength);
}
