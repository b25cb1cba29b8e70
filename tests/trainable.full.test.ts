/** Every converted decoder, encoder and encoder-decoder, made trainable, in ONNX Runtime: the same outputs, and a gradient for every weight. */
import { trainableCases } from './support/trainable-cases.js';
import { trainableSuite } from './support/trainable-suite.js';

trainableSuite(await trainableCases());
