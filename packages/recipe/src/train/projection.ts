/** Matrices between a student and a wider teacher. */
import { createRng, denseOf, type Model } from '@penjing/core';
import { ADDED } from './train-model.js';

/** A matrix that is trained with the student and thrown away. */
export function addProjection(student: Model, value: string, width: number, wide: number): string {
  const name = `${ADDED}projection/${value}`;
  const rng = createRng(1);
  const deviation = 1 / Math.sqrt(width);
  student.graph.addInitializer(name, denseOf('float32', [width, wide], Array.from({ length: width * wide }, () => deviation * rng.normal())));
  return name;
}
