"""Recordings of cases, at signed addresses only: bytes by range requests, pictures by window."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response
from fastapi.responses import FileResponse
from sqlalchemy import select

from review.pictures import window_peaks, window_png
from review.sign_pictures import is_plain, suffix_of
from review.tables import media
from review.web_auth import DeskDep
from soundalike.errors import NotPermitted, ReviewError, UnknownCase

router = APIRouter(prefix="/media/{sha256}", tags=["media"])

MAX_WINDOW_S = 12 * 3600.0
Moment = Annotated[float, Query(ge=-MAX_WINDOW_S, le=MAX_WINDOW_S)]
_CACHE = "private, max-age=600"


def _signed(
    desk: DeskDep, sha256: str, expires: Annotated[int, Query(ge=0, le=2**40)], signature: str
) -> str:
    """Raises NotPermitted unless the address was given out by this desk and still holds."""
    if not desk.signer.media_fits(sha256, expires=expires, signature=signature, now=desk.now()):
        raise NotPermitted("this address has expired; reload the case")
    return sha256


Signed = Annotated[str, Depends(_signed)]


@router.get("/audio", response_class=FileResponse)
def audio(desk: DeskDep, sha256: Signed) -> FileResponse:
    """The recording in a form that browsers play. Supports range requests."""
    with desk.database.read() as connection:
        row = connection.execute(select(media).where(media.c.sha256 == sha256)).first()
    if row is None or not (path := desk.store.path(sha256, row.playable_name)).exists():
        raise UnknownCase("this recording is no longer in the media store")
    headers = {"Cache-Control": _CACHE, "Content-Disposition": "inline"}
    return FileResponse(path, media_type=row.playable_type, headers=headers)


@router.get("/peaks")
def peaks(
    *,
    desk: DeskDep,
    sha256: Signed,
    response: Response,
    start_s: Moment,
    end_s: Moment,
    bins: Annotated[int, Query(ge=1, le=4000)] = 1000,
) -> list[float | None]:
    """Highest level, 0..1, of each part of the window; null outside of the recording."""
    _check(start_s, end_s)
    path = desk.store.path(sha256, ".peaks.npy")
    if not path.exists():
        raise UnknownCase("there is no waveform of this recording")
    response.headers["Cache-Control"] = _CACHE
    return window_peaks(path, start_s=start_s, end_s=end_s, bins=bins)


@router.get("/spectrogram.png", response_class=Response, responses={200: {"content": {"image/png": {}}}})
def spectrogram(
    *,
    desk: DeskDep,
    sha256: Signed,
    start_s: Moment,
    end_s: Moment,
    width: Annotated[int, Query(ge=1, le=3000)] = 1000,
    height: Annotated[int, Query(ge=1, le=400)] = 120,
) -> Response:
    """60 Hz at the bottom to 10 kHz at the top, logarithmic."""
    _check(start_s, end_s)
    path = desk.store.path(sha256, ".bands.npy")
    if not path.exists():
        raise UnknownCase("there is no spectrogram of this recording")
    body = window_png(path, start_s=start_s, end_s=end_s, width=width, height=height)
    return Response(body, media_type="image/png", headers={"Cache-Control": _CACHE})


@router.get("/signs/{name}.png", response_class=Response, responses={200: {"content": {"image/png": {}}}})
def sign(desk: DeskDep, sha256: Signed, name: str) -> Response:
    """What one sign of machine-made music looks like in this recording."""
    path = desk.store.path(sha256, suffix_of(name)) if is_plain(name) else None
    if path is None or not path.exists():
        raise UnknownCase("there is no picture of this sign")
    return Response(path.read_bytes(), media_type="image/png", headers={"Cache-Control": _CACHE})


def _check(start_s: float, end_s: float) -> None:
    if not end_s > start_s:
        raise ReviewError("the window has to end after it starts")
