/** Who serves which stage of a chain, in a bucket of a NATS server: stages say that they live, fronts and stages find the next one. */
import { jetstream } from '@nats-io/jetstream';
import { type KV, Kvm, type KvWatchEntry } from '@nats-io/kv';
import type { NatsConnection } from '@nats-io/nats-core';
import { checkChainName } from './chain-name.js';

export interface StageMember {
  /** From 0. */
  readonly stage: number;
  /** Of the process, unlike all others. */
  readonly name: string;
  /** `HOST:PORT`, as others reach it. */
  readonly address: string;
  /** Of its plan. */
  readonly epoch: number;
  /** Hash of what it computes. */
  readonly part?: string;
  /** It and all stages after it take requests. */
  readonly ready: boolean;
}

export interface StageDirectoryOptions {
  /** Chains on the same server share nothing. */
  readonly chain: string;
  /** A stage says that it lives so often, in milliseconds; after three times as long it counts as gone (2000). */
  readonly heartbeatMs?: number;
  /** Called when the members that live are others than before, or say something else. */
  readonly onChange?: () => void;
}

export interface StageDirectory extends AsyncDisposable {
  /** Those that live, by stage; the newest plan first, then those that are ready. */
  readonly members: readonly StageMember[];
  /** The best one for a stage: of this plan, or of the newest one when absent; undefined while there is none. */
  find(stage: number, epoch?: number): StageMember | undefined;
  /** Keeps saying what `member` gives; disposing takes it back. */
  announce(member: () => StageMember): Promise<AsyncDisposable & { readonly now: () => Promise<void> }>;
}

interface Seen {
  readonly member: StageMember;
  /** On the clock of this process: those of other machines may be wrong. */
  at: number;
}

/** What nobody took back is deleted by the server after so long. */
const KEPT_MS = 3_600_000;

/** The connection stays the caller's. Who can write to the bucket can send requests elsewhere, with their token: the server must know its clients. */
export async function stageDirectory(connection: NatsConnection, { chain, heartbeatMs = 2000, onChange }: StageDirectoryOptions): Promise<StageDirectory> {
  checkChainName(chain);
  const bucket = await new Kvm(jetstream(connection, { timeout: 5000 })).create('penjing_stages', { ttl: KEPT_MS });
  const directory = new Directory(bucket, chain, heartbeatMs, onChange);
  await directory.watch();
  return directory;
}

class Directory implements StageDirectory {
  readonly #bucket: KV;
  readonly #chain: string;
  readonly #heartbeatMs: number;
  readonly #onChange: (() => void) | undefined;
  readonly #seen = new Map<string, Seen>();
  #told = '[]';
  #stop = (): void => {};
  #timer: NodeJS.Timeout | undefined;

  constructor(bucket: KV, chain: string, heartbeatMs: number, onChange: (() => void) | undefined) {
    this.#bucket = bucket;
    this.#chain = chain;
    this.#heartbeatMs = heartbeatMs;
    this.#onChange = onChange;
  }

  get members(): readonly StageMember[] {
    const oldest = Date.now() - 3 * this.#heartbeatMs;
    return [...this.#seen.values()].filter(({ at }) => at >= oldest).map(({ member }) => member)
      .sort((a, b) => a.stage - b.stage || b.epoch - a.epoch || Number(b.ready) - Number(a.ready) || (a.name < b.name ? -1 : 1));
  }

  find(stage: number, epoch?: number): StageMember | undefined {
    return this.members.find((member) => member.stage === stage && (epoch === undefined || member.epoch === epoch));
  }

  async watch(): Promise<void> {
    const watch = await this.#bucket.watch({ key: `${this.#chain}.>` });
    this.#stop = () => watch.stop();
    void (async () => {
      for await (const entry of watch) this.#take(entry);
    })();
    this.#timer = setInterval(() => this.#tell(), this.#heartbeatMs);
  }

  async announce(member: () => StageMember): Promise<AsyncDisposable & { readonly now: () => Promise<void> }> {
    const { stage, name } = member();
    const key = `${this.#chain}.${stage}.${name}`;
    let over = false;
    const put = async (): Promise<void> => {
      // A heartbeat that is lost while the server is away is followed by another one.
      if (!over) await this.#bucket.put(key, JSON.stringify(member())).catch(() => {});
    };
    await this.#bucket.put(key, JSON.stringify(member()));
    const timer = setInterval(() => void put(), this.#heartbeatMs);
    return {
      now: put,
      [Symbol.asyncDispose]: async () => {
        over = true;
        clearInterval(timer);
        await this.#bucket.delete(key).catch(() => {});
      },
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    this.#stop();
  }

  #take(entry: KvWatchEntry): void {
    const member = entry.operation === 'PUT' ? memberOf(entry) : undefined;
    if (member) this.#seen.set(entry.key, { member, at: Date.now() });
    else this.#seen.delete(entry.key);
    this.#tell();
  }

  #tell(): void {
    const now = JSON.stringify(this.members);
    if (now === this.#told) return;
    this.#told = now;
    this.#onChange?.();
  }
}

/** What is no member is nobody: others write to the bucket too. */
function memberOf(entry: KvWatchEntry): StageMember | undefined {
  let said: unknown;
  try {
    said = entry.value.length > 4096 ? undefined : JSON.parse(entry.string());
  } catch {
    return undefined;
  }
  const { stage, name, address, epoch, part, ready } = (said ?? {}) as Partial<Record<keyof StageMember, unknown>>;
  const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
  if (!isCount(stage) || !isCount(epoch) || typeof name !== 'string' || typeof address !== 'string' || typeof ready !== 'boolean') return undefined;
  return { stage, name, address, epoch, ready, ...(typeof part === 'string' && { part }) };
}
