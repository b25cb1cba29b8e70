/** A sweep whose parts run at the same time ends with the first that fails. */
import { expect, test } from 'vitest';
import { plainKernels } from '@penjing/kernels';
import { PenjingError } from '../errors.js';
import { inlineJobs, type JobHost } from '../job.js';
import { referenceEngine } from '../reference/index.js';
import { sweepBlock } from './sweep-block.js';

test('the other parts are told, which might wait for workers for ever', async () => {
  const inline = inlineJobs({ engine: referenceEngine(), kernels: plainKernels() });
  let begun = 0;
  let told = 0;
  const jobs: JobHost = {
    ...inline,
    parallel: 3,
    run: async (_job, _input, { signal } = {}) => {
      if (++begun === 3) throw new PenjingError('E_DATA', 'a sample lacks an input');
      return new Promise((_resolve, reject) => signal?.addEventListener('abort', () => {
        told++;
        reject(signal.reason as Error);
      }, { once: true }));
    },
  };
  await using shelf = await jobs.openShelf();
  // five parts
  await expect(sweepBlock(jobs, { model: undefined, shelf, large: shelf, samples: 40, inputs: [], outputs: [], drop: [], collect: [] }, {})).rejects.toMatchObject({ code: 'E_DATA' });
  expect([begun, told]).toEqual([3, 2]);
});
