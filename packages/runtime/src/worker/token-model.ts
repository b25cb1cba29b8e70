/** A session as something that tokens are appended to, whichever form its model has. */
import type { DecoderForm } from '../generate/generation-form.js';
import { BufferedDecoder } from './buffered-decoder.js';
import { Decoder } from './decoder.js';
import { decoderLayout } from './decoder-layout.js';
import type { LogitRows } from './logits.js';
import { positionsPerRun } from './positions.js';
import { sessionInfo, type SessionTable } from './session-table.js';

export interface TokenModel {
  readonly decoder: {
    readonly cacheBytes: number;
    /** Appends tokens and gives the logits of the last `rows` of them. */
    forward(tokens: ArrayLike<number>, rows: number): Promise<LogitRows>;
    reset(): void;
  };
  /** Tokens of a long text that go through it at once when some were read before; a model without a cache reads all in one. */
  readonly positionsPerRun: (read: number) => number;
}

/** Scores of one layer stay under this many bytes, where ONNX Runtime computes them all at once (halves, soft caps). */
const SCORE_BYTES = 192 * 2 ** 20;
const FEWEST_POSITIONS = 16;
/** Products of more rows give fewer tokens a second: 586 at 128 and at 256, 542 at 512 (0.44 B weights in 4 bits, two threads), since what comes out of them leaves the cache. */
const MOST_POSITIONS = 256;

/** As many as are fastest, fewer when what was read before makes their scores large. */
export function positionsOfForm({ layers }: DecoderForm): (read: number) => number {
  const rowBytes = Math.max(...layers.map(({ heads }) => 4 * heads));
  // rows · (read + rows) scores for each head
  const fits = (read: number): number => Math.floor((Math.sqrt(read ** 2 + (4 * SCORE_BYTES) / rowBytes) - read) / 2);
  return (read) => Math.min(MOST_POSITIONS, Math.max(FEWEST_POSITIONS, fits(read)));
}

export function tokenModel(sessions: SessionTable, handle: number, form: DecoderForm | undefined): TokenModel {
  if (form) return { decoder: new BufferedDecoder(sessions, handle, form), positionsPerRun: positionsOfForm(form) };
  const { inputs, outputs } = sessionInfo(sessions.get(handle));
  const layout = decoderLayout(inputs, outputs);
  const most = layout.cache.length > 0 ? positionsPerRun(layout.vocabSize) : Infinity;
  return { decoder: new Decoder(sessions, handle, layout), positionsPerRun: () => most };
}
