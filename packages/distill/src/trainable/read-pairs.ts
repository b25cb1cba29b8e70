/** A network that embeds texts becomes one that embeds pairs of texts. */
import { GraphBuilder, inferShapes, type Model, PenjingError, tensorType, Value } from '@penjing/core';

/**
 * In place: inputs of (batch, tokens) become (pairs, 2, tokens), and the output `embedding`, (batch, width), becomes (pairs, 2, width). Everything between them sees twice as many texts; weights and names stay.
 * The other outputs stay as they are, one row per text. Throws `E_INPUT` when there is no such output, or an input is no row of tokens for each text.
 */
export function readPairs(model: Model, embedding = 'sentence_embedding'): void {
  const { graph } = model;
  inferShapes(model);
  const output = graph.outputs.find(({ name }) => name === embedding);
  const shape = output?.type?.kind === 'tensor' ? output.type.shape : undefined;
  const width = shape?.[1];
  if (!output?.producer || shape?.length !== 2 || typeof width !== 'number') throw new PenjingError('E_INPUT', `the model gives no ${embedding} of a known width for each text`, { hint: 'Convert it for --task sentence-similarity.' });
  const inputs = graph.inputs.filter(({ name }) => !graph.initializers.has(name));
  const [first] = [...graph.nodes()];
  const b = new GraphBuilder(graph);
  b.before(first!, () => {
    for (const input of inputs) {
      const { type } = input;
      const tokens = type?.kind === 'tensor' && type.shape?.length === 2 ? type.shape[1]! : undefined;
      if (type?.kind !== 'tensor' || type.dtype === undefined || tokens === undefined) throw new PenjingError('E_INPUT', `the input ${input.name} has no row of tokens for each text`, { hint: 'Pairs are learned by networks that read tokens.' });
      const uses = input.uses();
      // all rows, as long as they are
      const rows = b.op('Reshape', [input, b.op('Concat', [b.constant('int64', [-1]), b.op('Shape', [input], { start: 2 })], { axis: 0 })]);
      for (const { node, index } of uses) node.setInput(index, rows);
      input.type = tensorType(type.dtype, ['pairs', 2, tokens]);
    }
  });
  const producer = output.producer;
  const texts = new Value(`${embedding}/texts`, output.type);
  output.replaceUsesWith(texts);
  producer.replaceOutput(producer.outputs.indexOf(output), texts);
  const made = b.op('Reshape', [texts, b.constant('int64', [-1, 2, width])]);
  made.producer!.replaceOutput(0, output);
  output.type = tensorType('float32', ['pairs', 2, width]);
  for (const other of graph.outputs) if (other !== output && other.type?.kind === 'tensor' && other.type.dtype) other.type = tensorType(other.type.dtype);
  inferShapes(model);
}
