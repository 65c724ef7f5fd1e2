"""The `sam2` package as the SAM2 of inference: the same weights, the same rules, the authors' own modules.

It follows objects as `PromptedMaskDecoder` does and takes its place where `--sam2-backend sam2` asks for it;
a test holds the two equal. The package is changed at two points, both from outside. The language vector is
appended behind what its prompt encoder gives. And the mask of an object that the score says is absent is kept
for the memory, as ReVIOSa's inference does; the package would blank it.

Source: facebookresearch/sam2 at 2b90b9f (the `sam2` package 1.1.0 has the same files).

Legend of shape suffixes:
    N objects   M frames that are encoded at once, or objects   C colour channels, or width of SAM2
    S side of the input   h, w side of a feature map   L positions of the coarsest feature map
"""

from __future__ import annotations

import importlib
from collections.abc import Collection, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from benchmark.errors import CheckpointError
from reference_model.config import MaskDecoderConfig
from reference_model.mask_decoder import Decoded, FrameLevels, Levels, PromptedMaskDecoder, without_absent
from reference_model.propagation import propagation_runs
from reference_model.sam2_weights import to_original

FIXED = {"width": 256, "mask_channels": 16, "fuser_ratio": 4, "feed_forward": 2048, "max_pointers": 16}
"""Sizes that the package has no argument for."""


