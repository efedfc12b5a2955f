"""Real services on a real socket, around the tiny pipeline, in the dialects that services have."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import functools
import io
import json
import re
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from PIL import Image

from tests.parts.pipelines import tiny_pipeline

STEPS = 1
GUIDANCE = 300.0
"""So that untrained weights draw other pictures of other prompts."""
WORKFLOW = {
    "3": {
        "class_type": "KSampler",
        "inputs": {"seed": 1, "steps": STEPS, "positive": ["6", 0], "negative": ["7", 0]},
    },
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a cat", "clip": ["4", 1]}},
    "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "", "clip": ["4", 1]}},
    "9": {"class_type": "SaveImage", "inputs": {"filename_prefix": "out", "images": ["3", 0]}},
}
DIALECTS = {
    "openai": "privaudit.endpoints.OpenAIImages('tiny', seed=True)",
    "openai-url": "privaudit.endpoints.OpenAIImages('tiny', seed=True, response_format='url')",
    "automatic1111": "privaudit.endpoints.Automatic1111()",
    "comfyui": f"privaudit.endpoints.ComfyUI({WORKFLOW!r}, text='6', seed='3')",
    "template": (
        "privaudit.endpoints.JSONTemplate({'input': {'text': '{prompt}', 'seed': '{seed}'}}, "
        "image='output.images.0', path='any')"
    ),
    "file": "privaudit.endpoints.JSONTemplate({'input': {'text': '{prompt}', 'seed': '{seed}'}}, path='file')",
}
"""Code that makes each dialect; the first path of OpenAI's is the service's ``/v1``."""
REVISIONS = {"rewritten": "A detailed picture of {}", "not rewritten": "{} "}
"""What a service says that it drew, by its fault."""


@functools.cache
def _pipeline() -> Any:
    return tiny_pipeline()


@functools.cache
def _image_to_image() -> Any:
    from diffusers import AutoPipelineForImage2Image

    form = AutoPipelineForImage2Image.from_pipe(_pipeline())
    form.set_progress_bar_config(disable=True)
    return form


class Service:
    """A tiny pipeline behind HTTP, which writes down what it is asked and can be made to fail.

    Attributes
    ----------
    asked, answered
        Prompt and seed of each picture that was asked for, and that was sent on its way.
    fault
        From the number of a request, from 0, and its prompt, to the fault that it meets.
    keys
        The ``Authorization`` headers that came.
    """

    def __init__(self, draw: Callable[[str, int], Image.Image] | None = None) -> None:
        self.asked: list[tuple[str, int]] = []
        self.answered: list[tuple[str, int]] = []
        self.keys: list[str | None] = []
        self.bodies: list[Any] = []
        self.fault: Callable[[int, str], str | None] = lambda _number, _prompt: None
        self.held, self.release = threading.Event(), threading.Event()
        self.times: list[float] = []
        self._draw = draw
        if draw is None:
            _pipeline()
        self._lock = threading.Lock()
        self._files: dict[str, bytes] = {}
        self._history: dict[str, Any] = {}
        self.url = ""

    def draw(self, prompt: str, seed: int) -> Image.Image:
        """Draw a picture, as the pipeline alone does."""
        with self._lock:
            if self._draw is not None:
                return self._draw(prompt, seed)
            generator = torch.Generator().manual_seed(seed)
            how = {"num_inference_steps": STEPS, "guidance_scale": GUIDANCE}
            return _pipeline()(prompt, generator=generator, **how).images[0]

    # -- one picture

    def vary(self, image: Image.Image, prompt: str, seed: int, strength: float) -> Image.Image:
        """Draw a picture anew, as diffusers' image-to-image form of the pipeline does."""
        with self._lock:
            generator = torch.Generator().manual_seed(seed)
            how = {"num_inference_steps": 2 * STEPS, "guidance_scale": GUIDANCE}
            form = _image_to_image()
            return form(prompt, image=image, strength=strength, generator=generator, **how).images[
                0
            ]

    async def _picture(
        self, prompt: str, seed: int, vary: Callable[[], Image.Image] | None = None
    ) -> tuple[bytes | Response, str | None]:
        """Return a picture's file, or the response that a fault is; and the fault."""
        number = len(self.asked)
        self.asked.append((prompt, seed))
        self.times.append(time.monotonic())
        fault = self.fault(number, prompt)
        if fault == "hold":
            self.held.set()
            while not self.release.is_set():
                await asyncio.sleep(0.01)
        if fault == "hang":
            await asyncio.sleep(2)
        whole = RESPONSES.get(fault or "")
        if whole is not None:
            return whole(), fault
        seed = number if fault == "unseeded" else seed
        drawn = functools.partial(self.draw, prompt, seed) if vary is None else vary
        image = await asyncio.to_thread(drawn)
        if fault == "size":
            image = image.resize((8, 8))
        file = io.BytesIO()
        image.convert("RGB").save(file, "JPEG" if fault == "JPEG" else "PNG")
        self.answered.append((prompt, seed))
        content = file.getvalue()
        return (content[: len(content) // 2] if fault == "half picture" else content), fault

    def app(self) -> FastAPI:
        """Make the application, which speaks every dialect."""
        app = FastAPI()
        for routes in (_openai, _automatic1111, _comfyui, _template):
            routes(app, self)
        return app

    async def _body(self, request: Request) -> Any:
        self.keys.append(request.headers.get("authorization"))
        given = await request.json()
        self.bodies.append(given)
        return given

    def _written(self, content: bytes, how: str | None) -> dict[str, str]:
        if how != "url":
            return {"b64_json": base64.b64encode(content).decode()}
        name = f"{len(self._files)}.png"
        self._files[name] = content
        return {"url": f"{self.url}/files/{name}"}

    @contextlib.contextmanager
    def running(self) -> Iterator[Service]:
        """Serve on a free port for as long as the context lasts."""
        config = uvicorn.Config(
            self.app(), port=0, log_level="critical", timeout_graceful_shutdown=1, lifespan="off"
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        deadline = time.monotonic() + 30
        while not server.started:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        try:
            yield self
        finally:
            self.release.set()
            server.should_exit = True
            thread.join(30)


def _openai(app: FastAPI, service: Service) -> None:
    @app.post("/v1/images/generations")
    async def generations(request: Request) -> Response:
        given = await service._body(request)
        seed = given.get("seed", len(service.asked))
        made, fault = await service._picture(given["prompt"], seed)
        if isinstance(made, Response):
            return made
        data = [service._written(made, given.get("response_format"))]
        if fault in REVISIONS:
            data[0]["revised_prompt"] = REVISIONS[fault].format(given["prompt"])
        return JSONResponse({"created": 1, "data": counted(data, fault)})

    @app.get("/files/{name}")
    async def files(name: str, request: Request) -> Response:
        service.keys.append(request.headers.get("authorization"))
        return Response(service._files[name], media_type="image/png")


def _automatic1111(app: FastAPI, service: Service) -> None:
    @app.post("/sdapi/v1/txt2img")
    async def txt2img(request: Request) -> Response:
        given = await service._body(request)
        made, fault = await service._picture(read_as("()[]", given["prompt"]), given["seed"])
        if isinstance(made, Response):
            return made
        images = counted([base64.b64encode(made).decode()], fault)
        return JSONResponse({"images": images, "parameters": {}, "info": "{}"})

    @app.post("/sdapi/v1/img2img")
    async def img2img(request: Request) -> Response:
        given = await service._body(request)
        [file] = given["init_images"]
        image = Image.open(io.BytesIO(base64.b64decode(file)))
        image = image.resize((given["width"], given["height"]))
        words = read_as("()[]", given["prompt"])
        how = (image, words, given["seed"], given["denoising_strength"])
        made, fault = await service._picture(
            words, given["seed"], functools.partial(service.vary, *how)
        )
        if isinstance(made, Response):
            return made
        images = counted([base64.b64encode(made).decode()], fault)
        return JSONResponse({"images": images, "parameters": {}, "info": "{}"})


def _comfyui(app: FastAPI, service: Service) -> None:
    @app.post("/prompt")
    async def prompt(request: Request) -> Response:
        nodes = (await service._body(request))["prompt"]
        words, seed = nodes["6"]["inputs"]["text"], nodes["3"]["inputs"]["seed"]
        made, fault = await service._picture(read_as("()", words), seed)
        if isinstance(made, Response):
            return made
        number = f"id-{len(service._history)}"
        name = f"{nodes['9']['inputs']['filename_prefix']}.png"
        assert name not in service._files
        service._files[name] = made
        image = {"filename": name, "subfolder": "", "type": "output"}
        outputs = {"9": {"images": counted([image], fault)}}
        status = {"status_str": "success", "completed": True, "messages": []}
        if fault == "workflow":
            outputs, status = {}, {"status_str": "error", "messages": ["out of memory"]}
        entry = {"outputs": outputs, "status": status}
        service._history[number] = [{}, {number: entry}] if fault != "never" else [{}]
        return JSONResponse({"prompt_id": number, "number": 1, "node_errors": {}})

    @app.get("/history/{number}")
    async def history(number: str) -> Response:
        known = service._history[number]
        return JSONResponse(known.pop(0) if len(known) > 1 else known[0])

    @app.get("/view")
    async def view(filename: str) -> Response:
        return Response(service._files[filename], media_type="image/png")


def _template(app: FastAPI, service: Service) -> None:
    @app.post("/any")
    async def inside_json(request: Request) -> Response:
        given = (await service._body(request))["input"]
        made, fault = await service._picture(given["text"], given["seed"])
        if isinstance(made, Response):
            return made
        images = counted([f"data:image/png;base64,{base64.b64encode(made).decode()}"], fault)
        return JSONResponse({"output": {"images": [images] if fault == "two" else images}})

    @app.post("/file")
    async def file(request: Request) -> Response:
        given = (await service._body(request))["input"]
        made, _ = await service._picture(given["text"], given["seed"])
        return made if isinstance(made, Response) else Response(made, media_type="image/png")


def counted(pictures: list[Any], fault: str | None) -> list[Any]:
    """Send the wrong number of pictures, if that is the fault."""
    return {"two": 2 * pictures, "none": []}.get(fault or "", pictures)


def read_as(brackets: str, prompt: str) -> str:
    """Read a prompt as a web UI does: bare brackets are weights, and `<…>` no words."""
    prompt = prompt.removesuffix("<lora:faces:1>")
    escapes = brackets + ("\\" if "[" in brackets else "")
    marks = re.compile(rf"\\([{re.escape(escapes)}])|[{re.escape(brackets)}]")
    return marks.sub(lambda mark: mark[1] or "", prompt)


def _cut() -> Response:
    async def some() -> Any:
        yield b'{"data": ['

    headers = {"content-length": "10000"}
    return StreamingResponse(some(), headers=headers, media_type="application/json")


def _refusal() -> Response:
    error = {"code": "content_policy_violation", "message": "not here", "type": "user_error"}
    return JSONResponse({"error": error}, status_code=400)


RESPONSES: dict[str, Callable[[], Response]] = {
    "401": lambda: JSONResponse({"error": {"message": "bad key sk-secret-7"}}, status_code=401),
    "429": lambda: JSONResponse({}, status_code=429, headers={"retry-after": "1"}),
    "429 for an hour": lambda: JSONResponse({}, status_code=429, headers={"retry-after": "3600"}),
    "500": lambda: JSONResponse({"error": "out of memory"}, status_code=500),
    "cut": _cut,
    "error inside": lambda: JSONResponse({"error": {"message": "no capacity", "code": "busy"}}),
    "half JSON": lambda: Response('{"data": [{"b64_json": "iVBOR', media_type="application/json"),
    "HTML": lambda: Response("<html>please log in</html>", media_type="text/html"),
    "no base64": lambda: JSONResponse(
        json.loads('{"data": [{"b64_json": "**"}], "images": ["**"], "output": {"images": ["**"]}}')
    ),
    "redirect": lambda: RedirectResponse("http://elsewhere.example/", status_code=307),
    "refusal": _refusal,
    "refusal inside": lambda: JSONResponse({"artifacts": [{"finishReason": "CONTENT_FILTERED"}]}),
}


class RawService:
    """A service that answers with bytes as they are, for what no web framework would send.

    Parameters
    ----------
    answer
        Called with the socket and the head of each request, whose first line begins with its path.
    """

    def __init__(self, answer: Callable[[socket.socket, str], None]) -> None:
        self.heads: list[str] = []
        service = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                self.request.settimeout(30)
                with contextlib.suppress(OSError):
                    head, _, body = _receive(self.request).partition(b"\r\n\r\n")
                    length = re.search(rb"content-length: (\d+)", head, re.I)
                    while length and len(body) < int(length[1]):
                        body += self.request.recv(2**16)
                    text = head.decode("latin-1")
                    service.heads.append(text)
                    answer(self.request, text.partition(" ")[2])

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"

    @contextlib.contextmanager
    def running(self) -> Iterator[RawService]:
        """Serve for as long as the context lasts."""
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()


def _receive(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        part = connection.recv(2**16)
        if not part:
            raise OSError
        data += part
    return data


def raw_reply(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """Return an answer as it is on the wire."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    if not any(line.lower().startswith("content-type") for line in headers):
        lines.append("Content-Type: application/json")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def picture_file(size: tuple[int, int] = (16, 16), kind: str = "PNG") -> bytes:
    """Return a small picture as a file of that format."""
    file = io.BytesIO()
    Image.radial_gradient("L").resize(size).convert("RGB").save(file, kind)
    return file.getvalue()


def picture_json(content: bytes | None = None, **more: str) -> bytes:
    """Return OpenAI's answer with a picture in base64; or with other fields alone."""
    entry = more if content is None else {"b64_json": base64.b64encode(content).decode(), **more}
    return json.dumps({"data": [entry]}).encode()
