/** Shape rules of control flow: subgraphs are inferred with what is known of their inputs. */
import type { OpName } from '../ops/lookup.js';
import type { Dim } from '../shape.js';
import { type InferRule, type Known, tensor } from './rule.js';
import { joinTypes, loosen } from './sequence.js';

const MAX_ROUNDS = 8;

/** A loop-carried value may change shape, so further rounds run with what survived the ones before. */
const loop: InferRule = (c) => {
  const body = c.node.subgraph('body');
  if (!body) return [];
  const count = Math.max(0, c.inputCount - 2);
  let state = Array.from({ length: count }, (_, i): Known => ({ type: c.type(i + 2) }));
  const run = (): (Known | undefined)[] => c.subgraph(body, [tensor('int64', []), tensor('bool', []), ...state]);
  let outputs = run();
  for (let round = 0; ; round++) {
    const next = state.map((first, i) => loosen(first, outputs[i + 1]));
    if (JSON.stringify(next) === JSON.stringify(state)) break;
    // Each round loses a size of some value or is the last; odd bodies are cut short and know nothing.
    state = round < MAX_ROUNDS ? next : state.map(() => ({ type: undefined }));
    outputs = run();
    if (round >= MAX_ROUNDS) break;
  }
  const trips = c.values(0)?.[0];
  return [
    ...state.map((_, i) => ({ type: joinTypes(state[i]!.type, outputs[i + 1]?.type) })),
    ...outputs.slice(1 + count).map((out) => stacked(out, c.has(1) ? null : (trips ?? null), 0)),
  ];
};

/** Scan outputs gain an axis for the iterations. */
function stacked(out: Known | undefined, count: Dim, axis: number): Known {
  if (out?.type?.kind !== 'tensor') return tensor();
  const { dtype, shape } = out.type;
  const at = shape && axis < 0 ? axis + shape.length + 1 : axis;
  return tensor(dtype, shape && [...shape.slice(0, at), count, ...shape.slice(at)]);
}

const scan: InferRule = (c) => {
  const body = c.node.subgraph('body');
  if (!body) return [];
  const scanned = c.node.int('num_scan_inputs', 0);
  const states = c.inputCount - scanned;
  const axes = c.node.ints('scan_input_axes');
  const outAxes = c.node.ints('scan_output_axes');
  let length: Dim = null;
  const slices = Array.from({ length: scanned }, (_, i): Known => {
    const shape = c.shape(states + i);
    if (!shape) return tensor(c.dtype(states + i));
    const given = axes?.[i] ?? 0;
    const axis = given < 0 ? given + shape.length : given;
    length ??= shape[axis] ?? null;
    return tensor(c.dtype(states + i), shape.filter((_, d) => d !== axis));
  });
  const initial = Array.from({ length: states }, (_, i): Known => ({ type: c.type(i) }));
  const outputs = c.subgraph(body, [...initial, ...slices]);
  return [
    ...initial.map((first, i) => loosen(first, outputs[i])),
    ...outputs.slice(states).map((out, i) => stacked(out, length, outAxes?.[i] ?? 0)),
  ];
};

export const controlRules = {
  If(c) {
    const [yes, no] = [c.node.subgraph('then_branch'), c.node.subgraph('else_branch')];
    const [a, b] = [yes && c.subgraph(yes, []), no && c.subgraph(no, [])];
    const chosen = c.values(0)?.[0];
    return Array.from({ length: c.outputCount }, (_, i): Known | undefined => {
      // A constant condition leaves one branch; the other may then be of any shape.
      if (typeof chosen === 'number') return (chosen ? a : b)?.[i];
      return { type: joinTypes(a?.[i]?.type, b?.[i]?.type) };
    });
  },
  Loop: loop, Scan: scan,
} satisfies Partial<Record<OpName, InferRule>>;
