"""What a service must not get out of an audit: the key, an address of the network, time, memory."""

from __future__ import annotations

import base64
import fnmatch
import gzip
import html
import io
import json
import os
import pickle
import resource
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any
from urllib.parse import quote

import pytest
from PIL import Image

import privaudit
from privaudit import Sample
from privaudit.errors import EndpointError
from privaudit.targets.endpoint import Endpoint
from privaudit.targets.http import MAX_BYTES
from privaudit.targets.queries import Query
from privaudit.targets.redaction import FRAGMENT, redact
from tests.parts.audit_folder import GATED, AuditFolder
from tests.parts.documents import read_session
from tests.parts.endpoints import ONE, code, fixture, queries
from tests.parts.services import RawService, Service, picture_file, picture_json, raw_reply

KEY = "sk-planted-SECRET-0123456789abcdef"
Answer = Callable[[socket.socket, str], None]


@pytest.fixture
def serve() -> Iterator[Callable[[Answer], RawService]]:
    """Return a function that starts a service, which ends with the test."""
    with ExitStack() as running:
        yield lambda answer: running.enter_context(RawService(answer).running())


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_KEY", KEY)


def endpoint(service: RawService, **more: Any) -> Endpoint:
    dialect = more.pop("dialect", privaudit.endpoints.OpenAIImages("m", seed=True))
    how = {"attempts": 2, "backoff": 0.01, "timeout": 20, "size": (16, 16), "at_once": 1}
    return Endpoint(f"{service.url}/v1", dialect, version="1", key_from="A_KEY", **{**how, **more})


def draw(target: Endpoint, n: int = 1) -> list[Any]:
    return list(target.answer(queries(n)))


def sends(content: bytes) -> Answer:
    return lambda connection, _path: connection.sendall(content)


def points_to(address: str, file: bytes) -> Answer:
    """Answer with an address, and with that at all others."""
    answer = raw_reply(picture_json(url=address))
    return lambda connection, path: connection.sendall(
        answer if path.startswith("/v1/images") else file
    )


PICTURE = raw_reply(picture_file(), "Content-Type: image/png")


# -- the key goes to its own origin


@pytest.mark.parametrize("header", ["Authorization", "X-Api-Key"])
def test_the_key_goes_to_its_own_origin_alone(
    serve: Callable[[Answer], RawService], header: str
) -> None:
    """Also where the own origin redirects to a host that may be read."""
    other = serve(sends(PICTURE))
    redirect = raw_reply(b"", f"Location: {other.url}/1.png", status="302 Found")
    own = serve(points_to("/files/1.png", redirect))
    [answer] = draw(endpoint(own, key_header=header, hosts=(other.url,)))
    assert answer.image.size == (16, 16)
    assert [KEY in head for head in own.heads] == [True, True]
    assert [KEY in head for head in other.heads] == [False]


def test_a_redirect_of_the_request_itself_is_not_followed(
    serve: Callable[[Answer], RawService],
) -> None:
    other = serve(sends(PICTURE))
    moved = raw_reply(b"", f"Location: {other.url}/v1", status="307 Temporary Redirect")
    own = serve(sends(moved))
    with pytest.raises(EndpointError, match=f"is redirected to '{other.url}/v1'"):
        draw(endpoint(own, hosts=(other.url,)))
    assert not other.heads


def test_redirects_end(serve: Callable[[Answer], RawService]) -> None:
    again = raw_reply(b"", "Location: /files/2.png", status="302 Found")
    own = serve(points_to("/files/1.png", again))
    with pytest.raises(EndpointError, match="is redirected 5 times"):
        draw(endpoint(own))
    assert len(own.heads) == 1 + 6


# -- addresses of other hosts


