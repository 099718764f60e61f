"""The labels that people give in the viewer: is this observation sufficient?

An append-only history in one SQLite file: a label is on the disk before `save` returns, a label that is given again
stands beside the one that it overrules, and one that is taken back stays in the file. Any number of processes may
write to the file at once. The store never learns a verdict, so that whoever labels is blind to it.

A label is about one text: the id of a question stays when its trace is generated anew, therefore every label carries
the hash of the observation that the labeller saw, and counts only where the dataset still holds that observation.
"""

from __future__ import annotations

import hashlib
import re
import sqlite3
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import polars as pl

from curation.agreement import CANNOT_TELL, DESIGN, measure_agreement, with_design
from curation.errors import UserError
from curation.report import Agreement
from curation.schema import INSUFFICIENT, SUFFICIENT

LABELS: Final = (SUFFICIENT, INSUFFICIENT, CANNOT_TELL)
MIN_LABELS: Final = 20  # questions that people decided, before an agreement is shown
MOST_NAME: Final = 40  # characters
MOST_NOTE: Final = 4_000
MOST_WAIT_S: Final = 30.0  # for another process that is writing

# Ids of a dataset's rows -> those rows, by id, with the published columns; ids that it lacks are left out.
RowsById = Callable[[Sequence[str]], Mapping[str, Mapping[str, Any]]]

_FILE_ID: Final = 0x5650324C  # "VP2L": SQLite keeps it in the file's header
_VERSION: Final = 1
_TABLES: Final = (
    f"""CREATE TABLE labels (
        number INTEGER PRIMARY KEY,
        row_id TEXT NOT NULL,
        dataset TEXT NOT NULL,
        observation_sha256 TEXT NOT NULL,
        label TEXT NOT NULL CHECK (label IN {LABELS}),
        labeller TEXT NOT NULL,
        note TEXT NOT NULL,
        labelled_at TEXT NOT NULL
    ) STRICT""",
    "CREATE TABLE withdrawn (number INTEGER PRIMARY KEY REFERENCES labels, withdrawn_at TEXT NOT NULL) STRICT",
    "CREATE VIEW standing AS SELECT * FROM labels WHERE number NOT IN (SELECT number FROM withdrawn)",
    # MAX picks its whole row: https://www.sqlite.org/lang_select.html#bareagg
    """CREATE VIEW counted AS SELECT MAX(number) AS number, row_id, dataset, observation_sha256, label, labeller, note,
        labelled_at FROM standing GROUP BY row_id, observation_sha256, labeller""",
)
_COLUMNS: Final = "row_id, dataset, observation_sha256, label, labeller, note, labelled_at"
_QUESTION_COLUMNS: Final = {
    "data_type": pl.String(),
    "problem": pl.String(),
    "options": pl.List(pl.String()),
    "problem_type": pl.String(),
    "solution": pl.String(),
    "observation": pl.String(),
}
_EXPORT: Final = {
    "id": pl.String(),
    "label": pl.String(),
    "labeller": pl.String(),
    "note": pl.String(),
    "labelled_at": pl.String(),
    "dataset": pl.String(),
    "observation_sha256": pl.String(),
    **dict.fromkeys(DESIGN, pl.Int64()),
    **_QUESTION_COLUMNS,
}


class LabelError(UserError, RuntimeError):
    """A label that was not saved, or labels that cannot be read; `str()` says which in one line."""


@dataclass(frozen=True, slots=True)
class Label:
    """What one person says of one observation. dataset: as the viewer names it. labelled_at: UTC, ISO, seconds."""

    row_id: str
    dataset: str
    observation_sha256: str
    label: str
    labeller: str
    note: str
    labelled_at: str


def hash_observation(observation: str) -> str:
    """The SHA-256 of the text, hexadecimal: which observation a label is about."""
    return hashlib.sha256(observation.encode("utf-8", "surrogatepass")).hexdigest()


def clean_name(name: str) -> str:
    """A labeller's name as it is kept: one line, without control and formatting characters; may be empty."""
    composed = unicodedata.normalize("NFC", _whole_characters(name))
    visible = (" " if each.isspace() else each for each in composed if each.isspace() or _is_visible(each))
    return " ".join("".join(visible).split())


