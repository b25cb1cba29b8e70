/** The decoder of texts inside a model that also sees pictures or hears: its config and its weights as those of a model of its own. */
import type { Checkpoint, Tensor } from '@penjing/core';
import type { Renaming } from './architecture.js';
import { isObject, type JsonObject } from './folder.js';

/** A class whose config keeps that of the decoder in `text_config`. */
interface Wrapper {
  readonly className: string;
  /** What is left out, in words. */
  readonly senses: string;
  /** `model_type` of the decoder; that of `text_config` when absent. */
  readonly textType?: string;
  /** Other classes, and those of the decoder alone that they hold. */
  readonly others?: Readonly<Record<string, string>>;
}

const PICTURES = 'pictures';

/** One row per `model_type`. */
const wrappers: Readonly<Record<string, Wrapper>> = {
  gemma3: { className: 'Gemma3ForConditionalGeneration', senses: PICTURES, textType: 'gemma3_text', others: { Gemma3ForSequenceClassification: 'Gemma3TextForSequenceClassification', Gemma3Model: 'Gemma3TextModel' } },
  llava: { className: 'LlavaForConditionalGeneration', senses: PICTURES },
  llava_next: { className: 'LlavaNextForConditionalGeneration', senses: PICTURES },
  mistral3: { className: 'Mistral3ForConditionalGeneration', senses: PICTURES },
  qwen2_vl: { className: 'Qwen2VLForConditionalGeneration', senses: PICTURES, textType: 'qwen2' },
  qwen2_5_vl: { className: 'Qwen2_5_VLForConditionalGeneration', senses: PICTURES, textType: 'qwen2' },
  qwen3_vl: { className: 'Qwen3VLForConditionalGeneration', senses: PICTURES, textType: 'qwen3' },
  smolvlm: { className: 'SmolVLMForConditionalGeneration', senses: PICTURES, textType: 'llama' },
  idefics3: { className: 'Idefics3ForConditionalGeneration', senses: PICTURES, textType: 'llama' },
  voxtral: { className: 'VoxtralForConditionalGeneration', senses: 'sound', textType: 'llama' },
};

/** Classes that convert in part, as `supportedClasses` lists them. */
export const partlySupported: readonly { readonly modelType: string; readonly className: string; readonly part: string | undefined }[] =
  Object.entries(wrappers).flatMap(([modelType, { className, others = {} }]) => [
    { modelType, className, part: undefined },
    ...Object.entries(others).map(([other, part]) => ({ modelType, className: other, part })),
  ]);

/** The class of a decoder that writes, by its `model_type`; and what `text_config` leaves out because the class says it. */
const decoders: Readonly<Record<string, { readonly className: string; readonly usual?: JsonObject }>> = {
  llama: { className: 'LlamaForCausalLM', usual: { hidden_size: 4096, intermediate_size: 11_008, num_hidden_layers: 32, num_attention_heads: 32, vocab_size: 32_000 } },
  mistral: { className: 'MistralForCausalLM', usual: { hidden_size: 4096, intermediate_size: 14_336, num_hidden_layers: 32, num_attention_heads: 32, vocab_size: 32_000 } },
  gemma3_text: {
    className: 'Gemma3ForCausalLM',
    usual: { hidden_size: 2304, intermediate_size: 9216, num_hidden_layers: 26, num_attention_heads: 8, num_key_value_heads: 4, head_dim: 256, vocab_size: 262_208 },
  },
  qwen2: { className: 'Qwen2ForCausalLM' },
  qwen3: { className: 'Qwen3ForCausalLM' },
};

/** Of the whole model's config, where the decoder's says nothing of its own; the whole decides on the head. */
const FROM_WHOLE = ['bos_token_id', 'eos_token_id', 'pad_token_id', 'dtype', 'torch_dtype', 'transformers_version', 'quantization_config', 'id2label', 'label2id', 'num_labels'];

export interface TextPart {
  /** config.json of the decoder alone. */
  readonly config: JsonObject;
  /** What is left out, in words: `pictures`. */
  readonly leftOut: string;
}

/** Undefined when the config is no such model's, or when its decoder is not known. */
export function textPart(config: JsonObject): TextPart | undefined {
  const type = config['model_type'];
  if (typeof type !== 'string' || !Object.hasOwn(wrappers, type)) return undefined;
  const { senses, textType, others = {} } = wrappers[type]!;
  // before transformers 4.52 the configs of Qwen2-VL had no part of its own for the decoder
  const given = isObject(config['text_config']) ? config['text_config'] : type === 'qwen2_vl' || type === 'qwen2_5_vl' ? config : {};
  const { vision_config: _vision, ...text } = given;
  const decoder = textType ?? text['model_type'];
  if (typeof decoder !== 'string' || !Object.hasOwn(decoders, decoder)) return undefined;
  const { className, usual = {} } = decoders[decoder]!;
  const [stated] = Array.isArray(config['architectures']) ? (config['architectures'] as readonly unknown[]) : [];
  const own = typeof stated === 'string' && Object.hasOwn(others, stated) ? others[stated]! : className;
  const whole = Object.fromEntries(FROM_WHOLE.filter((name) => config[name] !== undefined).map((name) => [name, config[name]]));
  const tied = config['tie_word_embeddings'] ?? text['tie_word_embeddings'];
  return {
    config: { ...whole, ...usual, ...text, ...(tied !== undefined && { tie_word_embeddings: tied }), architectures: [own], model_type: decoder },
    leftOut: senses,
  };
}

/** Where checkpoints keep the decoder, before transformers 4.52 and since. */
const DECODER: readonly Renaming[] = [
  [/^language_model\.model\./, 'model.'],
  [/^language_model\.lm_head\./, 'lm_head.'],
  [/^language_model\./, 'model.'],
  [/^model\.(language_model|text_model)\./, 'model.'],
];

/** Modules that see and hear, and those that hand on what they saw. */
const OTHERS = /^(model\.)?(vision_tower|vision_model|visual|audio_tower|multi_modal_projector|connector|image_newline)\b/;

/** The weights of the decoder under their own names. Those of unknown modules stay, to be named when nothing takes them. */
export function textWeights({ tensors, metadata }: Checkpoint): Checkpoint {
  const own = new Map<string, Tensor>();
  for (const [name, tensor] of tensors) {
    if (!OTHERS.test(name)) own.set(DECODER.reduce((text, [from, to]) => text.replace(from, to), name), tensor);
  }
  return { tensors: own, metadata };
}