INSIDE = {
    "another port of the same machine": "http://127.0.0.1:{port}/admin",
    "another name of it": "http://localhost:{port}/admin",
    "another scheme": "https://127.0.0.1:{own}/1.png",
    "the metadata service of a cloud": "http://169.254.169.254/latest/meta-data/",
    "a number": "http://2130706433:{port}/",
    "IPv6": "http://[::1]:{port}/",
    "without a scheme": "//127.0.0.1:{port}/admin",
    "a password": "http://me:word@127.0.0.1:{own}/1.png",
    "below a host of the list": "http://cdn.example.evil.example/1.png",
    "the end of a host of the list": "https://evilcdn.example/1.png",
}


@pytest.mark.parametrize("redirected", [False, True])
@pytest.mark.parametrize("where", INSIDE)
def test_an_address_elsewhere_is_not_read(
    serve: Callable[[Answer], RawService], where: str, *, redirected: bool
) -> None:
    other = serve(sends(PICTURE))
    address = ""

    def answer(connection: socket.socket, path: str) -> None:
        first = "/files/1.png" if redirected else address
        hop = raw_reply(b"", f"Location: {address}", status="302 Found")
        points_to(first, hop)(connection, path)

    own = serve(answer)
    address = INSIDE[where].format(port=other.port, own=own.port)
    with pytest.raises(EndpointError, match=r"only its own are read|not read|no address"):
        draw(endpoint(own, hosts=("cdn.example", "*.pictures.example")))
    assert not other.heads


def test_hosts_of_the_list_are_read() -> None:
    caller = Endpoint(
        "https://images.example/v1",
        privaudit.endpoints.OpenAIImages(),
        version="1",
        hosts=("cdn.example", "*.pictures.example", "http://10.0.0.7:9000"),
    )._caller
    base = caller._url
    for address in (
        "/files/1.png",
        "https://images.example/1.png?sig=a",
        "https://CDN.example/1.png",
        "https://a.b.pictures.example/1",
        "http://10.0.0.7:9000/1.png",
    ):
        caller._check_address(base, address)
    for address in (
        "http://images.example/1.png",
        "https://images.example:444/1.png",
        "http://cdn.example/1.png",
        "https://pictures.example/1",
        "https://evilpictures.example/1",
        "http://10.0.0.7/1.png",
        "ftp://images.example/1.png",
        "https://[",
    ):
        with pytest.raises(EndpointError):
            caller._check_address(base, address)


def test_a_number_of_a_workflow_is_no_path(serve: Callable[[Answer], RawService]) -> None:
    own = serve(sends(raw_reply(b'{"prompt_id": "../../admin"}')))
    nodes = {"6": {"inputs": {"text": ""}}, "9": {"inputs": {"filename_prefix": "a"}}}
    with pytest.raises(EndpointError, match="no prompt_id"):
        draw(endpoint(own, dialect=privaudit.endpoints.ComfyUI(nodes, text="6")))
    assert len(own.heads) == 1


# -- the key and the prompt in messages


def inside(text: str) -> bytes:
    return raw_reply(text.encode(), "Content-Type: text/html", status="400 Bad Request")


def as_picture(content: bytes) -> bytes:
    return raw_reply(picture_json(content))


def as_address(address: str) -> bytes:
    return raw_reply(picture_json(url=address))


