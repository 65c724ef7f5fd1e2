"""SAM2 with a language vector as its prompt: one frame at a time, or with memory over a whole clip.

The only change to SAM2 is the paper's: the language vector is appended to the sparse prompt embeddings
(padded "no point" tokens; the dense prompt is the no-mask embedding). The loop is our own, because the
one in transformers runs without gradients and one object at a time; it follows the rules of
`Sam2VideoModel` (transformers 5.23: _gather_memory_frame_outputs, _get_object_pointers,
_encode_new_memory), and a test holds the two equal.

Legend of shape suffixes:
    B clips   T frames   N objects (all clips together)   M (frame, object) pairs   P pointers
    C width of SAM2   D width of memory   S side of the input   h, w side of a feature map
    L positions of the coarsest feature map
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import Sam2VideoConfig, Sam2VideoModel
from transformers.models.sam2.configuration_sam2 import Sam2HieraDetConfig, Sam2VisionConfig
from transformers.models.sam2_video.configuration_sam2_video import Sam2VideoMaskDecoderConfig
from transformers.models.sam2_video.modeling_sam2_video import get_1d_sine_pe

from reference_model.config import MaskDecoderConfig
from reference_model.propagation import Run, propagation_runs

Levels = list[Tensor]
"""Feature maps (.., C, h, w) of three resolutions, finest first."""

FrameLevels = Callable[[Sequence[int]], Levels]
"""Gives the feature maps (B, n, C, h, w) of n frame positions."""

HIDDEN_LOGIT = -1024.0  # SAM2's constant for "no pixel"


@dataclass(frozen=True, slots=True)
class Decoded:
    """What the decoder says about M (frame, object) pairs."""

    logits_Mhw: Tensor
    pointer_MC: Tensor
    object_score_M: Tensor


@dataclass(frozen=True, slots=True)
class Tracked:
    """Masks of N objects over T frames, at the decoder's resolution."""

    logits_NThw: Tensor
    object_score_NT: Tensor


@dataclass(slots=True)
class _Memory:
    features_LND: Tensor
    position_LND: Tensor
    pointer_NC: Tensor


def without_absent(decoded: Decoded) -> Tensor:
    """Mask logits (M, h, w), emptied where the object score says "not here"."""
    present = (decoded.object_score_M > 0)[:, None, None]
    return torch.where(present, decoded.logits_Mhw, HIDDEN_LOGIT)


