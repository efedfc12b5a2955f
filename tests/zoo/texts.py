"""Tokenizers and text encoders of a few thousand parameters."""

from __future__ import annotations

import functools
from typing import Any

import torch

from tests.parts import AUDITS

LENGTH = 96
"""Tokens that a text has room for, so that the longest prompts of the probe are cut."""
CORPUS = (
    "a picture of small things, a fox and a bear on a wire in the snow",
    "Describe the image by detailing the colour, shape, size, texture, quantity and text",
    "the assistant answers the user: a photograph of a red house near the sea",
)
CHAT = (
    "{% for message in messages %}<|{{ message['role'] }}|>"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}{{ part.get('text', '') }}{% endfor %}{% endif %}<|end|>"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SPECIAL = ("<pad>", "<s>", "</s>", "<unk>", "<|user|>", "<|system|>", "<|assistant|>", "<|end|>")


def clip() -> Any:
    from transformers import CLIPTokenizer

    folder = AUDITS / "models" / "base" / "tokenizer"
    return CLIPTokenizer.from_pretrained(folder, model_max_length=77)


@functools.cache
def _pieces(begin: bool, end: bool) -> str:
    """Learn a few merges of bytes, as GPT-2, Llama 3, Qwen and ChatGLM have them."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=360,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    if begin or end:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{'<s> ' * begin}$A{' </s>' * end}",
            special_tokens=[("<s>", 1), ("</s>", 2)],
        )
    return tokenizer.to_str()


def tokenizer(*, begin: bool = False, end: bool = False, length: int = LENGTH, **given: Any) -> Any:
    """Make a tokenizer: of T5 with ``end``, of Llama and Gemma with ``begin``, of Qwen with none."""
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(_pieces(begin, end)),
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        model_max_length=length,
        chat_template=CHAT,
        **{"padding_side": "right", **given},
    )


def clip_text(tokens: Any, width: int = 32, *, projected: bool = False) -> Any:
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    config = CLIPTextConfig(
        vocab_size=len(tokens),
        hidden_size=width,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=tokens.model_max_length,
        bos_token_id=tokens.bos_token_id,
        eos_token_id=tokens.eos_token_id,
        pad_token_id=tokens.pad_token_id,
        projection_dim=width,
    )
    return (CLIPTextModelWithProjection if projected else CLIPTextModel)(config)


def t5(tokens: Any, width: int = 32, *, kind: str = "T5") -> Any:
    import transformers

    config = getattr(transformers, f"{kind}Config")(
        vocab_size=len(tokens),
        d_model=width,
        d_kv=8,
        d_ff=32,
        num_layers=2,
        num_heads=2,
        relative_attention_num_buckets=8,
        relative_attention_max_distance=32,
        feed_forward_proj="gated-gelu",
        is_encoder_decoder=False,
        use_cache=False,
        tie_word_embeddings=False,
    )
    return getattr(transformers, f"{kind}EncoderModel")(config)


def decoder(model: str, tokens: Any, width: int = 32, **given: Any) -> Any:
    """Build a language model of two layers, such as ``Qwen3ForCausalLM``."""
    import transformers

    kind = getattr(transformers, model)
    config = kind.config_class(
        vocab_size=len(tokens),
        hidden_size=width,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=width // 2,
        max_position_embeddings=1024,
        pad_token_id=tokens.pad_token_id,
        bos_token_id=tokens.bos_token_id,
        eos_token_id=tokens.eos_token_id,
        **given,
    )
    return kind(config)


def bert(tokens: Any, width: int = 32) -> Any:
    from transformers import BertConfig, BertModel

    return BertModel(
        BertConfig(
            vocab_size=len(tokens),
            hidden_size=width,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=256,
            pad_token_id=tokens.pad_token_id,
        )
    )


def qwen_vl(tokens: Any, width: int = 32) -> Any:
    """Build the text half, with an eye as small as it can be, of Qwen2.5-VL."""
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    return Qwen2_5_VLForConditionalGeneration(
        Qwen2_5_VLConfig(
            text_config={
                "vocab_size": len(tokens),
                "hidden_size": width,
                "intermediate_size": 32,
                "num_hidden_layers": 3,
                "num_attention_heads": 2,
                "num_key_value_heads": 2,
                "rope_scaling": {
                    "mrope_section": [2, 2, 4],
                    "rope_type": "default",
                    "type": "default",
                },
                "rope_theta": 1000000.0,
                "pad_token_id": tokens.pad_token_id,
            },
            vision_config={
                "depth": 1,
                "hidden_size": 16,
                "intermediate_size": 16,
                "num_heads": 2,
                "out_hidden_size": width,
            },
        )
    )


def mistral_3(tokens: Any, width: int = 32) -> Any:
    from transformers import Mistral3Config, Mistral3ForConditionalGeneration

    return Mistral3ForConditionalGeneration(
        Mistral3Config(
            text_config={
                "model_type": "mistral",
                "vocab_size": len(tokens),
                "hidden_size": width,
                "intermediate_size": 32,
                "max_position_embeddings": 1024,
                "num_attention_heads": 4,
                "num_hidden_layers": 2,
                "num_key_value_heads": 2,
                "sliding_window": None,
                "pad_token_id": tokens.pad_token_id,
            },
            vision_config={
                "model_type": "pixtral",
                "hidden_size": 16,
                "num_hidden_layers": 1,
                "num_attention_heads": 2,
                "intermediate_size": 16,
                "image_size": 30,
                "patch_size": 6,
                "num_channels": 3,
            },
            image_token_index=1,
        )
    )


def processor() -> Any:
    """Make what Flux 2 calls its tokenizer: a processor of texts and pictures."""
    from transformers import PixtralImageProcessor, PixtralProcessor

    tokens = tokenizer(begin=True, length=1000, extra_special_tokens={})
    tokens.add_special_tokens({"additional_special_tokens": ["[IMG]", "[IMG_BREAK]", "[IMG_END]"]})
    return PixtralProcessor(
        image_processor=PixtralImageProcessor(), tokenizer=tokens, patch_size=6, chat_template=CHAT
    )


def chat_glm(tokens: Any, width: int = 32) -> Any:
    from diffusers.pipelines.kolors.text_encoder import ChatGLMConfig, ChatGLMModel

    model = ChatGLMModel(
        ChatGLMConfig(
            num_layers=2,
            padded_vocab_size=len(tokens),
            hidden_size=width,
            ffn_hidden_size=32,
            kv_channels=16,
            num_attention_heads=2,
            seq_length=256,
            add_qkv_bias=True,
            original_rope=True,
        )
    )
    with torch.no_grad():  # it is made to be loaded, and its weights are whatever was in memory
        for name, weights in model.named_parameters():
            if "layernorm" in name:
                weights.fill_(1.0)
            else:
                weights.normal_(std=0.2)
    return model


def chat_glm_tokenizer() -> Any:
    """Make a tokenizer that counts positions too, as Kolors' own, which needs sentencepiece, does."""
    from transformers import PreTrainedTokenizerFast

    class Positions(PreTrainedTokenizerFast):
        def __call__(self, text: Any, **asked: Any) -> Any:
            found = super().__call__(text, **asked)
            if "attention_mask" in found and hasattr(found["attention_mask"], "cumsum"):
                mask = found["attention_mask"]
                found["position_ids"] = (mask.cumsum(-1) - 1).clamp(min=0)
            return found

    made = tokenizer(padding_side="left")
    made.__class__ = Positions
    return made
