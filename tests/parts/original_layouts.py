"""Transformers and text encoders with the names that their authors gave to weights."""

from __future__ import annotations

import re
from typing import Any

import torch

Pairs = dict[str, str]


SD3: Pairs = {
    r"^pos_embed\.pos_embed": "pos_embed",
    r"^pos_embed\.proj": "x_embedder.proj",
    r"time_text_embed\.timestep_embedder\.linear_1": "t_embedder.mlp.0",
    r"time_text_embed\.timestep_embedder\.linear_2": "t_embedder.mlp.2",
    r"time_text_embed\.text_embedder\.linear_1": "y_embedder.mlp.0",
    r"time_text_embed\.text_embedder\.linear_2": "y_embedder.mlp.2",
    r"transformer_blocks\.(\d+)\.": r"joint_blocks.\1.",
    r"attn(2?)\.to_q": r"x_block.attn\1.qkv#0",
    r"attn(2?)\.to_k": r"x_block.attn\1.qkv#1",
    r"attn(2?)\.to_v": r"x_block.attn\1.qkv#2",
    r"attn\.add_q_proj": "context_block.attn.qkv#0",
    r"attn\.add_k_proj": "context_block.attn.qkv#1",
    r"attn\.add_v_proj": "context_block.attn.qkv#2",
    r"attn(2?)\.norm_(q|k)\.": r"x_block.attn\1.ln_\2.",
    r"attn\.norm_added_(q|k)": r"context_block.attn.ln_\1",
    r"attn(2?)\.to_out\.0": r"x_block.attn\1.proj",
    r"attn\.to_add_out": "context_block.attn.proj",
    r"norm1\.linear": "x_block.adaLN_modulation.1",
    r"norm1_context\.linear": "context_block.adaLN_modulation.1",
    r"ff\.net\.0\.proj": "x_block.mlp.fc1",
    r"ff\.net\.2": "x_block.mlp.fc2",
    r"ff_context\.net\.0\.proj": "context_block.mlp.fc1",
    r"ff_context\.net\.2": "context_block.mlp.fc2",
    r"^proj_out": "final_layer.linear",
    r"^norm_out\.linear": "final_layer.adaLN_modulation.1",
}
FLUX: Pairs = {
    r"time_text_embed\.timestep_embedder\.linear_1": "time_in.in_layer",
    r"time_text_embed\.timestep_embedder\.linear_2": "time_in.out_layer",
    r"time_text_embed\.text_embedder\.linear_1": "vector_in.in_layer",
    r"time_text_embed\.text_embedder\.linear_2": "vector_in.out_layer",
    r"time_text_embed\.guidance_embedder\.linear_1": "guidance_in.in_layer",
    r"time_text_embed\.guidance_embedder\.linear_2": "guidance_in.out_layer",
    r"^context_embedder": "txt_in",
    r"^x_embedder": "img_in",
    r"^single_transformer_blocks\.(\d+)\.attn\.to_q": r"single_blocks.\1.linear1#0",
    r"^single_transformer_blocks\.(\d+)\.attn\.to_k": r"single_blocks.\1.linear1#1",
    r"^single_transformer_blocks\.(\d+)\.attn\.to_v": r"single_blocks.\1.linear1#2",
    r"^single_transformer_blocks\.(\d+)\.proj_mlp": r"single_blocks.\1.linear1#3",
    r"^single_transformer_blocks\.(\d+)\.proj_out": r"single_blocks.\1.linear2",
    r"^single_transformer_blocks\.(\d+)\.norm\.linear": r"single_blocks.\1.modulation.lin",
    r"^single_transformer_blocks\.(\d+)\.attn\.norm_q\.weight": r"single_blocks.\1.norm.query_norm.scale",
    r"^single_transformer_blocks\.(\d+)\.attn\.norm_k\.weight": r"single_blocks.\1.norm.key_norm.scale",
    r"^transformer_blocks": "double_blocks",
    r"norm1\.linear": "img_mod.lin",
    r"norm1_context\.linear": "txt_mod.lin",
    r"attn\.to_q": "img_attn.qkv#0",
    r"attn\.to_k": "img_attn.qkv#1",
    r"attn\.to_v": "img_attn.qkv#2",
    r"attn\.add_q_proj": "txt_attn.qkv#0",
    r"attn\.add_k_proj": "txt_attn.qkv#1",
    r"attn\.add_v_proj": "txt_attn.qkv#2",
    r"attn\.norm_q\.weight": "img_attn.norm.query_norm.scale",
    r"attn\.norm_k\.weight": "img_attn.norm.key_norm.scale",
    r"attn\.norm_added_q\.weight": "txt_attn.norm.query_norm.scale",
    r"attn\.norm_added_k\.weight": "txt_attn.norm.key_norm.scale",
    r"\.ff\.net\.0\.proj": ".img_mlp.0",
    r"\.ff\.net\.2": ".img_mlp.2",
    r"ff_context\.net\.0\.proj": "txt_mlp.0",
    r"ff_context\.net\.2": "txt_mlp.2",
    r"attn\.to_out\.0": "img_attn.proj",
    r"attn\.to_add_out": "txt_attn.proj",
    r"^proj_out": "final_layer.linear",
    r"^norm_out\.linear": "final_layer.adaLN_modulation.1",
    r"^(distilled_guidance_layer\.layers\.\d+)\.linear_1": r"\1.in_layer",
    r"^(distilled_guidance_layer\.layers\.\d+)\.linear_2": r"\1.out_layer",
    r"^(distilled_guidance_layer\.norms\.\d+)\.weight": r"\1.scale",
}
"""Of Chroma too, which has its guidance in place of modulations."""
SANA: Pairs = {
    r"^patch_embed\.proj": "x_embedder.proj",
    r"^time_embed\.emb\.timestep_embedder\.linear_1": "t_embedder.mlp.0",
    r"^time_embed\.emb\.timestep_embedder\.linear_2": "t_embedder.mlp.2",
    r"^time_embed\.linear": "t_block.1",
    r"^caption_projection\.linear_": "y_embedder.y_proj.fc",
    r"^caption_norm": "attention_y_norm",
    r"^transformer_blocks": "blocks",
    r"attn1\.to_q": "attn.qkv#0",
    r"attn1\.to_k": "attn.qkv#1",
    r"attn1\.to_v": "attn.qkv#2",
    r"attn1\.to_out\.0": "attn.proj",
    r"attn2\.to_q": "cross_attn.q_linear",
    r"attn2\.to_k": "cross_attn.kv_linear#0",
    r"attn2\.to_v": "cross_attn.kv_linear#1",
    r"attn2\.to_out\.0": "cross_attn.proj",
    r"ff\.conv_(inverted|depth|point)": r"mlp.\1_conv.conv",
    r"^proj_out": "final_layer.linear",
    r"^scale_shift_table": "final_layer.scale_shift_table",
}
Z_IMAGE: Pairs = {
    r"^all_(final_layer|x_embedder)\.2-1": r"\1",
    r"attention\.to_out\.0": "attention.out",
    r"attention\.norm_(k|q)\.": r"attention.\1_norm.",
    r"attention\.to_q": "attention.qkv#0",
    r"attention\.to_k": "attention.qkv#1",
    r"attention\.to_v": "attention.qkv#2",
}
LAYOUTS: dict[str, Pairs] = {
    "StableDiffusion3Pipeline": SD3,
    "FluxPipeline": FLUX,
    "ChromaPipeline": FLUX,
    "SanaPipeline": SANA,
    "ZImagePipeline": Z_IMAGE,
    "QwenImagePipeline": {},  # its authors' names are diffusers' own
}
OPEN_CLIP: Pairs = {
    r"^text_model\.embeddings\.position_embedding\.weight": "positional_embedding",
    r"^text_model\.embeddings\.token_embedding": "token_embedding",
    r"^text_model\.final_layer_norm": "ln_final",
    r"^text_model\.encoder\.layers": "transformer.resblocks",
    r"layer_norm": "ln_",
    r"mlp\.fc1": "mlp.c_fc",
    r"mlp\.fc2": "mlp.c_proj",
    r"self_attn\.q_proj\.": "attn.in_proj#0_",
    r"self_attn\.k_proj\.": "attn.in_proj#1_",
    r"self_attn\.v_proj\.": "attn.in_proj#2_",
    r"self_attn\.out_proj": "attn.out_proj",
}


