/** The messages of package `inference` (Open Inference Protocol V2 with Triton's additions): field numbers as data. */
import { bool, chunks, defineMessage, double, type Extra, bigint, bytes, int, many, message, oneof, type Payload, payloads, type Schema, string } from '../../onnx/message.js';

export type EmptyMessage = Extra;
export interface NameVersionMessage extends Extra { name?: string; version?: string }
export interface LiveMessage extends Extra { live?: boolean }
export interface ReadyMessage extends Extra { ready?: boolean }
export interface ServerMetadataMessage extends Extra { name?: string; version?: string; extensions?: string[] }
export interface TensorMetadataMessage extends Extra { name?: string; datatype?: string; shape?: number[] }
export interface ModelMetadataMessage extends Extra { name?: string; versions?: string[]; platform?: string; inputs?: TensorMetadataMessage[]; outputs?: TensorMetadataMessage[] }

export interface ParameterMessage extends Extra { bool?: boolean; int64?: bigint; string?: string; double?: number; uint64?: bigint }
export interface RepositoryParameterMessage extends Extra { bool?: boolean; int64?: bigint; string?: string; bytes?: Uint8Array }
export interface ParameterEntry extends Extra { key?: string; value?: ParameterMessage }
export interface RepositoryParameterEntry extends Extra { key?: string; value?: RepositoryParameterMessage }

/** Elements by kind, packed. Half floats have no field here. */
export interface ContentsMessage extends Extra {
  bools?: Payload[]; ints?: Payload[]; longs?: Payload[]; uints?: Payload[]; ulongs?: Payload[];
  floats?: Payload[]; doubles?: Payload[]; texts?: Uint8Array[];
}

export interface TensorMessage extends Extra { name?: string; datatype?: string; shape?: number[]; parameters?: ParameterEntry[]; contents?: ContentsMessage }
export interface RequestedOutputMessage extends Extra { name?: string; parameters?: ParameterEntry[] }

export interface ModelInferRequestMessage extends Extra {
  modelName?: string; modelVersion?: string; id?: string; parameters?: ParameterEntry[];
  inputs?: TensorMessage[]; outputs?: RequestedOutputMessage[]; raw?: Payload[];
}

export interface ModelInferResponseMessage extends Extra {
  modelName?: string; modelVersion?: string; id?: string; parameters?: ParameterEntry[]; outputs?: TensorMessage[]; raw?: Payload[];
}

export interface ModelStreamInferResponseMessage extends Extra { errorMessage?: string; inferResponse?: ModelInferResponseMessage }

export interface ModelInputMessage extends Extra { name?: string; dataType?: number; dims?: number[]; optional?: boolean }
export interface ModelOutputMessage extends Extra { name?: string; dataType?: number; dims?: number[] }
export interface DynamicBatchingMessage extends Extra { preferredBatchSize?: number[]; maxQueueDelayMicroseconds?: number; priorityLevels?: number; defaultPriorityLevel?: number }
export interface ModelConfigMessage extends Extra {
  name?: string; platform?: string; maxBatchSize?: number; input?: ModelInputMessage[]; output?: ModelOutputMessage[];
  defaultModelFilename?: string; dynamicBatching?: DynamicBatchingMessage; backend?: string;
}
export interface ModelConfigResponseMessage extends Extra { config?: ModelConfigMessage }

export interface DurationMessage extends Extra { count?: number; ns?: number }
export interface InferStatisticsMessage extends Extra {
  success?: DurationMessage; fail?: DurationMessage; queue?: DurationMessage; computeInput?: DurationMessage;
  computeInfer?: DurationMessage; computeOutput?: DurationMessage; cacheHit?: DurationMessage; cacheMiss?: DurationMessage;
}
export interface BatchStatisticsMessage extends Extra { batchSize?: number; computeInput?: DurationMessage; computeInfer?: DurationMessage; computeOutput?: DurationMessage }
export interface ModelStatisticsMessage extends Extra {
  name?: string; version?: string; lastInference?: number; inferenceCount?: number; executionCount?: number;
  inferenceStats?: InferStatisticsMessage; batchStats?: BatchStatisticsMessage[];
}
export interface ModelStatisticsResponseMessage extends Extra { modelStats?: ModelStatisticsMessage[] }

