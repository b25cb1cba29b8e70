/** The step `student`: some layers of a model, to be trained by the whole of it. */
import { keepLayers } from '@penjing/distill';
import { objectSchema, type StepKind } from './step.js';

export interface StudentStep {
  /** A map of layers: `half`, `third`, `6`, `outer:4`, or the layers that stay, `0,2,4`. */
  readonly layers: string;
}

export const studentStep: StepKind<StudentStep> = {
  schema: objectSchema({ layers: { type: 'string', minLength: 1 } }, ['layers']),
  pass: ({ layers }) => keepLayers({ keep: layers }),
};
