/** Block quantization in WebAssembly against bytes recorded from ONNX Runtime. */
import { describe } from 'vitest';
import { quantizeFixtureSuite } from '../../test/rtn-suite.js';
import { wasmKernels } from './index.js';

describe('wasm', () => quantizeFixtureSuite(wasmKernels({ arenaBytes: 2 ** 20 })));
