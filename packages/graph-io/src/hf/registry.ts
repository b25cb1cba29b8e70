/** Every architecture that converts. A new one is a file in `arch/` and a line here. */
import type { Architecture, Task } from './architecture.js';
import { albert } from './arch/albert.js';
import { bart, marian, mbart } from './arch/bart.js';
import { bert } from './arch/bert.js';
import { cohere, cohere2 } from './arch/cohere.js';
import { clip, clipClasses, clipText, clipVision } from './arch/clip.js';
import { convnext } from './arch/convnext.js';
import { debertaV2 } from './arch/deberta-v2.js';
import { dinov2 } from './arch/dinov2.js';
import { distilbert } from './arch/distilbert.js';
import { electra } from './arch/electra.js';
import { falcon } from './arch/falcon.js';
import { gemma, gemma2, gemma3 } from './arch/gemma.js';
import { gptBigCode } from './arch/gpt-bigcode.js';
import { gptNeoX } from './arch/gpt-neox.js';
import { gpt2 } from './arch/gpt2.js';
import { granite } from './arch/granite.js';
import { llama } from './arch/llama.js';
import { mistral } from './arch/mistral.js';
import { mixtral } from './arch/mixtral.js';
import { modernbert } from './arch/modernbert.js';
import { mpnet } from './arch/mpnet.js';
import { olmo2, olmo3 } from './arch/olmo.js';
import { opt } from './arch/opt.js';
import { phi } from './arch/phi.js';
import { phi3 } from './arch/phi3.js';
import { qwen2, qwen2Moe, qwen3, qwen3Moe } from './arch/qwen.js';
import { mt5, t5, umt5 } from './arch/t5.js';
import { whisper } from './arch/whisper.js';
import { camembert, roberta, xlmRoberta } from './arch/roberta.js';
import { smollm3 } from './arch/smollm3.js';
import { resnet } from './arch/resnet.js';
import { stablelm } from './arch/stablelm.js';
import { starcoder2 } from './arch/starcoder2.js';
import { siglip, siglipClasses, siglipText, siglipVision } from './arch/siglip.js';
import { deit, deitWithTeacher, vit } from './arch/vit.js';
import { partlySupported } from './text-part.js';

export const architectures: readonly Architecture[] = [
  // decoders
  llama,
  mistral,
  mixtral,
  qwen2,
  qwen3,
  qwen2Moe,
  qwen3Moe,
  phi,
  phi3,
  gemma,
  gemma2,
  gemma3,
  smollm3,
  olmo2,
  olmo3,
  granite,
  cohere,
  cohere2,
  stablelm,
  starcoder2,
  falcon,
  gpt2,
  gptBigCode,
  gptNeoX,
  opt,
  // encoders of text
  bert,
  roberta,
  xlmRoberta,
  camembert,
  distilbert,
  mpnet,
  modernbert,
  electra,
  albert,
  debertaV2,
  // encoders of pictures
  vit,
  deit,
  deitWithTeacher,
  dinov2,
  clip,
  clipClasses,
  clipText,
  clipVision,
  siglip,
  siglipClasses,
  siglipText,
  siglipVision,
  resnet,
  convnext,
  // encoders with decoders
  t5,
  mt5,
  umt5,
  bart,
  mbart,
  marian,
  whisper,
];

/** What `convertHuggingFace` converts: a class of `architectures` in config.json, and what can be made of it. */
export interface SupportedClass {
  readonly modelType: string;
  readonly className: string;
  /** The task it was trained for first. */
  readonly tasks: readonly Task[];
  /** It also sees pictures or hears, which is left out. */
  readonly textOnly?: boolean;
}

export function supportedClasses(): SupportedClass[] {
  const whole = architectures.flatMap(({ modelType, classes, otherTasks = [] }): SupportedClass[] =>
    Object.entries(classes).map(([className, task]) => ({ modelType, className, tasks: [...new Set([task, ...otherTasks])] })),
  );
  const parts = partlySupported.map(({ modelType, className, part }): SupportedClass => {
    const [task = 'text-generation'] = whole.find((row) => row.className === part)?.tasks ?? [];
    return { modelType, className, tasks: [...new Set<Task>([task, 'feature-extraction'])], textOnly: true };
  });
  return [...whole, ...parts];
}
