"""Pseudonyms that only the holder of a key can make again: of patients and UIDs, and how far dates are shifted.

Everything is an HMAC-SHA256 of the value under the key, so that no table of old and new has to be kept, and that two
calls with one key agree. Pseudonyms are digits alone: letters might spell a name.
"""

import hashlib
import hmac
import os
import re
import secrets
import uuid
from datetime import timedelta
from pathlib import Path

from helpers.runtime.errors import DataError

_DIGITS = 12
_MOST_DAYS = 3650


class Pseudonyms:
    """What replaces patients, UIDs and dates under one key.

    Attributes:
        fingerprint: of the key: tells two keys apart, and gives nothing away.
    """

    def __init__(self, key: bytes) -> None:
        """Keep the key.

        Args:
            key: 32 bytes that nobody else has.
        """
        self._key = key
        self.fingerprint = self._digest("key", "").hex()[:12]

    def patient(self, identity: str) -> str:
        """The pseudonym of a patient.

        Args:
            identity: whatever tells this patient from all others.

        Returns:
            Twelve digits.
        """
        return self._number("patient", identity)

    def uid(self, uid: str) -> str:
        """The UID that replaces another wherever that occurs: under 2.25, where UUIDs are.

        Args:
            uid: the other.
        """
        return f"2.25.{uuid.UUID(bytes=self._digest('uid', uid.strip())[:16], version=5).int}"

    def name(self, kind: str, value: str) -> str:
        """A name for a file or folder.

        Args:
            kind: "series" or "image", so that one value gives two names.
            value: what the name stands for.

        Returns:
            Twelve digits.
        """
        return self._number(kind, value)

    def stamp(self, *values: object) -> str:
        """A mark by which the same values are recognised, and which does not tell what they are.

        Args:
            values: such as a file's path, size and time.
        """
        return self._digest("stamp", "\0".join(map(str, values))).hex()[:32]

    def shift(self, identity: str) -> timedelta:
        """How far the dates of a patient are shifted: the same for all, between one day and ten years back.

        Args:
            identity: as for `patient`.
        """
        digest = self._digest("dates", identity)
        days, seconds = (int.from_bytes(part, "big") for part in (digest[:8], digest[8:16]))
        return -timedelta(days=1 + days % _MOST_DAYS, seconds=seconds % 86400)

    def _number(self, kind: str, value: str) -> str:
        return f"{int.from_bytes(self._digest(kind, value)[:16], 'big') % 10**_DIGITS:0{_DIGITS}d}"

    def _digest(self, kind: str, value: str) -> bytes:
        return hmac.new(self._key, f"{kind}\0{value}".encode(), hashlib.sha256).digest()


def read_key(path: Path | None, out: Path) -> bytes:
    """The key in a file, which is made, readable by this user alone, if it is not there.

    Args:
        path: the file; a key that nobody can know is drawn, and forgotten, without.
        out: where the outcome goes. A key there, or in the folder around it, would be handed on together with it.

    Raises:
        DataError: the file lies there, holds something else, or cannot be read or written.
    """
    if path is None:
        return secrets.token_bytes(32)
    where, final = path.absolute().parent.resolve(), out.absolute().parent.resolve() / out.name
    if where == final.parent or final in (where, *where.parents):
        raise DataError(
            "The key lies in the output folder or beside it, where it would be handed on together with the images; "
            "name a file in a folder of your own by --key."
        )
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w", encoding="ascii") as file:
                file.write(secrets.token_hex(32) + "\n")
        text = path.read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise DataError(f"The file of --key cannot be used ({reason}). Name a new file, and it is made.") from None
    if not re.fullmatch("[0-9a-f]{64}", text):
        raise DataError("The file of --key holds no key: expected 64 hexadecimal digits. Name a new file; it is made.")
    return bytes.fromhex(text)
