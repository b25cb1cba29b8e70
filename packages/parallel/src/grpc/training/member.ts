/** Ranks from 1 on: send what they have to rank 0, and take what comes back. */
import { jsonFrame, jsonOf } from './frame.js';
import { type FrameStream, peerError } from './frame-stream.js';
import type { Opening, TrainingExchange, TrainingRound } from './training-exchange.js';
import { bytesOf, floatsOf, VectorTape } from './vector-tape.js';

export function memberExchange(hub: FrameStream, rank: number, world: number): Omit<TrainingExchange, typeof Symbol.asyncDispose> {
  let number = 0;
  return {
    rank,
    world,
    fail: (error) => hub.fail(error),
    async round<Said>({ vectors, take, said }: TrainingRound<Said>) {
      const round = ++number;
      const tape = new VectorTape(vectors);
      await hub.send(jsonFrame('say', round, { length: tape.length, take, said } satisfies Opening));
      const sent = async (): Promise<void> => {
        for (let index = 0; take === 'mean' && index < tape.chunks; index++) await hub.send({ kind: 'chunk', round, index, bytes: bytesOf(tape.read(index)) });
      };
      // at the same time: rank 0 sends a chunk back before it reads the next one. What comes back lies before what is still to be sent.
      const taken = async (): Promise<readonly Said[]> => {
        const told = jsonOf(await hub.next('told', round)) as readonly Said[];
        for (let index = 0; index < tape.chunks; index++) {
          const values = floatsOf((await hub.next('chunk', round, index)).bytes);
          if (values.length !== tape.sizeOf(index)) throw peerError('rank 0 sent a chunk of another length');
          tape.write(index, values);
        }
        return told;
      };
      const [, told] = await Promise.all([sent(), taken()]);
      return { vectors, said: told };
    },
  };
}
