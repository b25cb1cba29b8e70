/** Declarations of the text operators, made by peers/ops/schemas.py from onnx 1.23.2. */
import type { OpRows } from './schema.js';

export const text = {
  RegexFullMatch: ['20 X:T1 -> Y:T2 | T1=string; T2=bool | pattern:string'],
  StringConcat: ['20 X:T Y:T -> Z:T | T=string'],
  StringNormalizer: ['10 X:string -> Y:string |  | case_change_action:string=NONE is_case_sensitive:int=0 locale:string stopwords:strings'],
  StringSplit: ['20 X:T1 -> Y:T2 Z:T3 | T1=string; T2=string; T3=int64 | delimiter:string maxsplit:int'],
  TfIdfVectorizer: ['9 X:T -> Y:T1 | T=string int32 int64; T1=float32 | max_gram_length:int! max_skip_count:int! min_gram_length:int! mode:string! ngram_counts:ints! ngram_indexes:ints! pool_int64s:ints pool_strings:strings weights:floats'],
} satisfies OpRows;
