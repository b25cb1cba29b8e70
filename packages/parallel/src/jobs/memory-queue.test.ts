/** The queue of one process keeps the contract. */
import { memoryQueue } from './memory-queue.js';
import { CONTRACT, queueContract } from './testing/queue-contract.js';

queueContract('the queue in memory', async () => {
  const queue = memoryQueue(CONTRACT);
  return { queue, join: async () => queue, [Symbol.asyncDispose]: () => queue[Symbol.asyncDispose]() };
});