def original_transformer(pipeline: Any) -> dict[str, torch.Tensor]:
    """Return the weights of a pipeline's transformer by their authors' names."""
    kind = type(pipeline).__name__
    weights = dict(pipeline.transformer.state_dict())
    swapped = [] if kind == "QwenImagePipeline" else ["norm_out.linear"]
    if kind == "StableDiffusion3Pipeline":
        last = pipeline.transformer.config.num_layers - 1
        swapped.append(f"transformer_blocks.{last}.norm1_context.linear")
    for name in [n for n in weights if n.rpartition(".")[0] in swapped]:
        scale, shift = weights[name].chunk(2)  # theirs is the shift first
        weights[name] = torch.cat([shift, scale])
    made = renamed(weights, LAYOUTS[kind])
    if kind == "SanaPipeline":
        made |= {"pos_embed": torch.ones(1, 4, 8), "y_embedder.y_embedding": torch.ones(3, 8)}
    if kind == "ZImagePipeline":
        made["norm_final.weight"] = torch.ones(32)
    return made


def renamed(weights: dict[str, torch.Tensor], pairs: Pairs) -> dict[str, torch.Tensor]:
    """Rename weights, and join those that have one name with a number after ``#``."""
    made: dict[str, torch.Tensor] = {}
    pieces: dict[str, dict[int, torch.Tensor]] = {}
    for name, value in weights.items():
        new = name
        for ours, theirs in pairs.items():
            new = re.sub(ours, theirs, new)
        joined = re.fullmatch(r"(.*)#(\d)(.*)", new)
        if joined:
            pieces.setdefault(joined[1] + joined[3], {})[int(joined[2])] = value
        else:
            made[new] = value
    return made | {name: torch.cat([of[n] for n in sorted(of)]) for name, of in pieces.items()}


def original_clip(encoder: Any, prefix: str) -> dict[str, torch.Tensor]:
    """Return the weights of CLIP's text encoder by the names of its authors and of transformers."""
    return {
        f"{prefix}{name if name.startswith('text_') else f'text_model.{name}'}": value
        for name, value in encoder.state_dict().items()
    }


def original_open_clip(encoder: Any, prefix: str) -> dict[str, torch.Tensor]:
    """Return the weights of CLIP's text encoder by open_clip's names, its projection on its side."""
    weights = dict(encoder.state_dict())
    projection = weights.pop("text_projection.weight")
    made = renamed(weights, OPEN_CLIP) | {"text_projection": projection.T}
    return {prefix + name: value for name, value in made.items()}
