/** The one table of reference kernels, and by name the operators that have none. */
import { type OpName, opNames } from '../ops/lookup.js';
import { attentionKernels } from './attention.js';
import { contribKernels } from './contrib.js';
import { controlKernels } from './control.js';
import { convKernels } from './conv.js';
import { elementwiseKernels } from './elementwise.js';
import { imageKernels } from './image.js';
import type { Kernel } from './kernel.js';
import { linalgKernels } from './linalg.js';
import { movementKernels } from './movement.js';
import { normKernels } from './norm.js';
import { quantKernels } from './quant.js';
import { recurrentKernels } from './recurrent.js';
import { reduceKernels } from './reduce.js';
import { selectKernels } from './select.js';
import { signalKernels } from './signal.js';

export const kernelsByOp: { readonly [Op in OpName]?: Kernel } = {
  ...elementwiseKernels, ...reduceKernels, ...movementKernels, ...selectKernels, ...linalgKernels, ...convKernels, ...imageKernels, ...normKernels,
  ...attentionKernels, ...recurrentKernels, ...controlKernels, ...quantKernels, ...signalKernels, ...contribKernels,
};

/** Operators that are declared but have no reference kernel. */
export const referenceGaps: readonly OpName[] = opNames.filter((name) => kernelsByOp[name] === undefined);
