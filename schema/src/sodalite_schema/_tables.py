# SPDX-License-Identifier: Apache-2.0
# Made by generate.py from schema.fbs: change that file and run it again.
"""The format's tables as text, one declaration a line; `_types.py` reads them.

ENUMS: name, base type, members counted from 0; :n after an operator is the tag of its options table, negative in
BuiltinOptions2. UNIONS: name, members counted from 1. TABLES: name, then field:type[=default][@alignment] in slot
order, where a union takes two slots. BUILTIN_OPTIONS, BUILTIN_OPTIONS_2: tables that are a union's members, in its order.
"""

ENUMS = """\
TensorType byte FLOAT32 FLOAT16 INT32 UINT8 INT64 STRING BOOL INT16 COMPLEX64 INT8 FLOAT64 COMPLEX128 UINT64 RESOURCE VARIANT UINT32 UINT16 INT4 BFLOAT16 INT2 UINT4 FLOAT8_E4M3FN FLOAT8_E5M2
DimensionType byte DENSE SPARSE_CSR
BuiltinOperator int ADD:11 AVERAGE_POOL_2D:5 CONCATENATION:10 CONV_2D:1 DEPTHWISE_CONV_2D:2 DEPTH_TO_SPACE:94 DEQUANTIZE:38 EMBEDDING_LOOKUP FLOOR FULLY_CONNECTED:8 HASHTABLE_LOOKUP L2_NORMALIZATION:12 L2_POOL_2D:5 LOCAL_RESPONSE_NORMALIZATION:13 LOGISTIC LSH_PROJECTION:4 LSTM:14 MAX_POOL_2D:5 MUL:21 RELU RELU_N1_TO_1 RELU6 RESHAPE:17 RESIZE_BILINEAR:15 RNN:7 SOFTMAX:9 SPACE_TO_DEPTH:19 SVDF:6 TANH CONCAT_EMBEDDINGS:3 SKIP_GRAM:18 CALL:16 CUSTOM EMBEDDING_LOOKUP_SPARSE:20 PAD:22 UNIDIRECTIONAL_SEQUENCE_RNN:31 GATHER:23 BATCH_TO_SPACE_ND:24 SPACE_TO_BATCH_ND:25 TRANSPOSE:26 MEAN:27 SUB:28 DIV:29 SQUEEZE:30 UNIDIRECTIONAL_SEQUENCE_LSTM:71 STRIDED_SLICE:32 BIDIRECTIONAL_SEQUENCE_RNN:70 EXP:33 TOPK_V2:34 SPLIT:35 LOG_SOFTMAX:36 DELEGATE BIDIRECTIONAL_SEQUENCE_LSTM:69 CAST:37 PRELU MAXIMUM:39 ARG_MAX:40 MINIMUM:39 LESS:41 NEG:42 PADV2:43 GREATER:44 GREATER_EQUAL:45 LESS_EQUAL:46 SELECT:47 SLICE:48 SIN TRANSPOSE_CONV:49 SPARSE_TO_DENSE:50 TILE:51 EXPAND_DIMS:52 EQUAL:53 NOT_EQUAL:54 LOG SUM:27 SQRT RSQRT SHAPE:55 POW:56 ARG_MIN:57 FAKE_QUANT:58 REDUCE_PROD:27 REDUCE_MAX:27 PACK:59 LOGICAL_OR:60 ONE_HOT:61 LOGICAL_AND:62 LOGICAL_NOT:63 UNPACK:64 REDUCE_MIN:27 FLOOR_DIV:65 REDUCE_ANY:27 SQUARE:66 ZEROS_LIKE:67 FILL:68 FLOOR_MOD:72 RANGE:73 RESIZE_NEAREST_NEIGHBOR:74 LEAKY_RELU:75 SQUARED_DIFFERENCE:76 MIRROR_PAD:77 ABS:78 SPLIT_V:79 UNIQUE:80 CEIL REVERSE_V2:81 ADD_N:82 GATHER_ND:83 COS:84 WHERE:85 RANK:86 ELU REVERSE_SEQUENCE:87 MATRIX_DIAG:88 QUANTIZE:89 MATRIX_SET_DIAG:90 ROUND HARD_SWISH:91 IF:92 WHILE:93 NON_MAX_SUPPRESSION_V4:95 NON_MAX_SUPPRESSION_V5:96 SCATTER_ND:97 SELECT_V2:98 DENSIFY:99 SEGMENT_SUM:100 BATCH_MATMUL:101 PLACEHOLDER_FOR_GREATER_OP_CODES CUMSUM:102 CALL_ONCE:103 BROADCAST_TO:104 RFFT2D:105 CONV_3D:106 IMAG REAL COMPLEX_ABS HASHTABLE:107 HASHTABLE_FIND:108 HASHTABLE_IMPORT:109 HASHTABLE_SIZE:110 REDUCE_ALL:27 CONV_3D_TRANSPOSE:106 VAR_HANDLE:111 READ_VARIABLE:112 ASSIGN_VARIABLE:113 BROADCAST_ARGS RANDOM_STANDARD_NORMAL:114 BUCKETIZE:115 RANDOM_UNIFORM:114 MULTINOMIAL:114 GELU:116 DYNAMIC_UPDATE_SLICE:117 RELU_0_TO_1 UNSORTED_SEGMENT_PROD:118 UNSORTED_SEGMENT_MAX:119 UNSORTED_SEGMENT_SUM:121 ATAN2:122 UNSORTED_SEGMENT_MIN:120 SIGN:123 BITCAST:124 BITWISE_XOR:125 RIGHT_SHIFT:126 STABLEHLO_LOGISTIC STABLEHLO_ADD STABLEHLO_DIVIDE STABLEHLO_MULTIPLY STABLEHLO_MAXIMUM STABLEHLO_RESHAPE STABLEHLO_CLAMP STABLEHLO_CONCATENATE:-1 STABLEHLO_BROADCAST_IN_DIM:-2 STABLEHLO_CONVOLUTION:-4 STABLEHLO_SLICE:-3 STABLEHLO_CUSTOM_CALL:-5 STABLEHLO_REDUCE:-6 STABLEHLO_ABS STABLEHLO_AND STABLEHLO_COSINE STABLEHLO_EXPONENTIAL STABLEHLO_FLOOR STABLEHLO_LOG STABLEHLO_MINIMUM STABLEHLO_NEGATE STABLEHLO_OR STABLEHLO_POWER STABLEHLO_REMAINDER STABLEHLO_RSQRT STABLEHLO_SELECT STABLEHLO_SUBTRACT STABLEHLO_TANH STABLEHLO_SCATTER:-7 STABLEHLO_COMPARE:-8 STABLEHLO_CONVERT STABLEHLO_DYNAMIC_SLICE:-9 STABLEHLO_DYNAMIC_UPDATE_SLICE STABLEHLO_PAD:-10 STABLEHLO_IOTA:-11 STABLEHLO_DOT_GENERAL:-12 STABLEHLO_REDUCE_WINDOW:-13 STABLEHLO_SORT:-14 STABLEHLO_WHILE:-15 STABLEHLO_GATHER:-16 STABLEHLO_TRANSPOSE:-17 DILATE:-18 STABLEHLO_RNG_BIT_GENERATOR:-19 REDUCE_WINDOW:-20 STABLEHLO_COMPOSITE:-21 STABLEHLO_SHIFT_LEFT:-22 STABLEHLO_CBRT STABLEHLO_CASE:-23
StablehloPrecisionConfig uint DEFAULT HIGH HIGHEST
StablehloComparisonDirection uint STABLEHLO_COMPARISON_DIRECTION_EQ STABLEHLO_COMPARISON_DIRECTION_NE STABLEHLO_COMPARISON_DIRECTION_GE STABLEHLO_COMPARISON_DIRECTION_GT STABLEHLO_COMPARISON_DIRECTION_LE STABLEHLO_COMPARISON_DIRECTION_LT
StablehloComparisonType uint STABLEHLO_COMPARISON_TYPE_NOTYPE STABLEHLO_COMPARISON_TYPE_FLOAT STABLEHLO_COMPARISON_TYPE_FLOAT_TOTAL_ORDER STABLEHLO_COMPARISON_TYPE_SIGNED STABLEHLO_COMPARISON_TYPE_UNSIGNED
RngAlgorithm byte DEFAULT PHILOX THREEFRY
Padding byte SAME VALID
ActivationFunctionType byte NONE RELU RELU_N1_TO_1 RELU6 TANH SIGN_BIT
LSHProjectionType byte UNKNOWN SPARSE DENSE
FullyConnectedOptionsWeightsFormat byte DEFAULT SHUFFLED4x16INT8
LSTMKernelType byte FULL BASIC
CombinerType byte SUM MEAN SQRTN
MirrorPadMode byte REFLECT SYMMETRIC
ReduceWindowFunction int UNSUPPORTED ADD MUL MINIMUM MAXIMUM ALL ANY
CustomOptionsFormat byte FLEXBUFFERS
"""

