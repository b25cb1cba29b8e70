/** Where a slice really starts and ends. */

/** Bounds on an axis of `size` elements: negative ones count from the end, and both saturate (ONNX, operator Slice). */
export function sliceBounds(size: number, start: number, end: number, step: number): [number, number] {
  const clamp = (x: number, low: number, high: number): number => Math.min(Math.max(x < 0 ? x + size : x, low), high);
  return step > 0 ? [clamp(start, 0, size), clamp(end, 0, size)] : [clamp(start, 0, size - 1), clamp(end, -1, size - 1)];
}
