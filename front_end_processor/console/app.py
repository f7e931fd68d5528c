"""The console's pages (Flask, rendered on the server, no script), health and metrics."""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import wraps
from typing import Any
from zoneinfo import ZoneInfo

import structlog
from flask import Flask, Response, abort, g, redirect, render_template, request, session, url_for
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as AnyResponse

from esb.errors import HieError
from front_end_processor.cache.fates import Verdict
from front_end_processor.console.content import Shown, show
from front_end_processor.console.filters import FATES, KEPT, read_filters
from front_end_processor.console.gate import TRIES_S, Gate
from front_end_processor.console.metrics import render as render_metrics
from front_end_processor.console.reasons import in_chinese, in_zone
from front_end_processor.console.texts import FACES, FAMILIES, LANGUAGES, TEXTS
from front_end_processor.console.view import ENTRIES_SHOWN, Console

SESSION_H = 8
REFRESH_S = 10
LATE_S = 300
ENGINEER = "engineer"
_CSP = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
# Printable ASCII without backslash: browsers drop line ends and tabs, and read a backslash as a slash.
_OWN_PATH = re.compile(r"/(?![/\\])[!-\[\]-~]*")
_SEQ = "<int(max=999999999999999999):seq>"

log = structlog.get_logger()
Page = Callable[..., Any]


def create_console(console: Console, password: str) -> Flask:
    """Return the application with the console's pages, /healthz and /metrics.

    Args: password: what the engineer signs in with; if empty, nobody can.
    """
    app = Flask(__name__)
    app.config.update(
        SECRET_KEY=secrets.token_bytes(32),
        # A cookie is the host's whatever the port: two processors of one host must not share one.
        SESSION_COOKIE_NAME=f"fep_console_{console.facility}",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Strict",
        SESSION_REFRESH_EACH_REQUEST=False,
        PERMANENT_SESSION_LIFETIME=timedelta(hours=SESSION_H),
        MAX_FORM_MEMORY_SIZE=64 * 1024,
    )
    for name, filter_ in _filters_of(console.zone).items():
        app.add_template_filter(filter_, name)
    app.add_template_test(_is_made_here, "made_here")
    _prepare(app, console)
    _sign_in(app, Gate(password))
    _pages(app, console)
    _machines(app, console)
    return app


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
        if request.endpoint not in ("static", "icon"):
            response.headers["Cache-Control"] = "no-store"
        if request.args.get("lang") in LANGUAGES:
            response.set_cookie("lang", request.args["lang"], max_age=31536000, samesite="Strict")
        return response

    def plainly(reason: str) -> str:
        in_zone_here = in_zone(reason, console.zone)
        return in_chinese(in_zone_here) if g.get("language", "") == "zh" else in_zone_here

    @app.context_processor
    def common() -> dict[str, Any]:
        return {
            "t": _translator(),
            "language": g.get("language", LANGUAGES[0]),
            "console": console,
            "hospital": console.names[g.get("language", LANGUAGES[0])],
            "token": session.get("token", ""),
            "signed_in": "who" in session,
            "here": _here,
            "listed": _listed,
            "kept": _kept(),
            "plainly": plainly,
            "faces": FACES,
            "link": console.link() if "who" in session else None,
        }

    @app.errorhandler(HTTPException)
    def page_missing(fault: HTTPException) -> AnyResponse | tuple[str, int] | HTTPException:
        if fault.response is not None:
            return fault
        return render_template("error.html", text=_translator()(f"http_{fault.code}")), fault.code or 500

    @app.errorhandler(HieError)
    def refused(fault: HieError) -> tuple[str, int]:
        text = in_chinese(fault.text) if g.get("language", "") == "zh" else fault.text
        return render_template("error.html", text=text), fault.http

    @app.errorhandler(SQLAlchemyError)
    def cache_away(fault: SQLAlchemyError) -> tuple[str, int]:
        log.error("console.cache_away", cause=type(fault).__name__)
        return render_template("error.html", text=_translator()("cache_away")), 503


def _translator() -> Callable[[str], str]:
    table = TEXTS[g.get("language", LANGUAGES[0])]
    return lambda key: table.get(key, key)


def _kept() -> dict[str, str]:
    """Return the filters and the refreshing of the present address."""
    kept = {key: request.args[key] for key in KEPT if request.args.get(key)}
    return kept | ({"refresh": str(REFRESH_S)} if _is_refreshing() else {})


def _is_refreshing() -> bool:
    return request.args.get("refresh") == str(REFRESH_S)


def _here(**changes: Any) -> str:
    """Return the address of this page, with its arguments changed."""
    if request.method != "GET" and request.endpoint != "enter":
        return url_for("messages", **changes)
    arguments = {**request.args, **changes}
    return url_for(
        request.endpoint or "messages",
        **{**(request.view_args or {}), **{k: v for k, v in arguments.items() if v}},
    )


def _listed(endpoint: str = "messages", **changes: Any) -> str:
    """Return an address that keeps the present filters, with some of them changed."""
    arguments = {**_kept(), **changes}
    return url_for(endpoint, **{key: value for key, value in arguments.items() if value not in ("", None)})


