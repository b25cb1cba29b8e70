/** The one list of rewrites, in the order in which they are tried at a node. */
import type { Rule } from './rule.js';
import { dropIdentity } from './rules/identity.js';
import { inlineIf } from './rules/inline-if.js';

export const rules: readonly Rule[] = [dropIdentity, inlineIf];
