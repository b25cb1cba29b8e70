/** What a model that embeds texts is taught by pairs of them. */
import { PenjingError } from '@penjing/core';
import { contrastive, crossEntropy, type Loss, pairSimilarity } from '@penjing/distill';
import type { PairFields } from './pair-fields.js';
import type { Lesson, LessonOf } from './train-model.js';
import type { TrainingData } from './training-data.js';
import type { TrainingFields } from './training-fields.js';

/** Labels, the words that follow, or pairs, whatever the data has. Throws `E_OPTION` for what is said of pairs where there are none. */
export function dataLesson(fields: TrainingFields & PairFields): LessonOf {
  return async (_, data): Promise<Lesson> => {
    if (data.task === 'pairs') return { loss: pairLoss(data, fields), key: JSON.stringify(['pairs', data.scored, fields.temperature, fields.symmetric]) };
    const idle = Object.entries({ temperature: fields.temperature, symmetric: fields.symmetric }).find(([, value]) => value !== undefined)?.[0];
    if (idle !== undefined) throw new PenjingError('E_OPTION', `${idle} is of pairs of texts, and the data has none`, { hint: 'Leave it out.' });
    if (data.task === 'texts') throw new PenjingError('E_DATA', `${fields.data} has texts without pairs: nothing says what their embeddings should be`, { hint: 'Give pairs (anchor, positive[, score]), or a teacher: penjing distill.' });
    return { loss: crossEntropy({ logits: data.logits }), key: 'labels' };
  };
}

/** Throws `E_OPTION` for engines that would see the negatives of their own part only. */
export function pairLoss({ logits, scored }: TrainingData, { temperature, symmetric, engines = 1 }: PairFields & Pick<TrainingFields, 'engines'>): Loss {
  if (scored) {
    if (temperature !== undefined || symmetric !== undefined) throw new PenjingError('E_OPTION', 'pairs with scores are learned by these: temperature and symmetric are of pairs without', { hint: 'Leave them out.' });
    return pairSimilarity({ embedding: logits });
  }
  if (engines > 1) throw new PenjingError('E_OPTION', 'the pairs of a batch are what each of them is told from: engines that share it would see fewer', { hint: 'Leave out --engines.' });
  return contrastive({ embedding: logits, groups: 'groups', ...(temperature !== undefined && { temperature }), ...(symmetric && { symmetric }) });
}
