/** The settings file with which onnxruntime-genai runs a decoder of ours: `genai_config.json`. */
import { type Graph, PenjingError } from '@penjing/core';
import type { FileLayout } from '../layout.js';
import { companionFiles, configFile } from './companion-files.js';
import { Fields } from './fields.js';
import type { JsonObject } from './folder.js';
import type { HuggingFaceConfig } from './open.js';
import { jsonFile } from './small-files.js';

/** The one graph, relative to the folder. */
export const GENAI_GRAPH = 'model.onnx';

/** `model_type`s for which the runtime has a kind of its own; others run as the generic `decoder`. */
const GENAI_TYPES: ReadonlySet<string> = new Set([
  'gemma', 'gemma2', 'gemma3_text', 'granite', 'llama', 'mistral', 'nemotron', 'olmo', 'phi3', 'phimoe', 'qwen2', 'qwen3', 'smollm3',
]);

/**
 * Everything but the graph. The graph must be a decoder with a cache, as `convertHuggingFace` builds it for
 * text-generation; throws `E_TASK` for any other. Field names: the model builder of onnxruntime-genai 0.18.
 */
export async function genaiFiles(folder: HuggingFaceConfig, graph: Graph): Promise<FileLayout[]> {
  return [jsonFile('genai_config.json', genaiConfig(folder, graph)), await configFile(folder), ...(await companionFiles(folder))];
}

function genaiConfig(folder: HuggingFaceConfig, graph: Graph): JsonObject {
  const config = new Fields(folder.config, 'config.json');
  const generation = new Fields(folder.generationConfig ?? {}, 'generation_config.json');
  const { layers, kvHeads, headDim } = cacheOf(graph);
  const heads = config.size(config.has('num_attention_heads') ? 'num_attention_heads' : 'n_head');
  const contextLength = config.size(config.has('max_position_embeddings') ? 'max_position_embeddings' : 'n_positions', 2048);
  const token = (name: string): unknown => generation.get(name) ?? config.get(name);
  const end = token('eos_token_id');
  const inputs = ['input_ids', 'attention_mask', 'position_ids'].filter((name) => graph.inputs.some((input) => input.name === name));
  return {
    model: {
      type: GENAI_TYPES.has(folder.modelType) ? folder.modelType : 'decoder',
      context_length: contextLength,
      vocab_size: config.size('vocab_size'),
      ...present('bos_token_id', token('bos_token_id')),
      ...present('eos_token_id', end),
      // the runtime refuses a model without a padding token; its builder falls back to the end of text as well
      ...present('pad_token_id', token('pad_token_id') ?? (Array.isArray(end) ? (end as unknown[])[0] : end)),
      decoder: {
        session_options: { log_id: 'onnxruntime-genai', provider_options: [] },
        filename: GENAI_GRAPH,
        head_size: headDim,
        hidden_size: config.size(config.has('hidden_size') ? 'hidden_size' : 'n_embd'),
        num_attention_heads: heads,
        num_hidden_layers: layers,
        num_key_value_heads: kvHeads,
        inputs: {
          ...Object.fromEntries(inputs.map((name) => [name, name])),
          past_key_names: 'past_key_values.%d.key',
          past_value_names: 'past_key_values.%d.value',
        },
        outputs: { logits: 'logits', present_key_names: 'present.%d.key', present_value_names: 'present.%d.value' },
      },
    },
    search: {
      do_sample: generation.boolean('do_sample', false),
      max_length: contextLength,
      temperature: generation.number('temperature', 1),
      top_k: generation.number('top_k', 50),
      top_p: generation.number('top_p', 1),
      repetition_penalty: generation.number('repetition_penalty', 1),
      // our graphs append to the cache, they do not write into a buffer of the full length
      past_present_share_buffer: false,
    },
  };
}

/** The number of layers and the shape of the cache, from the inputs of the graph. */
function cacheOf(graph: Graph): { readonly layers: number; readonly kvHeads: number; readonly headDim: number } {
  const keys = graph.inputs.filter(({ name }) => /^past_key_values\.\d+\.key$/.test(name));
  const type = keys[0]?.type;
  const [, kvHeads, , headDim] = type?.kind === 'tensor' ? (type.shape ?? []) : [];
  if (typeof kvHeads !== 'number' || typeof headDim !== 'number') {
    throw new PenjingError('E_TASK', 'onnxruntime-genai runs decoders with a cache, and this graph has none', { hint: 'Use another --layout.' });
  }
  return { layers: keys.length, kvHeads, headDim };
}

function present(name: string, value: unknown): JsonObject {
  return typeof value === 'number' || (Array.isArray(value) && value.length > 0) ? { [name]: value } : {};
}