UNIONS = """\
QuantizationDetails CustomQuantization BlockwiseQuantization MultiAxisQuantization
SparseIndexVector Int32Vector Uint16Vector Uint8Vector
"""

TABLES = """\
Model version:uint operator_codes:[OperatorCode] subgraphs:[SubGraph] description:string buffers:[Buffer] metadata_buffer:[int] metadata:[Metadata] signature_defs:[SignatureDef] external_buffer_groups:[ExternalBufferGroup] external_buffers:[ExternalBuffer]
OperatorCode deprecated_builtin_code:byte custom_code:string version:int=1 builtin_code:BuiltinOperator
SubGraph tensors:[Tensor] inputs:[int] outputs:[int] operators:[Operator] name:string debug_metadata_index:int=-1
Tensor shape:[int] type:TensorType buffer:uint name:string quantization:QuantizationParameters is_variable:bool sparsity:SparsityParameters shape_signature:[int] has_rank:bool variant_tensors:[VariantSubType] external_buffer:uint
Operator opcode_index:uint inputs:[int] outputs:[int] builtin_options:BuiltinOptions custom_options:[ubyte] custom_options_format:CustomOptionsFormat mutating_variable_inputs:[bool] intermediates:[int] large_custom_options_offset:ulong large_custom_options_size:ulong builtin_options_2:BuiltinOptions2 debug_metadata_index:int=-1
Buffer data:[ubyte]@16 offset:ulong size:ulong
QuantizationParameters min:[float] max:[float] scale:[float] zero_point:[long] details:QuantizationDetails quantized_dimension:int
CustomQuantization custom:[ubyte]@16
BlockwiseQuantization scales:int zero_points:int block_size:int block_shape:[int]
MultiAxisQuantization scales:int zero_points:int block_size:int quantized_dimensions:[int]
SparsityParameters traversal_order:[int] block_map:[int] dim_metadata:[DimensionMetadata]
DimensionMetadata format:DimensionType dense_size:int array_segments:SparseIndexVector array_indices:SparseIndexVector
Int32Vector values:[int]
Uint16Vector values:[ushort]@4
Uint8Vector values:[ubyte]@4
VariantSubType shape:[int] type:TensorType has_rank:bool
Metadata name:string buffer:uint
TensorMap name:string tensor_index:uint
SignatureDef inputs:[TensorMap] outputs:[TensorMap] signature_key:string deprecated_tag:string subgraph_index:uint
ExternalBufferGroup name:string
ExternalBuffer id:uint group:uint offset:ulong length:ulong packing:string
"""