SAYS: dict[str, Callable[[str], bytes]] = {
    "as it is": lambda s: inside(f"bad key {s}"),
    "in small letters": lambda s: inside(f"bad key {s.lower()}"),
    "in capitals": lambda s: inside(f"bad key {s.upper()}"),
    "its beginning": lambda s: inside(f"bad key {s[:11]}"),
    "its middle": lambda s: inside(f"bad key ***{s[9:20]}***"),
    "in two lines": lambda s: inside(f"bad key {s[:15]}\n{s[15:]}"),
    "at the cut": lambda s: inside("x" * 285 + s + "y" * 50),
    "at the first cut": lambda s: inside("x" * 2390 + s + "y" * 50),
    "in base64": lambda s: inside(base64.b64encode(f"Bearer {s}".encode()).decode()),
    "in base64, one further": lambda s: inside(base64.b64encode(f":{s}:".encode()).decode()),
    "in base64, two further": lambda s: inside(base64.b64encode(f"me{s}".encode()).decode()),
    "percent-encoded": lambda s: inside("".join(f"%{b:02X}" for b in s.encode())),
    "in JSON escapes": lambda s: inside("".join(f"\\u{ord(c):04X}" for c in s)),
    "in hexadecimal": lambda s: inside(s.encode().hex()),
    "in HTML": lambda s: inside(f"<b>{html.escape(s)}</b>"),
    "in 401 of JSON": lambda s: raw_reply(json.dumps({"error": s}).encode(), status="401 No"),
    "in an error inside": lambda s: raw_reply(json.dumps({"error": {"message": s}}).encode()),
    "in half a JSON": lambda s: raw_reply(json.dumps([s]).encode()[:-1]),
    "in the type": lambda s: raw_reply(b"", f"Content-Type: {s}/x"),
    "in the encoding": lambda s: raw_reply(b"", f"Content-Encoding: {s}"),
    "in a redirect": lambda s: raw_reply(b"", f"Location: /?k={quote(s)}", status="302 Found"),
    "in a 500": lambda s: raw_reply(s.encode(), status="500 Oops"),
    "in an odd header": lambda s: b"HTTP/1.1 200 OK\r\n" + s.encode() + b"\r\n\r\n",
    "in no HTTP": lambda s: s.encode() + b"\r\n\r\n",
    "in bytes that are no picture": lambda s: as_picture(f"bad key {s}".encode()),
    "in bytes that are no text": lambda s: as_picture(s.encode("utf-16")),
    "in a damaged picture": lambda s: as_picture(picture_file()[:60] + s.encode()),
    "in no base64": lambda s: raw_reply(json.dumps({"data": [{"b64_json": f"!{s}"}]}).encode()),
    "in no picture at all": lambda s: raw_reply(json.dumps({"data": [{"key": s}]}).encode()),
    "in an address of FTP": lambda s: as_address(f"ftp://h/{s}"),
    "in no address": lambda s: as_address(f"http://[{s}"),
    "as a host": lambda s: as_address(f"http://{s}/1.png"),
    "below a host": lambda s: as_address(f"http://{s}.evil.example/1.png"),
    "as a port": lambda s: as_address(f"http://127.0.0.1:{s}/1.png"),
    "in a path": lambda s: as_address(f"/files/{s}.png"),
}


def shows(text: str, secret: str, fragment: int) -> str:
    """Return what a text shows of a secret, in any case and encoding; empty for nothing."""
    raw = secret.encode()
    forms = [secret, raw.hex(), "".join(f"%{b:02x}" for b in raw), quote(raw, safe="")]
    forms += [base64.b64encode(b" " * n + raw).decode()[4:-4] for n in range(3)]
    for form in forms:
        for i in range(len(form) - fragment + 1):
            if form[i : i + fragment].lower() in text.lower():
                return form[i : i + fragment]
    return ""


@pytest.mark.parametrize("how", SAYS)
def test_no_message_shows_the_key(serve: Callable[[Answer], RawService], how: str) -> None:
    own = serve(sends(SAYS[how](KEY)))
    with pytest.raises(EndpointError) as raised:
        draw(endpoint(own, attempts=1))
    assert not shows(str(raised.value), KEY, 8)
    # Nor does what it is chained to, which a traceback would show.
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__


def test_no_message_shows_a_key_in_a_path(serve: Callable[[Answer], RawService]) -> None:
    own = serve(points_to(f"/files/{KEY}.png", raw_reply(b"gone", status="404 Gone")))
    with pytest.raises(EndpointError, match=r"/files/….png answered 404") as raised:
        draw(endpoint(own))
    assert not shows(str(raised.value), KEY, 8)


