/** Rank 0: takes in the chunks of all ranks, has their mean computed, and gives it back. */
import { isPenjingError, PenjingError } from '@penjing/core';
import { jsonFrame, jsonOf } from './frame.js';
import { type FrameStream, peerError } from './frame-stream.js';
import type { Mean, Opening, TrainingExchange } from './training-exchange.js';
import { bytesOf, floatsOf, VectorTape } from './vector-tape.js';

/** `members` are ranks 1, 2, … */
export function hubExchange(members: readonly FrameStream[]): Omit<TrainingExchange, typeof Symbol.asyncDispose> {
  const world = members.length + 1;
  let number = 0;
  let failure: PenjingError | undefined;
  const fail = (error: unknown): void => {
    failure ??= isPenjingError(error) ? error : peerError(String(error));
    for (const member of members) member.fail(error);
  };
  const everyone = <T>(ask: (member: FrameStream) => Promise<T>): Promise<T[]> => Promise.all(members.map(ask));
  return {
    rank: 0,
    world,
    fail,
    async round(asked) {
      const { vectors, take, said } = asked;
      if (failure) throw failure;
      const round = ++number;
      const tape = new VectorTape(vectors);
      try {
        const openings = (await everyone((member) => member.next('say', round))).map((frame) => jsonOf(frame) as Opening);
        const odd = openings.findIndex((one) => one?.length !== tape.length || one.take !== take);
        if (odd >= 0) throw new PenjingError('E_OPTION', `rank ${odd + 1} trains other weights than rank 0`, { hint: 'All ranks are started with the same model, data, seed and options.' });
        const told = [said, ...openings.map((one) => one.said as typeof said)];
        await everyone((member) => member.send(jsonFrame('told', round, told)));
        for (let index = 0; index < tape.chunks; index++) {
          const own = tape.read(index);
          const bytes = bytesOf(asked.take === 'first' ? own : await checkedMean([own, ...(await everyone(async (member) => floatsOf((await member.next('chunk', round, index)).bytes)))], asked.mean));
          await everyone((member) => member.send({ kind: 'chunk', round, index, bytes }));
          if (take === 'mean') tape.write(index, floatsOf(bytes));
        }
        return { vectors, said: told };
      } catch (error) {
        fail(error);
        throw failure ?? error;
      }
    },
  };
}

/** Throws `E_PEER` for parts that do not fit. */
async function checkedMean(parts: readonly Float32Array[], mean: Mean): Promise<Float32Array> {
  const { length } = parts[0]!;
  if (parts.some((part) => part.length !== length)) throw peerError('a rank sent a chunk of another length');
  return mean(parts);
}