def _filters_of(zone: ZoneInfo) -> dict[str, Callable[..., str]]:
    def local(instant: datetime | None, like: str = "%Y-%m-%d %H:%M:%S") -> str:
        return (
            instant.replace(tzinfo=instant.tzinfo or UTC).astimezone(zone).strftime(like) if instant else ""
        )

    def clock(instant: datetime | None, beside: datetime | None = None) -> str:
        """The time alone where the date is that of another instant shown beside it."""
        same = instant and beside and local(instant, "%F") == local(beside, "%F")
        return local(instant, "%H:%M:%S" if same else "%Y-%m-%d %H:%M:%S")

    def span(seconds: float) -> str:
        words = _translator()
        for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
            if seconds >= 2 * length:
                return f"{int(seconds // length)} {words(unit)}"
        if seconds < 1:
            return f"{int(seconds * 1000)} {words('milliseconds')}"
        return f"{seconds:.1f} {words('seconds')}" if seconds < 10 else f"{int(seconds)} {words('seconds')}"

    return {"local": local, "clock": clock, "span": span}


def _is_made_here(control_id: str) -> bool:
    """Return whether the processor, and not the sender, gave a control id: nobody knows it by heart."""
    return control_id.startswith(("auto:", "sha256:"))


def signed_in(page: Page) -> Page:
    """Return the page for signed-in engineers only; posts must carry the session's token."""

    @wraps(page)
    def guarded(**arguments: Any) -> Any:
        if "who" not in session:
            return redirect(url_for("login", next=request.full_path if request.method == "GET" else None))
        if request.method == "POST" and not hmac.compare_digest(
            request.form.get("token", "").encode(), session.get("token", "").encode()
        ):
            abort(400)
        return page(**arguments)

    return guarded


def _sign_in(app: Flask, gate: Gate) -> None:
    @app.get("/login")
    def login() -> str:
        """Show the sign-in page."""
        return render_template("login.html", onward=request.args.get("next", ""))

    @app.post("/login")
    def enter() -> Any:
        """Sign in with the console's password."""
        peer = request.remote_addr or ""
        onward = request.form.get("next", "")
        if gate.is_shut(peer):
            page = render_template("login.html", onward=onward, fault="too_many_tries")
            return page, 429, {"Retry-After": str(int(TRIES_S))}
        if not gate.admits(request.form.get("password", ""), peer):
            return render_template("login.html", onward=onward, fault="wrong_password"), 401
        session.clear()
        session.permanent = True
        session["who"] = ENGINEER
        session["token"] = secrets.token_urlsafe(24)
        return redirect(onward if _OWN_PATH.fullmatch(onward) else url_for("messages"))

    @app.post("/logout")
    @signed_in
    def leave() -> Any:
        """Sign out."""
        session.clear()
        return redirect(url_for("login"))


def _pages(app: Flask, console: Console) -> None:
    @app.get("/")
    @signed_in
    def messages() -> str:
        """List what came in."""
        filters = read_filters(request.args, console.zone)
        return render_template(
            "messages.html",
            page=console.page(filters),
            given=request.args,
            is_filtered=any(request.args.get(key) for key in KEPT),
            fates=FATES,
            families=FAMILIES,
            counters=console.counters(datetime.now(UTC)),
            late_s=LATE_S,
            refresh=REFRESH_S if _is_refreshing() and filters.before is None and filters.after is None else 0,
            refresh_s=REFRESH_S,
        )

    @app.get(f"/messages/{_SEQ}")
    @signed_in
    def one(seq: int) -> str:
        """Show one message without its content."""
        return _message(console, seq)

    @app.get(f"/messages/{_SEQ}/content")
    @signed_in
    def content(seq: int) -> str:
        """Show one message with its content; the look is noted."""
        raw, charset, bundles, is_all = console.content(
            seq, who=session["who"], peer=request.remote_addr or "", now=datetime.now(UTC)
        )
        return _message(console, seq, show(raw, charset, bundles, is_all=is_all))

    @app.post(f"/messages/{_SEQ}/replay")
    @signed_in
    def replay(seq: int) -> Any:
        """Normalise a set-aside message again."""
        console.note("replay", seq, who=session["who"], peer=request.remote_addr or "", now=datetime.now(UTC))
        settled = console.replay(seq)
        result = "again" if settled.fate is Verdict.SET_ASIDE else "done"
        return redirect(_listed("one", seq=seq, replayed=result))


def _message(console: Console, seq: int, content: Shown | None = None) -> str:
    whole = console.one(seq, read_filters(request.args, console.zone))
    return render_template(
        "message.html",
        whole=whole,
        line=whole.line,
        row=whole.line.row,
        content=content,
        entries_shown=ENTRIES_SHOWN,
        replayed=request.args.get("replayed", ""),
    )


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
    def icon() -> Response:
        """Give the mark, for browsers that ask for it unasked."""
        return app.send_static_file("mark.svg")
