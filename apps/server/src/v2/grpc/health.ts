/** grpc.health.v1.Health/Check, which Kubernetes and load balancers ask. */
import { PenjingError } from '@penjing/core';
import { grpcMethods, V2_GRPC_SERVICE } from '@penjing/graph-io/v2';

export const HEALTH_PATH = '/grpc.health.v1.Health/Check';

/** HealthCheckResponse is one enum in field 1: SERVING 1, NOT_SERVING 2. */
const SERVING = Uint8Array.of(0x08, 1);
const NOT_SERVING = Uint8Array.of(0x08, 2);

/** HealthCheckRequest is a text in field 1, as the name in a request for a model's readiness. */
export function checkHealth(bytes: Uint8Array, ready: boolean): Uint8Array {
  const { name = '' } = grpcMethods.modelReady.request.decode(bytes);
  if (name !== '' && name !== V2_GRPC_SERVICE) throw new PenjingError('E_MODEL_NOT_FOUND', 'there is no such service');
  return ready ? SERVING : NOT_SERVING;
}
