/** A Mixtral checkpoint with another number of experts: seeded ones in place of those it has. */
import { createRng, DenseTensor, elementCount, type Tensor } from '@penjing/core';
import { type HuggingFaceFolder, openHuggingFaceFolder } from '@penjing/graph-io';
import { openFolder } from '@penjing/graph-io/node';

export async function moreExperts(folder: string, experts: number): Promise<HuggingFaceFolder> {
  const opened = await openHuggingFaceFolder(openFolder(folder));
  const tensors = new Map<string, Tensor>();
  const rng = createRng(experts);
  const random = (shape: readonly number[]): Tensor => {
    const words = new Uint32Array(Float32Array.from({ length: elementCount(shape) }, () => 0.2 * rng.normal()).buffer);
    // the upper halves of float32
    return DenseTensor.of('bfloat16', shape, Uint16Array.from(words, (word) => word >>> 16));
  };
  for (const [name, tensor] of opened.checkpoint.tensors) {
    if (name.endsWith('block_sparse_moe.gate.weight')) tensors.set(name, random([experts, tensor.shape[1]!]));
    else if (!name.includes('.experts.')) tensors.set(name, tensor);
    else if (name.includes('.experts.0.')) for (let i = 0; i < experts; i++) tensors.set(name.replace('.experts.0.', `.experts.${i}.`), random(tensor.shape));
  }
  return { ...opened, config: { ...opened.config, num_local_experts: experts }, checkpoint: { ...opened.checkpoint, tensors } };
}
