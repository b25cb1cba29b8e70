/** @penjing/recipe: the one place that wires the packages into runs. */
export { checkMachine, type MachineCheck, type MachineReport } from './check-machine.js';
export { compareInputs, type CompareInputsOptions } from './compare-inputs.js';
export { evaluateInput, type EvaluateInputOptions, type InputEvaluation } from './evaluate-input.js';
export type { InputComparison } from './input-comparison.js';
export { inspectInput } from './inspect-input.js';
export type { Inspection, InspectOptions } from './inputs/describe.js';
export type { LayerError } from './layer-errors.js';
export { type LoadCheck } from './check-loads.js';
export type { ModelChoice } from './model-reference.js';
export { completeRecipe, parseRecipe, type RecipeFile } from './recipe-file.js';
export { type Recipe, recipeSchema } from './recipe-schema.js';
export type { CastStep } from './steps/cast.js';
export type { ConvertStep } from './steps/convert.js';
export type { QuantizeStep } from './steps/quantize.js';
export type { SimplifyStep } from './steps/simplify.js';
export type { RecipeStep } from './steps/steps.js';
export { type RecipeResult, runRecipe, type RunRecipeOptions } from './run-recipe.js';
export { runModel, type RunModelOptions, type RunModelResult, type RunOutput } from './run-model.js';
