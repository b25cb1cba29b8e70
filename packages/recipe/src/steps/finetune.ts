/** The step `finetune`: the weights of a model, trained on labels or on the words that follow. */
import { checkTraining, type TrainingFields, trainingFields } from '../train/training-fields.js';
import { objectSchema, type StepKind } from './step.js';

export type FinetuneStep = TrainingFields;

export const finetuneStep: StepKind<FinetuneStep> = {
  schema: objectSchema(trainingFields, ['data']),
  pass(fields, { run }) {
    checkTraining(fields);
    return {
      name: 'finetune',
      async run(model, context) {
        // Loaded when something is trained only.
        const { trainModel, fromLabels } = await import('../train/train-model.js');
        return trainModel('finetune', model, fields, fromLabels, context, run);
      },
    };
  },
  runsJobs: true,
};
