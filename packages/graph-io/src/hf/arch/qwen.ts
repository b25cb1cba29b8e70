/** Qwen2, 2.5 and 3, plain and with mixtures of experts: windows only where they are asked for. */
import { decoder } from '../decoder/decoder.js';
import { experts, type ExpertsRow, sparseSteps } from '../decoder/feed-forward.js';
import type { DecoderRow } from '../decoder/row.js';
import { sameWindow, windowsOnDemand, windowsWhere } from '../decoder/windows.js';
import { flag } from '../settings.js';

/** Biases on queries, keys and values; windows in the layers from `max_window_layers` on. */
const row2 = {
  modelType: 'qwen2',
  family: 'Qwen2',
  heads: ['classes', 'tokens', 'questions'],
  usual: { kvHeads: 32, maxPositions: 32_768 },
  // where pictures have three places, a text has the same one three times
  rope: { aliases: { mrope: 'default' } },
  attention: {
    bias: true,
    outputBias: false,
    windows: windowsOnDemand(windowsWhere((index, config) => index >= config.number('max_window_layers', 28), 4096)),
  },
} as const satisfies DecoderRow;

/** Every head of queries and keys is normalized. */
const row3 = {
  ...row2,
  modelType: 'qwen3',
  family: 'Qwen3',
  usual: { kvHeads: 32, headDim: 128, maxPositions: 32_768 },
  attention: { bias: flag('attention_bias', false), windows: row2.attention.windows, queryKey: { over: 'heads' } },
} as const satisfies DecoderRow;

/** Many small experts, in some layers or in all. */
const EXPERTS = {
  count: ['num_experts', 'num_local_experts'], // transformers 5 renamed the field
  intermediate: 'moe_intermediate_size',
  normalized: flag('norm_topk_prob', false),
  dense: sparseSteps,
} as const satisfies Partial<ExpertsRow>;

export const qwen2 = decoder(row2);
export const qwen3 = decoder(row3);

export const qwen2Moe = decoder({
  ...row2,
  modelType: 'qwen2_moe',
  family: 'Qwen2Moe',
  usual: { kvHeads: 16, maxPositions: 32_768 },
  attention: {
    bias: flag('qkv_bias', true),
    outputBias: false,
    // every second of the first layers
    windows: windowsOnDemand(windowsWhere((index, config) => index % 2 === 0 && index < config.number('max_window_layers', 28), 4096)),
  },
  feedForward: experts({
    ...EXPERTS,
    usual: { experts: 60, perToken: 4, intermediate: 1408 },
    shared: { intermediate: 'shared_expert_intermediate_size', usual: 5632 },
  }),
});

export const qwen3Moe = decoder({
  ...row3,
  modelType: 'qwen3_moe',
  family: 'Qwen3Moe',
  usual: { kvHeads: 4, maxPositions: 32_768 },
  attention: { ...row3.attention, windows: windowsOnDemand(sameWindow(4096)) },
  feedForward: experts({ ...EXPERTS, usual: { experts: 128, perToken: 8, intermediate: 768 } }),
});
