#!/usr/bin/env python3
"""Makes testdata/packed: weights that real tools have packed, and what the tools make of them again.
    tools/packed_goldens.py OUT
Needs torch, transformers 4.57 (block FP8 as torch casts it, MXFP4), compressed-tensors, auto-round or modelopt; makes what it can."""
import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

OUT, IN, BLOCK = 20, 64, (16, 24)  # the last blocks are smaller
torch.manual_seed(17)


def store(out, name, quantization, tensors):
    folder = Path(out) / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"quantization_config": quantization}, indent=1) + "\n")
    save_file({key: value.contiguous() for key, value in tensors.items()}, folder / "model.safetensors")


def block_fp8(out):
    weight = torch.randn(OUT, IN)
    rows, columns = -(-OUT // BLOCK[0]), -(-IN // BLOCK[1])
    scales = torch.rand(rows, columns) * 0.01 + 0.001
    wide = scales.repeat_interleave(BLOCK[0], 0)[:OUT].repeat_interleave(BLOCK[1], 1)[:, :IN]
    codes = (weight / wide).clamp(-448, 448).to(torch.float8_e4m3fn)
    codes.view(torch.uint8)[0, :16] = torch.tensor([0, 1, 7, 8, 126, 128, 129, 135, 136, 254, 9, 15, 16, 127 - 8, 2, 3],
                                                   dtype=torch.uint8)
    store(out, "block_fp8", {"quant_method": "fp8", "weight_block_size": list(BLOCK), "activation_scheme": "dynamic"},
          {"op.weight": codes, "op.weight_scale_inv": scales, "want": codes.to(torch.float32) * wide})


def mxfp4(out):
    from transformers.integrations.mxfp4 import convert_moe_packed_tensors
    blocks = torch.randint(0, 256, (3, 8, 2, 16), dtype=torch.uint8)
    scales = torch.randint(100, 140, (3, 8, 2), dtype=torch.uint8)
    want = convert_moe_packed_tensors(blocks, scales, dtype=torch.bfloat16)  # [experts, inputs, outputs]
    store(out, "mxfp4", {"quant_method": "mxfp4"}, {"op_blocks": blocks, "op_scales": scales, "want": want})


def compressed(out):
    from compressed_tensors.compressors.pack_quantized.helpers import pack_to_int32, unpack_from_int32
    from compressed_tensors.quantization import QuantizationArgs
    from compressed_tensors.quantization.lifecycle.forward import dequantize, quantize
    for name, form, keys in [
            ("int4", "pack-quantized", {"num_bits": 4, "strategy": "group", "group_size": 16, "symmetric": True}),
            ("int4_zeros", "pack-quantized", {"num_bits": 4, "strategy": "group", "group_size": 16, "symmetric": False}),
            ("int8_packed", "pack-quantized", {"num_bits": 8, "strategy": "channel", "symmetric": False}),
            ("int8", "int-quantized", {"num_bits": 8, "strategy": "channel", "symmetric": True}),
            ("fp8", "float-quantized", {"num_bits": 8, "strategy": "channel", "symmetric": True, "type": "float"}),
            ("fp8_tensor", "float-quantized", {"num_bits": 8, "strategy": "tensor", "symmetric": True, "type": "float"})]:
        keys.setdefault("type", "int")
        args = QuantizationArgs(**keys)
        groups = IN // keys["group_size"] if "group_size" in keys else 1
        shape = (1,) if keys["strategy"] == "tensor" else (OUT, groups)
        weight = torch.randn(OUT, IN)
        most = 448.0 if args.type == "float" else 2.0 ** (args.num_bits - 1)
        scale = torch.rand(shape) / most + 2 / most
        bits = args.num_bits
        zero = (torch.zeros(shape, dtype=torch.int8) if args.symmetric else
                torch.randint(-(2 ** (bits - 1)), 2 ** (bits - 1), shape, dtype=torch.int8))
        dtype = torch.float8_e4m3fn if args.type == "float" else torch.int8
        codes = quantize(weight, scale, None if args.type == "float" else zero, args, dtype=dtype)
        want = dequantize(codes, scale, None if args.type == "float" else zero, args, dtype=torch.float32)
        tensors = {"op.weight_scale": scale, "want": want}
        if form == "pack-quantized":
            tensors["op.weight_packed"] = pack_to_int32(codes, bits)
            assert torch.equal(unpack_from_int32(tensors["op.weight_packed"], bits, codes.shape), codes)
            tensors["op.weight_shape"] = torch.tensor(codes.shape)
            if not args.symmetric:
                tensors["op.weight_zero_point"] = pack_to_int32(zero, bits, packed_dim=0)
        else:
            tensors["op.weight"] = codes
        store(out, name, {"quant_method": "compressed-tensors", "format": form,
                          "config_groups": {"group_0": {"targets": ["Linear"], "weights": keys}}}, tensors)


def compressed_nvfp4(out):
    from compressed_tensors.compressors.nvfp4.helpers import pack_fp4_to_uint8, unpack_fp4_from_uint8
    from compressed_tensors.quantization import QuantizationArgs
    from compressed_tensors.quantization.lifecycle.forward import dequantize
    args = QuantizationArgs(num_bits=4, type="float", strategy="tensor_group", group_size=16, symmetric=True)
    grid = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6])
    codes = grid[torch.randint(0, 8, (OUT, IN))] * (torch.randint(0, 2, (OUT, IN)) * 2 - 1)
    scales = (torch.rand(OUT, IN // 16) * 400).to(torch.float8_e4m3fn)
    whole = torch.tensor([731.5])
    packed = pack_fp4_to_uint8(codes)
    want = dequantize(x_q=unpack_fp4_from_uint8(packed, OUT, IN).float(), scale=scales.float(), args=args,
                      global_scale=whole, dtype=torch.float32)
    store(out, "nvfp4_packed", {"quant_method": "compressed-tensors", "format": "nvfp4-pack-quantized"},
          {"op.weight_packed": packed, "op.weight_scale": scales, "op.weight_global_scale": whole, "want": want})


def auto_round(out):
    """Integers by columns, as AutoRound packs them for GPTQ's and AWQ's readers. Scales of few bits, so that what the
    tool makes of them in float16 is exact."""
    from auto_round.export.export_to_awq.utils import WQLinear_GEMM, dequantize_gemm
    from auto_round_extension.torch.qlinear_torch import QuantLinear as AsTheyAre
    from auto_round_extension.torch.qlinear_torch_zp import QuantLinear as LessOne
    out_features, group = 32, 16
    linear = torch.nn.Linear(IN, out_features, bias=False)
    linear.weight.data = torch.randn(out_features, IN)
    for name, bits, offset, ordered in [("gptq", 4, 1, False), ("gptq_v2", 4, 0, False), ("gptq_8_bits", 8, 1, False),
                                        ("gptq_in_order", 4, 1, True)]:
        scales = torch.randint(4, 8, (out_features, IN // group)) / 2.0 ** (bits - 1) / 4
        zeros = torch.randint(1, 2**bits - 1, (out_features, IN // group)).float()
        layer = (LessOne if offset else AsTheyAre)(bits, group, IN, out_features, False, g_idx=True)
        layer.device = "cpu"
        layer.pack_248_bits(linear, scales, zeros)
        if ordered:
            layer.g_idx = layer.g_idx[torch.randperm(IN)].contiguous()
        want = layer(torch.eye(IN, dtype=torch.float16)).t().float()
        codes = {"op.qweight": layer.qweight, "op.qzeros": layer.qzeros, "op.scales": layer.scales, "op.g_idx": layer.g_idx}
        store(out, name, {"quant_method": "gptq", "bits": bits, "group_size": group, "desc_act": ordered, "sym": False,
                          "checkpoint_format": "gptq" if offset else "gptq_v2"}, codes | {"want": want})
    scales = torch.randint(4, 8, (IN // group, out_features)) / 32.0
    zeros = torch.randint(0, 16, (IN // group, out_features))
    layer = WQLinear_GEMM.from_linear(linear, 4, group, scales=scales, zeros=zeros)
    want = dequantize_gemm(layer.qweight, layer.qzeros, layer.scales, 4, group).t().float()
    store(out, "awq", {"quant_method": "awq", "bits": 4, "group_size": group, "zero_point": True, "version": "gemm"},
          {"op.qweight": layer.qweight, "op.qzeros": layer.qzeros, "op.scales": layer.scales, "want": want})


def modelopt(out):
    from modelopt.torch.quantization.qtensor import FP8QTensor, NVFP4QTensor
    weight = torch.randn(OUT, IN)
    packed, scales, whole = NVFP4QTensor.quantize(weight, 16)
    want = packed.dequantize(dtype=torch.float32, scale=scales, double_scale=whole, block_sizes={-1: 16})
    store(out, "nvfp4", {"quant_method": "modelopt", "quant_algo": "NVFP4"},
          {"op.weight": packed._quantized_data, "op.weight_scale": scales, "op.weight_scale_2": whole, "want": want})
    codes, scale = FP8QTensor.quantize(weight)
    want = codes.dequantize(dtype=torch.float32, scale=scale)
    store(out, "modelopt_fp8", {"quant_method": "modelopt", "quant_algo": "FP8"},
          {"op.weight": codes._quantized_data, "op.weight_scale": scale, "want": want})


if __name__ == "__main__":
    for make in (block_fp8, mxfp4, compressed, compressed_nvfp4, auto_round, modelopt):
        try:
            make(sys.argv[1])
        except ImportError as error:
            print(f"{make.__name__}: left out, {error}")