BUILTIN_OPTIONS = """\
Conv2DOptions padding:Padding stride_w:int stride_h:int fused_activation_function:ActivationFunctionType dilation_w_factor:int=1 dilation_h_factor:int=1 quantized_bias_type:TensorType
DepthwiseConv2DOptions padding:Padding stride_w:int stride_h:int depth_multiplier:int fused_activation_function:ActivationFunctionType dilation_w_factor:int=1 dilation_h_factor:int=1
ConcatEmbeddingsOptions num_channels:int num_columns_per_channel:[int] embedding_dim_per_channel:[int]
LSHProjectionOptions type:LSHProjectionType
Pool2DOptions padding:Padding stride_w:int stride_h:int filter_width:int filter_height:int fused_activation_function:ActivationFunctionType
SVDFOptions rank:int fused_activation_function:ActivationFunctionType asymmetric_quantize_inputs:bool
RNNOptions fused_activation_function:ActivationFunctionType asymmetric_quantize_inputs:bool
FullyConnectedOptions fused_activation_function:ActivationFunctionType weights_format:FullyConnectedOptionsWeightsFormat keep_num_dims:bool asymmetric_quantize_inputs:bool quantized_bias_type:TensorType quant_spec:[ubyte]
SoftmaxOptions beta:float
ConcatenationOptions axis:int fused_activation_function:ActivationFunctionType
AddOptions fused_activation_function:ActivationFunctionType pot_scale_int16:bool=true
L2NormOptions fused_activation_function:ActivationFunctionType
LocalResponseNormalizationOptions radius:int bias:float alpha:float beta:float
LSTMOptions fused_activation_function:ActivationFunctionType cell_clip:float proj_clip:float kernel_type:LSTMKernelType asymmetric_quantize_inputs:bool
ResizeBilinearOptions new_height:int new_width:int align_corners:bool half_pixel_centers:bool
CallOptions subgraph:uint
ReshapeOptions new_shape:[int]
SkipGramOptions ngram_size:int max_skip_size:int include_all_ngrams:bool
SpaceToDepthOptions block_size:int
EmbeddingLookupSparseOptions combiner:CombinerType
MulOptions fused_activation_function:ActivationFunctionType
PadOptions
GatherOptions axis:int batch_dims:int
BatchToSpaceNDOptions
SpaceToBatchNDOptions
TransposeOptions
ReducerOptions keep_dims:bool
SubOptions fused_activation_function:ActivationFunctionType pot_scale_int16:bool=true
DivOptions fused_activation_function:ActivationFunctionType
SqueezeOptions squeeze_dims:[int]
SequenceRNNOptions time_major:bool fused_activation_function:ActivationFunctionType asymmetric_quantize_inputs:bool
StridedSliceOptions begin_mask:int end_mask:int ellipsis_mask:int new_axis_mask:int shrink_axis_mask:int offset:bool
ExpOptions
TopKV2Options
SplitOptions num_splits:int
LogSoftmaxOptions
CastOptions in_data_type:TensorType out_data_type:TensorType
DequantizeOptions
MaximumMinimumOptions
ArgMaxOptions output_type:TensorType
LessOptions
NegOptions
PadV2Options
GreaterOptions
GreaterEqualOptions
LessEqualOptions
SelectOptions
SliceOptions
TransposeConvOptions padding:Padding stride_w:int stride_h:int fused_activation_function:ActivationFunctionType quantized_bias_type:TensorType
SparseToDenseOptions validate_indices:bool
TileOptions
ExpandDimsOptions
EqualOptions
NotEqualOptions
ShapeOptions out_type:TensorType
PowOptions
ArgMinOptions output_type:TensorType
FakeQuantOptions min:float max:float num_bits:int narrow_range:bool
PackOptions values_count:int axis:int
LogicalOrOptions
OneHotOptions axis:int
LogicalAndOptions
LogicalNotOptions
UnpackOptions num:int axis:int
FloorDivOptions
SquareOptions
ZerosLikeOptions
FillOptions
BidirectionalSequenceLSTMOptions fused_activation_function:ActivationFunctionType cell_clip:float proj_clip:float merge_outputs:bool time_major:bool=true asymmetric_quantize_inputs:bool
BidirectionalSequenceRNNOptions time_major:bool fused_activation_function:ActivationFunctionType merge_outputs:bool asymmetric_quantize_inputs:bool
UnidirectionalSequenceLSTMOptions fused_activation_function:ActivationFunctionType cell_clip:float proj_clip:float time_major:bool asymmetric_quantize_inputs:bool diagonal_recurrent_tensors:bool
FloorModOptions
RangeOptions
ResizeNearestNeighborOptions align_corners:bool half_pixel_centers:bool
LeakyReluOptions alpha:float
SquaredDifferenceOptions
MirrorPadOptions mode:MirrorPadMode
AbsOptions
SplitVOptions num_splits:int
UniqueOptions idx_out_type:TensorType=2
ReverseV2Options
AddNOptions
GatherNdOptions
CosOptions
WhereOptions
RankOptions
ReverseSequenceOptions seq_dim:int batch_dim:int
MatrixDiagOptions
QuantizeOptions
MatrixSetDiagOptions
HardSwishOptions
IfOptions then_subgraph_index:int else_subgraph_index:int
WhileOptions cond_subgraph_index:int body_subgraph_index:int
DepthToSpaceOptions block_size:int
NonMaxSuppressionV4Options
NonMaxSuppressionV5Options
ScatterNdOptions
SelectV2Options
DensifyOptions
SegmentSumOptions
BatchMatMulOptions adj_x:bool adj_y:bool asymmetric_quantize_inputs:bool
CumsumOptions exclusive:bool reverse:bool
CallOnceOptions init_subgraph_index:int
BroadcastToOptions
Rfft2dOptions
Conv3DOptions padding:Padding stride_d:int stride_w:int stride_h:int fused_activation_function:ActivationFunctionType dilation_d_factor:int=1 dilation_w_factor:int=1 dilation_h_factor:int=1
HashtableOptions table_id:int key_dtype:TensorType value_dtype:TensorType
HashtableFindOptions
HashtableImportOptions
HashtableSizeOptions
VarHandleOptions container:string shared_name:string
ReadVariableOptions
AssignVariableOptions
RandomOptions seed:long seed2:long
BucketizeOptions boundaries:[float]
GeluOptions approximate:bool
DynamicUpdateSliceOptions
UnsortedSegmentProdOptions
UnsortedSegmentMaxOptions
UnsortedSegmentMinOptions
UnsortedSegmentSumOptions
ATan2Options
SignOptions
BitcastOptions
BitwiseXorOptions
RightShiftOptions
"""

