/** @penjing/parallel/nats: jobs over NATS JetStream. */
export {};
