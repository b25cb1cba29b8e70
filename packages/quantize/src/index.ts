/** @penjing/quantize: weight quantization passes. */
export { type AwqInput, type AwqOutput, awqJob } from './awq/awq-job.js';
export { awqWeights, type AwqWeightsOptions } from './awq/awq-weights.js';
export { type GptqInput, type GptqOrder, type GptqOutput, gptqJob } from './gptq/gptq-job.js';
export { gptqWeights, type GptqWeightsOptions } from './gptq/gptq-weights.js';
export type { LayerRule, RoundingMethod } from './layer-rules.js';
export type { RoundedMatrix } from './spill-blocks.js';
export type { WeightOptions } from './plan-weights.js';
export { candidateBytes, describeCandidate, type WeightCandidate, weightCandidates } from './sensitivity/candidates.js';
export { type CandidateLoss, type WeightLosses, weightLosses, type WeightLossOptions } from './sensitivity/weight-losses.js';
export { castWeights, type CastWeightsOptions } from './cast-weights.js';
export { halfPrecision, type HalfPrecisionOptions } from './half/half-precision.js';
export { quantizeWeights, type QuantizeWeightsOptions } from './quantize-weights.js';
export { type WeightScheme, describeScheme, slowOnCpu, weightScheme } from './scheme.js';
export { type CpuKind, cpuSchemes } from './static/cpu-schemes.js';
export { type RangeMethod, rangeMethods } from './static/ranges-job.js';
export { quantizeStatic, type StaticOptions } from './static/quantize-static.js';
export { smoothActivations, type SmoothOptions } from './smooth/smooth-activations.js';
export { type DynamicOptions, quantizeDynamic } from './dynamic/quantize-dynamic.js';
