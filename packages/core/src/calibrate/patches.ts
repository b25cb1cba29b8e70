/** What a convolution multiplies its kernel by: the patches of its input, one row per position, as a matrix product would read them. */
import { attribute } from '../graph/attribute.js';
import type { Model } from '../graph/model.js';
import { Names } from '../graph/names.js';
import { Node } from '../graph/node.js';
import { modelGraphs } from '../graph/traverse.js';
import { Value } from '../graph/value.js';
import { tensorType } from '../graph/value-type.js';
import { DenseTensor } from '../tensor.js';

/** Of a convolution in one group. */
export interface Patches {
  /** The value that it reads, (n, channels, …). */
  readonly activation: string;
  readonly channels: number;
  /** Sizes of the kernel. */
  readonly kernel: readonly number[];
  /** Strides, pads and dilations. */
  readonly attributes: Node['attributes'];
}

/**
 * Adds to `part`, as the output `name`, the patches (n, …, channels · kernel): a convolution of every channel with one filter per place
 * of the kernel, which is 1 there, channels last. The order is that of a kernel (outputs, channels · kernel).
 */
export function addPatches(part: Model, name: string, { activation, channels, kernel, attributes }: Patches): void {
  const { graph } = part;
  const names = new Names(modelGraphs(part));
  const input = [...graph.inputs, ...[...graph.nodes()].flatMap((node) => node.outputs)].find((value) => value.name === activation)!;
  const places = kernel.reduce((product, size) => product * size, 1);
  const filters = new Float32Array(channels * places * places);
  for (let channel = 0; channel < channels; channel++) for (let place = 0; place < places; place++) filters[(channel * places + place) * places + place] = 1;
  const weight = graph.addInitializer(names.claim(`${name}.filters`), DenseTensor.of('float32', [channels * places, 1, ...kernel], filters));
  const patches = new Value(names.claim(`${name}.first`), tensorType('float32'));
  const turned = new Value(name, tensorType('float32'));
  graph.append(new Node('Conv', [input, weight], [patches], { attributes: [...[...attributes].filter(([key]) => key !== 'group'), ['group', attribute.int(channels)]] }));
  graph.append(new Node('Transpose', [patches], [turned], { attributes: [['perm', attribute.ints([0, ...kernel.map((_, i) => i + 2), 1])]] }));
  graph.outputs.push(turned);
}
