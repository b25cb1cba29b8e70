/** Control flow: only branches that are decided while converting. */
import type { Lowering } from '../lowering.js';

export const control = {
  If: {
    lower(c) {
      throw c.fail('which branch it takes is not known before the model runs', 'Give the input that decides it a value (inputValues), or convert the branch alone.');
    },
    note: 'decided while converting',
  },
} satisfies Record<string, Lowering>;
