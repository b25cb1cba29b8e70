/** A gRPC client made at test time from the published schemas of the Open Inference Protocol, of KServe and of Triton. */
import { join } from 'node:path';
import { type CallOptions, type ClientDuplexStream, type ClientUnaryCall, credentials, loadPackageDefinition, type Metadata, Metadata as MetadataOf, type ServiceError } from '@grpc/grpc-js';
import { load } from '@grpc/proto-loader';

/** A message as proto-loader gives and takes it: names as in the schema, integers of 64 bits as texts. */
export type Message = Readonly<Record<string, unknown>>;

export interface AskOptions {
  readonly metadata?: Metadata;
  readonly deadlineMs?: number;
  readonly onCall?: (call: ClientUnaryCall) => void;
}

export interface PublishedClient extends Disposable {
  /** Rejects with the ServiceError of the library. */
  ask(method: string, message: Message, options?: AskOptions): Promise<Message>;
  stream(method: string): ClientDuplexStream<Message, Message>;
}

type Call = (message: Message, metadata: Metadata, options: CallOptions, done: (error: ServiceError | null, reply?: Message) => void) => ClientUnaryCall;
interface Service {
  new (target: string, credentials: unknown, options: object): Readonly<Record<string, unknown>> & { close(): void };
}

export const publishedSchemas = { KServe: 'api/kserve/open_inference_grpc.proto', Triton: 'api/triton/grpc_service.proto' } as const;

export async function publishedClient(data: string, schema: keyof typeof publishedSchemas, target: string): Promise<PublishedClient> {
  const file = join(data, publishedSchemas[schema]);
  const loaded = loadPackageDefinition(await load(file, { keepCase: true, longs: String, enums: String, defaults: true, oneofs: true, includeDirs: [join(file, '..')] }));
  const { GRPCInferenceService: Client } = loaded['inference'] as unknown as { readonly GRPCInferenceService: Service };
  const client = new Client(target, credentials.createInsecure(), { 'grpc.max_receive_message_length': -1, 'grpc.max_send_message_length': -1 });
  const methodOf = <T>(name: string): T => {
    const method = client[name];
    if (typeof method !== 'function') throw new Error(`the schema of ${schema} has no ${name}`);
    return method.bind(client) as T;
  };
  return {
    ask: (name, message, { metadata = new MetadataOf(), deadlineMs, onCall } = {}) =>
      new Promise((resolve, reject) => {
        const call = methodOf<Call>(name)(message, metadata, deadlineMs === undefined ? {} : { deadline: Date.now() + deadlineMs }, (error, reply) => (error ? reject(error) : resolve(reply!)));
        onCall?.(call);
      }),
    stream: (name) => methodOf<() => ClientDuplexStream<Message, Message>>(name)(),
    [Symbol.dispose]: () => client.close(),
  };
}
