/** ELECTRA: BERT with embeddings of their own width, and other heads. */
import type { Value } from '@penjing/core';
import type { Architecture, BuildGraph } from '../architecture.js';
import { activations } from '../blocks/activation.js';
import { readEncoder, readLabels } from '../blocks/encoder.js';
import { linear } from '../blocks/linear.js';
import type { Table } from '../blocks/matrix.js';
import { writingEncoder } from '../blocks/text-decoder.js';
import { readTextEmbeddings } from '../blocks/text-embeddings.js';
import { type PostNormEncoder, postNormEncoder } from '../blocks/text-encoder.js';
import { choice, firstToken, firstTokenClassifier, maskedHead, textClasses, textOutputs } from '../blocks/text-heads.js';
import { BERT_LAYER } from './bert.js';

export const electra: Architecture = {
  modelType: 'electra',
  backbone: 'electra',
  // what was trained to tell replaced words apart is published to be used without that head
  classes: { ...textClasses('Electra', { choices: true, writes: 'ForCausalLM' }), ElectraForPreTraining: 'feature-extraction' },
  otherTasks: ['feature-extraction', 'sentence-similarity'],
  tied: { table: 'electra.embeddings.word_embeddings.weight', head: 'generator_lm_head.weight', byDefault: true },
  ignoredWeights: [/\.embeddings\.position_ids$/, /^discriminator_predictions\./],
  clientConfig: () => ({}),
  graphs: () => ({ model: build }),
};

const build: BuildGraph = (net, config, task) => {
  config.only('position_embedding_type', 'absolute', 'places are absolute here');
  const shape = readEncoder(config);
  const { hidden } = shape;
  const words = readTextEmbeddings(config, config.size('embedding_size', 128), shape.norm.epsilon);
  const { vocabulary, width, norm } = words;
  const labels = readLabels(config);

  const parts: PostNormEncoder = {
    module: 'electra',
    tokenTypes: true,
    words,
    shape,
    names: BERT_LAYER,
    layer: (i) => `encoder.layer.${i}`,
    ...(width !== hidden && { project: (x) => linear(net, 'embeddings_project', x, { inputs: width, outputs: hidden, bias: true }) }),
  };
  const predict = (x: Value, table: Table): Value => {
    const names = { dense: 'generator_predictions.dense', norm: 'generator_predictions.LayerNorm', decoder: 'generator_lm_head' };
    return maskedHead(net, x, table, names, { hidden, activation: 'gelu', vocabulary, norm });
  };
  if (task === 'text-generation') return writingEncoder(net, config, parts, { firstPlace: 0, logits: predict });

  config.only('is_decoder', false, 'for this task it must look both ways');
  const { table, hidden: last } = postNormEncoder(net, parts);
  textOutputs(net, task, last, {
    hidden,
    labels,
    vocabulary,
    fillMask: (x) => predict(x, table),
    choose: (x) => {
      config.only('summary_type', 'first', 'a text is summed up by its first token here');
      config.only('summary_use_proj', true, 'the summary of a text has a layer of its own here');
      const summary = linear(net, 'sequence_summary.summary', firstToken(net, x), { inputs: hidden, outputs: hidden, bias: true });
      return choice(net, activations[config.choice('summary_activation', activations, 'gelu')](net, summary), hidden);
    },
    classify: (x) => firstTokenClassifier(net, 'classifier', x, { hidden, labels, activation: 'gelu' }),
  });
};
