/** Declarations of the recurrent operators, made by peers/ops/schemas.py from onnx 1.23.2. */
import type { OpRows } from './schema.js';

export const recurrent = {
  GRU: [
    '7 X:T W:T R:T B?:T sequence_lens?:T1 initial_h?:T -> Y?:T Y_h?:T | T=float; T1=int32 | activation_alpha:floats activation_beta:floats activations:strings clip:float direction:string=forward hidden_size:int linear_before_reset:int=0',
    '14 X:T W:T R:T B?:T sequence_lens?:T1 initial_h?:T -> Y?:T Y_h?:T | T=float; T1=int32 | activation_alpha:floats activation_beta:floats activations:strings clip:float direction:string=forward hidden_size:int layout:int=0 linear_before_reset:int=0',
    '22 X:T W:T R:T B?:T sequence_lens?:T1 initial_h?:T -> Y?:T Y_h?:T | T=float bfloat16; T1=int32 | activation_alpha:floats activation_beta:floats activations:strings clip:float direction:string=forward hidden_size:int layout:int=0 linear_before_reset:int=0',
  ],
  LSTM: [
    '7 X:T W:T R:T B?:T sequence_lens?:T1 initial_h?:T initial_c?:T P?:T -> Y?:T Y_h?:T Y_c?:T | T=float; T1=int32 | activation_alpha:floats activation_beta:floats activations:strings clip:float direction:string=forward hidden_size:int input_forget:int=0',
    '14 X:T W:T R:T B?:T sequence_lens?:T1 initial_h?:T initial_c?:T P?:T -> Y?:T Y_h?:T Y_c?:T | T=float; T1=int32 | activation_alpha:floats activation_beta:floats activations:strings clip:float direction:string=forward hidden_size:int input_forget:int=0 layout:int=0',
    '22 X:T W:T R:T B?:T sequence_lens?:T1 initial_h?:T initial_c?:T P?:T -> Y?:T Y_h?:T Y_c?:T | T=float bfloat16; T1=int32 | activation_alpha:floats activation_beta:floats activations:strings clip:float direction:string=forward hidden_size:int input_forget:int=0 layout:int=0',
  ],
  RNN: [
    '7 X:T W:T R:T B?:T sequence_lens?:T1 initial_h?:T -> Y?:T Y_h?:T | T=float; T1=int32 | activation_alpha:floats activation_beta:floats activations:strings=Tanh,Tanh clip:float direction:string=forward hidden_size:int',
    '14 X:T W:T R:T B?:T sequence_lens?:T1 initial_h?:T -> Y?:T Y_h?:T | T=float; T1=int32 | activation_alpha:floats activation_beta:floats activations:strings=Tanh,Tanh clip:float direction:string=forward hidden_size:int layout:int=0',
    '22 X:T W:T R:T B?:T sequence_lens?:T1 initial_h?:T -> Y?:T Y_h?:T | T=float bfloat16; T1=int32 | activation_alpha:floats activation_beta:floats activations:strings=Tanh,Tanh clip:float direction:string=forward hidden_size:int layout:int=0',
  ],
} satisfies OpRows;