REPEATS = ("as it is", "in small letters", "at the cut", "in 401 of JSON", "in an error inside")
REPEATS += ("in a 500", "in bytes that are no picture", "in no base64", "in a path")


@pytest.mark.parametrize("how", REPEATS)
def test_no_message_shows_the_caption(serve: Callable[[Answer], RawService], how: str) -> None:
    caption = "Jane Doe asleep, at home in Example Street 7"
    query = Query(Sample(Image.new("RGB", (16, 16)), caption, id="7"), caption, 0, 1)
    with pytest.raises(EndpointError) as raised:
        list(endpoint(serve(sends(SAYS[how](caption))), attempts=1).answer([query]))
    assert not shows(str(raised.value), caption, 12)


def test_a_dialect_of_ones_own_shows_nothing_either(
    serve: Callable[[Answer], RawService],
) -> None:
    class Own:
        sends_seed = True

        def draw(self, caller: Any, prompt: str, seed: int, options: Any) -> bytes:
            raise self.error(f"with {os.environ['A_KEY']} of {prompt}")

        def describe(self) -> dict[str, Any]:
            return {"dialect": "own"}

    for error in (KeyError, EndpointError, UnicodeError, RecursionError):
        Own.error = error
        with pytest.raises(EndpointError) as raised:
            draw(endpoint(serve(sends(b"")), dialect=Own()))
        assert not shows(str(raised.value), KEY, FRAGMENT)
    assert "query 0 of sample" in str(raised.value)


def test_a_key_in_what_is_recorded_is_an_error(serve: Callable[[Answer], RawService]) -> None:
    own = serve(sends(raw_reply(picture_json(picture_file()))))
    dialect = privaudit.endpoints.OpenAIImages("m", extra={"api_key": KEY})
    with pytest.raises(EndpointError, match="also stands in what is recorded") as raised:
        draw(endpoint(own, dialect=dialect))
    assert not shows(str(raised.value), KEY, FRAGMENT)
    assert not own.heads


@pytest.mark.parametrize("secret", ["sk-1", "a\\b'c\"d/e&f<g", "ключ-от-дома", "AAAAAAAAAAAA"])
def test_redact_takes_out_every_form(secret: str) -> None:
    raw = secret.encode()
    for text in (
        secret,
        repr(secret)[1:-1],
        json.dumps(secret)[1:-1],
        html.escape(secret),
        quote(secret, safe=""),
        raw.hex(),
    ):
        clear = redact(f"a {text} b", [secret])
        assert text.lower() not in clear.lower()
        assert clear.startswith("a ")
        assert clear.endswith(" b")
    assert redact("nothing to see", [secret, ""]) == "nothing to see"


# -- time


def drip(beginning: bytes, part: bytes) -> Answer:
    def answer(connection: socket.socket, _path: str) -> None:
        connection.sendall(beginning)
        while True:
            connection.sendall(part)
            time.sleep(0.2)

    return answer


def never(_connection: socket.socket, _path: str) -> None:
    time.sleep(20)


