"""ComfyUI: a workflow is queued, its history is looked at until it is done, its picture fetched."""

from __future__ import annotations

import copy
import re
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from privaudit.errors import EndpointError
from privaudit.files import read_json
from privaudit.targets.dialects.base import get_single, read_answer

if TYPE_CHECKING:
    from collections.abc import Mapping
    from os import PathLike

    from privaudit.targets.dialects.base import Options
    from privaudit.targets.http import Caller, Reply

__all__ = ["ComfyUI"]

FIRST_LOOK, LONGEST_LOOK = 0.1, 2.0
"""Seconds between two looks at the history: the first, and the longest."""


class ComfyUI:
    """``POST /prompt`` with a workflow, ``GET /history/ID``, ``GET /view``.

    Round brackets of a caption would change the weight of what they enclose: they are escaped.

    Parameters
    ----------
    workflow
        As ComfyUI exports it in its API format: nodes by their id; a file, or its content.
    text
        The node that takes the prompt, as ``"6"`` or ``"6.text"``: the id of the node, and the
        name of the input, which is ``text`` if nothing else is said.
    seed
        The node that takes the seed, likewise; its input is ``seed`` or ``noise_seed``. ``None``
        for a workflow that draws its own.
    output
        The node whose picture counts, where the workflow has several.

    Raises
    ------
    EndpointError
        If the workflow cannot be read, is in the format of the editor, or lacks such a node or
        input.
    """

    def __init__(
        self,
        workflow: str | PathLike[str] | Mapping[str, Any],
        *,
        text: str,
        seed: str | None = None,
        output: str | None = None,
    ) -> None:
        self._workflow = _read(workflow)
        self._text = self._place("text", text, ("text",), str)
        names = ("seed", "noise_seed")
        self._seed = None if seed is None else self._place("seed", seed, names, int)
        if output is not None and output not in self._workflow:
            raise self._lacks("output", output)
        self._output = output

    @property
    def sends_seed(self) -> bool:
        """Whether a node takes the seed."""
        return self._seed is not None

    def draw(self, caller: Caller, prompt: str, seed: int, options: Options) -> bytes:
        """Ask for one picture, see :class:`privaudit.targets.dialects.Dialect`."""
        nodes = copy.deepcopy(self._workflow)
        node, name = self._text
        nodes[node]["inputs"][name] = re.sub(r"([()])", r"\\\1", prompt)
        if self._seed is not None:
            node, name = self._seed
            nodes[node]["inputs"][name] = seed
        for inner in nodes.values():
            # Of a node that has nothing new to do, a history may say nothing.
            prefix = inner["inputs"].get("filename_prefix")
            if isinstance(prefix, str):
                inner["inputs"]["filename_prefix"] = f"{prefix}-{uuid.uuid4().hex[:12]}"
        reply = caller.send("POST", "prompt", body={"prompt": nodes}, draws=True)
        answer = read_answer(caller, reply, options.refusals)
        number = answer.get("prompt_id") if isinstance(answer, dict) else None
        # It becomes part of a path, and "../admin" would be one.
        if not (isinstance(number, str) and re.fullmatch(r"[\w-]{1,100}", number)):
            raise caller.reply_error(reply, f"no prompt_id: {caller.quote(reply.content)}")
        reply, entry = self._wait(caller, number, options)
        picture = get_single(caller, reply, self._get_pictures(entry))
        params = {n: str(picture.get(n, "")) for n in ("filename", "subfolder", "type")}
        reply = caller.send("GET", "view", params=params)
        if reply.status >= 400:
            raise caller.reply_error(reply)
        return reply.content

    def _wait(self, caller: Caller, number: str, options: Options) -> tuple[Reply, dict[str, Any]]:
        """Wait for the end of a workflow, and return what its history says."""
        deadline, wait = time.monotonic() + caller.pacing.timeout, FIRST_LOOK
        while True:
            reply = caller.send("GET", f"history/{number}")
            history = read_answer(caller, reply, options.refusals)
            entry = history.get(number) if isinstance(history, dict) else None
            if isinstance(entry, dict):
                status = entry.get("status")
                if isinstance(status, dict) and status.get("status_str") == "error":
                    # The last message is the error; those before it tell what was run.
                    messages = status.get("messages")
                    last = messages[-1] if isinstance(messages, list) and messages else messages
                    why = f"the workflow failed: {caller.quote(last)}"
                    raise caller.reply_error(reply, why)
                return reply, entry
            if time.monotonic() > deadline:
                raise caller.error(
                    f"{reply.request} knows of no end of the workflow after "
                    f"{caller.pacing.timeout:g} s: look at the server's queue, or raise timeout"
                )
            time.sleep(wait)
            wait = min(LONGEST_LOOK, 1.5 * wait)

    def _get_pictures(self, entry: dict[str, Any]) -> list[dict[str, Any]]:
        outputs = entry.get("outputs")
        outputs = outputs if isinstance(outputs, dict) else {}
        images = [
            image
            for node, output in outputs.items()
            if self._output in (None, node) and isinstance(output, dict)
            for image in _as_list(output.get("images"))
            if isinstance(image, dict)
        ]
        return [image for image in images if image.get("type") == "output"] or images

    def describe(self) -> dict[str, Any]:
        """Return the workflow, and which of its inputs are filled in."""
        return {
            "dialect": "ComfyUI",
            "workflow": self._workflow,
            "text": list(self._text),
            "seed": None if self._seed is None else list(self._seed),
            "output": self._output,
        }

    def _place(self, what: str, where: str, names: tuple[str, ...], kind: type) -> tuple[str, str]:
        """Return a node and its input, which must be there and hold a value of that kind."""
        node, _, name = str(where).partition(".")
        if node not in self._workflow:
            raise self._lacks(what, where)
        inputs = self._workflow[node]["inputs"]
        inputs_there = [n for n in ((name,) if name else names) if isinstance(inputs.get(n), kind)]
        if not inputs_there:
            raise self._lacks(what, where)
        return node, inputs_there[0]

    def _lacks(self, what: str, where: str) -> EndpointError:
        known = ", ".join(
            f"{node} ({inner.get('class_type', '?')})" for node, inner in self._workflow.items()
        )
        return EndpointError(
            f"the workflow has no node for {what}={where!r} whose input can be filled in: it has "
            f"{known}. Name one as '6' or '6.text'"
        )


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _read(workflow: Any) -> dict[str, Any]:
    """Return the nodes of a workflow by their ids."""
    if isinstance(workflow, (str, Path)) or hasattr(workflow, "__fspath__"):
        workflow = read_json(Path(workflow), EndpointError)
    nodes = dict(workflow) if isinstance(workflow, dict) else {}
    if isinstance(nodes.get("prompt"), dict):
        nodes = dict(nodes["prompt"])
    if not nodes or not all(
        isinstance(node, dict) and isinstance(node.get("inputs"), dict) for node in nodes.values()
    ):
        msg = (
            "the workflow is not in ComfyUI's API format, nodes with inputs by their ids: export "
            "it by 'Export (API)', or 'Save (API Format)'"
        )
        raise EndpointError(msg)
    return copy.deepcopy({str(name): node for name, node in nodes.items()})
