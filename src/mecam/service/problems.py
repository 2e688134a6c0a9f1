"""Errors as answers: a status, and what is wrong, where, and what to do, in the words of `MecamError`."""

from collections.abc import Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import Response

from mecam.errors import ConfigError, MecamError, MissingExtraError
from mecam.escaping import json_text

__all__ = ["Refused", "answer_of", "problem_of", "problem_of_fields"]

TYPE = "application/problem+json"


class Refused(HTTPException):
    """A request that is not served.

    Args:
        status: of HTTP.
        what: is wrong.
        where: in the request.
        fix: what the client can do.
        retry_s: seconds after which it may try again.
        close: the connection is of no further use: not all of the request was read.
    """

    def __init__(
        self,
        status: int,
        what: str,
        *,
        where: str | None = None,
        fix: str | None = None,
        retry_s: int | None = None,
        close: bool = False,
    ) -> None:
        headers = {} if retry_s is None else {"Retry-After": str(retry_s)}
        if close:
            headers["Connection"] = "close"
        if status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        super().__init__(status, what, headers)
        self.where, self.fix = where, fix

    @property
    def problem(self) -> dict[str, Any]:
        """As JSON."""
        return _known(status=self.status_code, what=self.detail, where=self.where, fix=self.fix)


def problem_of(error: MecamError, *, rename: Mapping[str, str] | None = None) -> dict[str, Any]:
    """What went wrong with what a client sent.

    Args:
        error: that was raised.
        rename: paths on this machine → what the client calls them.
    """

    def told(text: str | None) -> str | None:
        for path, name in (rename or {}).items():
            text = text and text.replace(path, name)
        return text

    status = 501 if isinstance(error, MissingExtraError) else 400 if isinstance(error, ConfigError) else 422
    return _known(status=status, what=told(error.what), where=told(error.where), fix=told(error.fix))


def problem_of_fields(errors: Any) -> dict[str, Any]:
    """What is wrong with the fields of a request; values are not told back."""
    first = errors[0]
    place = ".".join(str(one) for one in first["loc"] if one != "body")
    status = 400 if first["type"].startswith("json") else 422
    problem = {"status": status, "what": str(first["msg"]).lower()}
    return {**problem, "where": place} if place and status == 422 else problem


def answer_of(problem: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Response:
    """A problem as an answer."""
    return Response(json_text(dict(problem)), problem["status"], headers, TYPE)


def _known(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
