/** Every ONNX model of the shared test material, read and written again, is the same model to ONNX Runtime. */
import { onnxFidelitySuite } from './support/onnx-fidelity-suite.js';

onnxFidelitySuite(1, { loaded: 1151, identical: 1095 });
