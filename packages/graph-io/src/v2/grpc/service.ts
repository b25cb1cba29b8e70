/** The methods of `inference.GRPCInferenceService`: their paths, and how the messages of each are read and written. */
import type { Schema } from '../../onnx/message.js';
import * as schemas from './schema.js';
import { decodeWire, encodeWire } from './wire.js';

export const V2_GRPC_SERVICE = 'inference.GRPCInferenceService';

/** One side of a method. */
export interface GrpcCodec<T> {
  encode(message: T): Uint8Array;
  /** Throws `E_REQUEST` or `E_LIMIT`. */
  decode(bytes: Uint8Array): T;
}

export interface GrpcMethod<Request, Response> {
  readonly path: string;
  readonly request: GrpcCodec<Request>;
  readonly response: GrpcCodec<Response>;
}

const codec = <T extends object>(schema: Schema<T>): GrpcCodec<T> => ({ encode: (message) => encodeWire(schema, message), decode: (bytes) => decodeWire(schema, bytes) });

const method = <Q extends object, R extends object>(name: string, request: Schema<Q>, response: Schema<R>): GrpcMethod<Q, R> => ({ path: `/${V2_GRPC_SERVICE}/${name}`, request: codec(request), response: codec(response) });

/** All but the inferences themselves, which `decodeGrpcInferRequest` and its siblings read. */
export const grpcMethods = {
  serverLive: method('ServerLive', schemas.emptySchema, schemas.liveSchema),
  serverReady: method('ServerReady', schemas.emptySchema, schemas.readySchema),
  modelReady: method('ModelReady', schemas.nameVersionSchema, schemas.readySchema),
  serverMetadata: method('ServerMetadata', schemas.emptySchema, schemas.serverMetadataSchema),
  modelMetadata: method('ModelMetadata', schemas.nameVersionSchema, schemas.modelMetadataSchema),
  modelConfig: method('ModelConfig', schemas.nameVersionSchema, schemas.modelConfigResponseSchema),
  modelStatistics: method('ModelStatistics', schemas.nameVersionSchema, schemas.modelStatisticsResponseSchema),
  repositoryIndex: method('RepositoryIndex', schemas.repositoryIndexRequestSchema, schemas.repositoryIndexResponseSchema),
  repositoryModelLoad: method('RepositoryModelLoad', schemas.repositoryModelRequestSchema, schemas.emptySchema),
  repositoryModelUnload: method('RepositoryModelUnload', schemas.repositoryModelRequestSchema, schemas.emptySchema),
} as const;

export const GRPC_INFER_PATH = `/${V2_GRPC_SERVICE}/ModelInfer`;
export const GRPC_STREAM_INFER_PATH = `/${V2_GRPC_SERVICE}/ModelStreamInfer`;

/** Methods that would hand out memory of this machine or its settings; they are answered with UNIMPLEMENTED. */
export const refusedGrpcMethods = [
  'SystemSharedMemoryStatus', 'SystemSharedMemoryRegister', 'SystemSharedMemoryUnregister', 'CudaSharedMemoryStatus', 'CudaSharedMemoryRegister', 'CudaSharedMemoryUnregister',
  'TraceSetting', 'LogSettings',
].map((name) => `/${V2_GRPC_SERVICE}/${name}`);
