/** Declarations of the normalization operators, made by peers/ops/schemas.py from onnx 1.23.2. */
import type { OpRows } from './schema.js';

export const norm = {
  BatchNormalization: [
    '9 X:T scale:T B:T mean:T var:T -> Y:T mean?:T var?:T saved_mean?:T saved_var?:T | T=float | epsilon:float=1e-05 momentum:float=0.9',
    '14 X:T scale:T B:T input_mean:U input_var:U -> Y:T running_mean?:U running_var?:U | T=float bfloat16; U=float bfloat16 | epsilon:float=1e-05 momentum:float=0.9 training_mode:int=0',
    '15 X:T scale:T1 B:T1 input_mean:T2 input_var:T2 -> Y:T running_mean?:T2 running_var?:T2 | T=float bfloat16; T1=float bfloat16; T2=float bfloat16 | epsilon:float=1e-05 momentum:float=0.9 training_mode:int=0',
  ],
  GroupNormalization: [
    '18 deprecated',
    '21 X:T scale:T bias:T -> Y:T | T=float bfloat16 | epsilon:float=1e-05 num_groups:int! stash_type:int=1',
  ],
  InstanceNormalization: [
    '6 input:T scale:T B:T -> output:T | T=float | epsilon:float=1e-05',
    '22 input:T scale:T B:T -> output:T | T=float bfloat16 | epsilon:float=1e-05',
  ],
  LayerNormalization: ['17 X:T Scale:T B?:T -> Y:T Mean?:U InvStdDev?:U | T=float bfloat16; U=float32 bfloat16 | axis:int=-1 epsilon:float=1e-05 stash_type:int=1'],
  LpNormalization: [
    '1 input:T -> output:T | T=float | axis:int=-1 p:int=2',
    '22 input:T -> output:T | T=float bfloat16 | axis:int=-1 p:int=2',
  ],
  LRN: ['13 X:T -> Y:T | T=float bfloat16 | alpha:float=0.0001 beta:float=0.75 bias:float=1.0 size:int!'],
  MeanVarianceNormalization: ['13 X:T -> Y:T | T=float bfloat16 | axes:ints=0,2,3'],
  RMSNormalization: ['23 X:T scale:V -> Y:V | T=float bfloat16; V=float bfloat16 | axis:int=-1 epsilon:float=1e-05 stash_type:int=1'],
  SimplifiedLayerNormalization: ['1 X:T scale:V -> Y:V inv_std_var?:U | T=float bfloat16; U=float32 float64; V=float bfloat16 | axis:int=-1 epsilon:float=1e-05 stash_type:int=1'],
} satisfies OpRows;
