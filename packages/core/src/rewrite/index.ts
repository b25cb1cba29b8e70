/** @penjing/core/rewrite: graphs made smaller without changing what they compute. */
export { type SimplifyOptions, type SimplifyPass, type SimplifyResult, simplify, simplifyRules } from './simplify.js';
export type { Fusions } from './rule.js';
export { type OpsetUpgrade, NEWEST_OPSET, OLDEST_OPSET, upgradeOpset } from './upgrade-opset.js';
export { removeDead } from './dead.js';
export { type Layer, layerWeights, removeLayers, residualLayers } from './layers.js';
