"""`WS /v1/stream`."""

from fastapi import APIRouter

__all__ = ["router"]

router = APIRouter()
