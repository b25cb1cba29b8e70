/** Fields of a step that learns from pairs of texts. */

export interface PairFields {
  /** Of pairs without scores: divides the cosines; 0.05 when absent. */
  readonly temperature?: number;
  /** Of pairs without scores: asks for the first text of each second one too. */
  readonly symmetric?: boolean;
}

export const pairFields = { temperature: { type: 'number', exclusiveMinimum: 0 }, symmetric: { type: 'boolean' } } as const;
