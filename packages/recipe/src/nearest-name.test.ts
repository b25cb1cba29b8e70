import { expect, test } from 'vitest';
import { nearestName } from './nearest-name.js';
import { recipeSchema } from './recipe-schema.js';
import { schemaProblem } from './schema-problem.js';

test.each([['distil', 'distill'], ['batchSize', undefined], ['Minutes', 'minutes'], ['weigthDecay', 'weightDecay'], ['lr', undefined], ['x'.repeat(1e6), undefined]])('%.12s', (given, meant) => {
  expect(nearestName(given, ['distill', 'finetune', 'minutes', 'batch', 'weightDecay', 'lora'])).toBe(meant);
});

test('a recipe with a slip of the pen is told what was meant', () => {
  const problem = (step: object): string | undefined => schemaProblem(recipeSchema, { steps: [step] });
  expect(problem({ distil: {} })).toMatch(/unknown field 'distil' \(did you mean 'distill'\?\)/);
  expect(problem({ finetune: { data: 'a.txt', step: 3 } })).toMatch(/steps\.0\.finetune .*'step' \(did you mean 'steps'\?\)/);
  expect(problem({ distill: { teachers: ['a'], data: 'a.txt', learningRate: 1 } })).toMatch(/unknown field 'learningRate'$/);
});
