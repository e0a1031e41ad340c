"""Long premises: overlapping windows, exact in wordpieces. Only the premise is ever split or cut."""

from typing import List, Tuple

from ..errors import ZeroShotError, warn
from ..evidence import Reading
from .tokens import Pieces

Window = Tuple[int, int]


def split_windows(length: int, room: int, overlap: int, component: str) -> List[Window]:
    """Cover a text with windows; neighbours share exactly `overlap` wordpieces, the last may be shorter.

    length (int): Wordpieces of the text.
    room (int): Wordpieces a window holds.
    overlap (int): Wordpieces that neighbours share.
    component (str): The component's name, for errors.
    RETURNS (List[Window]): First and past-the-last wordpiece of each window; at least one.
    RAISES (ZeroShotError): Z012 if the windows would not move on.
    """
    if length <= room:
        return [(0, length)]
    if overlap >= room:
        raise ZeroShotError("Z012", component, overlap=overlap, room=room)
    step = room - overlap
    count = 1 + -(-(length - room) // step)
    return [(i * step, min(i * step + room, length)) for i in range(count)]


class Reader:
    """Cuts premises into windows, or to one window, as the component asks; warns of the first cut only.

    RETURNS (Reader): A reader that has not warned yet.
    """

    def __init__(self) -> None:
        self._warned = False

    def windows(self, pieces: Pieces, room: int, reading: Reading) -> List[Window]:
        """Windows of one premise.

        pieces (Pieces): The premise.
        room (int): Wordpieces of premise that fit beside the longest hypothesis.
        reading (Reading): The component's settings.
        RETURNS (List[Window]): First and past-the-last wordpiece of each window.
        RAISES (ZeroShotError): Z012 for an impossible overlap.
        """
        length = len(pieces.ids)
        if reading.long_text == "truncate" and length > room:
            if not self._warned:
                self._warned = True
                warn("Z101", reading.component, length=length, room=room)
            return [(0, room)]
        return split_windows(length, room, reading.window_overlap, reading.component)


def characters(pieces: Pieces, window: Window, text: str) -> Tuple[int, int]:
    """The characters a window covers.

    pieces (Pieces): The premise.
    window (Window): First and past-the-last wordpiece.
    text (str): The premise's text.
    RETURNS (Tuple[int, int]): First and past-the-last character; the first and last window reach the text's ends.
    """
    start, end = window
    first = 0 if start == 0 else int(pieces.offsets[start, 0])
    last = len(text) if end == len(pieces.ids) else int(pieces.offsets[end - 1, 1])
    return first, last
