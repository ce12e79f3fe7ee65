"""The page for shared links: it lists, creates and revokes them."""

from flask import Response, make_response, redirect, render_template, request, url_for
from flask_babel import gettext as _
from werkzeug import Response as AnyResponse

from ...auth import expiry, keys
from ...auth import links as stored
from ...web.context import current_database
from ..access import for_managers

MOST_LISTED = 200
"""The most links that the page lists: valid ones first, and the newest first among them."""


@for_managers
def links() -> Response:
    """Show the links and the form that creates one."""
    return _page()


@for_managers
def create() -> Response:
    """Create a link and show its URL, which is shown only once."""
    database, form = current_database(), request.form
    try:
        token = stored.create_link(
            database,
            name=expiry.check_name(form.get("name", "").strip()),
            expires_at=expiry.read_expiry(form.get("expires", "").strip(), database.clock.now()),
            tenant_id=form.get("tenant", "").strip() or None,
        )
    except keys.NameTaken:
        return _page(error=_("There is already a link with this name; revoke it first."))
    except stored.UnknownTenant:
        return _page(error=_("No data are stored for this tenant."))
    except ValueError:
        return _page(
            error=_(
                "A link needs a name of at most 64 characters, without spaces, and a number of "
                "days or a date in the future."
            )
        )
    return _page(url=url_for("shared.overview", token=token, _external=True))


@for_managers
def revoke() -> AnyResponse:
    """Revoke a link: it shows nothing from now on."""
    stored.revoke_link(current_database(), request.form.get("name", ""))
    return redirect(url_for(".links", lang=request.args.get("lang")), 303)


def _page(*, url: str | None = None, error: str | None = None) -> Response:
    database = current_database()
    now = database.clock.now()
    listed = [
        link | dict(zip(("state", "since"), expiry.state_of(link, now), strict=True))
        for link in stored.list_links(database, MOST_LISTED)
    ]
    page = render_template(
        "links.html",
        links=listed,
        most=MOST_LISTED if len(listed) == MOST_LISTED else None,
        url=url,
        error=error,
        form=request.form if error else {"expires": stored.DEFAULT_DAYS},
    )
    return make_response(page, 400 if error else 200)
