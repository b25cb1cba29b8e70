/** @penjing/parallel/grpc: pipeline stages on several machines, over gRPC. */
export {};
