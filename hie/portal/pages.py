"""The blueprint: what every page shares - who is signed in, language, CSRF, headers, the error page."""

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from flask import Blueprint, Flask, Response, current_app, g, redirect, render_template, request, url_for
from flask_babel import Babel, get_locale
from markupsafe import Markup

from hie.directory.facilities import facility_names
from hie.errors import HieError, Malformed, NotAuthenticated, NotPermitted
from hie.mpi.people import Step
from hie.portal import words
from hie.portal.assets import asset, serve
from hie.portal.session import COOKIE, FORM_COOKIE, WARN, csrf_token, is_csrf_token, signed_in
from hie.security.access import access
from hie.security.actor import Actor
from hie.security.hub import Hub
from hie.security.rules import rule_for
from hie.security.secrets import new_token
from hie.services.lookup.naming import name_of

LANGUAGES = {"zh": "zh_Hans_CN", "en": "en"}
LANGUAGE_COOKIE = "hie_lang"
YEAR_S = 365 * 24 * 3600
HUES = 8
MOST_DIGITS = 18
# Roles that look after patients; the others run the exchange.
CARING = ("doctor", "referral")
# One slash, then no other; browsers read `\` as `/` and drop tabs and line ends before they look.
OWN_PATH = re.compile(r"/(?![/\\])[!-\[\]-~]*")
POLICY = (
    "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; object-src 'none'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)

blueprint = Blueprint("portal", __name__, template_folder="templates")


def init_app(app: Flask) -> None:
    """Make Flask-Babel and the templates' functions known to the application."""
    Babel(
        app,
        default_locale=LANGUAGES["zh"],
        default_translation_directories=str(Path(__file__).parent / "translations"),
        locale_selector=choose_language,
    )
    app.jinja_env.trim_blocks = True
    app.jinja_env.lstrip_blocks = True


def hub() -> Hub:
    """Return the hub behind the request at hand."""
    found: Hub = current_app.extensions["hie"]
    return found


def now() -> datetime:
    """Return the present instant."""
    return datetime.now(UTC)


def zone() -> ZoneInfo:
    """Return the region's time zone."""
    return hub().config.zone


def choose_language() -> str:
    """Return the locale of the page: asked for now, chosen before, or Chinese."""
    wanted = asked_language() or request.cookies.get(LANGUAGE_COOKIE) or "zh"
    return LANGUAGES.get(wanted, LANGUAGES["zh"])


def asked_language() -> str | None:
    """Return the language asked for now; of a form only once it was read: the error page reads none."""
    return request.args.get("lang") or g.get("form", {}).get("lang")


def language() -> str:
    """Return zh or en."""
    return "en" if choose_language() == LANGUAGES["en"] else "zh"


@blueprint.before_request
def let_in() -> Response | None:
    """Find out who is signed in; refuse forms without their token; send others to the sign-in page."""
    mark = g.get("access")
    g.signed_in = None
    if mark is None or request.endpoint == "portal.static_file":
        return None
    token = request.cookies.get(COOKIE)
    try:
        with hub().begin() as session:
            g.signed_in = signed_in(session, token, now())
        g.actor = g.signed_in.actor.for_request(g.request_id, purpose_of(g.signed_in.actor))
    except NotAuthenticated:
        if not mark.public:
            return to_sign_in()
    if request.method == "POST":
        check_form()
    return None


def purpose_of(actor: Actor) -> str | None:
    """Return the purpose of who runs the exchange; None, the actor's own, for who looks after patients."""
    return None if actor.role in CARING else "HOPERAT"


def check_form() -> None:
    """Refuse a form that was not made by our own page.

    Raises: NotPermitted; Malformed for what no database can hold; RequestEntityTooLarge.
    """
    g.form = request.form
    cookie = g.signed_in.token if g.signed_in else request.cookies.get(FORM_COOKIE, "")
    foreign = request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none")
    if foreign or not is_csrf_token(cookie, request.form.get("csrf", "")):
        raise NotPermitted("The form is too old or not from here; open the page again.")
    if any("\0" in value for value in request.form.values()):
        raise Malformed("The form holds characters that are no text.")


def to_sign_in() -> Response:
    """Send a browser to the sign-in page, htmx by its own header."""
    next_ = request.path if request.method == "GET" else url_for("portal.home")
    target = url_for("portal.sign_in", next=next_, ended=1 if request.cookies.get(COOKIE) else None)
    if request.headers.get("HX-Request"):
        return Response(status=401, headers={"HX-Redirect": target})
    return current_app.make_response(redirect(target, 303))


def page(template: str, http: int = 200, **context: Any) -> Response:
    """Return a rendered page."""
    response = current_app.make_response((render_template(f"portal/{template}", **context), http))
    finish(response)
    return response


def finish(response: Response) -> Response:
    """Give a page its headers and cookies."""
    # An original document brings a stricter policy of its own.
    response.headers.setdefault("Content-Security-Policy", POLICY)
    response.headers["Referrer-Policy"] = "same-origin"
    if (wanted := asked_language()) in LANGUAGES:
        set_cookie(response, LANGUAGE_COOKIE, wanted, YEAR_S)
    if "form_cookie" in g:
        set_cookie(response, FORM_COOKIE, g.form_cookie, None)
    return response


@blueprint.after_request
def after(response: Response) -> Response:
    """Give every answer of the portal its headers."""
    return finish(response)


def set_cookie(response: Response, name: str, value: str, age_s: int | None) -> None:
    """Set a cookie that scripts cannot read and other sites do not send."""
    secure = hub().config.base_url.startswith("https://")
    response.set_cookie(name, value, max_age=age_s, httponly=True, samesite="Lax", secure=secure, path="/")


def error_page(error: HieError) -> Response:
    """Return the page for an error, in the words of the page's language, not of the error."""
    if isinstance(error, NotAuthenticated) and request.method == "GET":
        return finish(to_sign_in())
    if error.http >= 500:
        # The database may be what failed: a page about it asks it nothing.
        g.setdefault("hospital_names", {})
    title, text = words.ERRORS.get(error.http, words.ERRORS[500 if error.http >= 500 else 400])
    request_id = g.get("request_id") if error.http >= 500 else None
    return page("error.html", error.http, status=error.http, title=title, text=text, request_id=request_id)


@blueprint.get("/static/<path:name>")
@access("static", public=True, audited=False)
def static_file(name: str) -> Response:
    """Serve a vendored or own static file."""
    return serve(name)


@blueprint.app_context_processor
def shared() -> dict[str, Any]:
    """Return what every template may use."""
    mine = g.get("signed_in")
    names = hospital_names()
    hues = {code: number % HUES for number, code in enumerate(sorted(names))}
    tongue = language()
    return {
        **words.NAMES,
        "asset": asset,
        "csrf_field": csrf_field,
        "day": day,
        "hospital_hue": lambda code: hues.get(code, HUES - 1),
        "hospital_name": lambda code: names.get(code) or code or words.kind_name("other"),
        "kept_args": kept_args,
        "lang_tag": str(get_locale()).replace("_", "-"),
        "me": mine.actor if mine else None,
        "me_facility": names.get(mine.actor.facility or "", "") if mine else "",
        "moment": moment,
        "now_text": moment(now()),
        "other_language": "zh" if tongue == "en" else "en",
        "other_language_name": "中文" if tongue == "en" else "English",
        "other_language_tag": "zh-CN" if tongue == "en" else "en",
        "places": places() if mine else (),
        "record_name": name_of,
        "step_detail": step_detail,
        "following_args": following_args,
        "session_left_s": int((mine.expires_at - now()).total_seconds()) if mine else 0,
        "session_warn_s": int(WARN.total_seconds()),
        "yuan": yuan,
    }


def hospital_names() -> dict[str, str]:
    """Return the hospitals' names in the page's language; read once per request."""
    if "hospital_names" not in g:
        g.hospital_names = {}
        if g.get("signed_in"):
            with hub().begin() as session:
                g.hospital_names = facility_names(session, language())
    names: dict[str, str] = g.hospital_names
    return names


def places() -> list[dict[str, Any]]:
    """Return the pages this user's role may open."""
    offered = [
        (
            "portal.home",
            words.PLACES["find"],
            ("find", "Person"),
            ("portal.home", "portal.find"),
        ),
        (
            "portal.reviews",
            words.PLACES["reviews"],
            ("review", "Person"),
            ("portal.reviews", "portal.review"),
        ),
        ("portal.trail", words.PLACES["trail"], ("search", "AuditEvent"), ("portal.trail",)),
        ("portal.searches", words.PLACES["searches"], ("explain", "Search"), ("portal.searches",)),
        ("portal.codes", words.PLACES["codes"], ("map", "Code"), ("portal.codes", "portal.map_codes")),
    ]
    role = g.actor.role
    found = []
    for endpoint, text, (action, type_), here in offered:
        if endpoint == "portal.home" and role == "steward":
            continue
        if rule_for(role, action, type_):
            found.append({"url": url_for(endpoint), "text": text, "is_here": request.endpoint in here})
    return found


def csrf_field() -> Markup:
    """Return the hidden field that proves a form to be ours."""
    if g.get("signed_in"):
        cookie = g.signed_in.token
    else:
        cookie = request.cookies.get(FORM_COOKIE) or g.get("form_cookie") or new_token()
        g.form_cookie = cookie
    return Markup('<input type="hidden" name="csrf" value="{}">').format(csrf_token(cookie))


def kept_args() -> Iterator[tuple[str, str]]:
    """Give the query of the page, so that switching the language keeps it."""
    return ((name, value) for name, value in request.args.items(multi=True) if name != "lang")


def following_args(before: int) -> dict[str, Any]:
    """Return the query of the page, continued before a row."""
    return {
        **{name: value for name, value in request.args.items() if value and name != "lang"},
        "before": before,
    }


def step_detail(step: Step) -> str:
    """Return the steward's reason of a step; ids of records say nothing to a reader."""
    return step.detail.partition(": ")[2] if ": " in step.detail else step.detail


def moment(at: datetime | None) -> str:
    """Return an instant in the region's zone, to the minute."""
    return f"{at.astimezone(zone()):%Y-%m-%d %H:%M}" if at else ""


def day(at: datetime | None) -> str:
    """Return the day of an instant in the region's zone; empty if it is not known."""
    return f"{at.astimezone(zone()):%Y-%m-%d}" if at and at.year > 1 else ""


def yuan(amount_fen: int) -> str:
    """Return an amount of fen as yuan with two digits."""
    sign = "-" if amount_fen < 0 else ""
    return f"{sign}{abs(amount_fen) // 100:,}.{abs(amount_fen) % 100:02d}"


def safe_next(target: str) -> str:
    """Return a path of our own to go on to, home for anything else."""
    return target if OWN_PATH.fullmatch(target) else url_for("portal.home")


def as_date(text: str) -> date | None:
    """Return the date typed as 1965-03-02, 1965.3.2 or 19650302; None if it is none."""
    digits = text.strip().replace("/", "-").replace(".", "-")
    parts = digits.split("-") if "-" in digits else [digits[:4], digits[4:6], digits[6:]]
    try:
        year, month, dayno = (int(part) for part in parts)
        return date(year, month, dayno)
    except ValueError:
        return None


def as_whole(text: str) -> int | None:
    """Return the whole number typed, None if it is none or longer than any number of ours."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS else None
