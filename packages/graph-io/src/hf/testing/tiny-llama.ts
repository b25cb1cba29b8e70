/** A Llama of a few hundred weights in a folder that is only in memory, for tests. */
import { DenseTensor, memorySource, PenjingError, type Shape, type Tensor } from '@penjing/core';
import { layoutToBytes } from '../../onnx/layout-bytes.js';
import { safetensorsLayout } from '../../safetensors/index.js';
import type { JsonObject, ModelFolder } from '../folder.js';

export const tinyConfig = {
  architectures: ['LlamaForCausalLM'],
  model_type: 'llama',
  vocab_size: 11,
  hidden_size: 16,
  intermediate_size: 6,
  num_hidden_layers: 2,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  max_position_embeddings: 64,
  dtype: 'float32',
};

/** Name and shape of every tensor of `tinyConfig`. */
export const tinyShapes: Readonly<Record<string, Shape>> = {
  'model.embed_tokens.weight': [11, 16],
  ...layer(0),
  ...layer(1),
  'model.norm.weight': [16],
  'lm_head.weight': [11, 16],
};

function layer(i: number): Record<string, Shape> {
  const shapes: Record<string, Shape> = {
    'input_layernorm.weight': [16],
    'mlp.down_proj.weight': [16, 6],
    'mlp.gate_proj.weight': [6, 16],
    'mlp.up_proj.weight': [6, 16],
    'post_attention_layernorm.weight': [16],
    'self_attn.k_proj.weight': [8, 16],
    'self_attn.o_proj.weight': [16, 16],
    'self_attn.q_proj.weight': [16, 16],
    'self_attn.v_proj.weight': [8, 16],
  };
  return Object.fromEntries(Object.entries(shapes).map(([name, shape]) => [`model.layers.${i}.${name}`, shape]));
}

export function memoryFolder(files: Readonly<Record<string, string | Uint8Array | JsonObject>>): ModelFolder {
  return {
    name: 'tiny',
    list: async (inside) => {
      const start = inside === undefined ? '' : `${inside}/`;
      return Object.keys(files).filter((name) => name.startsWith(start)).map((name) => name.slice(start.length)).filter((name) => !name.includes('/'));
    },
    async open(name) {
      const file = files[name];
      if (file === undefined) throw new PenjingError('E_NOT_FOUND', `${name} is not there`);
      if (file instanceof Uint8Array) return memorySource(file, `memory:${name}`);
      return memorySource(new TextEncoder().encode(typeof file === 'string' ? file : JSON.stringify(file)), `memory:${name}`);
    },
  };
}

/** config.json and model.safetensors; the weights are small and not all alike. */
export async function tinyLlama(
  config: JsonObject = tinyConfig,
  shapes: Readonly<Record<string, Shape>> = tinyShapes,
): Promise<ModelFolder> {
  const tensors = new Map<string, Tensor>();
  for (const [name, shape] of Object.entries(shapes)) {
    const count = shape.reduce((a, b) => a * b, 1);
    const values = Float32Array.from({ length: count }, (_, i) => (((i * 7 + name.length) % 23) - 11) / 20);
    tensors.set(name, DenseTensor.of('float32', shape, values));
  }
  const weights = await layoutToBytes(safetensorsLayout({ tensors, metadata: new Map() })[0]!);
  return memoryFolder({ 'config.json': config, 'model.safetensors': weights });
}
