"""The explorer's page: a local web application of one person. Every answer is a piece of HTML, made on the server.

Starlette and uvicorn, no build step, and nothing from elsewhere: the page works offline. Whatever a text or a label
holds is escaped by Jinja, and the Content-Security-Policy lets no script run but page.js.
"""

import base64
import json
import socket
import tempfile
import threading
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from .. import display
from ..errors import ZeroShotError, named
from ..readers import read_rows
from ..tuning.report import GOALS, figure_rows
from ..tuning.settings import apply_settings
from ..util import require
from . import BINS, Explorer, form_of, settings_of

FOLDER = Path(__file__).parent
HOST = "127.0.0.1"
POLICY = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src data:; frame-ancestors 'none'"
ACTIONS = ("score", "load", "show", "correct", "tune", "adopt", "save")
# What no other site's page can send along without asking first, which is refused
MARK = "x-explore"


class Page:
    """What the page can ask for: one method for each, which takes JSON and returns HTML."""

    def __init__(self, explorer: Explorer, text_field: str = "text", label_field: str = "labels"):
        self.explorer, self.text_field, self.label_field = explorer, text_field, label_field
        self._lock = threading.Lock()
        templates = Environment(loader=FileSystemLoader(FOLDER), autoescape=True, undefined=StrictUndefined)
        self._page, self._results = (templates.get_template(f"{name}.html.jinja") for name in ("page", "results"))

    def answer(self, action: str, data: dict[str, Any]) -> tuple[str, int]:
        """HTML and the status of HTTP: 422 with a message for what cannot be done."""
        try:
            with self._lock, named("explore"):
                return getattr(self, action)(**data), 200
        except (OSError, ValueError) as error:
            # this package's errors and spaCy's own have a code; any other is a bug
            if isinstance(error, ValueError) and not str(error).startswith("["):
                raise
            return self._part("message", text=str(error)), 422

    def whole(self) -> str:
        form, results, has_texts = form_of(self.explorer.pipe), self.answer("score", {})[0], bool(self.explorer.docs)
        more = {"style": display.STYLE, "text_field": self.text_field}
        return self._page.render(form=form, results=results, has_texts=has_texts, **more)

    def score(self, form: dict[str, Any] | None = None) -> str:
        explorer = self.explorer
        if form is not None:
            explorer.change(settings_of(form))
        if not explorer.docs or not explorer.pipe.labels:
            return self._part("start", labels=explorer.pipe.labels)
        return self._part("view", view=explorer.view(), explorer=explorer, bins=BINS)

    def load(self, form: dict[str, Any], name: str, content: str, text_field: str) -> str:
        self.explorer.change(settings_of(form))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, Path(name).name)
            path.write_bytes(base64.b64decode(content))
            self.explorer.load(read_rows(path, text_field, self.label_field))
        return self.score()

    def show(self, number: int, label: str | None = None, explain: bool = False) -> str:
        explorer = self.explorer
        html, windows = explorer.render(number, label, explain)
        gold = explorer.gold.get(explorer.docs[number].text)
        shown = {"number": number, "label": label, "label_set": explorer.pipe.label_set(), "gold": gold}
        return self._part("text", html=html, windows=0 if explain else windows, **shown)

    def correct(self, number: int, labels: list[str] | None) -> str:
        self.explorer.correct(number, labels)
        return self.score()

    def tune(self) -> str:
        self._tuned = self.explorer.tune()
        groups = [(group.label_set.groups[0].name, figure_rows(group)) for group in self._tuned.groups]
        settings = {name: json.dumps(value, ensure_ascii=False) for name, value in self._tuned.settings.items()}
        return self._part("tuned", groups=groups, goals=GOALS.values(), settings=settings)

    def adopt(self) -> str:
        apply_settings(self.explorer.nlp, self._tuned.name, self._tuned.settings)
        return ""

    def save(self, form: dict[str, Any], folder: str, overwrite: bool) -> str:
        # what was typed just now counts
        self.explorer.change(settings_of(form))
        self.explorer.save(Path(folder).expanduser(), overwrite)
        return self._part("saved", folder=folder)

    def _part(self, name: str, **values: Any) -> str:
        """One of the macros of results.html.jinja."""
        return str(getattr(self._results.module, name)(**values))


def make_app(page: Page) -> Any:
    """The Starlette application. RAISES (ZeroShotError): Z085 without the extra."""
    require("starlette", "explore", "The explorer")
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.middleware.trustedhost import TrustedHostMiddleware
    from starlette.requests import Request
    from starlette.responses import HTMLResponse, Response
    from starlette.routing import Mount, Route
    from starlette.staticfiles import StaticFiles

    def index(request: Request) -> Response:
        return HTMLResponse(page.whole(), headers={"Content-Security-Policy": POLICY})

    def answers(request: Request) -> Response:
        rows = [{"text": text, "labels": labels} for text, labels in page.explorer.gold.items()]
        return Response("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))

    async def act(request: Request) -> Response:
        action = request.path_params["action"]
        if MARK not in request.headers or action not in ACTIONS:
            return Response("not for you", 403)
        html, status = await run_in_threadpool(page.answer, action, await request.json())
        return HTMLResponse(html, status)

    routes = [
        Route("/", index),
        Route("/corrections.jsonl", answers),
        Route("/{action}", act, methods=["POST"]),
        Mount("/static", StaticFiles(directory=FOLDER / "static")),
    ]
    app = Starlette(routes=routes)
    # a name that someone points at this machine is none of these
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"])
    return app


def serve(page: Page, port: int, show: bool, say: Callable[[str], None]) -> None:
    """Serve the page to this machine alone, until the process is interrupted. say: Is told the address.
    RAISES (ZeroShotError): Z060 if the port is taken, Z085 without the extra."""
    uvicorn = require("uvicorn", "explore", "The explorer")
    app = make_app(page)
    try:
        own = socket.create_server((HOST, port))
    except OSError as error:
        raise ZeroShotError("Z060", what="--port", value=port, reason=str(error.strerror)) from error
    address = f"http://{HOST}:{own.getsockname()[1]}"
    say(address)
    if show:
        webbrowser.open(address)
    with own:
        uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[own])