export interface RepositoryIndexRequestMessage extends Extra { repositoryName?: string; ready?: boolean }
export interface ModelIndexMessage extends Extra { name?: string; version?: string; state?: string; reason?: string }
export interface RepositoryIndexResponseMessage extends Extra { models?: ModelIndexMessage[] }
export interface RepositoryModelRequestMessage extends Extra { repositoryName?: string; modelName?: string; parameters?: RepositoryParameterEntry[] }

export const emptySchema: Schema<EmptyMessage> = defineMessage<EmptyMessage>('Empty', {});
export const nameVersionSchema: Schema<NameVersionMessage> = defineMessage<NameVersionMessage>('NameVersion', { name: string(1), version: string(2) });
export const liveSchema: Schema<LiveMessage> = defineMessage<LiveMessage>('ServerLiveResponse', { live: bool(1) });
export const readySchema: Schema<ReadyMessage> = defineMessage<ReadyMessage>('ReadyResponse', { ready: bool(1) });

export const serverMetadataSchema: Schema<ServerMetadataMessage> = defineMessage<ServerMetadataMessage>('ServerMetadataResponse', {
  name: string(1), version: string(2), extensions: many(string(3)),
});

export const tensorMetadataSchema: Schema<TensorMetadataMessage> = defineMessage<TensorMetadataMessage>('TensorMetadata', { name: string(1), datatype: string(2), shape: many(int(3)) });

export const modelMetadataSchema: Schema<ModelMetadataMessage> = defineMessage<ModelMetadataMessage>('ModelMetadataResponse', {
  name: string(1), versions: many(string(2)), platform: string(3), inputs: many(message(4, () => tensorMetadataSchema)), outputs: many(message(5, () => tensorMetadataSchema)),
});

export const parameterSchema: Schema<ParameterMessage> = defineMessage<ParameterMessage>('InferParameter', {
  bool: oneof('choice', bool(1)), int64: oneof('choice', bigint(2)), string: oneof('choice', string(3)), double: oneof('choice', double(4)), uint64: oneof('choice', bigint(5)),
});

export const repositoryParameterSchema: Schema<RepositoryParameterMessage> = defineMessage<RepositoryParameterMessage>('ModelRepositoryParameter', {
  bool: oneof('choice', bool(1)), int64: oneof('choice', bigint(2)), string: oneof('choice', string(3)), bytes: oneof('choice', bytes(4)),
});

export const parameterEntrySchema: Schema<ParameterEntry> = defineMessage<ParameterEntry>('ParametersEntry', { key: string(1), value: message(2, () => parameterSchema) });
export const repositoryParameterEntrySchema: Schema<RepositoryParameterEntry> = defineMessage<RepositoryParameterEntry>('ParametersEntry', { key: string(1), value: message(2, () => repositoryParameterSchema) });

export const contentsSchema: Schema<ContentsMessage> = defineMessage<ContentsMessage>('InferTensorContents', {
  bools: chunks(1, 'varint'), ints: chunks(2, 'varint'), longs: chunks(3, 'varint'), uints: chunks(4, 'varint'), ulongs: chunks(5, 'varint'),
  floats: chunks(6, 'fixed32'), doubles: chunks(7, 'fixed64'), texts: many(bytes(8)),
});

export const tensorSchema: Schema<TensorMessage> = defineMessage<TensorMessage>('InferTensor', {
  name: string(1), datatype: string(2), shape: many(int(3)), parameters: many(message(4, () => parameterEntrySchema)), contents: message(5, () => contentsSchema),
});

export const requestedOutputSchema: Schema<RequestedOutputMessage> = defineMessage<RequestedOutputMessage>('InferRequestedOutputTensor', { name: string(1), parameters: many(message(2, () => parameterEntrySchema)) });

export const modelInferRequestSchema: Schema<ModelInferRequestMessage> = defineMessage<ModelInferRequestMessage>('ModelInferRequest', {
  modelName: string(1), modelVersion: string(2), id: string(3), parameters: many(message(4, () => parameterEntrySchema)),
  inputs: many(message(5, () => tensorSchema)), outputs: many(message(6, () => requestedOutputSchema)), raw: payloads(7),
});

