/** The step `distill`: the weights of a student, trained on what a teacher says. */
import { checkTeaching, type TeachingFields, teachingFields } from '../train/teaching-fields.js';
import { objectSchema, type StepKind } from './step.js';

export type DistillStep = TeachingFields;

export const distillStep: StepKind<DistillStep> = {
  schema: objectSchema(teachingFields, ['teachers', 'data']),
  pass(fields, { run }) {
    checkTeaching(fields);
    return {
      name: 'distill',
      async run(model, context) {
        // Loaded when something is trained only.
        const [{ sharesOf, trainModel }, { teachingLesson }] = await Promise.all([import('../train/train-model.js'), import('../train/lessons.js')]);
        return trainModel('distill', model, fields, teachingLesson({ ...fields, engines: sharesOf(fields, run) }), context, run);
      },
    };
  },
  runsJobs: true,
};
