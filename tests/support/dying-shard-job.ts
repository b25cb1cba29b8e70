/** The job of a shard whose thread ends in the middle of a run. */
import { type Job, jobModule } from '@penjing/core';
import { tensorJob } from '../../packages/parallel/src/node/tensor-job.js';

type ShardTask = Parameters<typeof tensorJob.run>[0];

/** Ends with the run of the second segment of the second run. */
export const dyingShardJob: Job<ShardTask, undefined> = {
  module: jobModule(import.meta.url, './dying-shard-job'),
  name: 'dyingShardJob',
  run(task, context) {
    let [segments, runs] = [0, 0];
    return tensorJob.run(task, {
      ...context,
      async load(model) {
        const executor = await context.load(model);
        if (segments++ !== 1) return executor;
        return {
          ...executor,
          run(feeds, options) {
            if (++runs === 2) process.exit(1);
            return executor.run(feeds, options);
          },
        };
      },
    });
  },
};
