/** Where values stand on a chart, and which round values are written beside it. */

/** Round steps from zero to at least `max`: two to four of them, each 1, 2 or 5 times a power of ten. */
export function niceTicks(max: number): number[] {
  const top = max > 0 && Number.isFinite(max) ? max : 1;
  const raw = top / 3;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = ([1, 2, 5, 10].find((factor) => factor * power >= raw) ?? 10) * power;
  const count = Math.max(1, Math.ceil(top / step - 1e-9));
  return Array.from({ length: count + 1 }, (_, i) => Number((i * step).toPrecision(12)));
}

/** An SVG path through points; a gap where there is no value. A lone point becomes a dot of no length. */
export function linePath(points: readonly (readonly [x: number, y: number] | undefined)[]): string {
  let pen = false;
  let path = '';
  for (const point of points) {
    if (point) {
      const [x, y] = point;
      path += `${pen ? 'L' : 'M'}${x.toFixed(1)} ${y.toFixed(1)}`;
      if (!pen) path += 'h0';
    }
    pen = point !== undefined;
  }
  return path;
}
