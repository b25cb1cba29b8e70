/** Taylor importance of units: what switching one off would change the loss by, to first order. */
import { type Model, PenjingError } from '@penjing/core';
import { shelveSamples } from '@penjing/core/calibrate';
import { consumersOf } from './consumers.js';
import type { UnitGroup } from './dimensions.js';
import { type Gate, gateJob, type GatedGroup } from './gate-job.js';
import type { UnitTools } from './score-units.js';

/**
 * Makes of a model, which stays as it is, one that takes some of its inputs and gives a vector per gate: ∂loss/∂gate for each index of
 * its axis, a gate being a factor of 1 on what the weight reads there. That is Σ w · ∂loss/∂w over the rest of the weight.
 */
export type GateModel = (model: Model, gates: readonly Gate[]) => Promise<{ readonly model: Model; readonly outputs: readonly string[] }>;

/**
 * Scores of each group, by the squared slope of the loss along a gate before every layer that reads a unit (Molchanov et al. 2019,
 * arXiv:1906.10771, equation 8 for gates). undefined for a group that no MatMul, Gemm or Conv reads.
 */
export async function taylorScores(model: Model, groups: readonly UnitGroup[], gateModel: GateModel, { jobs, samples, task: { signal } }: UnitTools): Promise<(Float64Array | undefined)[]> {
  const gates: Gate[] = [];
  const places = new Map<string, number>();
  const placeOf = (gate: Gate): number => {
    const key = `${gate.axis} ${gate.weight}`;
    if (!places.has(key)) places.set(key, gates.push(gate) - 1);
    return places.get(key)!;
  };
  const gated = groups.map((group): GatedGroup => {
    // a weight that is read twice has one gradient, of both
    const weights = [...new Map(consumersOf(group).map(({ weight, axis }) => [`${axis} ${weight.name}`, { weight, axis }])).values()];
    return {
      gates: weights.map(({ weight, axis }) => placeOf({ weight: weight.name, axis })),
      units: group.units.map(({ parts }) => weights.map(({ weight, axis }) => Uint32Array.from(parts.find((part) => part.value === weight && part.axis === axis)?.indices ?? []))),
    };
  });
  const known = gated.filter((group) => group.gates.length > 0);
  if (known.length === 0) return groups.map(() => undefined);
  const { model: graded, outputs } = await gateModel(model, gates);
  await using shelf = await jobs.openShelf();
  if (!samples) throw new PenjingError('E_DATA', 'taylor needs samples of what the model will read', { hint: 'Give --data FILE.' });
  const task = signal ? { signal } : {};
  const { count } = await shelveSamples(graded, shelf, { samples, hashed: false, ...task });
  await using prepared = await jobs.prepare(graded, task);
  const scores = await jobs.run(gateJob, {
    model: { kind: prepared.kind, reference: prepared.reference }, outputs, samples: count, groups: known,
    shelf: { kind: shelf.kind, reference: shelf.reference },
  }, task);
  return gated.map((group) => (group.gates.length > 0 ? scores[known.indexOf(group)] : undefined));
}
