/** What a session worker can be asked to do, one row per request. */
import { difference } from '../compare/difference.js';
import { bench } from './bench.js';
import { generate } from './generate.js';
import type { Handlers } from './protocol.js';
import type { WireTensors } from './wire-types.js';
import { runJob } from './run-job.js';
import { score } from './score.js';
import type { SessionTable } from './session-table.js';
import { type OrtApi, type OrtTensor, fromOrt, toOrt } from './tensors.js';

export function createHandlers(sessions: SessionTable): Handlers {
  return {
    open: ({ source, settings }) => sessions.open(source, settings),
    close: ({ handle }) => sessions.close(handle),
    async run({ handle, feeds, outputs }, { transfer }) {
      const fetched = await sessions.run(handle, allToOrt(sessions.api, feeds), outputs);
      return Object.fromEntries(outputs.map((name) => [name, fromOrt(name, fetched[name]!, transfer)]));
    },
    async difference({ a, b, feeds, outputs }) {
      const tensors = allToOrt(sessions.api, feeds);
      const left = await sessions.run(a, tensors, outputs);
      const right = await sessions.run(b, tensors, outputs);
      return outputs.map((name) => difference(name, fromOrt(name, left[name]!, []), fromOrt(name, right[name]!, [])));
    },
    generate: (params, context) => generate(sessions, params, context),
    score: (params, context) => score(sessions, params, context),
    job: (params, context) => runJob(sessions, params, context),
    bench: (params, context) => bench(sessions, params, context),
  };
}

function allToOrt(api: OrtApi, feeds: WireTensors): Record<string, OrtTensor> {
  return Object.fromEntries(Object.entries(feeds).map(([name, tensor]) => [name, toOrt(api, tensor)]));
}
