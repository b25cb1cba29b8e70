/** One converted graph of every family, made trainable, in ONNX Runtime; `trainable.full.test.ts` tries all of them. */
import { trainableCases } from './support/trainable-cases.js';
import { trainableSuite } from './support/trainable-suite.js';

const family = (name: string): string => name.replace(/^llama\/.*/, 'llama').replace(/-[^/]*/, '');
const cases = await trainableCases();
// The last of a family is the one with most heads and options, or any other: every operator of the full test occurs among them.
trainableSuite([...new Map(cases.map((item) => [family(item.name), item])).values()]);