def build_sam2(config: MaskDecoderConfig) -> Sam2VideoModel:
    """A Sam2VideoModel of these sizes with random weights."""
    side, trunk = config.image_size, config.trunk_width
    sides = [[side // 4] * 2, [side // 8] * 2, [side // 16] * 2]
    widths = [trunk, trunk * 2, trunk * 4, trunk * 8]
    first = config.trunk_heads
    heads = [max(1, width // 16) if first is None else first * width // trunk for width in widths]
    backbone = Sam2HieraDetConfig(
        hidden_size=trunk,
        image_size=[side, side],
        blocks_per_stage=list(config.blocks),
        embed_dim_per_stage=widths,
        num_attention_heads_per_stage=heads,
        window_size_per_stage=list(config.window_sizes),
        # The first block of a Hiera stage must not attend globally (it would divide by zero).
        global_attention_blocks=list(config.global_blocks or [sum(config.blocks[:3]) - 1]),
        window_positional_embedding_background_size=[config.background_side] * 2,
        initializer_range=config.initializer_range,
    )
    vision = Sam2VisionConfig(
        backbone_config=backbone.to_dict(),
        backbone_channel_list=widths[::-1],
        backbone_feature_sizes=sides,
        fpn_hidden_size=config.width,
        initializer_range=config.initializer_range,
    )
    # An object, not a dict: transformers 5.5 to 5.18 read a dict here as the prompt encoder's config.
    decoder = Sam2VideoMaskDecoderConfig(
        hidden_size=config.width,
        mlp_dim=config.feed_forward,
        num_attention_heads=8,
        iou_head_hidden_dim=config.width,
        # Otherwise evaluation (not training) swaps in candidate masks that training never touched.
        dynamic_multimask_via_stability=False,
    )
    model = Sam2VideoModel(
        Sam2VideoConfig(
            vision_config=vision.to_dict(),
            prompt_encoder_config={
                "hidden_size": config.width,
                "image_size": side,
                "patch_size": 16,
                "mask_input_channels": config.mask_channels,
            },
            mask_decoder_config=decoder,
            image_size=side,
            num_maskmem=config.memory_frames,
            initializer_range=config.initializer_range,
            memory_attention_hidden_size=config.width,
            memory_attention_num_layers=config.memory_layers,
            memory_attention_feed_forward_hidden_size=config.feed_forward,
            memory_attention_rope_feat_sizes=[side // 16] * 2,
            memory_attention_dropout=0.0,
            memory_attention_rope_dropout=0.0,
            memory_encoder_hidden_size=config.width,
            memory_encoder_output_channels=64,  # fixed inside transformers (kv_in_dim)
            mask_downsampler_embed_dim=config.width,
            memory_fuser_embed_dim=config.width,
            memory_fuser_intermediate_dim=config.fuser_ratio * config.width,
            max_object_pointers_in_encoder=config.max_pointers,
            enable_temporal_pos_encoding_for_object_pointers=config.pointer_times,
            enable_occlusion_spatial_embedding=config.absent_memory,
            multimask_output_in_sam=config.multimask,
            multimask_output_for_tracking=config.multimask,
        )
    )
    for layer in model.memory_encoder.memory_fuser.layers:
        nn.init.constant_(layer.scale, config.fuser_scale)
    return model


class PromptedMaskDecoder(nn.Module):
    """SAM2 that is asked by language vectors instead of clicks."""

    def __init__(self, config: MaskDecoderConfig) -> None:
        super().__init__()
        self.config = config
        self.sam2 = build_sam2(config)

    def encode(self, pixels_MCSS: Tensor) -> Levels:
        """Feature maps of normalised frames."""
        output = self.sam2.get_image_features(pixels_MCSS, return_dict=True)
        sides = self.sam2.backbone_feature_sizes
        return [
            level.permute(1, 2, 0).unflatten(-1, tuple(side))
            for level, side in zip(output.fpn_hidden_states, sides, strict=True)
        ]

    def segment_frames(self, levels: Levels, frame_of_pair_M: Tensor, prompts_MC: Tensor) -> Decoded:
        """Masks of single frames without memory: pair m is prompt m on frame `frame_of_pair_M[m]`."""
        chosen = [level[frame_of_pair_M] for level in levels]
        return self.decode(self._without_memory(chosen), prompts_MC)

    def decode(self, levels: Levels, prompts_MC: Tensor | None) -> Decoded:
        """Masks of M feature maps; without a prompt SAM2 relies on the memory in the features alone."""
        model, pixels = self.sam2, levels[-1]
        count = pixels.shape[0]
        sparse, dense = model.prompt_encoder(
            input_points=pixels.new_zeros(count, 1, 1, 2),
            input_labels=-torch.ones(count, 1, 1, dtype=torch.int32, device=pixels.device),
            input_boxes=None,
            input_masks=None,
        )
        if prompts_MC is not None:
            sparse = torch.cat([sparse, prompts_MC[:, None, None].to(sparse.dtype)], dim=2)
        position = model.get_image_wide_positional_embeddings().expand(count, -1, -1, -1)
        masks, quality, tokens, score = model.mask_decoder(
            image_embeddings=pixels,
            image_positional_embeddings=position,
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=self.config.multimask,
            high_resolution_features=levels[:-1],
        )
        best = quality[:, 0].argmax(-1)
        row = torch.arange(count, device=pixels.device)
        return Decoded(masks[row, 0, best], tokens[row, 0, best], score[:, 0, 0])

    def track(
        self,
        frame_levels: FrameLevels,
        length: int,
        clip_of_object_N: Tensor,
        prompts_NC: Tensor,
        conditioning: Sequence[int],
        also_prompted: Collection[int] = (),
    ) -> Tracked:
        """Follow N objects through a clip and keep everything; arguments as in `follow`."""
        steps = self.follow(frame_levels, length, clip_of_object_N, prompts_NC, conditioning, also_prompted)
        frames = [decoded for _, decoded in sorted(steps, key=lambda step: step[0])]
        return Tracked(
            torch.stack([one.logits_Mhw for one in frames], 1),
            torch.stack([one.object_score_M for one in frames], 1),
        )

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
        """Follow N objects through a clip, one frame at a time: conditioning frames, then the others.

        Args:
            frame_levels: gives feature maps (B, n, C, h, w) of n frame positions; called with one frame
                at a time, in the order of `propagation.frame_order`.
            length: number of frames T.
            clip_of_object_N: the clip (row of the feature maps) that each object is in.
            prompts_NC: the language vectors.
            conditioning: frames decoded from the prompt alone; all others read memory.
            also_prompted: further frames that get the prompt on top of memory.
            both_ways: go from each conditioning frame both ways, instead of forwards only.
            memory_type: memory is rounded to this type; `None` leaves it as it is.
        """
        conditioning = sorted(conditioning)
        bank: dict[int, _Memory] = {}
        for frame in conditioning:
            at_frame = [level[clip_of_object_N, 0] for level in frame_levels([frame])]
            decoded = self.decode(self._without_memory(at_frame), prompts_NC)
            bank[frame] = self._remember(at_frame[-1], decoded, memory_type)
            yield frame, decoded
        kept = {frame: bank[frame] for frame in conditioning}
        for run in propagation_runs(length, conditioning, both_ways):
            bank = dict(kept)
            for frame in run.frames:
                at_frame = [level[clip_of_object_N, 0] for level in frame_levels([frame])]
                fused = self._with_memory(at_frame[-1], frame, length, bank, conditioning, run.step)
                prompt = prompts_NC if frame in also_prompted else None
                decoded = self.decode([*at_frame[:-1], fused], prompt)
                bank[frame] = self._remember(at_frame[-1], decoded, memory_type)
                self._forget(bank, frame, run, kept)
                yield frame, decoded

    def moved_to(self, device: torch.device, dtype: torch.dtype | None) -> PromptedMaskDecoder:
        """The same on a device, with its weights in a type."""
        return self.to(device, dtype)

    def shown(self, decoded: Decoded) -> Tensor:
        """Mask logits (M, h, w), emptied where the object score says "not here"."""
        return without_absent(decoded) if self.config.hide_absent else decoded.logits_Mhw

    def _without_memory(self, levels: Levels) -> Levels:
        return [*levels[:-1], levels[-1] + self.sam2.no_memory_embedding.view(1, -1, 1, 1)]

    def _remember(self, pixels_NChw: Tensor, decoded: Decoded, kept_as: torch.dtype | None) -> _Memory:
        model = self.sam2
        visible_N1 = (decoded.object_score_M > 0).to(pixels_NChw.dtype)[:, None]
        pointer = model.object_pointer_proj(decoded.pointer_MC)
        pointer = visible_N1 * pointer + (1 - visible_N1) * model.no_object_pointer
        side = (self.config.image_size,) * 2
        mask = F.interpolate(decoded.logits_Mhw[:, None].float(), size=side, mode="bilinear")
        mask = mask.sigmoid() * model.config.sigmoid_scale_for_mem_enc + model.config.sigmoid_bias_for_mem_enc
        features, position = model.memory_encoder(pixels_NChw, mask.to(pixels_NChw.dtype))
        if model.occlusion_spatial_embedding_parameter is not None:
            absent = (1 - visible_N1)[..., None, None]
            features = features + absent * model.occlusion_spatial_embedding_parameter[..., None, None]
        position = position.to(features.dtype).flatten(2).permute(2, 0, 1)
        if kept_as is not None:
            features = features.to(kept_as).to(features.dtype)
        return _Memory(features.flatten(2).permute(2, 0, 1), position, pointer)

    def _with_memory(
        self,
        pixels_NChw: Tensor,
        frame: int,
        length: int,
        bank: dict[int, _Memory],
        conditioning: Sequence[int],
        step: int,
    ) -> Tensor:
        model = self.sam2
        time = model.memory_temporal_positional_encoding
        chosen = [(bank[one], time[-1]) for one in conditioning]
        for offset in range(model.num_maskmem - 1, 0, -1):
            before = frame - offset * step
            if before in bank and before not in conditioning:
                chosen.append((bank[before], time[offset - 1]))
        memory = [one.features_LND for one, _ in chosen]
        position = [one.position_LND + offset for one, offset in chosen]
        pointers, pointer_position = self._pointers(frame, length, bank, conditioning, step)
        current = pixels_NChw.flatten(2).permute(2, 0, 1)
        fused = model.memory_attention(
            current_vision_features=current,
            current_vision_position_embeddings=self._image_position(pixels_NChw),
            memory=torch.cat([*memory, *pointers]),
            memory_posision_embeddings=torch.cat([*position, *pointer_position]),  # sic, in transformers
            num_object_pointer_tokens=sum(len(one) for one in pointers),
        )
        if fused.dim() == 4:  # (1, N, L, C) or (N, 1, L, C), depending on the version of transformers
            fused = fused.flatten(0, 1)
        return fused.transpose(1, 2).reshape(pixels_NChw.shape)

    def _image_position(self, pixels_NChw: Tensor) -> Tensor:
        encoding = self.sam2.vision_encoder.neck.position_encoding
        position = encoding(pixels_NChw[:1].shape, pixels_NChw.device, pixels_NChw.dtype)
        return position.flatten(2).permute(2, 0, 1)

    def _pointers(
        self, frame: int, length: int, bank: dict[int, _Memory], conditioning: Sequence[int], step: int
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Object pointers of past frames with their sine time encodings; two empty lists if none."""
        model, most = self.sam2, min(length, self.config.max_pointers)
        past = [one for one in conditioning if one * step < frame * step]
        recent = [one for one in (frame - offset * step for offset in range(1, most)) if one in bank]
        frames = past + [one for one in recent if one not in conditioning]
        if not frames:
            return [], []
        pointers_PNC = torch.stack([bank[one].pointer_NC for one in frames])
        offsets = torch.tensor([(frame - one) * step for one in frames], device=pointers_PNC.device)
        splits, count = model.hidden_dim // model.mem_dim, pointers_PNC.shape[1]
        if self.config.pointer_times:
            # `most` is 1 only for a clip of one frame, which has no past.
            sine = get_1d_sine_pe(offsets.float() / (most - 1), dim=model.hidden_dim)
            time = model.temporal_positional_encoding_projection_layer(sine.to(pointers_PNC.dtype))
        else:
            time = pointers_PNC.new_zeros(len(frames), model.mem_dim)
        time = time[:, None].expand(-1, count, -1).repeat_interleave(splits, 0)
        parts = pointers_PNC.unflatten(-1, (splits, model.mem_dim)).permute(0, 2, 1, 3).flatten(0, 1)
        return [parts], [time]

    def _forget(self, bank: dict[int, _Memory], frame: int, run: Run, kept: Collection[int]) -> None:
        """Drop what no later frame can read, so that long clips need bounded memory."""
        reach = max(self.sam2.num_maskmem - 1, self.config.max_pointers - 1)
        for one in [one for one in bank if (frame - one) * run.step >= reach and one not in kept]:
            del bank[one]
