"""Any JSON API: a body with places for the prompt and the seed, and the path to the picture."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from privaudit.errors import EndpointError
from privaudit.targets.dialects.base import get_single, get_value, load_content, read_answer

if TYPE_CHECKING:
    from privaudit.targets.dialects.base import Options
    from privaudit.targets.http import Caller

__all__ = ["JSONTemplate"]

PROMPT, SEED = "{prompt}", "{seed}"


@dataclass(frozen=True)
class JSONTemplate:
    """``POST`` of a body in which ``"{prompt}"`` and ``"{seed}"`` are filled in.

    Parameters
    ----------
    body
        Plain values. A text that is ``"{seed}"`` becomes a number; inside a longer text both are
        written out; ``"{width}"`` and ``"{height}"`` likewise, of the endpoint's size.
    image
        Path to the picture, or to a list of one, in the answer, such as ``"output.images.0"``:
        base64, a data URL or an address. ``None`` where the answer is the picture's file.
    path
        Of the request; the endpoint's own if empty.

    Raises
    ------
    EndpointError
        If the body has no place for the prompt.
    """

    body: Any
    image: str | None = None
    path: str = ""

    def __post_init__(self) -> None:
        if not _mentions(self.body, PROMPT):
            msg = f"the body has no {PROMPT!r}, so no prompt would reach the model: put it in"
            raise EndpointError(msg)

    @property
    def sends_seed(self) -> bool:
        """Whether the body has a place for the seed."""
        return _mentions(self.body, SEED)

    def draw(self, caller: Caller, prompt: str, seed: int, options: Options) -> bytes:
        """Ask for one picture, see :class:`privaudit.targets.dialects.Dialect`."""
        width, height = options.size or (None, None)
        values = {SEED: seed, "{width}": width, "{height}": height, PROMPT: prompt}
        body = _fill(self.body, {name: v for name, v in values.items() if v is not None})
        reply = caller.send("POST", self.path, body=body, draws=True)
        if self.image is None and reply.status < 400 and reply.kind.startswith("image/"):
            return reply.content
        answer = read_answer(caller, reply, options.refusals)
        if self.image is None:
            kind, content = caller.quote(reply.kind), caller.quote(reply.content)
            raise caller.reply_error(reply, f"no picture, but {kind}: {content}")
        picture = get_single(caller, reply, get_value(answer, self.image))
        return load_content(caller, reply, picture)

    def describe(self) -> dict[str, Any]:
        """Return its fields."""
        return {"dialect": "JSON template", **asdict(self)}


def _mentions(value: Any, what: str) -> bool:
    if isinstance(value, dict):
        return any(_mentions(inner, what) for inner in value.values())
    if isinstance(value, list | tuple):
        return any(_mentions(inner, what) for inner in value)
    return isinstance(value, str) and what in value


def _fill(value: Any, values: dict[str, Any]) -> Any:
    if isinstance(value, dict):
        return {name: _fill(inner, values) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_fill(inner, values) for inner in value]
    if not isinstance(value, str):
        return value
    if value in values:
        return values[value]
    for name, filler in values.items():  # the prompt last: it may contain a name
        value = value.replace(name, str(filler))
    return value
