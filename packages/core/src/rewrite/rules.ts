/** The one list of rewrites, in the order in which they are tried at a node. */
import type { Rule } from './rule.js';
import { batchedMatmul } from './rules/batched-matmul.js';
import { broadcastUnsqueeze } from './rules/broadcast-unsqueeze.js';
import { concatGather } from './rules/concat-gather.js';
import { expandTarget } from './rules/expand-target.js';
import { foldScale } from './rules/fold-scale.js';
import { fuseAttention } from './rules/fuse-attention.js';
import { fuseGelu } from './rules/fuse-gelu.js';
import { fuseLayerNorm } from './rules/fuse-layer-norm.js';
import { fuseQuickGelu } from './rules/fuse-quick-gelu.js';
import { fuseRmsNorm } from './rules/fuse-rms-norm.js';
import { fuseSkipNorm } from './rules/fuse-skip-norm.js';
import { gatherUnsqueeze } from './rules/gather-unsqueeze.js';
import { gemmAdd } from './rules/gemm-add.js';
import { dropIdentity } from './rules/identity.js';
import { inlineIf } from './rules/inline-if.js';
import { matmulAdd } from './rules/matmul-add.js';
import { mergeCast } from './rules/merge-cast.js';
import { mergeClip } from './rules/merge-clip.js';
import { mergeConcat } from './rules/merge-concat.js';
import { mergeConstants } from './rules/merge-constants.js';
import { mergePad } from './rules/merge-pad.js';
import { mergeReshape } from './rules/merge-reshape.js';
import { mergeSlice } from './rules/merge-slice.js';
import { mergeTranspose } from './rules/merge-transpose.js';
import { mergeUnsqueeze } from './rules/merge-unsqueeze.js';
import { padWindow } from './rules/pad-window.js';
import { reduceSqueeze } from './rules/reduce-squeeze.js';
import { reshapeTarget } from './rules/reshape-target.js';
import { softmaxGuard } from './rules/softmax-guard.js';
import { transposeReshape } from './rules/transpose-reshape.js';

export const rules: readonly Rule[] = [
  dropIdentity, inlineIf, reshapeTarget, expandTarget, transposeReshape, mergeUnsqueeze, mergeReshape, batchedMatmul, softmaxGuard, mergeTranspose, mergeCast, mergeSlice, mergeConcat, mergePad,
  gatherUnsqueeze, concatGather, reduceSqueeze, mergeClip,
  fuseAttention, fuseGelu, fuseQuickGelu, fuseLayerNorm, fuseRmsNorm, fuseSkipNorm,
  padWindow, foldScale, matmulAdd, gemmAdd, mergeConstants, broadcastUnsqueeze,
];
