"""What is said in a recording, and when: transcripts from files.

txt               lines without times
SRT, VTT, SBV, ASS  captions; word marks, rolling lines and highlighted words are understood
CSV, TSV          a row per word (`word`, `start`, `end`) or per sentence (`text`, `start`, `end`)
JSON              what speech recognisers write, or lists of words or sentences with times

Words of a caption that has no word times get a share of its time by their length; `Transcript.estimated` says so.
A file of a shape that is not known is refused with the reason; none is read by half.
"""

from mecam.features.text.find_transcript import read_beside, transcript_beside
from mecam.features.text.reading import SUFFIXES, read_transcript
from mecam.features.text.segments import Segment, Transcript, join_words, settled, spread

__all__ = [
    "SUFFIXES",
    "Segment",
    "Transcript",
    "join_words",
    "read_beside",
    "read_transcript",
    "settled",
    "spread",
    "transcript_beside",
]
