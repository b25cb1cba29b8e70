/** What memory.ts measures while there is no command to run: checkpoint to 4-bit tensors through the pool. */
import { saveLayouts } from '@penjing/graph-io/node';
import { int4Layout, openCheckpoint } from './int4-layout.js';

const [, , input = '', output = ''] = process.argv;
const opening = performance.now();
const { layout, weights } = int4Layout(await openCheckpoint(input));
const openMs = performance.now() - opening;
const { seconds } = await saveLayouts(output, [layout]);
process.stdout.write(JSON.stringify({ openMs, seconds, weights, bytes: layout.size }));
