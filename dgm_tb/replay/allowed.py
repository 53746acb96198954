"""The ATen ops that a tape may call: arithmetic on tensors, and nothing that reaches out of them."""

from __future__ import annotations

import re
from typing import Final

# Left out on purpose: whatever opens files, names or manages devices, resizes or rebinds storages, skips bounds
# checks, asserts, prints, or reads raw memory (`from_file`, `record_stream`, `set_`, `resize_`, `_unsafe_index`, …).
# An in-place variant (`relu_`) and an op's own backward formula (`tanh_backward`, met where a loss contains gradients)
# are as harmless as the op.
_ARITHMETIC: Final = """
abs absolute acos acosh add addbmm addcdiv addcmul addmm addmv addr all amax amin aminmax angle any arange arccos
arccosh arcsin arcsinh arctan arctan2 arctanh argmax argmin argsort asin asinh atan atan2 atanh baddbmm bitwise_and
bitwise_left_shift bitwise_not bitwise_or bitwise_right_shift bitwise_xor bmm bucketize cat cdist _cdist_forward ceil
celu cholesky_inverse cholesky_solve clamp clamp_max clamp_min clip complex conj _conj _conj_physical conj_physical
copysign cos cosh count_nonzero cross cummax cummin cumprod cumsum deg2rad digamma dist div divide dot elu eq equal erf
erfc erfinv exp exp2 expm1 eye floor floor_divide fmax fmin fmod frac gcd ge gelu glu greater greater_equal gt
hardshrink hardsigmoid hardswish hardtanh heaviside hypot i0 imag inverse isfinite isin isinf isnan isneginf isposinf
kthvalue lcm ldexp le leaky_relu lerp less less_equal lgamma linalg_vector_norm linalg_cholesky_ex linalg_cross
_linalg_det linalg_eig _linalg_eigh linalg_householder_product linalg_inv_ex linalg_lu linalg_lu_factor_ex
linalg_matrix_exp linalg_qr _linalg_slogdet _linalg_solve_ex linalg_solve_triangular _linalg_svd log log10 log1p log2
logaddexp logaddexp2 _logcumsumexp logcumsumexp logical_and logical_not logical_or logical_xor logit log_sigmoid_forward
logspace linspace logsumexp lt matmul max maximum mean median min minimum mish mm mode mul multiply mv mvlgamma
nan_to_num nanmean nanmedian nansum ne neg negative nextafter norm not_equal polar polygamma positive pow prod rad2deg
real reciprocal relu relu6 remainder round rsqrt rsub searchsorted selu sgn sigmoid sign signbit silu sin sinc sinh
softplus softshrink sort special_entr special_erfcx special_i0e special_i1 special_i1e special_log_ndtr special_ndtri
special_xlog1py special_zeta sqrt square std std_mean sub subtract sum tan tanh threshold topk trace true_divide
trunc var var_mean vdot xlogy
__and__ __iand__ __ior__ __ixor__ __or__ __xor__ __lshift__ __rshift__
"""
_SHAPE: Final = """
alias as_strided broadcast_to chunk clone contiguous copy detach diag diag_embed diagonal diagonal_scatter expand
expand_as fill fill_diagonal flatten flip gather index index_add index_copy index_fill index_put _index_put_impl
index_reduce index_select lift_fresh masked_fill masked_scatter masked_select movedim narrow nonzero one_hot permute
pixel_shuffle pixel_unshuffle repeat repeat_interleave reshape _reshape_alias roll rot90 scatter scatter_add
scatter_reduce select select_scatter slice slice_scatter split split_with_sizes squeeze stack _stack t take
take_along_dim tile _to_copy to transpose tril tril_indices triu triu_indices unbind unflatten unfold _unsafe_view
unsafe_chunk unsafe_split unsafe_split_with_sizes unsqueeze view view_as view_as_complex view_as_real where zero
col2im im2col constant_pad_nd reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d replication_pad2d
replication_pad3d channel_shuffle native_channel_shuffle _unique _unique2 unique_dim unique_consecutive bincount histc
empty empty_like empty_strided empty_permuted full full_like new_empty new_empty_strided new_full new_ones new_zeros
ones ones_like zeros zeros_like scalar_tensor _local_scalar_dense item _efficientzerotensor _neg_view resolve_conj
resolve_neg _fft_c2c _fft_c2r _fft_r2c value_selecting_reduction embedding_dense
"""
_NETWORKS: Final = """
_adaptive_avg_pool2d _adaptive_avg_pool3d adaptive_max_pool2d adaptive_max_pool3d avg_pool1d avg_pool2d avg_pool3d
adaptive_avg_pool1d adaptive_avg_pool2d max_pool2d_with_indices max_pool3d_with_indices max_unpool2d max_unpool3d
fractional_max_pool2d fractional_max_pool3d binary_cross_entropy binary_cross_entropy_with_logits convolution
_convolution convolution_overrideable cudnn_convolution cudnn_convolution_transpose miopen_convolution
mkldnn_convolution _slow_conv2d_forward slow_conv3d_forward _conv_depthwise2d conv_depthwise3d conv_tbc
_ctc_loss embedding _embedding_bag _embedding_bag_forward_only embedding_renorm grid_sampler_2d grid_sampler_3d
affine_grid_generator huber_loss linear _log_softmax _softmax _safe_softmax mse_loss smooth_l1_loss soft_margin_loss
multi_margin_loss multilabel_margin_loss_forward nll_loss_forward nll_loss2d_forward l1_loss kl_div _masked_softmax
native_batch_norm _native_batch_norm_legit _native_batch_norm_legit_functional _native_batch_norm_legit_no_training
_batch_norm_with_update _batch_norm_with_update_functional _batch_norm_no_update cudnn_batch_norm miopen_batch_norm
native_group_norm native_layer_norm _fused_rms_norm rms_norm native_dropout _prelu_kernel _pdist_forward
_thnn_fused_gru_cell _thnn_fused_lstm_cell mkldnn_rnn_layer _cudnn_rnn lstm gru gru_cell lstm_cell rnn_tanh rnn_relu
rnn_tanh_cell rnn_relu_cell _pack_padded_sequence _weight_norm_interface _weight_norm renorm _trilinear bilinear
_scaled_dot_product_attention_math _scaled_dot_product_flash_attention_for_cpu _scaled_dot_product_flash_attention
_scaled_dot_product_efficient_attention _scaled_dot_product_cudnn_attention _fused_sdp_choice
_transform_bias_rescale_qkv _native_multi_head_attention _transformer_encoder_layer_fwd
upsample_bicubic2d upsample_bilinear2d upsample_linear1d upsample_nearest1d upsample_nearest2d upsample_nearest3d
upsample_trilinear3d _upsample_nearest_exact1d _upsample_nearest_exact2d _upsample_nearest_exact3d
_upsample_bilinear2d_aa _upsample_bicubic2d_aa
_foreach_add _foreach_sub _foreach_mul _foreach_div _foreach_lerp _foreach_norm _foreach_copy _foreach_zero
_foreach_addcmul _foreach_addcdiv _foreach_sqrt _foreach_pow _foreach_neg _foreach_abs _foreach_clamp_min
_amp_foreach_non_finite_check_and_unscale
"""
_RANDOM: Final = """
bernoulli binomial cauchy exponential geometric log_normal multinomial normal normal_functional poisson rand rand_like
randint randint_like randn randn_like random randperm rrelu_with_noise _sample_dirichlet _standard_gamma uniform
dropout alpha_dropout feature_dropout feature_alpha_dropout _fused_dropout
"""
# Backward formulas whose names do not follow from the op's.
_BACKWARD: Final = """
_softmax_backward_data _log_softmax_backward_data select_backward slice_backward diagonal_backward trace_backward
unfold_backward index_select_backward masked_select_backward nll_loss_backward nll_loss2d_backward
multilabel_margin_loss_backward convolution_backward _convolution_double_backward native_batch_norm_backward
native_layer_norm_backward native_group_norm_backward embedding_dense_backward _cdist_backward _pdist_backward
max_pool2d_with_indices_backward max_pool3d_with_indices_backward infinitely_differentiable_gelu_backward glu_jvp
log_sigmoid_backward _ctc_loss_backward cummaxmin_backward _weight_norm_interface_backward
_weight_norm_differentiable_backward _thnn_fused_lstm_cell_backward _thnn_fused_lstm_cell_backward_impl
_thnn_fused_gru_cell_backward batch_norm_backward _embedding_bag_dense_backward
_fused_rms_norm_backward native_dropout_backward
"""

OPS: Final = frozenset(" ".join((_ARITHMETIC, _SHAPE, _NETWORKS, _RANDOM, _BACKWARD)).split())

_NAME: Final = re.compile(r"aten\.(?P<base>[A-Za-z0-9_]{1,64}?)\.(?P<overload>[A-Za-z0-9_]{1,64})")


def is_allowed(name: str) -> bool:
    """Whether ``name``, such as ``aten.add.Tensor``, may be called; an in-place or backward variant of one may too."""
    match = _NAME.fullmatch(name)
    if match is None:
        return False
    base = match["base"]
    return base in OPS or base.removesuffix("_") in OPS or base.removesuffix("_backward") in OPS
