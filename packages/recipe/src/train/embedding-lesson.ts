/** What a model that embeds texts is taught by one that embeds them better: its embeddings, and pairs where the data has them. */
import { type Model, PenjingError } from '@penjing/core';
import { cosineDistance, type Loss, readPairs, weightedSum } from '@penjing/distill';
import { EMBEDDING, embeds } from './embedded-data.js';
import { pairLoss } from './pair-lesson.js';
import { addProjection } from './projection.js';
import type { LossWeights, TeachingFields } from './teaching-fields.js';
import type { TrainingData } from './training-data.js';

/**
 * `soft` · (1 − cos) of the embeddings of both, through a projection that is learned where their widths differ, and `hard` · the loss of the pairs (Reimers and Gurevych 2020, arXiv:2004.09813, with cosines in place
 * of squares, which embeddings of length 1 have in common but for a factor of two). Throws `E_OPTION` for losses on layers, and for a teacher without embeddings.
 */
export function embeddingLoss(student: Model, teachers: readonly Model[], data: TrainingData, { weights, engines, ...fields }: TeachingFields & { readonly weights: LossWeights }): { loss: Loss; outputs: Record<string, string> } {
  if (weights.hidden > 0 || weights.attention > 0) throw new PenjingError('E_OPTION', 'of models that embed texts the embeddings are matched, not layers or maps of attention', { hint: 'Leave --hidden and --attention at 0: the presets hinton and minitron have it so.' });
  if (fields.temperature !== undefined) throw new PenjingError('E_OPTION', 'embeddings have no temperature: they are matched as they are', { hint: 'Leave out --temperature.' });
  const pairs = data.task === 'pairs';
  if (!pairs && fields.hard !== undefined && fields.hard > 0) throw new PenjingError('E_OPTION', `${fields.data} has texts without pairs: nothing but the teacher can be learned`, { hint: 'Leave out --hard, or give pairs: anchor and positive.' });
  const terms: (readonly [number, Loss])[] = [];
  const outputs: Record<string, string> = {};
  if (weights.soft > 0) {
    for (const teacher of teachers) {
      const given = teacher.graph.outputs.map(({ name }) => name);
      if (!embeds(given)) throw new PenjingError('E_OPTION', `a teacher gives ${given.join(', ')}, and no ${EMBEDDING}`, { hint: 'Convert it for --task sentence-similarity first.' });
      if (pairs) readPairs(teacher, EMBEDDING);
    }
    const [width, wide] = [widthOf(student), widthOf(teachers[0]!)];
    const projection = width === wide ? undefined : addProjection(student, EMBEDDING, width, wide);
    outputs[EMBEDDING] = `teacher/${EMBEDDING}`;
    terms.push([weights.soft, cosineDistance({ value: EMBEDDING, ...(projection !== undefined && { projection }) })]);
  }
  if (pairs && weights.hard > 0) terms.push([weights.hard, pairLoss(data, { ...(engines !== undefined && { engines }) })]);
  return { loss: weightedSum(terms), outputs };
}

function widthOf({ graph }: Model): number {
  const type = graph.outputs.find(({ name }) => name === EMBEDDING)?.type;
  const width = type?.kind === 'tensor' ? type.shape?.at(-1) : undefined;
  if (typeof width !== 'number') throw new PenjingError('E_SHAPE', `the width of ${EMBEDDING} is not known`);
  return width;
}
