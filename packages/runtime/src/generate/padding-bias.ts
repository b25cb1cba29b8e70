/** Whether what is added to scores hides padding and nothing else, by trying. */
import { cloneModel, denseOf, type DenseTensor, dtypes, GraphBuilder, isPenjingError, type Model, type Value } from '@penjing/core';
import { referenceEngine } from '@penjing/core/reference';
import { removeDead } from '@penjing/core/rewrite';

/** Five places, of which the first two of the second row are padding. */
const MASK = [[1, 1, 1, 1, 1], [0, 0, 1, 1, 1]] as const;
const HIDDEN = -1e4;

/**
 * Computes the value from the inputs that it depends on, for a prompt of two rows with padding on the left: padding bias is 0 at real places and very low at padding, whatever the token that looks. Inputs other than tokens, mask,
 * positions and empty caches, and operators that the reference engine lacks, mean no.
 */
export async function isPaddingBias(model: Model, bias: Value): Promise<boolean> {
  const part = cloneModel(model);
  const wanted = [...part.graph.nodes()].flatMap(({ outputs }) => outputs).find(({ name }) => name === bias.name);
  if (!wanted) return false;
  const b = new GraphBuilder(part.graph);
  const seen = b.op('Cast', [wanted], { to: dtypes.float32.onnx });
  part.graph.outputs.splice(0, part.graph.outputs.length, seen);
  removeDead(part);
  const inputs = part.graph.inputs.filter((input) => input.useCount > 0 && !input.tensor);
  part.graph.inputs.splice(0, part.graph.inputs.length, ...inputs);
  const feeds: Record<string, DenseTensor> = {};
  for (const input of inputs) {
    const feed = sample(input);
    if (!feed) return false;
    feeds[input.name] = feed;
  }
  try {
    await using executor = await referenceEngine().load(part);
    return hidesPadding((await executor.run(feeds))[seen.name] as DenseTensor);
  } catch (error) {
    if (isPenjingError(error)) return false;
    throw error;
  }
}

function sample({ name, type }: Value): DenseTensor | undefined {
  const [batch, length] = [MASK.length, MASK[0].length];
  const rows = (values: readonly number[]): DenseTensor => denseOf('int64', [batch, length], values);
  if (name === 'attention_mask') return rows(MASK.flat());
  if (name === 'position_ids') return rows(MASK.flatMap((row) => row.map((_, i) => Math.max(0, row.slice(0, i + 1).reduce<number>((sum, kept) => sum + kept, 0) - 1))));
  if (name === 'input_ids') return rows(MASK.flat().map(() => 0));
  const shape = type?.kind === 'tensor' ? type.shape : undefined;
  if (!name.startsWith('past_key_values.') || type?.kind !== 'tensor' || type.dtype !== 'float32' || shape?.length !== 4) return undefined;
  const [, heads, , size] = shape;
  return typeof heads === 'number' && typeof size === 'number' ? denseOf('float32', [batch, heads, 0, size], []) : undefined;
}

/** (batch or 1, any, any, keys). */
function hidesPadding({ shape, data }: DenseTensor): boolean {
  const [batch, heads, queries, keys] = shape;
  if (shape.length !== 4 || keys !== MASK[0].length) return false;
  for (let row = 0; row < MASK.length; row++) {
    for (let i = 0; i < heads! * queries! * keys; i++) {
      const value = data[(batch === 1 ? 0 : row) * heads! * queries! * keys + i] as number;
      if (MASK[row]![i % keys] === 1 ? value !== 0 : value > HIDDEN) return false;
    }
  }
  return true;
}
