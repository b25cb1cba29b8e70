/** Failures as gRPC says them. */
import { Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { failureOf } from '../../http/errors.js';

/** By the status that HTTP would have; what is not listed is INTERNAL. */
const codes: Readonly<Record<number, status>> = {
  400: status.INVALID_ARGUMENT, 401: status.UNAUTHENTICATED, 403: status.PERMISSION_DENIED, 404: status.NOT_FOUND, 405: status.UNIMPLEMENTED, 413: status.RESOURCE_EXHAUSTED,
  429: status.RESOURCE_EXHAUSTED, 499: status.CANCELLED, 501: status.UNIMPLEMENTED, 503: status.UNAVAILABLE, 504: status.DEADLINE_EXCEEDED,
};

/** Status, message, and in the trailers when to come back. */
export function grpcError(thrown: unknown): Pick<ServiceError, 'code' | 'details' | 'metadata'> {
  const { status: http, code, message, hint, retryAfter } = failureOf(thrown);
  const metadata = new Metadata();
  if (retryAfter !== undefined) metadata.set('retry-after', String(Math.ceil(retryAfter)));
  metadata.set('penjing-code', code);
  return { code: code === 'E_UNSUPPORTED' ? status.UNIMPLEMENTED : (codes[http] ?? status.INTERNAL), details: hint === undefined ? message : `${message}. ${hint}`, metadata };
}
