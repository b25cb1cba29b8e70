/** What the server is, and which extensions of the V2 protocol it speaks. */
import type { GrpcMethod } from '@penjing/graph-io/v2';
import { version } from '../version.js';

type ServerMetadata = ReturnType<GrpcMethod<object, { name?: string; version?: string; extensions?: string[] }>['response']['decode']>;

export const serverMetadata: ServerMetadata = {
  name: 'penjing',
  version,
  extensions: ['binary_tensor_data', 'model_configuration', 'model_repository', 'schedule_policy', 'statistics'],
};
