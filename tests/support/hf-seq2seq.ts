/** An encoder and its merged decoder, fed as transformers.js feeds them. */
import { bytesOf, DenseTensor, type DType, type Model } from '@penjing/core';
import { TestSession } from './ort-session.js';

export type Tensors = Readonly<Record<string, DenseTensor>>;

export class EncoderDecoder implements AsyncDisposable {
  readonly encoder: TestSession;
  readonly decoder: TestSession;
  readonly #empty: (batch: number) => Tensors;
  #cache: Record<string, DenseTensor> | undefined;

  private constructor(encoder: TestSession, decoder: TestSession, empty: (batch: number) => Tensors) {
    this.encoder = encoder;
    this.decoder = decoder;
    this.#empty = empty;
  }

  static async load(graphs: ReadonlyMap<string, Model>): Promise<EncoderDecoder> {
    const [encoder, decoder] = [graphs.get('encoder_model')!, graphs.get('decoder_model_merged')!];
    const caches = decoder.graph.inputs.flatMap(({ name, type }) => (name.startsWith('past_key_values') && type?.kind === 'tensor' ? [{ name, ...type }] : []));
    const empty = (batch: number): Tensors =>
      Object.fromEntries(caches.map(({ name, dtype, shape }) => {
        const dims = shape!.map((dim) => (typeof dim === 'number' ? dim : dim === 'batch_size' ? batch : 0));
        return [name, new DenseTensor(dtype as DType, dims, new Uint8Array(0))];
      }));
    return new EncoderDecoder(await TestSession.load(encoder), await TestSession.load(decoder), empty);
  }

  async encode(inputs: Tensors): Promise<DenseTensor> {
    this.#cache = undefined;
    return (await this.encoder.run(inputs))['last_hidden_state']!;
  }

  /** Logits of the next tokens. What is cached of the encoder is kept from the first step. */
  async decode(ids: DenseTensor, states: DenseTensor, mask?: DenseTensor): Promise<DenseTensor> {
    const first = this.#cache === undefined;
    const out = await this.decoder.run({
      input_ids: ids,
      encoder_hidden_states: states,
      ...(mask && { encoder_attention_mask: mask }),
      use_cache_branch: new DenseTensor('bool', [1], Uint8Array.of(first ? 0 : 1)),
      ...(this.#cache ?? this.#empty(ids.shape[0]!)),
    });
    const present = Object.entries(out).filter(([name]) => name.startsWith('present'));
    const cache = (this.#cache ??= {});
    for (const [name, tensor] of present) {
      if (first || !name.includes('encoder')) cache[name.replace('present', 'past_key_values')] = tensor;
    }
    return out['logits']!;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.encoder[Symbol.asyncDispose]();
    await this.decoder[Symbol.asyncDispose]();
  }
}

export function int64(shape: readonly number[], values: readonly number[]): DenseTensor {
  return new DenseTensor('int64', shape, bytesOf(BigInt64Array.from(values, BigInt)));
}
