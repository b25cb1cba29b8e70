/** The input and the outputs of an encoder of pictures, as Optimum and transformers.js name them. */
import { PenjingError, tensorType, type Value } from '@penjing/core';
import type { Task } from './architecture.js';
import { linear } from './blocks/linear.js';
import type { PatchShape } from './blocks/patches.js';
import type { Network } from './network.js';

/**
 * float32 (batch, channels, height, width), given in the network's type; of the config's size unless `anySize`. `batch` names
 * the axis where texts have another.
 */
export function pixelInput(
  net: Network,
  { channels, image }: Pick<PatchShape, 'channels' | 'image'>,
  { anySize = false, batch = 'batch_size' }: { readonly anySize?: boolean; readonly batch?: string } = {},
): Value {
  const size = anySize ? ['height', 'width'] : image;
  return net.narrow(net.builder.input('pixel_values', tensorType('float32', [batch, channels, ...size])));
}

/** What an architecture decides. */
export interface VisionHeads {
  /** The last hidden states are (batch, tokens, hidden), or (batch, …) with these dimensions. */
  readonly hidden: number | readonly (number | string)[];
  readonly labels: number;
  /** (batch, labels) of the last hidden states. */
  readonly classify: (x: Value) => Value;
}

/** Makes the results of `task` the outputs of the graph, in float32. */
export function visionOutputs(net: Network, task: Task, x: Value, { hidden, labels, classify }: VisionHeads): void {
  const outputs: Partial<Record<Task, () => void>> = {
    'image-classification': () => net.builder.output(net.widen(classify(x)), 'logits', tensorType('float32', ['batch_size', labels])),
    'image-feature-extraction': () => hiddenOutput(net, x, hidden),
    'feature-extraction': () => hiddenOutput(net, x, hidden),
  };
  const give = outputs[task];
  if (!give) throw new PenjingError('E_TASK', `an encoder of pictures has no head for ${task}`);
  give();
}

/** The head `classifier` over one state per picture, x (batch, hidden). */
export function classify(net: Network, x: Value, hidden: number, labels: number): void {
  net.builder.output(net.widen(linear(net, 'classifier', x, { inputs: hidden, outputs: labels, bias: true })), 'logits', tensorType('float32', ['batch_size', labels]));
}

function hiddenOutput(net: Network, x: Value, hidden: VisionHeads['hidden']): void {
  const shape = typeof hidden === 'number' ? ['tokens', hidden] : hidden;
  net.builder.output(net.widen(x), 'last_hidden_state', tensorType('float32', ['batch_size', ...shape]));
}
