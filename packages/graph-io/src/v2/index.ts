/** @penjing/graph-io/v2: tensors of the Open Inference Protocol V2 on HTTP (JSON and binary) and in the messages of gRPC. */
export { type V2Datatype, v2Datatypes, v2DatatypeOf, v2Types, type V2TypeInfo } from './datatypes.js';
export type { InferRequest, InferResponse, RequestedOutput, V2Parameter, V2Parameters, V2Tensor } from './infer.js';
export type { V2Body } from './json-message.js';
export { binaryOutputs, decodeInferRequest, decodeRawRequest, encodeInferRequest, type RawInput } from './request.js';
export { decodeInferResponse, encodeInferResponse } from './response.js';
export { tensorFromBytes, tensorToBytes, wireSize } from './tensor-bytes.js';
export { crc32 } from '../crc32.js';
export { v2Limits } from '../limits.js';
export {
  decodeGrpcInferRequest, decodeGrpcInferResponse, decodeGrpcStreamResponse, encodeGrpcInferRequest, encodeGrpcInferResponse, encodeGrpcStreamResponse, type GrpcInferRequest,
} from './grpc/infer-messages.js';
export { GRPC_INFER_PATH, GRPC_STREAM_INFER_PATH, type GrpcCodec, type GrpcMethod, grpcMethods, refusedGrpcMethods, V2_GRPC_SERVICE } from './grpc/service.js';
export { repositoryParametersFrom } from './grpc/parameters.js';
export type {
  BatchStatisticsMessage, DurationMessage, InferStatisticsMessage, ModelConfigMessage, ModelIndexMessage, ModelMetadataMessage, ModelStatisticsMessage, NameVersionMessage,
  RepositoryModelRequestMessage, TensorMetadataMessage,
} from './grpc/schema.js';