BUILTIN_OPTIONS_2 = """\
StablehloConcatenateOptions dimension:long
StablehloBroadcastInDimOptions broadcast_dimensions:[long]
StablehloSliceOptions start_indices:[long] limit_indices:[long] strides:[long]
StablehloConvolutionOptions window_strides:[long] padding:[long] lhs_dilation:[long] rhs_dilation:[long] window_reversal:[bool] input_batch_dimension:long input_feature_dimension:long input_spatial_dimensions:[long] kernel_input_feature_dimension:long kernel_output_feature_dimension:long kernel_spatial_dimensions:[long] output_batch_dimension:long output_feature_dimension:long output_spatial_dimensions:[long] feature_group_count:long batch_group_count:long precision_config:[StablehloPrecisionConfig]
StablehloCustomCallOptions call_target_name:string has_side_effect:bool backend_config:string api_version:int called_computations:[int] custom_attributes:[ubyte]
StablehloReduceOptions dimensions:[long] body_subgraph_index:int
StablehloScatterOptions indices_are_sorted:bool update_window_dims:[long] inserted_window_dims:[long] scatter_dims_to_operand_dims:[long] index_vector_dim:long unique_indices:bool update_computation_subgraph_index:int
StablehloCompareOptions comparison_direction:StablehloComparisonDirection compare_type:StablehloComparisonType
StablehloDynamicSliceOptions slice_sizes:[long]
StablehloPadOptions edge_padding_low:[long] edge_padding_high:[long] interior_padding:[long]
StablehloIotaOptions iota_dimension:long
StablehloDotGeneralOptions lhs_batching_dimensions:[long] rhs_batching_dimensions:[long] lhs_contracting_dimensions:[long] rhs_contracting_dimensions:[long] precision_config:[StablehloPrecisionConfig]
StablehloReduceWindowOptions window_dimensions:[long] window_strides:[long] base_dilations:[long] window_dilations:[long] padding:[long] body_subgraph_index:int
StablehloSortOptions dimension:long is_stable:bool comparator_subgraph_index:int
StablehloWhileOptions cond_subgraph_index:int body_subgraph_index:int
StablehloGatherOptions offset_dims:[long] collapsed_slice_dims:[long] start_index_map:[long] index_vector_dim:long slice_sizes:[long] indices_are_sorted:bool
StablehloTransposeOptions permutation:[long]
DilateOptions
StablehloRngBitGeneratorOptions algorithm:RngAlgorithm
ReduceWindowOptions reduce_function:ReduceWindowFunction
StableHLOCompositeOptions name:string decomposition_subgraph_index:int composite_attributes:[ubyte] composite_attributes_format:CustomOptionsFormat version:int
StablehloShiftLeftOptions
StablehloCaseOptions branch_subgraph_indices:[int]
"""
