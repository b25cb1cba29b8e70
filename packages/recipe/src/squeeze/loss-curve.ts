/** What a layer adds to the loss of the model, from the error of its output: measured at a few errors, drawn through them. */

/** One measurement: the layer alone was rounded so that its output had this error, and the model lost that much. */
export interface Probe {
  readonly error: number;
  readonly loss: number;
}

/**
 * A line through the probes in logarithms, since a loss grows with a power of a small error; beyond them in proportion to the error, as it
 * does for small ones (Malinovskii et al. 2024, arXiv:2411.17525). Losses never fall as errors grow: where measurements say so, it is noise.
 * Without a probe of a positive error and loss the loss is `scale · error`.
 */
export function lossCurve(probes: readonly Probe[], scale = 1): (error: number) => number {
  const points = rising(probes.filter(({ error, loss }) => error > 0 && loss > 0 && Number.isFinite(error) && Number.isFinite(loss)));
  const [first, last] = [points[0], points.at(-1)];
  if (!first || !last) return (error) => scale * error;
  return (error) => {
    if (error <= 0) return 0;
    if (error <= first.error) return (first.loss * error) / first.error;
    if (error >= last.error) return (last.loss * error) / last.error;
    const after = points.findIndex((point) => point.error > error);
    const [a, b] = [points[after - 1]!, points[after]!];
    const share = Math.log(error / a.error) / Math.log(b.error / a.error);
    return a.loss * (b.loss / a.loss) ** share;
  };
}

/** Sorted by error, each loss at least that of the one before; equal errors take the larger loss. */
function rising(probes: readonly Probe[]): Probe[] {
  const sorted = [...probes].sort((a, b) => a.error - b.error || b.loss - a.loss);
  const points: Probe[] = [];
  for (const { error, loss } of sorted) {
    const before = points.at(-1);
    if (before?.error === error) continue;
    points.push({ error, loss: Math.max(loss, before?.loss ?? 0) });
  }
  return points;
}