class LabelStore:
    """The labels in one file. Every method opens the file for itself, so that threads and processes can share it."""

    def __init__(self, path: Path) -> None:
        """Open the file; it is created when missing. Raises LabelError when it is none of ours or cannot be used."""
        self.path = path.absolute()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LabelError(f"cannot keep labels in {self.path}: {error.strerror}. Name another file.") from error
        try:
            with closing(self._connect("rwc")) as connection:
                _prepare(connection, self.path)
        except sqlite3.Error as error:
            raise LabelError(f"cannot keep labels in {self.path}: {error}. Name another file.") from error

    def save(
        self, *, row_id: str, dataset: str, label: str, labeller: str, note: str = "", observation_sha256: str
    ) -> None:
        """Keep one label: it is on the disk when this returns. Raises LabelError; then nothing was kept."""
        name = clean_name(labeller)
        text = _whole_characters(note)
        _check(row_id, label, name, text, observation_sha256)
        row = (row_id, _whole_characters(dataset), observation_sha256, label, name, text, _now())
        with self._open(f"the label of {row_id!r:.80} was NOT saved") as connection:
            connection.execute(f"INSERT INTO labels ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)", row)

    def undo(self, labeller: str) -> Label | None:
        """Take back the labeller's last label, whatever it overruled counts again. Null when he has none."""
        last = "SELECT number FROM standing WHERE labeller = ? ORDER BY number DESC LIMIT 1"
        with self._open("the last label was NOT taken back") as connection:
            withdrawn = connection.execute(
                f"INSERT INTO withdrawn SELECT number, ? FROM ({last}) RETURNING number", (_now(), clean_name(labeller))
            ).fetchall()  # all of them: SQLite commits when there is no more to fetch
            if not withdrawn:
                return None
            row = connection.execute(f"SELECT {_COLUMNS} FROM labels WHERE number = ?", withdrawn[0]).fetchone()
        return Label(*row)

    def of(self, row_id: str, labeller: str | None = None) -> list[Label]:
        """The labels of a row that count, oldest first: the last one of each labeller and observation."""
        return self._counted(row_id=row_id, labeller=labeller)

    def count(self, labeller: str | None = None) -> dict[str, int]:
        """How many labels count, by label."""
        found = [each.label for each in self._counted(labeller=labeller)]
        return {label: found.count(label) for label in LABELS}

    def labelled_ids(self, labeller: str) -> set[str]:
        """The rows that the labeller has labelled, whichever observation they had then."""
        return {each.row_id for each in self._counted(labeller=labeller)}

    def current(self, rows: RowsById) -> list[Label]:
        """The labels that count and are about an observation of this dataset, oldest first."""
        return [label for label, _ in self._with_rows(rows)]

    def export(self, path: Path, rows: RowsById, design: pl.DataFrame | None = None) -> int:
        """Write what `current` returns, with the question and the observation, as `curation calibrate` reads it.

        design: from which stratum each row was drawn (sampling.py). One Parquet row for each label; returns how many.
        The file is replaced as a whole. Raises LabelError.
        """
        if path.suffix.lower() != ".parquet":
            raise LabelError(f"labels are exported as Parquet, not as {path.name!r:.80}. Name a file *.parquet.")
        exported = [
            {name: row.get(name) for name in _QUESTION_COLUMNS}
            | {"id": label.row_id, "label": label.label, "labeller": label.labeller, "note": label.note}
            | {"labelled_at": label.labelled_at, "dataset": label.dataset}
            | {"observation_sha256": label.observation_sha256}
            for label, row in self._with_rows(rows)
        ]
        torn = path.with_name(f"{path.name}.tmp")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            labels = pl.DataFrame(exported, schema={name: kind for name, kind in _EXPORT.items() if name not in DESIGN})
            with_design(labels, labels.select("id") if design is None else design).select(*_EXPORT).write_parquet(torn)
            torn.replace(path)
        except (OSError, pl.exceptions.PolarsError) as error:
            torn.unlink(missing_ok=True)
            raise LabelError(f"the labels were NOT exported to {path}: {str(error).splitlines()[0]}") from error
        return len(exported)

    def agreement(
        self,
        verdicts: Mapping[str, str | None],
        rows: RowsById | None = None,
        design: pl.DataFrame | None = None,
    ) -> Agreement | None:
        """The judge against the labels; null before people have decided MIN_LABELS of its questions.

        verdicts: of all rows, by id; null = unscored. With `rows`, labels of another observation are left out; with
        `design`, as `export` takes it, the agreement is that of the whole dataset.
        """
        counted = self._counted() if rows is None else self.current(rows)
        labels = pl.DataFrame(
            [(each.row_id, each.label, each.labeller) for each in counted],
            schema={"id": pl.String, "label": pl.String, "labeller": pl.String},
            orient="row",
        )
        # A row without an entry in `verdicts` is one that this dataset does not have.
        judged = pl.DataFrame(
            [(row_id, verdicts[row_id]) for row_id in labels["id"].unique(maintain_order=True) if row_id in verdicts],
            schema={"id": pl.String, "verdict": pl.String},
            orient="row",
        )
        agreement = measure_agreement(judged, labels if design is None else with_design(labels, design))
        return agreement if agreement.accuracy.total + agreement.num_unscored >= MIN_LABELS else None

    def _with_rows(self, rows: RowsById) -> list[tuple[Label, Mapping[str, Any]]]:
        counted = self._counted()
        found = rows(list(dict.fromkeys(label.row_id for label in counted)))
        observed = {row_id: row["observation"] for row_id, row in found.items() if row["observation"] is not None}
        hashes = {row_id: hash_observation(text) for row_id, text in observed.items()}
        return [
            (label, found[label.row_id]) for label in counted if hashes.get(label.row_id) == label.observation_sha256
        ]

    def _counted(self, row_id: str | None = None, labeller: str | None = None) -> list[Label]:
        name = None if labeller is None else clean_name(labeller)
        with self._open("the labels could not be read") as connection:
            rows = connection.execute(
                f"SELECT {_COLUMNS} FROM counted WHERE (:row_id IS NULL OR row_id = :row_id) "
                "AND (:name IS NULL OR labeller = :name) ORDER BY number",
                {"row_id": row_id, "name": name},
            ).fetchall()
        return [Label(*row) for row in rows]

    @contextmanager
    def _open(self, failure: str) -> Iterator[sqlite3.Connection]:
        """The file, which must still be there: a new one in its place would hide that labels are lost."""
        try:
            with closing(self._connect("rw")) as connection:
                yield connection
        except sqlite3.Error as error:
            raise LabelError(
                f"{failure}, in {self.path}: {error}. Mend the disk or the file, then try again."
            ) from error

    def _connect(self, mode: str) -> sqlite3.Connection:
        # Autocommit: every statement is a transaction of its own.
        connection = sqlite3.connect(
            f"{self.path.as_uri()}?mode={mode}", uri=True, timeout=MOST_WAIT_S, isolation_level=None
        )
        connection.execute("PRAGMA synchronous = FULL")
        return connection


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Make the tables in an empty file. Raises LabelError when the file is somebody else's, which is left as it is."""
    connection.execute("BEGIN IMMEDIATE")  # two processes may find the file empty
    (file_id,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (num_tables,) = connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
    if num_tables == 0 and file_id == 0:
        for statement in (*_TABLES, f"PRAGMA application_id = {_FILE_ID}", f"PRAGMA user_version = {_VERSION}"):
            connection.execute(statement)
    elif file_id != _FILE_ID:
        raise LabelError(f"{path} is another program's database and holds no labels. Name another file.")
    elif version != _VERSION:
        raise LabelError(f"{path} holds labels in form {version}; this version reads form {_VERSION}. Update it.")
    connection.execute("COMMIT")
    _use_write_ahead_log(connection)


def _use_write_ahead_log(connection: sqlite3.Connection) -> None:
    """Readers then never wait for a writer. It lasts in the file, so whoever opens it first may do it."""
    try:
        connection.execute("PRAGMA journal_mode = WAL")
    except sqlite3.OperationalError as error:
        # SQLite does not wait here for another process, which is opening the file and asks for the same.
        if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise


def _check(row_id: str, label: str, name: str, note: str, observation_sha256: str) -> None:
    """Raises LabelError."""
    failure = f"the label of {row_id!r:.80} was NOT saved"
    if label not in LABELS:
        raise LabelError(f"{failure}: a label is {', '.join(LABELS)}, not {label!r:.60}.")
    if not name:
        raise LabelError(f"{failure}: it has no labeller. Enter a name or a nickname.")
    if len(name) > MOST_NAME:
        raise LabelError(f"{failure}: the labeller's name has {len(name)} characters; at most {MOST_NAME} are kept.")
    if len(note) > MOST_NOTE:
        raise LabelError(f"{failure}: its note has {len(note):,} characters; at most {MOST_NOTE:,} are kept.")
    if not row_id or _whole_characters(row_id) != row_id:
        raise LabelError(f"{failure}: that is no id of a row.")
    if not re.fullmatch(r"[0-9a-f]{64}", observation_sha256):
        raise LabelError(f"{failure}: {observation_sha256!r:.80} is no SHA-256 of an observation.")


def _whole_characters(text: str) -> str:
    """The text with lone surrogates, which no file can hold, replaced by U+FFFD as browsers do."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _is_visible(character: str) -> bool:
    return not unicodedata.category(character).startswith("C")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
