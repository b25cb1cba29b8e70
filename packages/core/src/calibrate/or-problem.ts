/** Failures of one layer's data, which must not end the run. */
import { isPenjingError } from '../errors.js';

/**
 * What the work gives, or why the data is of no use for it (`E_DATA`): take the method without data then, and put this in the note of
 * the record. A layer whose activations are no numbers keeps the model from being useful, but not from being written.
 */
export async function orProblem<T>(work: Promise<T>): Promise<T | string> {
  try {
    return await work;
  } catch (error) {
    if (isPenjingError(error) && error.code === 'E_DATA') return error.message;
    throw error;
  }
}
