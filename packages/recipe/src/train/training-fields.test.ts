/** What is written twice, so that nothing is loaded that a run does not need, is the same. */
import { optimizerNames, scheduleNames } from '@penjing/distill';
import { expect, test } from 'vitest';
import { optimizers, schedules } from './training-fields.js';

test('optimizers and schedules are those that there are', () => {
  expect(optimizers).toEqual(optimizerNames);
  expect(schedules).toEqual(scheduleNames);
});
