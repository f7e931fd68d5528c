"""The console's pages (Flask, rendered on the server, no script), health and metrics."""

from __future__ import annotations

import hmac
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import wraps
from typing import Any
from zoneinfo import ZoneInfo

import orjson
import structlog
from flask import Flask, Response, abort, g, redirect, render_template, request, session, url_for
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as AnyResponse

from esb.errors import HieError, NotFound
from front_end_processor.cache.fates import Verdict
from front_end_processor.console.metrics import render as render_metrics
from front_end_processor.console.texts import LANGUAGES, TEXTS
from front_end_processor.console.view import FATES, Console, Filters

MAX_SHOWN = 512 * 1024
SESSION_H = 8
TRIES, TRIES_S = 5, 60.0
ENGINEER = "engineer"
_CSP = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)

log = structlog.get_logger()
Page = Callable[..., Any]


def create_console(console: Console, password: str, zone: str = "Asia/Shanghai") -> Flask:
    """Return the application with the console's pages, /healthz and /metrics.

    Args: password: what the engineer signs in with; if empty, nobody can.
    """
    app = Flask(__name__)
    app.config.update(
        SECRET_KEY=secrets.token_bytes(32),
        SESSION_COOKIE_NAME="fep_console",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Strict",
        PERMANENT_SESSION_LIFETIME=timedelta(hours=SESSION_H),
        MAX_FORM_MEMORY_SIZE=64 * 1024,
    )
    app.add_template_filter(_local(ZoneInfo(zone)), "local")
    _prepare(app, console)
    _sign_in(app, _Gate(password))
    _pages(app, console, ZoneInfo(zone))
    _machines(app, console)
    return app


class _Gate:
    """Compares passwords, and slows down who guesses."""

    def __init__(self, password: str) -> None:
        self._password = password.encode()
        self._failures: dict[str, list[float]] = {}

    def is_shut(self, peer: str) -> bool:
        """Return whether too many tries failed lately from an address."""
        recent = [at for at in self._failures.get(peer, ()) if time.monotonic() - at < TRIES_S]
        self._failures[peer] = recent
        return len(recent) >= TRIES

    def admits(self, given: str, peer: str) -> bool:
        """Return whether the password is right; note a failure."""
        if self._password and hmac.compare_digest(given.encode(), self._password):
            self._failures.pop(peer, None)
            return True
        self._failures.setdefault(peer, []).append(time.monotonic())
        return False


