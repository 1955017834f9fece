"""The format, a declaration a line. Made by generate.py, which explains it, from schema.fbs: change that."""

FIRST_UNION = 126

TABLES = """\
Model version:uint operator_codes:[OperatorCode] subgraphs:[SubGraph] description:string buffers:[Buffer] metadata_buffer:[int] metadata:[Metadata] signature_defs:[SignatureDef] external_buffer_groups:[ExternalBufferGroup] external_buffers:[ExternalBuffer]
OperatorCode deprecated_builtin_code:byte custom_code:string version=1 builtin_code:BuiltinOperator
SubGraph tensors:[Tensor] inputs:[int] outputs:[int] operators:[Operator] name:string debug_metadata_index=-1
Tensor shape:[int] type:TensorType buffer:uint name:string quantization:QuantizationParameters is_variable:bool sparsity:SparsityParameters shape_signature:[int] has_rank:bool variant_tensors:[VariantSubType] external_buffer:uint
Operator opcode_index:uint inputs:[int] outputs:[int] builtin_options:BuiltinOptions custom_options:[ubyte] custom_options_format:CustomOptionsFormat mutating_variable_inputs:[bool] intermediates:[int] large_custom_options_offset:ulong large_custom_options_size:ulong builtin_options_2:BuiltinOptions2 debug_metadata_index=-1
Buffer data:[ubyte] offset:ulong size:ulong
QuantizationParameters min:[float] max:[float] scale:[float] zero_point:[long] details:QuantizationDetails quantized_dimension
CustomQuantization custom:[ubyte]
BlockwiseQuantization scales zero_points block_size block_shape:[int]
MultiAxisQuantization scales zero_points block_size quantized_dimensions:[int]
SparsityParameters traversal_order:[int] block_map:[int] dim_metadata:[DimensionMetadata]
DimensionMetadata format:DimensionType dense_size array_segments:SparseIndexVector array_indices:SparseIndexVector
Int32Vector values:[int]
Uint16Vector values:[ushort]
Uint8Vector values:[ubyte]
VariantSubType shape:[int] type:TensorType has_rank:bool
Metadata name:string buffer:uint
TensorMap name:string tensor_index:uint
SignatureDef inputs:[TensorMap] outputs:[TensorMap] signature_key:string deprecated_tag:string subgraph_index:uint
ExternalBufferGroup name:string
ExternalBuffer id:uint group:uint offset:ulong length:ulong packing:string
"""

UNIONS = """\
QuantizationDetails CustomQuantization BlockwiseQuantization MultiAxisQuantization
SparseIndexVector Int32Vector Uint16Vector Uint8Vector
"""

