"""Signing in and out, and staying signed in."""

from flask import Response, current_app, g, redirect, request, url_for

from hie.portal.pages import blueprint, hub, now, page, purpose_of, safe_next, set_cookie
from hie.portal.session import COOKIE, IDLE, close_session, open_session
from hie.security import audit
from hie.security.access import access
from hie.security.actor import NOBODY
from hie.security.signin import authenticate_user


@blueprint.route("/sign-in", methods=["GET", "POST"])
@access("portal.sign-in", public=True, audited=False)
def sign_in() -> Response:
    """Show the sign-in page, or sign a user in."""
    next_ = safe_next(request.values.get("next", ""))
    if request.method == "GET" or "password" not in request.form:
        if g.signed_in is not None:
            return current_app.make_response(redirect(next_, 303))
        return page("sign_in.html", next=next_, username="", failed=False, ended=request.args.get("ended"))
    username = request.form.get("username", "").strip()[:64]
    with hub().begin() as session:
        actor = authenticate_user(session, username, request.form.get("password", ""), now())
        audit.record(
            session,
            actor=(actor or NOBODY).for_request(g.request_id, purpose_of(actor or NOBODY)),
            action="E",
            operation="portal.sign-in",
            outcome=0 if actor else 4,
            http=303 if actor else 401,
        )
        token = open_session(session, actor.id, now()) if actor else None
    if token is None:
        return page("sign_in.html", 401, next=next_, username=username, failed=True, ended=None)
    response = current_app.make_response(redirect(next_, 303))
    set_cookie(response, COOKIE, token, None)
    return response


@blueprint.post("/sign-out")
@access("portal.sign-out")
def sign_out() -> Response:
    """End the session."""
    with hub().begin() as session:
        close_session(session, g.signed_in.token)
        audit.record(session, actor=g.actor, action="E", operation="portal.sign-out", http=303)
    response = current_app.make_response(redirect(url_for("portal.sign_in"), 303))
    response.delete_cookie(COOKIE, path="/")
    response.headers["Clear-Site-Data"] = '"cache"'
    return response


@blueprint.post("/session")
@access("portal.session", audited=False)
def extend_session() -> Response:
    """Keep the session open: every request does, this one shows nothing."""
    return Response(status=204, headers={"X-Session-Left-S": str(int(IDLE.total_seconds()))})
