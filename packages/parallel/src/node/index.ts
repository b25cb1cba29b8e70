/** @penjing/parallel/node: executors on one machine. */
export {};
