/** Names in the reply the variant that answered, of a model that has several. */
import type { ServedModel } from '../models/served-model.js';

export function variantHeader(model: ServedModel | undefined): Record<string, string> {
  return model?.variant === undefined ? {} : { 'X-Penjing-Variant': model.variant };
}
