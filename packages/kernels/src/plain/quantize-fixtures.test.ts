/** Block quantization against bytes recorded from ONNX Runtime. */
import { describe } from 'vitest';
import { quantizeFixtureSuite } from '../../test/rtn-suite.js';
import { plainKernels } from './index.js';

describe('plain', () => quantizeFixtureSuite(plainKernels()));
