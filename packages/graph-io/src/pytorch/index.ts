/** PyTorch's own files, read without running anything. */
export { type OpenPytorchOptions, openPytorch, openPytorchIndex } from './open.js';
