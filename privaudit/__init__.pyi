"""The public names: type checkers read this file, and so does the package when one is used."""

from .audit import Audit as Audit
from .audit import AuditInputs as AuditInputs
from .audit import compare as compare
from .audit import run_audit as run_audit
from .captioners import load_captioner as load_captioner
from .encoders import load_encoder as load_encoder
from .endpoints import Endpoint as Endpoint
from .errors import PrivauditError as PrivauditError
from .plugin.failures import PrivacyBudgetExceeded as PrivacyBudgetExceeded
from .plugin.failures import PrivacyRegression as PrivacyRegression
from .record import AuditRecord as AuditRecord
from .record import SessionRecord as SessionRecord
from .runs import checkpoints as checkpoints
from .samples import Sample as Sample
from .samples import load_samples as load_samples
from .samples import make_canaries as make_canaries
from .samples import split_by_coin as split_by_coin
from .settings import AuditSettings as AuditSettings
from .targets import PictureFolder as PictureFolder
from .targets import PipelineTarget as PipelineTarget
from .targets import SavedPipeline as SavedPipeline
from .targets import load_pipeline as load_pipeline
from .training import FineTune as FineTune
from .training import finetune as finetune
