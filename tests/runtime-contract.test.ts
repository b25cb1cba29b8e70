/** The reference engine keeps the same contract as ONNX Runtime's (packages/runtime/src/engine/ort-engine.test.ts). */
import { referenceEngine } from '@penjing/core/reference';
import { engineContract } from '../packages/runtime/src/testing/engine-contract.js';

engineContract('referenceEngine', () => referenceEngine());
