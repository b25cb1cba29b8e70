/** PyTorch's own files, read without running anything. */
export { type OpenPytorchOptions, openPytorch, openPytorchIndex } from './open.js';
export { type ModelFromPytorchOptions, modelFromPytorch } from './model.js';
export { defineModule, type ForwardArgument, type ForwardCall, type ForwardFunction, type ForwardModule, type ForwardScope, type ForwardValue, type ModuleDefinition } from './forward/define-module.js';
export { pytorchLayout, type PytorchLayoutOptions } from './layout.js';
