/** @penjing/parallel/nats: jobs, membership and cancellation over a NATS server. */
export { connectNats, type NatsOptions, type NatsWarning } from './connect.js';
export { type NatsCredentials, type NatsTls, readCredentials, readTls } from './credentials.js';
export { stageCancels } from './stage-cancels.js';
export { type StageDirectory, stageDirectory, type StageDirectoryOptions, type StageMember } from './stage-directory.js';
export { type JetStreamQueueOptions, jetStreamQueue } from './jetstream-queue.js';
