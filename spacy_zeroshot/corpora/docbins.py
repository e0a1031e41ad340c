"""Many DocBins into one without holding them: the bytes that DocBin.to_bytes gives, written field by field.

A DocBin is zlib-compressed msgpack of a few long arrays. DocBin.merge() holds all of them as objects; here the
shards are read again for each array, and only the strings are held, as they must be sorted and unique.
"""

import struct
import zlib
from pathlib import Path
from typing import IO, Any, Dict, Iterator, List, Sequence

import srsly

from ..errors import ZeroShotError

# Arrays of bytes, and lists with one entry per document
BLOBS = ("tokens", "spaces", "lengths")
LISTS = ("cats", "flags", "span_groups", "user_data")


def merge_docbins(shards: Sequence[Path], empty: bytes, out: IO[bytes]) -> None:
    """Write one DocBin that holds the documents of many, in order.

    shards (Sequence[Path]): .spacy files with the same attributes, each written with user data.
    empty (bytes): A DocBin without documents, which says what all have in common.
    out (IO[bytes]): Where to write.
    RAISES (ZeroShotError): Z093 for more than a DocBin can hold.
    """
    sizes = {name: 0 for name in (*BLOBS, *LISTS)}
    strings: set[str] = set()
    for message in _messages(shards):
        for name in sizes:
            sizes[name] += len(message[name])
        strings.update(message["strings"])
    common = _unpack(empty)
    packed = zlib.compressobj()
    out.write(packed.compress(_header(len(common), 0x80, 0xDE, 0xDF)))
    for name, value in common.items():
        out.write(packed.compress(srsly.msgpack_dumps(name)))
        if name == "strings":
            value = sorted(strings)
        for piece in _pieces(name, value, sizes, shards):
            out.write(packed.compress(piece))
    out.write(packed.flush())


def _pieces(name: str, value: Any, sizes: Dict[str, int], shards: Sequence[Path]) -> Iterator[bytes]:
    if name in BLOBS:
        return _blob(name, sizes[name], shards)
    if name in LISTS:
        return _list(name, sizes[name], shards)
    return iter([srsly.msgpack_dumps(value)])


def _blob(name: str, size: int, shards: Sequence[Path]) -> Iterator[bytes]:
    if size >= 2**32:
        # msgpack's own limit, and so DocBin's
        raise ZeroShotError("Z093", "annotate", size=f"{size:,}", what=name)
    yield b"\xc6" + struct.pack(">I", size)
    for message in _messages(shards):
        yield message[name]


def _list(name: str, size: int, shards: Sequence[Path]) -> Iterator[bytes]:
    yield _header(size, 0x90, 0xDC, 0xDD)
    for message in _messages(shards):
        for entry in message[name]:
            yield srsly.msgpack_dumps(entry)


def _header(size: int, small: int, medium: int, large: int) -> bytes:
    """msgpack's header of a map or an array."""
    if size < 16:
        return bytes([small | size])
    if size < 2**16:
        return bytes([medium]) + struct.pack(">H", size)
    return bytes([large]) + struct.pack(">I", size)


def _messages(shards: Sequence[Path]) -> Iterator[Dict[str, Any]]:
    for path in shards:
        yield _unpack(path.read_bytes())


def _unpack(data: bytes) -> Dict[str, Any]:
    message = srsly.msgpack_loads(zlib.decompress(data))
    lists: List[str] = [name for name in LISTS if name in message]
    for name in lists:
        message[name] = list(message[name])
    return message
