/** Declarations of the ai.onnx.ml operators, made by peers/ops/schemas.py from onnx 1.23.2. */
import type { OpRows } from './schema.js';

export const ml = {
  ArrayFeatureExtractor: ['1 X:T Y:int64 -> Z:T | T=float32 float64 int64 int32 string'],
  Binarizer: ['1 X:T -> Y:T | T=float32 float64 int64 int32 | threshold:float=0.0'],
  CastMap: ['1 X:T1 -> Y:T2 | T1=map(int64,string) map(int64,float32); T2=string float32 int64 | cast_to:string=TO_FLOAT map_form:string=DENSE max_map:int=1'],
  CategoryMapper: ['1 X:T1 -> Y:T2 | T1=string int64; T2=string int64 | cats_int64s:ints cats_strings:strings default_int64:int=-1 default_string:string=_Unused'],
  DictVectorizer: ['1 X:T1 -> Y:T2 | T1=map(string,int64) map(int64,string) map(int64,float32) map(int64,float64) map(string,float32) map(string,float64); T2=int64 float32 float64 string | int64_vocabulary:ints string_vocabulary:strings'],
  FeatureVectorizer: ['1 X+:T1 -> Y:float32 | T1=int32 int64 float32 float64 | inputdimensions:ints'],
  Imputer: ['1 X:T -> Y:T | T=float32 float64 int64 int32 | imputed_value_floats:floats imputed_value_int64s:ints replaced_value_float:float=0.0 replaced_value_int64:int=0'],
  LabelEncoder: [
    '1 X:T1 -> Y:T2 | T1=string int64; T2=string int64 | classes_strings:strings default_int64:int=-1 default_string:string=_Unused',
    '2 X:T1 -> Y:T2 | T1=string int64 float32; T2=string int64 float32 | default_float:float=-0.0 default_int64:int=-1 default_string:string=_Unused keys_floats:floats keys_int64s:ints keys_strings:strings values_floats:floats values_int64s:ints values_strings:strings',
    '4 X:T1 -> Y:T2 | T1=string int64 float32 int32 int16 float64; T2=string int64 float32 int32 int16 float64 | default_float:float=-0.0 default_int64:int=-1 default_string:string=_Unused default_tensor:tensor keys_floats:floats keys_int64s:ints keys_strings:strings keys_tensor:tensor values_floats:floats values_int64s:ints values_strings:strings values_tensor:tensor',
  ],
  LinearClassifier: ['1 X:T1 -> Y:T2 Z:float32 | T1=float32 float64 int64 int32; T2=string int64 | classlabels_ints:ints classlabels_strings:strings coefficients:floats! intercepts:floats multi_class:int=0 post_transform:string=NONE'],
  LinearRegressor: ['1 X:T -> Y:float32 | T=float32 float64 int64 int32 | coefficients:floats intercepts:floats post_transform:string=NONE targets:int=1'],
  Normalizer: ['1 X:T -> Y:float32 | T=float32 float64 int64 int32 | norm:string=MAX'],
  OneHotEncoder: ['1 X:T -> Y:float32 | T=string int64 int32 float32 float64 | cats_int64s:ints cats_strings:strings zeros:int=1'],
  Scaler: ['1 X:T -> Y:float32 | T=float32 float64 int64 int32 | offset:floats scale:floats'],
  SVMClassifier: ['1 X:T1 -> Y:T2 Z:float32 | T1=float32 float64 int64 int32; T2=string int64 | classlabels_ints:ints classlabels_strings:strings coefficients:floats kernel_params:floats kernel_type:string=LINEAR post_transform:string=NONE prob_a:floats prob_b:floats rho:floats support_vectors:floats vectors_per_class:ints'],
  SVMRegressor: ['1 X:T -> Y:float32 | T=float32 float64 int64 int32 | coefficients:floats kernel_params:floats kernel_type:string=LINEAR n_supports:int=0 one_class:int=0 post_transform:string=NONE rho:floats support_vectors:floats'],
  TreeEnsemble: ['5 X:T -> Y:T | T=float | aggregate_function:int=1 leaf_targetids:ints! leaf_weights:tensor! membership_values:tensor n_targets:int nodes_falseleafs:ints! nodes_falsenodeids:ints! nodes_featureids:ints! nodes_hitrates:tensor nodes_missing_value_tracks_true:ints nodes_modes:tensor! nodes_splits:tensor! nodes_trueleafs:ints! nodes_truenodeids:ints! post_transform:int=0 tree_roots:ints!'],
  TreeEnsembleClassifier: [
    '1 X:T1 -> Y:T2 Z:float32 | T1=float32 float64 int64 int32; T2=string int64 | base_values:floats class_ids:ints class_nodeids:ints class_treeids:ints class_weights:floats classlabels_int64s:ints classlabels_strings:strings nodes_falsenodeids:ints nodes_featureids:ints nodes_hitrates:floats nodes_missing_value_tracks_true:ints nodes_modes:strings nodes_nodeids:ints nodes_treeids:ints nodes_truenodeids:ints nodes_values:floats post_transform:string=NONE',
    '3 X:T1 -> Y:T2 Z:float32 | T1=float32 float64 int64 int32; T2=string int64 | base_values:floats base_values_as_tensor:tensor class_ids:ints class_nodeids:ints class_treeids:ints class_weights:floats class_weights_as_tensor:tensor classlabels_int64s:ints classlabels_strings:strings nodes_falsenodeids:ints nodes_featureids:ints nodes_hitrates:floats nodes_hitrates_as_tensor:tensor nodes_missing_value_tracks_true:ints nodes_modes:strings nodes_nodeids:ints nodes_treeids:ints nodes_truenodeids:ints nodes_values:floats nodes_values_as_tensor:tensor post_transform:string=NONE',
    '5 deprecated',
  ],
  TreeEnsembleRegressor: [
    '1 X:T -> Y:float32 | T=float32 float64 int64 int32 | aggregate_function:string=SUM base_values:floats n_targets:int nodes_falsenodeids:ints nodes_featureids:ints nodes_hitrates:floats nodes_missing_value_tracks_true:ints nodes_modes:strings nodes_nodeids:ints nodes_treeids:ints nodes_truenodeids:ints nodes_values:floats post_transform:string=NONE target_ids:ints target_nodeids:ints target_treeids:ints target_weights:floats',
    '3 X:T -> Y:float32 | T=float32 float64 int64 int32 | aggregate_function:string=SUM base_values:floats base_values_as_tensor:tensor n_targets:int nodes_falsenodeids:ints nodes_featureids:ints nodes_hitrates:floats nodes_hitrates_as_tensor:tensor nodes_missing_value_tracks_true:ints nodes_modes:strings nodes_nodeids:ints nodes_treeids:ints nodes_truenodeids:ints nodes_values:floats nodes_values_as_tensor:tensor post_transform:string=NONE target_ids:ints target_nodeids:ints target_treeids:ints target_weights:floats target_weights_as_tensor:tensor',
    '5 deprecated',
  ],
  ZipMap: ['1 X:float32 -> Z:T | T=seq(map(string,float32) map(int64,float32)) | classlabels_int64s:ints classlabels_strings:strings'],
} satisfies OpRows;
