/** What a model has to do: texts and embeddings, and tensors, which are put together in a queue of their own. */
import type { InferenceService } from '../v2/inference.js';
import type { ServedModel } from './served-model.js';

export interface ModelWork {
  /** Requests that it works on; those that run as one batch are one. */
  readonly active: number;
  readonly waiting: number;
}

export function workOf(model: ServedModel, inference: Pick<InferenceService, 'load' | 'waiting'>): ModelWork {
  return { active: model.admission.active + inference.load(model).running, waiting: model.admission.waiting + inference.waiting(model) };
}
