/** Heads of decoders that read whole texts: classes of texts and tokens, answers, hidden states. */
import type { Value } from '@penjing/core';
import type { Task } from '../architecture.js';
import { readLabels } from '../blocks/encoder.js';
import { linear } from '../blocks/linear.js';
import { placesInOrder } from '../blocks/text-embeddings.js';
import { textOutputs } from '../blocks/text-heads.js';
import { statesAt } from '../blocks/two-towers.js';
import type { Fields } from '../fields.js';
import type { Network } from '../network.js';

export interface ReadingInputs {
  /** int64 (batch, seq) each. */
  readonly ids: Value;
  readonly mask: Value;
  /** Of x. */
  readonly width: number;
  readonly tokenHead: string;
}

/** x is (batch, seq, width): the states after the last layer. */
export function readingHeads(net: Network, config: Fields, task: Task, x: Value, { ids, width, tokenHead }: ReadingInputs): void {
  const labels = readLabels(config);
  textOutputs(net, task, x, {
    hidden: width,
    labels,
    vocabulary: 0,
    tokenHead,
    classify: (x) => linear(net, 'score', lastTokens(net, config, x, ids), { inputs: width, outputs: labels, bias: false }),
  });
}

const INT64 = 7;

/** The state of each row's last token that is not the padding's, which transformers tells by its id, (batch, width). */
function lastTokens(net: Network, config: Fields, x: Value, ids: Value): Value {
  const padding = config.get('pad_token_id');
  if (typeof padding !== 'number') return net.op('Gather', [x, net.ints(-1)], { axis: 1 });
  const real = net.op('Cast', [net.op('Not', [net.op('Equal', [ids, net.ints(padding)])])], { to: INT64 });
  return statesAt(net, x, net.op('ReduceMax', [net.op('Mul', [placesInOrder(net, ids), real]), net.ints([1])], { keepdims: 0 }));
}
