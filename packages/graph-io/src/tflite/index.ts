/** TensorFlow Lite files: written from graphs. */
export { type TfliteOptions, tfliteLayout } from './write/tflite-layout.js';
