/** A row of the table of decoders as an architecture. */
import type { Architecture, Task } from '../architecture.js';
import { buildDecoder } from './build.js';
import { LLAMA_NAMES, planDecoder } from './plan.js';
import type { DecoderClass, DecoderRow } from './row.js';
import { sizesForClients } from './sizes.js';

/** Suffixes of classes, and what they are for. */
const CLASSES: Readonly<Record<DecoderClass, readonly [suffix: string, task: Task]>> = {
  writes: ['ForCausalLM', 'text-generation'],
  bare: ['Model', 'feature-extraction'],
  classes: ['ForSequenceClassification', 'text-classification'],
  tokens: ['ForTokenClassification', 'token-classification'],
  questions: ['ForQuestionAnswering', 'question-answering'],
};

export function decoder(row: DecoderRow): Architecture {
  const { modelType, family, heads = [], classNames = {}, alsoNamed = [], tied = false, ignored = [] } = row;
  const { base, embedding, head } = { ...LLAMA_NAMES, ...row.names };
  const named = (['writes', 'bare', ...heads] as const).map((each) => [classNames[each] ?? family + CLASSES[each][0], CLASSES[each][1]] as const);
  return {
    modelType,
    classes: { ...Object.fromEntries(named), ...Object.fromEntries(alsoNamed.map((name) => [name, CLASSES.writes[1]])) },
    otherTasks: ['feature-extraction', 'sentence-similarity'],
    backbone: base.split('.')[0]!,
    // the classes that find answers keep the name that all of them had once
    ...(base === 'model' && heads.includes('questions') && { renamed: [[/^transformer\./, 'model.']] }),
    tied: { table: `${base}.${embedding}.weight`, head: `${head}.weight`, byDefault: tied },
    ignoredWeights: [/\.rotary_emb\.inv_freq$/, ...ignored],
    clientConfig: (config) => sizesForClients(config, row),
    graphs: (task) => ({ model: (net, config) => buildDecoder(net, config, planDecoder(config, row), task) }),
  };
}
