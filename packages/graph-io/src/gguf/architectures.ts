/** Every architecture of llama.cpp that is read and written. A new one is a row in `arch/` and a line here. */
import { type Checkpoint, PenjingError } from '@penjing/core';
import { Fields } from '../hf/fields.js';
import type { JsonObject } from '../hf/folder.js';
import type { GgufArchitecture } from './architecture.js';
import { cohere2, commandR } from './arch/cohere.js';
import { falcon, falconTwoNorms } from './arch/falcon.js';
import { gemma, gemma2, gemma3 } from './arch/gemma.js';
import { gpt2, gptNeoX, starcoder } from './arch/gpt.js';
import { granite } from './arch/granite.js';
import { phi2, stablelm, starcoder2 } from './arch/layer-norms.js';
import { llama, mixtral, olmo2, olmo3, smollm3 } from './arch/llama.js';
import { phi3 } from './arch/phi3.js';
import { qwen2, qwen2Moe, qwen3, qwen3Moe } from './arch/qwen.js';
import type { GgufFields } from './fields.js';
import { quote } from './metadata.js';

export const ggufArchitectures: readonly GgufArchitecture[] = [
  llama, mixtral, smollm3, qwen2, qwen3, qwen2Moe, qwen3Moe, gemma, gemma2, gemma3, phi3, olmo3, olmo2, gpt2, gptNeoX, granite, starcoder, starcoder2,
  stablelm, phi2, commandR, cohere2, falconTwoNorms, falcon,
];

/** The row that reads a file. Throws `E_ARCHITECTURE` listing what is supported. */
export function findGgufArchitecture(fields: GgufFields, { tensors }: Checkpoint): GgufArchitecture {
  const rows = ggufArchitectures.filter(({ name }) => name === fields.architecture);
  const sparse = (fields.number('expert_count') ?? 0) > 0;
  const has = (stem: string): boolean => tensors.has(`blk.0.${stem}.weight`);
  const found = rows.find(({ experts = false, variant }) => experts === sparse && (!variant || variant.reads(fields, has)));
  if (found) return found;
  const supported = [...new Set(ggufArchitectures.map(({ name }) => name))];
  const what = rows.length > 0 ? ` ${sparse ? 'with' : 'without'} experts` : '';
  throw new PenjingError('E_ARCHITECTURE', `GGUF models of the architecture ${quote(fields.architecture)}${what} are not supported`, {
    hint: `Supported: ${supported.join(', ')}.`,
    details: { architecture: fields.architecture, supported },
  });
}

/** The row that writes the `model_type` of a config.json. Throws `E_ARCHITECTURE`. */
export function findWrittenArchitecture(config: JsonObject): GgufArchitecture {
  const modelType = config['model_type'];
  const types = ({ modelType: own, writing }: GgufArchitecture): readonly string[] => [own, ...(writing.modelTypes ?? [])];
  const found = ggufArchitectures.find((row) => typeof modelType === 'string' && types(row).includes(modelType) && (row.variant?.writes(new Fields(config, 'config.json')) ?? true));
  if (found) return found;
  const supported = ggufArchitectures.flatMap(types);
  throw new PenjingError('E_ARCHITECTURE', `models of the type ${JSON.stringify(modelType) ?? 'that config.json does not name'} are not written as GGUF`, {
    hint: `Written: ${supported.join(', ')}.`,
    details: { modelType, supported },
  });
}
