/** Classes that are named when a model is run, each in a sentence. */
import { PenjingError } from '@penjing/core';
import { isList } from './task-model.js';

export interface CandidateOptions {
  /** Of the classes, in words: one at least. */
  readonly labels: readonly string[];
  /** The sentence that each is put into, at `{}`. */
  readonly template?: string | undefined;
}

/** A sentence for each. Throws `E_OPTION` for labels that are none, or a template without a place for them. */
export function candidateSentences({ labels, template }: CandidateOptions, usual: string): readonly string[] {
  if (!isList(labels) || labels.length === 0 || !labels.every((label) => typeof label === 'string' && label.trim() !== '')) {
    throw new PenjingError('E_OPTION', 'labels are a list of one word or more each', { hint: "Name the classes: labels: ['travel', 'weather']." });
  }
  const sentence = template ?? usual;
  if (typeof sentence !== 'string' || !sentence.includes('{}')) throw new PenjingError('E_OPTION', `the template ${JSON.stringify(sentence)} has no {}`, { hint: `As in ${JSON.stringify(usual)}.` });
  return labels.map((label) => sentence.replace('{}', () => label));
}
