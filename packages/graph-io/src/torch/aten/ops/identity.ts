/** Operators that change nothing in a converted graph, and the ones that must not be there: dropout in training mode. */
import type { AtenContext } from '../context.js';
import { row } from '../row.js';
import { training } from './norm.js';

const identities = ['alias', 'detach', 'lift', 'lift_fresh', 'lift_fresh_copy', 'resolve_conj', 'resolve_neg', 'contiguous', 'clone', 'requires_grad', 'alias_copy', 'detach_copy', 'real', 'cpu'];

const drop = (c: AtenContext, p: number, train: boolean): void => {
  if (train && p > 0) throw training(c, `it drops elements with a probability of ${p}`);
};

export const unchanged = [
  ...identities.map((name) => row(`${name}(Tensor self, Ignored memory_format=None)`, (_, { self }) => self)),
  ...['dropout', 'feature_dropout', 'alpha_dropout', 'feature_alpha_dropout'].map((name) =>
    row(`${name}(Tensor input, float p, bool train)`, (c, { input, p, train }) => {
      drop(c, p, train);
      return input;
    })),
  row('native_dropout(Tensor input, float p, bool? train)', (c, { input, p, train }) => {
    drop(c, p, train ?? true);
    return [input, c.op('Expand', [c.constant('bool', 1), c.vector(c.sizes(input))])];
  }),
];
