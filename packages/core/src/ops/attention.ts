/** Declarations of the attention operators, made by peers/ops/schemas.py from onnx 1.23.2. */
import type { OpRows } from './schema.js';

export const attention = {
  Attention: [
    '23 Q:T1 K:T1 V:T2 attn_mask?:U past_key?:T1 past_value?:T2 -> Y:T1 present_key?:T1 present_value?:T2 qk_matmul_output?:T1 | T1=float bfloat16; T2=float bfloat16; U=float int uint bfloat16 bool | is_causal:int=0 kv_num_heads:int q_num_heads:int qk_matmul_output_mode:int=0 scale:float softcap:float=0.0 softmax_precision:int',
    '24 Q:T1 K:T1 V:T2 attn_mask?:U past_key?:T1 past_value?:T2 nonpad_kv_seqlen?:int64 -> Y:T1 present_key?:T1 present_value?:T2 qk_matmul_output?:T1 | T1=float bfloat16; T2=float bfloat16; U=float int uint bfloat16 bool | is_causal:int=0 kv_num_heads:int q_num_heads:int qk_matmul_output_mode:int=0 scale:float softcap:float=0.0 softmax_precision:int',
    '25 Q:T1 K:T1 V:T2 attn_mask?:U past_key?:T1 past_value?:T2 nonpad_kv_seqlen?:int64 -> Y:T1 present_key?:T1 present_value?:T2 qk_matmul_output?:T1 | T1=float bfloat16; T2=float bfloat16; U=float int uint bfloat16 bool | is_causal:int=0 kv_num_heads:int left_window_size:int=-1 q_num_heads:int qk_matmul_output_mode:int=0 right_window_size:int=-1 scale:float softcap:float=0.0 softmax_precision:int',
  ],
  CausalConvWithState: ['27 input:T weight:T bias?:T past_state?:T -> output:T present_state:T | T=float32 float16 bfloat16 | activation:string=none'],
  LinearAttention: ['27 query:T key:T value:T past_state?:S decay?:T beta?:T -> output:T present_state:S | T=float16 bfloat16 float32; S=float16 bfloat16 float32 | chunk_size:int=64 kv_num_heads:int! q_num_heads:int! scale:float=0.0 update_rule:string=gated_delta'],
  RotaryEmbedding: ['23 X:T cos_cache:T sin_cache:T position_ids?:M -> Y:T | T=float32 float16 bfloat16; M=int64 | interleaved:int=0 num_heads:int rotary_embedding_dim:int=0'],
} satisfies OpRows;