OPERATORS = """\
ADD:11 fused_activation_function:ActivationFunctionType pot_scale_int16:bool=1
AVERAGE_POOL_2D:5=Pool2D padding:Padding stride_w stride_h filter_width filter_height fused_activation_function:ActivationFunctionType
CONCATENATION:10 axis fused_activation_function:ActivationFunctionType
CONV_2D:1 padding:Padding stride_w stride_h fused_activation_function:ActivationFunctionType dilation_w_factor=1 dilation_h_factor=1 quantized_bias_type:TensorType
DEPTHWISE_CONV_2D: padding:Padding stride_w stride_h depth_multiplier fused_activation_function:ActivationFunctionType dilation_w_factor=1 dilation_h_factor=1
DEPTH_TO_SPACE:94 block_size
DEQUANTIZE:38
EMBEDDING_LOOKUP
FLOOR
FULLY_CONNECTED:8 fused_activation_function:ActivationFunctionType weights_format:FullyConnectedOptionsWeightsFormat keep_num_dims:bool asymmetric_quantize_inputs:bool quantized_bias_type:TensorType quant_spec:[ubyte]
HASHTABLE_LOOKUP
L2_NORMALIZATION:12=L2Norm fused_activation_function:ActivationFunctionType
L2_POOL_2D:5
LOCAL_RESPONSE_NORMALIZATION:13 radius bias:float alpha:float beta:float
LOGISTIC
LSH_PROJECTION:4=LSHProjection type:LSHProjectionType
LSTM:14=LSTM fused_activation_function:ActivationFunctionType cell_clip:float proj_clip:float kernel_type:LSTMKernelType asymmetric_quantize_inputs:bool
MAX_POOL_2D:5
MUL:21 fused_activation_function:ActivationFunctionType
RELU
RELU_N1_TO_1
RELU6
RESHAPE:17 new_shape:[int]
RESIZE_BILINEAR:15 new_height new_width align_corners:bool half_pixel_centers:bool
RNN:7=RNN fused_activation_function:ActivationFunctionType asymmetric_quantize_inputs:bool
SOFTMAX:9 beta:float
SPACE_TO_DEPTH:19 block_size
SVDF:6=SVDF rank fused_activation_function:ActivationFunctionType asymmetric_quantize_inputs:bool
TANH
CONCAT_EMBEDDINGS:3 num_channels num_columns_per_channel:[int] embedding_dim_per_channel:[int]
SKIP_GRAM:18 ngram_size max_skip_size include_all_ngrams:bool
CALL:16 subgraph:uint
CUSTOM
EMBEDDING_LOOKUP_SPARSE:20 combiner:CombinerType
PAD:22
UNIDIRECTIONAL_SEQUENCE_RNN:31=SequenceRNN time_major:bool fused_activation_function:ActivationFunctionType asymmetric_quantize_inputs:bool
GATHER:23 axis batch_dims
BATCH_TO_SPACE_ND:=BatchToSpaceND
SPACE_TO_BATCH_ND:=SpaceToBatchND
TRANSPOSE:
MEAN:=Reducer keep_dims:bool
SUB: fused_activation_function:ActivationFunctionType pot_scale_int16:bool=1
DIV: fused_activation_function:ActivationFunctionType
SQUEEZE: squeeze_dims:[int]
UNIDIRECTIONAL_SEQUENCE_LSTM:71=UnidirectionalSequenceLSTM fused_activation_function:ActivationFunctionType cell_clip:float proj_clip:float time_major:bool asymmetric_quantize_inputs:bool diagonal_recurrent_tensors:bool
STRIDED_SLICE:32 begin_mask end_mask ellipsis_mask new_axis_mask shrink_axis_mask offset:bool
BIDIRECTIONAL_SEQUENCE_RNN:70=BidirectionalSequenceRNN time_major:bool fused_activation_function:ActivationFunctionType merge_outputs:bool asymmetric_quantize_inputs:bool
EXP:33
TOPK_V2:=TopKV2
SPLIT: num_splits
LOG_SOFTMAX:
DELEGATE
BIDIRECTIONAL_SEQUENCE_LSTM:69=BidirectionalSequenceLSTM fused_activation_function:ActivationFunctionType cell_clip:float proj_clip:float merge_outputs:bool time_major:bool=1 asymmetric_quantize_inputs:bool
CAST:37 in_data_type:TensorType out_data_type:TensorType
PRELU
MAXIMUM:39=MaximumMinimum
ARG_MAX: output_type:TensorType
MINIMUM:39
LESS:41
NEG:
PADV2:=PadV2
GREATER:
GREATER_EQUAL:
LESS_EQUAL:
SELECT:
SLICE:
SIN
TRANSPOSE_CONV: padding:Padding stride_w stride_h fused_activation_function:ActivationFunctionType quantized_bias_type:TensorType
SPARSE_TO_DENSE: validate_indices:bool
TILE:
EXPAND_DIMS:
EQUAL:
NOT_EQUAL:
LOG
SUM:27
SQRT
RSQRT
SHAPE:55 out_type:TensorType
POW:
ARG_MIN: output_type:TensorType
FAKE_QUANT: min:float max:float num_bits narrow_range:bool
REDUCE_PROD:27
REDUCE_MAX:27
PACK:59 values_count axis
LOGICAL_OR:
ONE_HOT: axis
LOGICAL_AND:
LOGICAL_NOT:
UNPACK: num axis
REDUCE_MIN:27
FLOOR_DIV:65
REDUCE_ANY:27
SQUARE:66
ZEROS_LIKE:
FILL:
FLOOR_MOD:72
RANGE:
RESIZE_NEAREST_NEIGHBOR: align_corners:bool half_pixel_centers:bool
LEAKY_RELU: alpha:float
SQUARED_DIFFERENCE:
MIRROR_PAD: mode:MirrorPadMode
ABS:
SPLIT_V: num_splits
UNIQUE: idx_out_type:TensorType=2
CEIL
REVERSE_V2:
ADD_N:
GATHER_ND:
COS:
WHERE:
RANK:
ELU
REVERSE_SEQUENCE: seq_dim batch_dim
MATRIX_DIAG:
QUANTIZE:
MATRIX_SET_DIAG:
ROUND
HARD_SWISH:
IF: then_subgraph_index else_subgraph_index
WHILE: cond_subgraph_index body_subgraph_index
NON_MAX_SUPPRESSION_V4:95
NON_MAX_SUPPRESSION_V5:
SCATTER_ND:
SELECT_V2:
DENSIFY:
SEGMENT_SUM:
BATCH_MATMUL:=BatchMatMul adj_x:bool adj_y:bool asymmetric_quantize_inputs:bool
PLACEHOLDER_FOR_GREATER_OP_CODES
CUMSUM: exclusive:bool reverse:bool
CALL_ONCE: init_subgraph_index
BROADCAST_TO:
RFFT2D:=Rfft2d
CONV_3D: padding:Padding stride_d stride_w stride_h fused_activation_function:ActivationFunctionType dilation_d_factor=1 dilation_w_factor=1 dilation_h_factor=1
IMAG
REAL
COMPLEX_ABS
HASHTABLE: table_id key_dtype:TensorType value_dtype:TensorType
HASHTABLE_FIND:
HASHTABLE_IMPORT:
HASHTABLE_SIZE:
REDUCE_ALL:27
CONV_3D_TRANSPOSE:106
VAR_HANDLE:111 container:string shared_name:string
READ_VARIABLE:
ASSIGN_VARIABLE:
BROADCAST_ARGS
RANDOM_STANDARD_NORMAL:=Random seed:long seed2:long
BUCKETIZE: boundaries:[float]
RANDOM_UNIFORM:114
MULTINOMIAL:114
GELU:116 approximate:bool
DYNAMIC_UPDATE_SLICE:
RELU_0_TO_1
UNSORTED_SEGMENT_PROD:
UNSORTED_SEGMENT_MAX:
UNSORTED_SEGMENT_SUM:121
ATAN2:=ATan2
UNSORTED_SEGMENT_MIN:120
SIGN:123
BITCAST:
BITWISE_XOR:
RIGHT_SHIFT:
STABLEHLO_LOGISTIC
STABLEHLO_ADD
STABLEHLO_DIVIDE
STABLEHLO_MULTIPLY
STABLEHLO_MAXIMUM
STABLEHLO_RESHAPE
STABLEHLO_CLAMP
STABLEHLO_CONCATENATE: dimension:long
STABLEHLO_BROADCAST_IN_DIM: broadcast_dimensions:[long]
STABLEHLO_CONVOLUTION:130 window_strides:[long] padding:[long] lhs_dilation:[long] rhs_dilation:[long] window_reversal:[bool] input_batch_dimension:long input_feature_dimension:long input_spatial_dimensions:[long] kernel_input_feature_dimension:long kernel_output_feature_dimension:long kernel_spatial_dimensions:[long] output_batch_dimension:long output_feature_dimension:long output_spatial_dimensions:[long] feature_group_count:long batch_group_count:long precision_config:[StablehloPrecisionConfig]
STABLEHLO_SLICE:129 start_indices:[long] limit_indices:[long] strides:[long]
STABLEHLO_CUSTOM_CALL:131 call_target_name:string has_side_effect:bool backend_config:string api_version called_computations:[int] custom_attributes:[ubyte]
STABLEHLO_REDUCE: dimensions:[long] body_subgraph_index
STABLEHLO_ABS
STABLEHLO_AND
STABLEHLO_COSINE
STABLEHLO_EXPONENTIAL
STABLEHLO_FLOOR
STABLEHLO_LOG
STABLEHLO_MINIMUM
STABLEHLO_NEGATE
STABLEHLO_OR
STABLEHLO_POWER
STABLEHLO_REMAINDER
STABLEHLO_RSQRT
STABLEHLO_SELECT
STABLEHLO_SUBTRACT
STABLEHLO_TANH
STABLEHLO_SCATTER: indices_are_sorted:bool update_window_dims:[long] inserted_window_dims:[long] scatter_dims_to_operand_dims:[long] index_vector_dim:long unique_indices:bool update_computation_subgraph_index
STABLEHLO_COMPARE: comparison_direction:StablehloComparisonDirection compare_type:StablehloComparisonType
STABLEHLO_CONVERT
STABLEHLO_DYNAMIC_SLICE: slice_sizes:[long]
STABLEHLO_DYNAMIC_UPDATE_SLICE
STABLEHLO_PAD: edge_padding_low:[long] edge_padding_high:[long] interior_padding:[long]
STABLEHLO_IOTA: iota_dimension:long
STABLEHLO_DOT_GENERAL: lhs_batching_dimensions:[long] rhs_batching_dimensions:[long] lhs_contracting_dimensions:[long] rhs_contracting_dimensions:[long] precision_config:[StablehloPrecisionConfig]
STABLEHLO_REDUCE_WINDOW: window_dimensions:[long] window_strides:[long] base_dilations:[long] window_dilations:[long] padding:[long] body_subgraph_index
STABLEHLO_SORT: dimension:long is_stable:bool comparator_subgraph_index
STABLEHLO_WHILE: cond_subgraph_index body_subgraph_index
STABLEHLO_GATHER: offset_dims:[long] collapsed_slice_dims:[long] start_index_map:[long] index_vector_dim:long slice_sizes:[long] indices_are_sorted:bool
STABLEHLO_TRANSPOSE: permutation:[long]
DILATE:
STABLEHLO_RNG_BIT_GENERATOR: algorithm:RngAlgorithm
REDUCE_WINDOW: reduce_function:ReduceWindowFunction
STABLEHLO_COMPOSITE:=StableHLOComposite name:string decomposition_subgraph_index composite_attributes:[ubyte] composite_attributes_format:CustomOptionsFormat version
STABLEHLO_SHIFT_LEFT:
STABLEHLO_CBRT
STABLEHLO_CASE: branch_subgraph_indices:[int]
"""

ENUMS = """\
TensorType byte FLOAT32 FLOAT16 INT32 UINT8 INT64 STRING BOOL INT16 COMPLEX64 INT8 FLOAT64 COMPLEX128 UINT64 RESOURCE VARIANT UINT32 UINT16 INT4 BFLOAT16 INT2 UINT4 FLOAT8_E4M3FN FLOAT8_E5M2
DimensionType byte DENSE SPARSE_CSR
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