def _prepare(app: Flask, console: Console) -> None:
    @app.before_request
    def language() -> None:
        chosen = request.args.get("lang") or request.cookies.get("lang", "")
        g.language = chosen if chosen in LANGUAGES else LANGUAGES[0]

    @app.after_request
    def headers(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = _CSP
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        if request.endpoint != "static":
            response.headers["Cache-Control"] = "no-store"
        if request.args.get("lang") in LANGUAGES:
            response.set_cookie("lang", request.args["lang"], max_age=31536000, samesite="Strict")
        return response

    @app.context_processor
    def common() -> dict[str, Any]:
        return {
            "t": _translator(),
            "language": g.get("language", LANGUAGES[0]),
            "console": console,
            "token": session.get("token", ""),
            "signed_in": "who" in session,
            "with_args": _with_args,
        }

    @app.errorhandler(HTTPException)
    def page_missing(fault: HTTPException) -> AnyResponse | tuple[str, int] | HTTPException:
        if fault.response is not None:
            return fault
        return render_template("error.html", text=_translator()(f"http_{fault.code}")), fault.code or 500

    @app.errorhandler(HieError)
    def refused(fault: HieError) -> tuple[str, int]:
        return render_template("error.html", text=fault.text), fault.http

    @app.errorhandler(SQLAlchemyError)
    def cache_away(fault: SQLAlchemyError) -> tuple[str, int]:
        log.error("console.cache_away", cause=type(fault).__name__)
        return render_template("error.html", text=_translator()("cache_away")), 503


def _translator() -> Callable[[str], str]:
    table = TEXTS[g.get("language", LANGUAGES[0])]
    return lambda key: table.get(key, key)


def _with_args(**changes: Any) -> str:
    kept = {key: value for key, value in request.args.items() if key not in ("before", "lang")}
    arguments = {key: value for key, value in {**kept, **changes}.items() if value not in ("", None)}
    return url_for(request.endpoint or "messages", **{**(request.view_args or {}), **arguments})


def _local(zone: ZoneInfo) -> Callable[[datetime | None], str]:
    return lambda instant: instant.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S") if instant else ""


def signed_in(page: Page) -> Page:
    """Return the page for signed-in engineers only; posts must carry the session's token."""

    @wraps(page)
    def guarded(**arguments: Any) -> Any:
        if "who" not in session:
            return redirect(url_for("login", next=request.full_path if request.method == "GET" else None))
        if request.method == "POST" and not hmac.compare_digest(
            request.form.get("token", ""), session.get("token", "")
        ):
            abort(400)
        return page(**arguments)

    return guarded


def _sign_in(app: Flask, gate: _Gate) -> None:
    @app.get("/login")
    def login() -> str:
        """Show the sign-in page."""
        return render_template("login.html", next=request.args.get("next", ""), wrong=False)

    @app.post("/login")
    def enter() -> Any:
        """Sign in with the console's password."""
        peer = request.remote_addr or ""
        onward = request.form.get("next", "")
        if gate.is_shut(peer):
            return render_template("error.html", text=_translator()("too_many_tries")), 429
        if not gate.admits(request.form.get("password", ""), peer):
            return render_template("login.html", next=onward, wrong=True), 401
        session.clear()
        session.permanent = True
        session["who"] = ENGINEER
        session["token"] = secrets.token_urlsafe(24)
        is_ours = onward.startswith("/") and not onward.startswith(("//", "/\\"))
        return redirect(onward if is_ours else url_for("messages"))

    @app.post("/logout")
    @signed_in
    def leave() -> Any:
        """Sign out."""
        session.clear()
        return redirect(url_for("login"))


def _pages(app: Flask, console: Console, zone: ZoneInfo) -> None:
    @app.get("/")
    @signed_in
    def messages() -> str:
        """List what came in."""
        filters = _filters(zone)
        lines, onward = console.page(filters)
        return render_template(
            "messages.html",
            lines=lines,
            onward=onward,
            filters=request.args,
            fates=FATES,
            counters=console.counters(datetime.now(UTC)),
        )

    @app.get("/messages/<int:seq>")
    @signed_in
    def one(seq: int) -> str:
        """Show one message without its content."""
        line, entries, warnings = console.one(seq)
        return render_template("message.html", line=line, entries=entries, warnings=warnings, content=None)

    @app.get("/messages/<int:seq>/content")
    @signed_in
    def content(seq: int) -> str:
        """Show one message with its content; the look is noted."""
        line, entries, warnings = console.one(seq)
        raw, charset, bundles = console.content(
            seq, who=session["who"], peer=request.remote_addr or "", now=datetime.now(UTC)
        )
        shown = {"raw": _readable(raw, charset), "bundles": [_pretty(bundle) for bundle in bundles]}
        return render_template("message.html", line=line, entries=entries, warnings=warnings, content=shown)

    @app.post("/messages/<int:seq>/replay")
    @signed_in
    def replay(seq: int) -> Any:
        """Normalise a set-aside message again."""
        console.note("replay", seq, who=session["who"], peer=request.remote_addr or "", now=datetime.now(UTC))
        settled = console.replay(seq)
        result = "again" if settled.fate is Verdict.SET_ASIDE else "done"
        return redirect(url_for("one", seq=seq, replayed=result))


def _filters(zone: ZoneInfo) -> Filters:
    arguments = request.args
    before = arguments.get("before", "")
    return Filters(
        fate=arguments.get("fate", ""),
        inlet=arguments.get("inlet", ""),
        kind=arguments.get("kind", "").strip(),
        control_id=arguments.get("control_id", "").strip(),
        since=_moment(arguments.get("since", ""), zone),
        until=_moment(arguments.get("until", ""), zone),
        before=int(before) if before.isdigit() and len(before) < 18 else None,
    )


def _moment(text: str, zone: ZoneInfo) -> datetime | None:
    try:
        return datetime.fromisoformat(text).replace(tzinfo=zone) if text else None
    except ValueError:
        return None


def _readable(raw: bytes, charset: str) -> str:
    try:
        text = raw[:MAX_SHOWN].decode(charset or "utf-8", "replace")
    except LookupError:
        text = raw[:MAX_SHOWN].decode("utf-8", "replace")
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text + ("\n…" if len(raw) > MAX_SHOWN else "")


def _pretty(bundle: bytes) -> str:
    # Numbers may lose trailing zeros in this view; the stored bytes keep them.
    text = orjson.dumps(orjson.loads(bundle), option=orjson.OPT_INDENT_2)
    return text[:MAX_SHOWN].decode("utf-8", "replace") + ("\n…" if len(text) > MAX_SHOWN else "")


def _machines(app: Flask, console: Console) -> None:
    @app.get("/healthz")
    def health() -> Any:
        """Say whether messages can be taken."""
        try:
            is_well = console.is_well()
        except SQLAlchemyError:
            is_well = False
        return Response(
            "ok\n" if is_well else "the cache is away\n", 200 if is_well else 503, mimetype="text/plain"
        )

    @app.get("/metrics")
    def metrics() -> Response:
        """Give the counters in Prometheus text format."""
        return Response(render_metrics(console, datetime.now(UTC)), mimetype="text/plain; version=0.0.4")

    @app.get("/favicon.ico")
    def icon() -> Any:
        """There is no icon."""
        raise NotFound
