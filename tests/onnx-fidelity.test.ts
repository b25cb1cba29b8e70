/** A model that is read and written again is the same model to ONNX Runtime; a sample, the full run takes all. */
import { onnxFidelitySuite } from './support/onnx-fidelity-suite.js';

onnxFidelitySuite(8, { loaded: 145, identical: 130 });