def build_package_sam2(config: MaskDecoderConfig) -> nn.Module:
    """A `SAM2Base` of these sizes with random weights.

    Raises:
        CheckpointError: when the package cannot be built in these sizes.
    """
    other = {name: getattr(config, name) for name in FIXED if getattr(config, name) != FIXED[name]}
    if other:
        raise CheckpointError(
            "the sam2 package has no such sizes",
            expected=", ".join(f"{name} {FIXED[name]}" for name in other),
            found=", ".join(f"{name} {value}" for name, value in other.items()),
            fix="use --sam2-backend transformers",
        )
    part = importlib.import_module
    encoders = part("sam2.modeling.backbones.image_encoder")
    memory = part("sam2.modeling.memory_encoder")
    attention = part("sam2.modeling.memory_attention")
    sine = part("sam2.modeling.position_encoding").PositionEmbeddingSine
    rotary = partial(
        part("sam2.modeling.sam.transformer").RoPEAttention,
        rope_theta=10000.0,
        feat_sizes=[config.image_size // 16] * 2,
        embedding_dim=config.width,
        num_heads=1,
        downsample_rate=1,
        dropout=0.0,
    )
    trunk, heads = config.trunk_width, config.trunk_heads or max(1, config.trunk_width // 16)
    image_encoder = encoders.ImageEncoder(
        trunk=part("sam2.modeling.backbones.hieradet").Hiera(
            embed_dim=trunk,
            num_heads=heads,
            stages=list(config.blocks),
            global_att_blocks=list(config.global_blocks or [sum(config.blocks[:3]) - 1]),
            window_pos_embed_bkg_spatial_size=[config.background_side] * 2,
            window_spec=list(config.window_sizes),
        ),
        neck=encoders.FpnNeck(
            position_encoding=sine(config.width, normalize=True),
            d_model=config.width,
            backbone_channel_list=[trunk * 8, trunk * 4, trunk * 2, trunk],
            fpn_top_down_levels=[2, 3],
            fpn_interp_model="nearest",
        ),
        scalp=1,
    )
    layer = attention.MemoryAttentionLayer(
        activation="relu",
        dim_feedforward=config.feed_forward,
        dropout=0.0,
        pos_enc_at_attn=False,
        d_model=config.width,
        pos_enc_at_cross_attn_keys=True,
        pos_enc_at_cross_attn_queries=False,
        self_attention=rotary(),
        cross_attention=rotary(rope_k_repeat=True, kv_in_dim=64),
    )
    block = memory.CXBlock(dim=config.width, kernel_size=7, padding=3, use_dwconv=True)
    return part("sam2.modeling.sam2_base").SAM2Base(
        image_encoder=image_encoder,
        memory_attention=attention.MemoryAttention(
            d_model=config.width, pos_enc_at_input=True, layer=layer, num_layers=config.memory_layers
        ),
        memory_encoder=memory.MemoryEncoder(
            out_dim=64,
            in_dim=config.width,
            position_encoding=sine(64, normalize=True),
            mask_downsampler=memory.MaskDownSampler(
                embed_dim=config.width, kernel_size=3, stride=2, padding=1
            ),
            fuser=memory.Fuser(block, num_layers=2),
        ),
        num_maskmem=config.memory_frames,
        image_size=config.image_size,
        sigmoid_scale_for_mem_enc=20.0,
        sigmoid_bias_for_mem_enc=-10.0,
        directly_add_no_mem_embed=True,
        use_high_res_features_in_sam=True,
        multimask_output_in_sam=config.multimask,
        multimask_min_pt_num=0,
        multimask_max_pt_num=1,
        multimask_output_for_tracking=config.multimask,
        use_multimask_token_for_obj_ptr=config.multimask,
        iou_prediction_use_sigmoid=True,
        use_obj_ptrs_in_encoder=True,
        max_obj_ptrs_in_encoder=config.max_pointers,
        add_tpos_enc_to_obj_ptrs=config.pointer_times,
        proj_tpos_enc_in_obj_ptrs=config.pointer_times,
        use_signed_tpos_enc_to_obj_ptrs=config.pointer_times,
        only_obj_ptrs_in_the_past_for_eval=True,
        pred_obj_scores=True,
        pred_obj_scores_mlp=True,
        fixed_no_obj_ptr=True,
        use_mlp_for_obj_ptr_proj=True,
        no_obj_embed_spatial=config.absent_memory,
    )


class PackageMaskDecoder:
    """SAM2 of the `sam2` package, asked by language vectors; methods as in `PromptedMaskDecoder`."""

    def __init__(self, config: MaskDecoderConfig) -> None:
        self.config = config
        self.sam2: Any = build_package_sam2(config).eval()
        self._prompts_NC: Tensor | None = None
        self._scores_N1: Tensor | None = None
        self.sam2.sam_prompt_encoder.register_forward_hook(self._append_prompts)
        self.sam2.sam_mask_decoder.register_forward_hook(self._keep_all_masks)

    @classmethod
    def with_weights_of(cls, decoder: PromptedMaskDecoder) -> PackageMaskDecoder:
        """The package's model with the weights of ours.

        Raises:
            CheckpointError: when the package cannot be built in these sizes.
        """
        made = cls(decoder.config)
        made.sam2.load_state_dict(to_original(decoder.sam2.state_dict(), "mask decoder"))
        return made

    def moved_to(self, device: torch.device, dtype: torch.dtype | None) -> PackageMaskDecoder:
        """The same on a device; its weights stay in float32, products run under autocast in another type.

        So its authors run it, and only so its parts fit together: some of them compute in float32 whatever
        comes in, and layers with weights in bfloat16 refuse what they give.
        """
        self.sam2.to(device)
        return self

    def encode(self, pixels_MCSS: Tensor) -> Levels:
        """Feature maps of normalised frames."""
        found: Levels = self.sam2.forward_image(pixels_MCSS)["backbone_fpn"]
        return found

    def follow(
        self,
        frame_levels: FrameLevels,
        length: int,
        clip_of_object_N: Tensor,
        prompts_NC: Tensor,
        conditioning: Sequence[int],
        also_prompted: Collection[int] = (),
        both_ways: bool = False,
        memory_type: torch.dtype | None = None,
    ) -> Iterator[tuple[int, Decoded]]:
        """Follow N objects through a clip, one frame at a time: conditioning frames, then the others."""
        bank: dict[str, dict[int, Any]] = {"cond_frame_outputs": {}, "non_cond_frame_outputs": {}}

        def step(frame: int, first: bool, reverse: bool) -> Decoded:
            levels = [level[clip_of_object_N, 0] for level in frame_levels([frame])]
            self._prompts_NC = prompts_NC if first or frame in also_prompted else None
            output, decoded = self._step(levels, frame, length, first, reverse, bank)
            if memory_type is not None:
                features = output["maskmem_features"]
                output["maskmem_features"] = features.to(memory_type).to(features.dtype)
            bank["cond_frame_outputs" if first else "non_cond_frame_outputs"][frame] = output
            return decoded

        for frame in sorted(conditioning):
            yield frame, step(frame, True, False)
        for run in propagation_runs(length, conditioning, both_ways):
            bank["non_cond_frame_outputs"].clear()
            for frame in run.frames:
                yield frame, step(frame, False, run.step < 0)
                self._forget(bank["non_cond_frame_outputs"], frame)

    def shown(self, decoded: Decoded) -> Tensor:
        """Mask logits (M, h, w), emptied where the object score says "not here"."""
        return without_absent(decoded) if self.config.hide_absent else decoded.logits_Mhw

    def _step(
        self, levels: Levels, frame: int, length: int, first: bool, reverse: bool, bank: Any
    ) -> tuple[dict[str, Any], Decoded]:
        model = self.sam2
        sizes = [tuple(level.shape[-2:]) for level in levels]
        position = model.image_encoder.neck.position_encoding(levels[-1])
        output = model.track_step(
            frame_idx=frame,
            is_init_cond_frame=first,
            current_vision_feats=[level.flatten(2).permute(2, 0, 1) for level in levels],
            current_vision_pos_embeds=[position.flatten(2).permute(2, 0, 1)],
            feat_sizes=sizes,
            point_inputs=None,
            mask_inputs=None,
            output_dict=bank,
            num_frames=length,
            track_in_reverse=reverse,
        )
        assert self._scores_N1 is not None  # the hook has run
        scores_N1 = self._scores_N1
        decoded = Decoded(output["pred_masks"][:, 0], output["obj_ptr"], scores_N1[:, 0])
        absent_N1 = (scores_N1 <= 0).to(output["obj_ptr"].dtype)
        output["obj_ptr"] = (1 - absent_N1) * output["obj_ptr"] + absent_N1 * model.no_obj_ptr
        if model.no_obj_embed_spatial is not None:
            marked = absent_N1[..., None, None] * model.no_obj_embed_spatial[..., None, None]
            output["maskmem_features"] = output["maskmem_features"] + marked
        del output["pred_masks"], output["pred_masks_high_res"]
        return output, decoded

    def _append_prompts(self, _module: Any, _inputs: Any, output: tuple[Tensor, Tensor]) -> Any:
        sparse, dense = output
        if self._prompts_NC is None:
            return output
        return torch.cat([sparse, self._prompts_NC[:, None].to(sparse.dtype)], dim=1), dense

    def _keep_all_masks(self, _module: Any, _inputs: Any, output: tuple[Tensor, ...]) -> Any:
        """Note the object scores and pass on that every object is there; `_step` does the rest."""
        masks, quality, tokens, scores = output
        self._scores_N1 = scores
        return masks, quality, tokens, torch.ones_like(scores)

    def _forget(self, bank: dict[int, Any], frame: int) -> None:
        """Drop what no later frame can read."""
        reach = max(self.config.memory_frames - 1, self.config.max_pointers - 1)
        for one in [one for one in bank if abs(frame - one) >= reach]:
            del bank[one]
