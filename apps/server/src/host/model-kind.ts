/** What opening a model of some kind takes and gives: the border between the process of a model and the kinds of models. */
import type { ModelSummary } from '@penjing/runtime';
import type { HostMethod, HostMethods, ModelDescription, ModelSource } from './protocol.js';

export interface HandlerContext<M extends HostMethod> {
  /** Fires when nobody waits for the answer any more. */
  readonly signal: AbortSignal;
  readonly emit: (event: HostMethods[M]['event']) => void;
}

export type Handler<M extends HostMethod = HostMethod> = (params: HostMethods[M]['params'], context: HandlerContext<M>) => Promise<HostMethods[M]['result']>;
export type Handlers = { readonly [M in HostMethod]?: Handler<M> };

/** What opening a model of some kind gives. */
export interface OpenedKind {
  readonly handlers: Handlers;
  readonly contextLength?: number | undefined;
  readonly hasChatTemplate?: boolean;
  readonly close: () => Promise<void>;
}

export interface OpenedModel {
  readonly description: ModelDescription;
  readonly handlers: Handlers;
  readonly close: () => Promise<void>;
}

/** Opens `summary.file`; `settings` are options of the runtime's loaders. */
export type KindOpener = (summary: ModelSummary, settings: KindSettings) => Promise<OpenedKind>;

export interface KindSettings extends Pick<ModelSource, 'threads' | 'device' | 'variant' | 'prefixCacheBytes' | 'kvCache' | 'plan'> {
  readonly thread: 'calling';
  readonly signal: AbortSignal;
}
