/** The step `finetune`: the weights of a model, trained on labels or on the words that follow. */
import { type PairFields, pairFields } from '../train/pair-fields.js';
import { checkTraining, type TrainingFields, trainingFields } from '../train/training-fields.js';
import { objectSchema, type StepKind } from './step.js';

export type FinetuneStep = TrainingFields & PairFields;

export const finetuneStep: StepKind<FinetuneStep> = {
  schema: objectSchema({ ...trainingFields, ...pairFields }, ['data']),
  pass(fields, { run }) {
    checkTraining(fields);
    return {
      name: 'finetune',
      async run(model, context) {
        // Loaded when something is trained only.
        const [{ sharesOf, trainModel }, { dataLesson }] = await Promise.all([import('../train/train-model.js'), import('../train/pair-lesson.js')]);
        return trainModel('finetune', model, fields, dataLesson({ ...fields, engines: sharesOf(fields, run) }), context, run);
      },
    };
  },
  runsJobs: true,
};
