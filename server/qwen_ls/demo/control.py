"""Tests steer a provider that runs as another process: `POST /control/ACTION`, `GET /control/log`.

The body of an action is a JSON object of its keyword arguments. The log holds secrets, whole.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.responses import JSONResponse
from starlette.routing import Route

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

    from qwen_ls.demo.provider import Provider

LONGEST_POLL = 30.0  # seconds


def control_routes(provider: Provider) -> list[Route]:
    """Return the routes that steer a provider."""
    oauth, requests = provider.oauth, provider.requests
    actions: dict[str, Callable[..., None]] = {
        "approve": provider.approve,
        "deny": provider.deny,
        "configure": provider.configure,
        "fault": provider.faults.add,
        "clear_faults": provider.faults.clear,
        "slow_down": oauth.slow_down,
        "expire_devices": oauth.expire_devices,
        "expire_tokens": oauth.expire_tokens,
        "revoke_tokens": oauth.revoke_tokens,
        "expire_codes": provider.openrouter.expire_codes,
        "revoke_keys": provider.openrouter.revoke_keys,
    }

    async def act(request: Request) -> JSONResponse:
        action = actions.get(request.path_params["action"])
        if action is None:
            return JSONResponse({"error": f"actions: {', '.join(actions)}"}, HTTPStatus.NOT_FOUND)
        try:
            action(**(await request.json()))
        except (LookupError, TypeError, ValueError) as error:
            return JSONResponse({"error": str(error)}, HTTPStatus.BAD_REQUEST)
        return JSONResponse({})

    async def read_log(request: Request) -> JSONResponse:
        """Answer with what changed after version `since`, at the latest after `timeout` seconds."""
        since = int(request.query_params.get("since", 0))
        await requests.wait_for_change(
            since, min(float(request.query_params.get("timeout", 0)), LONGEST_POLL)
        )
        return JSONResponse({"version": requests.version, "entries": requests.since(since)})

    return [
        Route("/control/log", read_log, methods=["GET"]),
        Route("/control/{action}", act, methods=["POST"]),
    ]
