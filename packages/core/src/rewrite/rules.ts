/** The one list of rewrites, in the order in which they are tried at a node. */
import type { Rule } from './rule.js';
import { batchedMatmul } from './rules/batched-matmul.js';
import { foldChannelAffine } from './rules/channel-affine.js';
import { fuseAttention } from './rules/fuse-attention.js';
import { fuseGelu, fuseQuickGelu } from './rules/gelu.js';
import { dropIdentity } from './rules/identity.js';
import { inlineIf } from './rules/inline-if.js';
import { gemmAdd, matmulAdd, mergeClip, mergeConstants } from './rules/linear.js';
import { concatGather, gatherUnsqueeze, mergeCast, mergeConcat, mergePad, mergeSlice, mergeTranspose, reduceSqueeze } from './rules/move.js';
import { fuseLayerNorm, fuseRmsNorm } from './rules/norm.js';
import { padWindow } from './rules/pad-window.js';
import { softmaxGuard } from './rules/softmax-guard.js';
import { expandTarget, mergeReshape, mergeUnsqueeze, reshapeTarget, transposeReshape } from './rules/reshape.js';

export const rules: readonly Rule[] = [
  dropIdentity, inlineIf, reshapeTarget, expandTarget, transposeReshape, mergeUnsqueeze, mergeReshape, batchedMatmul, softmaxGuard, mergeTranspose, mergeCast, mergeSlice, mergeConcat, mergePad,
  gatherUnsqueeze, concatGather, reduceSqueeze, mergeClip,
  fuseAttention, fuseGelu, fuseQuickGelu, fuseLayerNorm, fuseRmsNorm,
  padWindow, foldChannelAffine, matmulAdd, gemmAdd, mergeConstants,
];
