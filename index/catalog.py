"""The licensed catalog: tracks, what was agreed about them, and the prints they are recognised by.

    DATA/catalog.sqlite           tables (or a PostgreSQL by URL): index/tables.py
    DATA/prints/*.safetensors     reference prints: index/prints.py
    DATA/shards/MODEL/*           what readers map: made from both, and made anew from both if lost

Promises
- A method that returns has made its change durable; one that raises has changed nothing. A writer killed
  at any instant leaves the catalog as it was before or after, never between: the print is on
  the disk before the transaction that names it begins.
- Every change raises the generation by one, in its own transaction. What a reader sees of one generation is
  never altered under it: removed tracks keep their rows, prints are never overwritten.
- One writer at a time. A second waits `lock_wait_s`, then gets CatalogBusy. Readers never wait.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from numpy.typing import NDArray

from index import changelog, consents, recordings
from index.changelog import Delta, Entry
from index.consents import Account
from index.database import LOCK_WAIT_S, Clock, Database, parse_url, sqlite_url, utc_now
from index.feed import Feed
from index.findings import Finding, find, owns
from index.ledger import Credit, Ledger
from index.prints import Print, PrintStore
from index.recordings import Manifest, PrintFile
from index.suppression import Suppression
from index.suppressions import Suppressions
from index.terms import Term, Use, newest_versions
from index.tracks import Right, Track, check_rights, check_track
from soundalike.errors import CatalogError, DuplicateTrack, UnknownTrack

if TYPE_CHECKING:
    from classifiers.fingerprint import ReferencePrint

__all__ = ["Added", "Catalog", "Finding", "Manifest"]

DATABASE_FILE = "catalog.sqlite"
PRINTS_FOLDER = "prints"
SHARDS_FOLDER = "shards"

P = TypeVar("P")
Decode = Callable[[dict[str, NDArray[Any]]], P]


@dataclass(frozen=True, slots=True)
class Added:
    """generation: of the catalog that holds the track. same_audio_as: other live ids with the same bytes."""

    generation: int
    same_audio_as: tuple[str, ...] = ()


class Catalog:
    """The catalog of one data folder. Threads may share it; a forked process opens its own."""

    def __init__(self, database: Database, store: PrintStore, *, data_dir: Path) -> None:
        self.data_dir = data_dir
        self._database = database
        self._prints = store
        self.suppressions = Suppressions(database)
        self.feed = Feed(database, store)
        self.ledger = Ledger(database)

    @classmethod
    def open(
        cls,
        data_dir: Path,
        *,
        url: str | None = None,
        create: bool = False,
        snapshot: str | None = None,
        lock_wait_s: float = LOCK_WAIT_S,
        clock: Clock = utc_now,
    ) -> Self:
        """Opens the catalog in `data_dir`, whose tables lie in its SQLite file or at `url`.

        snapshot: URI that prints which are not in `data_dir` are fetched from (index/snapshot.py).
        create: makes what is missing, and brings the tables of an older release up to date.
        Raises CatalogError if it is absent (without `create`), of another release or can't be reached.
        """
        file = Path(data_dir) / DATABASE_FILE
        parsed = sqlite_url(file) if url is None else parse_url(url)
        if parsed.get_backend_name() == "sqlite":
            file = Path(parsed.database or "")
            if not create and not file.exists():  # SQLite would make an empty one
                raise CatalogError(f"there is no catalog at {file}; `soundalike catalog add` makes one")
        database = Database(parsed, lock_wait_s=lock_wait_s, clock=clock)
        store = PrintStore(Path(data_dir) / PRINTS_FOLDER, origin=snapshot)
        try:
            if create:
                for folder in {file.parent, store.folder}:
                    _make_folder(folder)
                database.upgrade()
                store.sweep()
            else:
                database.require_current()
        except BaseException:
            database.close()
            raise
        return cls(database, store, data_dir=Path(data_dir))

    def close(self) -> None:
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def copy_tables(self, target: Path) -> bool:
        """Copies the tables as they are at one instant into a SQLite file; False, without one, if they
        are in PostgreSQL. Writers go on meanwhile."""
        return self._database.copy_to(target)

    def generation(self) -> int:
        """The number of changes since the catalog was made."""
        return self._database.generation()

    def recorded_at(self, generation: int) -> datetime:
        """When the change was made that a generation begins with. Raises CatalogError if there was none."""
        newest = self.generation()
        if not 1 <= generation <= newest:
            empty = "0 is the catalog before its first change: it holds nothing"
            raise CatalogError(
                f"the catalog was never at generation {generation}"
                f" ({empty if generation == 0 else f'it is at {newest}'});"
                " evidence records name theirs as index.generation"
            )
        with self._database.read() as connection:
            return changelog.recorded_at(connection, generation)

    # Recordings

    def add(
        self,
        track: Track,
        reference_print: Print,
        *,
        model_sha256: str,
        rights: Sequence[Right] = (),
        replace: bool = False,
    ) -> Added:
        """Adds a track as `model_sha256` heard it; with `replace`, in place of the one that has its id.

        Raises DuplicateTrack if the id is taken, CatalogError if a field can't be meant, CatalogBusy.
        """
        check_track(track)
        check_rights(rights, of=track.track_id)
        if not replace:
            # Asked again under the lock; here it spares the writing of a print that nobody would refer to.
            with self._database.read() as connection:
                _require_free(recordings.live_row(connection, track.track_id), track)
        stored = self._prints.write(
            reference_print.to_arrays(), audio_sha256=track.audio_sha256, model_sha256=model_sha256
        )
        with self._database.write(kind="track_added", subject=track.track_id) as writing:
            before = recordings.live_row(writing.connection, track.track_id)
            if before is not None:
                if not replace:
                    _require_free(before, track)
                recordings.end_track(writing, track.track_id)
            others = recordings.ids_of_audio(writing.connection, track.audio_sha256)
            recordings.record_print(
                writing, stored, audio_sha256=track.audio_sha256, model_sha256=model_sha256
            )
            row_id = recordings.insert_track(writing, track, model_sha256=model_sha256)
            recordings.insert_rights(writing, row_id, rights)
        return Added(writing.generation, others)

    def add_print(self, audio_sha256: str, reference_print: Print, *, model_sha256: str) -> int:
        """Adds what another model hears in a recording, or mends a damaged print; returns the generation."""
        stored = self._prints.write(
            reference_print.to_arrays(), audio_sha256=audio_sha256, model_sha256=model_sha256
        )
        with self._database.write(kind="print_added", subject=audio_sha256) as writing:
            if not recordings.ids_of_audio(writing.connection, audio_sha256):
                raise UnknownTrack(f"no track has the audio {audio_sha256}; add the track itself")
            recordings.record_print(writing, stored, audio_sha256=audio_sha256, model_sha256=model_sha256)
        return writing.generation

    def remove(self, track_id: str) -> int:
        """Takes a track out, and returns the generation; its history stays. Raises UnknownTrack."""
        with self._database.write(kind="track_removed", subject=track_id) as writing:
            recordings.end_track(writing, track_id)
        return writing.generation

    def tracks(self, *, at_generation: int | None = None) -> list[Track]:
        """The tracks of now, or of an earlier generation; oldest first."""
        with self._database.read() as connection:
            return list(recordings.live_tracks(connection, at_generation=at_generation))

    def count(self) -> int:
        """How many tracks there are now."""
        with self._database.read() as connection:
            return recordings.count_live(connection)

    def track(self, track_id: str) -> Track:
        """Raises UnknownTrack."""
        with self._database.read() as connection:
            row = recordings.live_row(connection, track_id)
        if row is None:
            raise UnknownTrack(recordings.unknown(track_id))
        return recordings.to_track(row)

    def track_at(self, track_id: str, generation: int) -> Track:
        """The track that had this id in a past generation. Raises UnknownTrack."""
        with self._database.read() as connection:
            row = recordings.row_at(connection, track_id, generation=generation)
        if row is None:
            raise UnknownTrack(f"generation {generation} of the catalog held no track {track_id!r}")
        return recordings.to_track(row)

    def find(self, track_id: str) -> Track | None:
        with self._database.read() as connection:
            row = recordings.live_row(connection, track_id)
        return None if row is None else recordings.to_track(row)

    # Prints

    def manifest(self, *, model_sha256: str | None = None) -> Manifest:
        """Which prints make up the catalog of this instant. Without a model: of the only one that is used.

        Raises CatalogError if several models are used and none is named.
        """
        with self._database.read() as connection:
            if model_sha256 is None:
                model_sha256 = _only_model(recordings.models_of_live_prints(connection))
            return recordings.manifest(connection, model_sha256=model_sha256)

    def load_prints(self, *, model_sha256: str | None = None) -> dict[str, ReferencePrint]:
        """The prints of all live tracks that the model has heard, by track id. Raises CatalogDamaged."""
        return self.load_manifest(self.manifest(model_sha256=model_sha256))

    def load_manifest(self, wanted: Manifest) -> dict[str, ReferencePrint]:
        """The prints that a manifest names; tracks with the same audio share one. Raises CatalogDamaged."""
        from classifiers.fingerprint import ReferencePrint  # noqa: PLC0415 -- brings torch

        return self.load_manifest_as(wanted, decode=ReferencePrint.from_arrays)

    def load_manifest_as(
        self, wanted: Manifest, *, decode: Decode[P], loaded: Mapping[PrintFile, P] | None = None
    ) -> dict[str, P]:
        """As `load_manifest`, for prints of any kind; those in `loaded` are not read again."""
        loaded = dict(loaded or {})
        for file in wanted.files.values():
            if file not in loaded:
                arrays = self._prints.read(audio_sha256=file.audio_sha256, checksum=file.checksum)
                loaded[file] = decode(arrays)
        return {track_id: loaded[file] for track_id, file in wanted.files.items()}

    def has_print(self, audio_sha256: str, *, model_sha256: str) -> bool:
        """Whether the model's print of this audio is there and intact."""
        with self._database.read() as connection:
            checksum = recordings.print_checksum(
                connection, audio_sha256=audio_sha256, model_sha256=model_sha256
            )
        return checksum is not None and self._prints.is_intact(audio_sha256=audio_sha256, checksum=checksum)

    def suppressions_of(self, track_ids: Collection[str]) -> tuple[Suppression, ...]:
        """The references, or spans of them, among these tracks that accuse nobody now."""
        return self.suppressions.of(track_ids)

    # What readers replay

    def shards_folder(self, model_sha256: str) -> Path:
        """Where the shards of one model's prints lie, and their manifests (index/publisher.py)."""
        return self.data_dir / SHARDS_FOLDER / model_sha256[:16]

    def delta(self, *, since: int, model_sha256: str) -> Delta:
        """What changed after generation `since`."""
        with self._database.read() as connection:
            return changelog.delta(connection, since=since, model_sha256=model_sha256)

    def anchor(self, generation: int) -> str:
        """A mark of the change that made `generation`; "" if none did."""
        with self._database.read() as connection:
            return changelog.anchor(connection, generation)

    def entries_at(self, generation: int, *, model_sha256: str) -> tuple[Entry, ...]:
        """All that could be recognised in a past generation."""
        with self._database.read() as connection:
            return changelog.entries_at(connection, generation, model_sha256=model_sha256)

    def unheard(self, *, model_sha256: str) -> tuple[int, str | None]:
        """How many live tracks the model has no print of, and the id of one of them."""
        with self._database.read() as connection:
            return changelog.unheard(connection, model_sha256=model_sha256)

    def read_print(self, entry: Entry) -> ReferencePrint:
        """Raises CatalogDamaged."""
        from classifiers.fingerprint import ReferencePrint  # noqa: PLC0415 -- brings torch

        arrays = self._prints.read(audio_sha256=entry.audio_sha256, checksum=entry.checksum)
        return ReferencePrint.from_arrays(arrays)

    # Rights

    def rights_of(self, track_id: str, *, known_at: datetime | None = None) -> tuple[Right, ...]:
        """Who holds which share, now or as was on record at `known_at`. Raises UnknownTrack."""
        with self._database.read() as connection:
            row = recordings.row_known_at(connection, track_id, known_at=known_at)
            return recordings.rights_of_row(connection, row.row_id, known_at=known_at)

    def all_rights(self) -> dict[str, tuple[Right, ...]]:
        """Who holds what now, by track id; tracks without a rightsholder are absent."""
        with self._database.read() as connection:
            return recordings.rights_of_live_tracks(connection)

    def set_rights(self, track_id: str, rights: Sequence[Right]) -> int:
        """Records new shares and returns the generation; the old ones stay on record. Raises UnknownTrack."""
        check_rights(rights, of=track_id)
        if not rights:
            raise CatalogError(f"track {track_id} would be left without a rightsholder; name at least one")
        with self._database.write(kind="rights_changed", subject=track_id) as writing:
            row = recordings.live_row(writing.connection, track_id)
            if row is None:
                raise UnknownTrack(recordings.unknown(track_id))
            recordings.insert_rights(writing, row.row_id, rights)
        return writing.generation

    # Terms and accounts

    def record_terms(self, terms: Iterable[Term], *, supersede: bool = False) -> list[Term]:
        """Records all of the terms, or raises CatalogError and records none; returns them as recorded.

        supersede: a term whose id exists becomes its next version; without it, that is an error.
        """
        batch = list(terms)
        if not batch:
            return []
        subject = batch[0].term_id if len(batch) == 1 else f"{len(batch)} terms"
        with self._database.write(kind="terms_recorded", subject=subject) as writing:
            return consents.record_terms(writing, batch, supersede=supersede)

    def withdraw_term(self, term_id: str, *, at: datetime | None = None) -> Term:
        """Ends a term now or at `at`, by a new version. Raises CatalogError if there is no such term."""
        with self._database.write(kind="term_withdrawn", subject=term_id) as writing:
            return consents.withdraw_term(writing, term_id, at=writing.at if at is None else at)

    def terms(
        self, *, rightsholder: str | None = None, known_at: datetime | None = None, history: bool = False
    ) -> list[Term]:
        """The newest version of each term, now or as known at `known_at`; with `history`, all versions."""
        with self._database.read() as connection:
            found = consents.all_terms(connection, rightsholder=rightsholder)
        return found if history else newest_versions(found, known_at=known_at)

    def terms_of_id(self, term_id: str) -> list[Term]:
        """All versions of one term; none if there is no such term."""
        with self._database.read() as connection:
            return list(consents.with_ids(connection, [term_id]))

    def revenue_shares(self, credited: Iterable[Credit]) -> dict[tuple[str, int], Decimal | None]:
        """What part of the revenue each version of each term asks for that these credits rest on."""
        used = sorted({term.term_id for credit in credited for term in credit.terms})
        with self._database.read() as connection:
            return {
                (term.term_id, term.version): term.revenue_share
                for term in consents.with_ids(connection, used)
            }

    def link_account(self, account: str, *, rightsholder: str) -> int:
        """From now on the uploader account speaks for the rightsholder. Returns the generation."""
        with self._database.write(kind="account_linked", subject=account) as writing:
            consents.link_account(writing, account, rightsholder=rightsholder)
        return writing.generation

    def unlink_account(self, account: str, *, rightsholder: str) -> int:
        """From now on it does not. Returns the generation."""
        with self._database.write(kind="account_unlinked", subject=account) as writing:
            consents.unlink_account(writing, account, rightsholder=rightsholder)
        return writing.generation

    def accounts(self) -> list[Account]:
        with self._database.read() as connection:
            return consents.all_accounts(connection)

    def is_rightsholder(self, name: str) -> bool:
        """Whether a track, a term or an account names it."""
        with self._database.read() as connection:
            return consents.is_rightsholder(connection, name)

    def findings(
        self,
        track_id: str,
        use: Use | str,
        *,
        uploader: str,
        licences: Collection[str] = (),
        distributor: str | None = None,
        ai_tool: str | None = None,
        territory: str | None = None,
        at: datetime | None = None,
        known_at: datetime | None = None,
    ) -> tuple[Finding, ...]:
        """What each rightsholder of a track says to one use of it by one upload: never empty, by name.

        licences: the references that the upload quotes. distributor, ai_tool: who delivered and who made
        it, where the upload service knows. territory: ISO 3166-1 alpha-2; None for the world.
        at: the instant of the use, by default now. known_at: by what was on record then, by default all.
        Raises UnknownTrack for an id that was never in the catalog.
        """
        with self._database.read() as connection:
            return find(
                connection,
                track_id,
                Use(use),
                uploader=uploader,
                licences=licences,
                distributor=distributor,
                ai_tool=ai_tool,
                territory=territory,
                at=self._database.now() if at is None else at,
                known_at=known_at,
            )

    def is_own_upload(self, track_id: str, uploader: str, *, known_at: datetime | None = None) -> bool:
        """Whether the account speaks for a party that may deliver the recording itself.

        That is a label, distributor or artist of the track. A publisher or society holds the work,
        not the recording, and answers only where nobody else is recorded. Raises UnknownTrack.
        """
        with self._database.read() as connection:
            return owns(connection, track_id, uploader, known_at=known_at)


def _require_free(taken: Any | None, track: Track) -> None:
    if taken is None:
        return
    what = "the same recording" if taken.audio_sha256 == track.audio_sha256 else "another recording"
    raise DuplicateTrack(
        f"the track id {track.track_id!r} is taken by {what}, “{taken.title}”;"
        " choose another id, or replace it"
    )


def _only_model(models: tuple[str, ...]) -> str:
    if len(models) > 1:
        listed = ", ".join(f"{model[:12]}…" for model in models)
        raise CatalogError(f"the catalog was heard by several models ({listed}); name the one that judges")
    return models[0] if models else ""


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CatalogError(
            f"can't make the folder {folder}: {error.strerror}; choose another --data"
        ) from error
