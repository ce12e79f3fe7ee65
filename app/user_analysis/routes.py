"""The operations of the tag `userAnalysis`."""

from typing import Any

from ..analytics import active_user_counts, histories
from ..web.api import Blueprint
from ..web.context import current_database
from . import active_users_csv, schemas

blueprint = Blueprint("userAnalysis", __name__, description="User Behavior Analysis")


@blueprint.operation(
    "PUT",
    "/user-behavior-day",
    "UpdateUserBehaviorHistoriesByDay",
    scope="write",
    bulk=True,
)
@blueprint.arguments(schemas.UpdateUserBehaviorHistoriesByDayParam)
@blueprint.response(200)
def update_user_behavior_histories_by_day(body: dict[str, Any]) -> None:
    """Replace a user's behaviour histories of one day"""
    histories.update_user_behavior_histories_by_day(current_database(), **body)


@blueprint.operation(
    "GET", "/users/<user_id:user_id>/behavior-histories", "GetUserBehaviorHistories", scope="read"
)
@blueprint.response(200, schemas.UserBehaviorHistories)
def get_user_behavior_histories(user_id: str) -> dict[str, Any]:
    """Get a user's behaviour histories of the last month"""
    return histories.get_user_behavior_histories(current_database(), user_id)


@blueprint.operation("GET", "/active-users", "GetActiveUsers", scope="read")
@blueprint.arguments(schemas.GetActiveUsersQuery, location="query")
@blueprint.response(200, schemas.ActiveUsers, rows=active_users_csv.active_users_rows)
def get_active_users(query: dict[str, Any]) -> str:
    """Get daily or monthly active users"""
    return active_user_counts.get_active_users(current_database(), **query)


@blueprint.operation("PUT", "/active-users", "UpdateActiveUsers", scope="write")
@blueprint.arguments(schemas.UpdateActiveUsersParam)
@blueprint.response(200)
def update_active_users(body: dict[str, Any]) -> None:
    """Set the number of active users of a day or month"""
    active_user_counts.update_active_users(current_database(), **body)
