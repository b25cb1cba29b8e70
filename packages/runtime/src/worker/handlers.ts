/** What a session worker can be asked to do, one row per request. */
import { bench } from './bench.js';
import { joinChain } from './chain-stage.js';
import { fitCache } from './fit-cache.js';
import { freeBuffers } from './free-buffers.js';
import { type Batchers, generate } from './generate.js';
import type { Handlers } from './protocol.js';
import { reduce } from './reduce.js';
import { runJob } from './run-job.js';
import { measure } from './measure.js';
import { score } from './score.js';
import type { SessionTable } from './session-table.js';
import { transcribe } from './transcribe.js';
import { voice } from './voice.js';
import { allToOrt, fromOrt } from './tensors.js';

export function createHandlers(sessions: SessionTable): Handlers {
  const batchers: Batchers = new Map();
  const stages = new Map<number, ReturnType<typeof joinChain>>();
  return {
    open: ({ source, settings }) => sessions.open(source, settings),
    close({ handle }) {
      batchers.delete(handle);
      stages.get(handle)?.leave();
      stages.delete(handle);
      return sessions.close(handle);
    },
    async run({ handle, feeds, outputs }, { transfer }) {
      const fetched = await sessions.run(handle, allToOrt(sessions.api, feeds), outputs);
      freeBuffers(Object.values(feeds).map(({ data }) => data));
      return Object.fromEntries(outputs.map((name) => [name, fromOrt(name, fetched[name]!, transfer)]));
    },
    async chain(link) {
      stages.get(link.handle)?.leave();
      stages.set(link.handle, joinChain(sessions, link));
    },
    reduce: (params, { transfer }) => reduce(sessions, params, transfer),
    transcribe: (params, context) => transcribe(sessions, params, context),
    voice: (params, context) => voice(sessions, params, context),
    measure: (params) => measure(sessions, params),
    fitCache: (params, context) => fitCache(sessions, params, context),
    generate: (params, context) => generate(sessions, batchers, params, context),
    score: (params, context) => score(sessions, params, context),
    job: (params, context) => runJob(sessions, params, context),
    bench: (params, context) => bench(sessions, params, context),
  };
}