SLOW: dict[str, Answer] = {
    "never answers": never,
    "headers byte by byte": drip(b"HTTP/1.1 200 OK\r\nX-A: ", b"a"),
    "a header at a time": drip(b"HTTP/1.1 200 OK\r\n", b"X-A: a\r\n"),
    "1xx for ever": drip(b"", b"HTTP/1.1 102 Processing\r\n\r\n"),
    "100 for ever": drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "the status byte by byte": drip(b"H", b"T"),
    "the body byte by byte": drip(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n", b" "),
    "chunks for ever": drip(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n"
    ),
}


@pytest.mark.parametrize("how", SLOW)
def test_one_deadline_holds_for_all_of_a_request(
    serve: Callable[[Answer], RawService], how: str
) -> None:
    own = serve(SLOW[how])
    started = time.monotonic()
    with pytest.raises(EndpointError, match=r"no whole answer within 1 s|RemoteProtocolError"):
        draw(endpoint(own, timeout=1, attempts=2))
    assert time.monotonic() - started < 8  # 2 attempts of 1 s, on a busy machine
    assert len(own.heads) == 2


def test_a_redirect_that_drips_has_the_same_deadline(
    serve: Callable[[Answer], RawService],
) -> None:
    hop = raw_reply(b"", "Location: /files/2.png", status="302 Found")

    def answer(connection: socket.socket, path: str) -> None:
        if "files" in path:
            time.sleep(0.5)
        points_to("/files/1.png", hop)(connection, path)

    own = serve(answer)
    with pytest.raises(EndpointError, match="no whole answer within 1 s"):
        draw(endpoint(own, timeout=1, attempts=1))
    assert len(own.heads) <= 4


def test_a_connection_that_nobody_accepts_has_the_same_deadline() -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        port = listening.getsockname()[1]
        held = [socket.socket() for _ in range(3)]
        for one in held:
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
        dialect = privaudit.endpoints.OpenAIImages("m")
        how = {"version": "1", "timeout": 1, "attempts": 1}
        started = time.monotonic()
        with pytest.raises(EndpointError, match="no whole answer within 1 s"):
            draw(Endpoint(f"http://127.0.0.1:{port}", dialect, **how))
        assert time.monotonic() - started < 5
        for one in held:
            one.close()


def test_who_stops_waits_for_nothing_that_is_on_its_way(
    serve: Callable[[Answer], RawService],
) -> None:
    """As after Ctrl-C: what comes then would be read by nobody."""
    answer = raw_reply(picture_json(picture_file()))

    def first_alone(connection: socket.socket, path: str) -> None:
        if len(own.heads) == 1:
            time.sleep(0.5)  # until the second is on its way
            connection.sendall(answer)
        else:
            never(connection, path)

    own = serve(first_alone)
    answers = endpoint(own, at_once=2, timeout=20).answer(queries(2))
    next(answers)
    started = time.monotonic()
    answers.close()
    assert time.monotonic() - started < 5


# -- memory


def bomb(layers: int, megabytes: int) -> bytes:
    content = gzip.compress(bytes(megabytes * 2**20), 9)
    for _ in range(layers - 1):
        content = gzip.compress(content, 9)
    return content


@pytest.mark.parametrize(
    ("encoding", "status"),
    [("gzip", "200 OK"), ("gzip, gzip", "200 OK"), ("gzip, gzip", "500 Oops"), ("br", "404 No")],
)
def test_a_compressed_answer_is_refused(
    serve: Callable[[Answer], RawService], encoding: str, status: str
) -> None:
    body = bomb(1 + encoding.count(","), 200)
    own = serve(sends(raw_reply(body, f"Content-Encoding: {encoding}", status=status)))
    what = "no answer after 2 attempts" if "500" in status else f"content encoding '{encoding}'"
    with pytest.raises(EndpointError, match=what):
        draw(endpoint(own))
    assert all("accept-encoding: identity" in head.lower() for head in own.heads)


def endless(connection: socket.socket, _path: str) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
    while True:
        connection.sendall(bytes(2**20))


LARGE: dict[str, tuple[Answer, str]] = {
    "a length of 9 GB": (sends(b"HTTP/1.1 200 OK\r\nContent-Length: 9000000000\r\n\r\n"), "over"),
    "a body without an end": (endless, "over"),
    "lists in JSON": (sends(raw_reply(b"[" + b"[]," * 2**24 + b"[]]")), "JSON of more than"),
    "deep JSON": (sends(raw_reply(b"[" * 150_000)), "no whole JSON"),
    "a number of many digits": (sends(raw_reply(b"9" * 100_000)), "no whole JSON"),
}


@pytest.mark.parametrize("how", LARGE)
def test_an_answer_is_read_up_to_a_limit(serve: Callable[[Answer], RawService], how: str) -> None:
    answer, what = LARGE[how]
    with pytest.raises(EndpointError, match=what):
        draw(endpoint(serve(answer)))


def test_a_hostile_answer_takes_less_than_a_gigabyte(
    serve: Callable[[Answer], RawService],
) -> None:
    """The largest that is read at all: base64 of the size of the limit, around a white picture."""
    room = MAX_BYTES - 2**10
    own = serve(sends(raw_reply(b'{"data": [{"b64_json": "' + b"A" * (room // 4 * 4) + b'"}]}')))
    program = f"""
        import resource, privaudit
        resource.setrlimit(resource.RLIMIT_AS, (3 * 2**30, 3 * 2**30))
        from privaudit.targets.queries import Query
        from PIL import Image
        target = privaudit.Endpoint({own.url!r}, privaudit.endpoints.OpenAIImages(), version="1", attempts=1)
        sample = privaudit.Sample(Image.new("RGB", (8, 8)), "a", id="a")
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        try: list(target.answer([Query(sample, "a", 0, 1)]))
        except privaudit.errors.EndpointError as error: print(str(error)[-60:])
        print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": ":".join(sys.path)},
    )
    message, megabytes = done.stdout.splitlines()
    assert "bytes that are no text" in message
    assert int(megabytes) < 1000


# -- pictures


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP"])
def test_pictures_of_the_usual_formats_are_read(
    serve: Callable[[Answer], RawService], kind: str
) -> None:
    own = serve(sends(as_picture(picture_file(kind=kind))))
    [answer] = draw(endpoint(own))
    assert answer.image.size == (16, 16)


@pytest.mark.parametrize(
    "content",
    [
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 16 16\nshowpage\n%%EOF",
        b"#define a_width 16\n#define a_height 16\nstatic char a_bits[] = {"
        + b"0x00," * 32
        + b"};",
        b"P6 16 16 255\n" + bytes(768),
    ],
    ids=["EPS", "XBM", "PPM"],
)
def test_other_formats_are_not(serve: Callable[[Answer], RawService], content: bytes) -> None:
    with pytest.raises(EndpointError, match="no whole picture"):
        draw(endpoint(serve(sends(as_picture(content)))))


@pytest.mark.parametrize("size", [(16, 16), None])
def test_the_size_is_looked_at_before_a_picture_is_decoded(
    serve: Callable[[Answer], RawService], size: tuple[int, int] | None
) -> None:
    file = io.BytesIO()
    Image.new("1", (13_000, 13_000)).save(file, "PNG")
    own = serve(sends(as_picture(file.getvalue())))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(EndpointError, match="no whole picture"):
        draw(endpoint(own, size=size))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 2**10


# -- prompts that a service rewrites


def test_rewritten_prompts_are_counted_and_noted(plain_folder: AuditFolder, quick: Service) -> None:
    quick.fault = lambda number, _: "rewritten" if number < 20 else "not rewritten"
    plain_folder.write(fixture(code(quick)), GATED)
    ran = plain_folder.run(*ONE, "--privaudit-json=out.json")
    ran.assert_outcomes(passed=1)
    [audit] = read_session(plain_folder.path / "out.json").audits
    [note] = [note for note in audit.notes if "revised_prompt" in note]
    assert fnmatch.fnmatch(note, "*rewrote the prompt of 20 of 26 pictures*")
    ran.stdout.fnmatch_lines(["*rewrote the prompt of 20 of 26 pictures*"])


def test_an_endpoint_that_was_pickled_counts_on(serve: Callable[[Answer], RawService]) -> None:
    answer = picture_json(picture_file(), revised_prompt="something else")
    target = pickle.loads(pickle.dumps(endpoint(serve(sends(raw_reply(answer))))))
    draw(target, 2)
    assert any("of 2 of 2 pictures" in note for note in target.unchecked)
