/** Opens a PyTorch file: its pickle is read by a machine that calls nothing, the tensors stay on disk. */
import { type ByteSource, type Checkpoint, PenjingError, type Tensor } from '@penjing/core';
import { openShards } from '../safetensors/index.js';
import { type PytorchFile, readPytorchFile } from './archive.js';
import { flattenState, selectState } from './state.js';

export interface OpenPytorchOptions {
  /** Dotted path to the weights inside the file, such as `ema.state_dict`, or '' for everything; found by itself when they have a usual place. */
  readonly key?: string;
  /**
   * Quantized tensors: `values`, the default, gives what they stand for, in float32. `parts` gives NAME with its integers,
   * NAME.scale and NAME.zero_point.
   */
  readonly quantized?: 'values' | 'parts';
}

/**
 * The tensors of a `.pt`, `.pth`, `.th` or `.bin` file, or the parameters and buffers of a TorchScript archive or of a
 * pickled module, in the order of the file. Tensors that share their memory in the file are the same object.
 * Throws `E_FORMAT`, `E_PICKLE`, `E_UNSAFE`, `E_ZIP`, `E_TRUNCATED`, `E_DTYPE`, `E_STRIDES`, `E_KEY`, `E_LIMIT`.
 */
export async function openPytorch(source: ByteSource, options: OpenPytorchOptions = {}): Promise<Checkpoint> {
  return checkpointOf(await readPytorchFile(source), options);
}

/** The same of a file that has been read. */
export function checkpointOf(file: PytorchFile, options: OpenPytorchOptions = {}): Checkpoint {
  const { source, root, materializer } = file;
  const { value, key } = selectState(root, options.key, source.uri);
  const state = flattenState(value, source.uri);
  if (state.tensors.size === 0) throw new PenjingError('E_WEIGHTS', `${source.uri} holds no tensors${key ? ` under ${key}` : ''}`, { hint: 'Give a file that torch.save wrote of a model or its state dict.' });
  const tensors = new Map<string, Tensor>();
  for (const [name, from] of state.tensors) {
    const parts = options.quantized === 'parts' ? materializer.parts(from, name) : undefined;
    if (!parts) tensors.set(name, materializer.tensor(from, name));
    else {
      tensors.set(name, parts.values);
      tensors.set(`${name}.scale`, parts.scales);
      tensors.set(`${name}.zero_point`, parts.zeroPoints);
    }
  }
  return { tensors, metadata: state.metadata };
}

/** Shards of `pytorch_model.bin.index.json`; `open` opens a file beside the index by its name. */
export function openPytorchIndex(index: ByteSource, open: (name: string) => Promise<ByteSource>): Promise<Checkpoint> {
  return openShards(index, async (name) => openPytorch(await open(name)));
}