export const modelInferResponseSchema: Schema<ModelInferResponseMessage> = defineMessage<ModelInferResponseMessage>('ModelInferResponse', {
  modelName: string(1), modelVersion: string(2), id: string(3), parameters: many(message(4, () => parameterEntrySchema)), outputs: many(message(5, () => tensorSchema)), raw: payloads(6),
});

export const modelStreamInferResponseSchema: Schema<ModelStreamInferResponseMessage> = defineMessage<ModelStreamInferResponseMessage>('ModelStreamInferResponse', {
  errorMessage: string(1), inferResponse: message(2, () => modelInferResponseSchema),
});

export const modelInputSchema: Schema<ModelInputMessage> = defineMessage<ModelInputMessage>('ModelInput', { name: string(1), dataType: int(2), dims: many(int(4)), optional: bool(8) });
export const modelOutputSchema: Schema<ModelOutputMessage> = defineMessage<ModelOutputMessage>('ModelOutput', { name: string(1), dataType: int(2), dims: many(int(3)) });

export const dynamicBatchingSchema: Schema<DynamicBatchingMessage> = defineMessage<DynamicBatchingMessage>('ModelDynamicBatching', {
  preferredBatchSize: many(int(1)), maxQueueDelayMicroseconds: int(2), priorityLevels: int(4), defaultPriorityLevel: int(5),
});

export const modelConfigSchema: Schema<ModelConfigMessage> = defineMessage<ModelConfigMessage>('ModelConfig', {
  name: string(1), platform: string(2), maxBatchSize: int(4), input: many(message(5, () => modelInputSchema)), output: many(message(6, () => modelOutputSchema)),
  defaultModelFilename: string(8), dynamicBatching: message(11, () => dynamicBatchingSchema), backend: string(17),
});

export const modelConfigResponseSchema: Schema<ModelConfigResponseMessage> = defineMessage<ModelConfigResponseMessage>('ModelConfigResponse', { config: message(1, () => modelConfigSchema) });

export const durationSchema: Schema<DurationMessage> = defineMessage<DurationMessage>('StatisticDuration', { count: int(1), ns: int(2) });
const duration = (id: number): ReturnType<typeof message<DurationMessage>> => message(id, () => durationSchema);

export const inferStatisticsSchema: Schema<InferStatisticsMessage> = defineMessage<InferStatisticsMessage>('InferStatistics', {
  success: duration(1), fail: duration(2), queue: duration(3), computeInput: duration(4), computeInfer: duration(5), computeOutput: duration(6), cacheHit: duration(7), cacheMiss: duration(8),
});

export const batchStatisticsSchema: Schema<BatchStatisticsMessage> = defineMessage<BatchStatisticsMessage>('InferBatchStatistics', { batchSize: int(1), computeInput: duration(2), computeInfer: duration(3), computeOutput: duration(4) });

export const modelStatisticsSchema: Schema<ModelStatisticsMessage> = defineMessage<ModelStatisticsMessage>('ModelStatistics', {
  name: string(1), version: string(2), lastInference: int(3), inferenceCount: int(4), executionCount: int(5),
  inferenceStats: message(6, () => inferStatisticsSchema), batchStats: many(message(7, () => batchStatisticsSchema)),
});

export const modelStatisticsResponseSchema: Schema<ModelStatisticsResponseMessage> = defineMessage<ModelStatisticsResponseMessage>('ModelStatisticsResponse', { modelStats: many(message(1, () => modelStatisticsSchema)) });
export const repositoryIndexRequestSchema: Schema<RepositoryIndexRequestMessage> = defineMessage<RepositoryIndexRequestMessage>('RepositoryIndexRequest', { repositoryName: string(1), ready: bool(2) });
export const modelIndexSchema: Schema<ModelIndexMessage> = defineMessage<ModelIndexMessage>('ModelIndex', { name: string(1), version: string(2), state: string(3), reason: string(4) });
export const repositoryIndexResponseSchema: Schema<RepositoryIndexResponseMessage> = defineMessage<RepositoryIndexResponseMessage>('RepositoryIndexResponse', { models: many(message(1, () => modelIndexSchema)) });

export const repositoryModelRequestSchema: Schema<RepositoryModelRequestMessage> = defineMessage<RepositoryModelRequestMessage>('RepositoryModelRequest', {
  repositoryName: string(1), modelName: string(2), parameters: many(message(3, () => repositoryParameterEntrySchema)),
});
