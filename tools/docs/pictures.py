"""Draws the pictures of the concepts, docs/pictures/*.svg: plain SVG with colours for light and for dark pages."""

from collections.abc import Iterable

from mecam.files import write_whole
from tools.docs.markdown_pages import DOCS

PICTURES = DOCS / "pictures"
STYLE = """
svg { color-scheme: light dark; }
text { font: 14px system-ui, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif; }
.small { font-size: 12px; } .bold { font-weight: 600; }
.line { stroke: #9aa7b5; stroke-width: 1.5; fill: none; } .flow { stroke: #5a6878; stroke-width: 2; fill: none; }
.hatch { stroke: #9aa7b5; stroke-width: 1; } .frame { stroke: #d0453b; stroke-width: 1.5; fill: none; }
.paper, .on { fill: #f7f8fa; } .ink, .gate { fill: #1c2733; } .soft { fill: #5a6878; } .off { fill: #c9d1da; }
.text { fill: #2f6f9f; } .audio { fill: #b4622d; } .vision { fill: #5b7f2b; } .fused { fill: #6a4c93; }
.bad { fill: #b3261e; }
@media (prefers-color-scheme: dark) {
  .line, .hatch { stroke: #66727f; } .flow { stroke: #a3b0bd; }
  .paper, .on { fill: #1b2026; } .ink, .gate { fill: #e8edf2; } .soft { fill: #a3b0bd; } .off { fill: #3b444e; }
  .text { fill: #6cb0e0; } .audio { fill: #e69a63; } .vision { fill: #9cc463; } .fused { fill: #b79ae0; }
  .bad { fill: #ff8a80; }
}
"""
MINUS = "−"


def _svg(width: int, height: int, title: str, parts: Iterable[str]) -> str:
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" aria-label="{title}">\n<title>{title}</title>\n<style>{STYLE}</style>\n'
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path class="soft" d="M0 0 8 4 0 8z"/></marker>'
        '<pattern id="gap" width="7" height="7" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
        '<line class="hatch" y2="7"/></pattern></defs>\n'
        f'<rect class="paper" width="{width}" height="{height}" rx="10"/>\n{body}\n</svg>\n'
    )


def _text(x: float, y: float, words: str, kind: str = "ink", anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{x:g}" y="{y:g}" text-anchor="{anchor}">{words}</text>'


def _box(x: float, y: float, width: float, height: float, kind: str, radius: float = 3) -> str:
    return f'<rect class="{kind}" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="{radius:g}"/>'


def _gap(x: float, y: float, width: float, height: float) -> str:
    return f'<rect fill="url(#gap)" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="3"/>'


def _arrow(x: float, y: float, to_x: float, to_y: float) -> str:
    return f'<path class="flow" marker-end="url(#tip)" d="M{x:g} {y:g} L{to_x:g} {to_y:g}"/>'


def overview() -> str:
    """Three modalities, their filters, the fusion and its answer."""
    parts = []
    lanes = [("text", "words", [1, 1, 0.15, 1, 1, 1]), ("audio", "voice", [1, 1, 1, 0.1, 0.2, 1])]
    lanes.append(("vision", "face", [1, 0.2, 1, 1, 1, 1]))
    for i, (kind, name, gates) in enumerate(lanes):
        y = 34 + i * 62
        parts.append(_text(24, y + 21, name, f"{kind} bold"))
        parts += [_box(84 + 24 * t, y, 20, 32, kind if gate > 0.5 else "off") for t, gate in enumerate(gates)]
        parts.append(_arrow(234, y + 16, 266, y + 16))
        parts.append(_box(272, y - 6, 8, 44, "gate"))
        parts += [_box(298 + 24 * t, y, 20, 32, kind) if gate > 0.5 else _gap(298 + 24 * t, y, 20, 32)
                  for t, gate in enumerate(gates)]  # fmt: skip
        parts.append(_arrow(448, y + 16, 506, 96 + 16 + (i - 1) * 22))
    parts += [_text(276, 226, "filter", "soft small", "middle"), _box(512, 72, 92, 80, "fused", 8)]
    parts += [_text(558, 117, "fusion", "on bold", "middle"), _arrow(606, 112, 640, 112)]
    parts += [_text(650, 108, "+1.8", "ink bold"), _text(650, 128, "+0.4 … +2.9", "soft small")]
    return _svg(760, 244, "Text, voice and face pass a filter each, and are fused into a score with an interval", parts)


def filter_gate() -> str:
    """A voice with a burst of noise, the gate over it, and what passes."""
    heights = [14, 22, 30, 24, 16, 26, 34, 52, 56, 50, 54, 28, 20, 30, 24, 16, 22, 28, 18, 12]
    burst = range(7, 11)
    gates = [0.06 if t in burst else 0.3 if t in (6, 11) else 0.93 - 0.03 * (t % 3) for t in range(len(heights))]
    parts = [
        _text(24, 58, "voice", "audio bold"),
        _text(24, 138, "gate", "ink bold"),
        _text(24, 222, "kept", "audio bold"),
    ]
    for t, (height, gate) in enumerate(zip(heights, gates, strict=True)):
        x = 96 + 29 * t
        parts.append(_box(x, 54 - height / 2, 20, height, "bad" if t in burst else "audio"))
        parts.append(_box(x, 158 - 48 * gate, 20, 48 * gate, "gate", 2))
        kept = height * gate
        parts.append(_box(x, 218 - kept / 2, 20, kept, "audio") if gate > 0.5 else _gap(x, 204, 20, 28))
    parts += ['<path class="line" stroke-dasharray="4 4" d="M92 134 H676"/>', _text(682, 114, "1", "soft small")]
    parts += [_text(682, 138, ".5", "soft small"), _text(682, 162, "0", "soft small")]
    parts.append(_text(352, 20, "a burst of noise", "bad small", "middle"))
    return _svg(720, 256, "A gate near 0 during a burst of noise keeps it out of the fusion", parts)


def interval() -> str:
    """Two scores near zero: one that is sure, one that is not."""
    parts = []
    for y, words, score, low, high, says in (
        (62, "“It is two hours long.”", 0.1, -0.6, 0.8, "neutral"),
        (132, "“Well. That was something.”", 0.2, -2.2, 2.4, "cannot tell"),
    ):
        at = [440 + 70 * value for value in (low, score, high)]
        parts += [_text(24, y + 5, words, "ink"), _box(at[0], y - 7, at[2] - at[0], 14, "text", 7)]
        parts.append(f'<circle class="paper" cx="{at[1]:g}" cy="{y}" r="5"/>')
        parts.append(_text(720, y + 5, says, "soft", "start"))
    parts.append('<path class="line" d="M230 176 H650 M440 30 V176"/>')
    for value in range(-3, 4):
        x = 440 + 70 * value
        name = f"{MINUS}{-value}" if value < 0 else f"+{value}" if value else "0"
        parts += [f'<path class="line" d="M{x} 172 v8"/>', _text(x, 198, name, "soft small", "middle")]
    return _svg(820, 214, "A short interval around zero means neutral, a long one that the model cannot tell", parts)


def missing() -> str:
    """Three lanes with gaps, one of them empty, and the weights of what is there."""
    present = {"text": "11110011111001", "audio": "11101111011111", "vision": "00000000000000"}
    names = {"text": "words", "audio": "voice", "vision": "face"}
    weights = {"text": "62 %", "audio": "38 %", "vision": "absent"}
    parts = [
        _text(24, 30, "modality", "soft small"),
        _text(110, 30, "time →", "soft small"),
        _text(580, 30, "weight", "soft small"),
    ]
    for i, (kind, seen) in enumerate(present.items()):
        y = 44 + 48 * i
        parts.append(_text(24, y + 20, names[kind], f"{kind} bold"))
        for t, there in enumerate(seen):
            x = 110 + 32 * t
            parts.append(_box(x, y, 26, 30, kind) if there == "1" else _gap(x, y, 26, 30))
        parts.append(_text(580, y + 20, weights[kind], "ink bold" if kind != "vision" else "soft"))
    parts += [_gap(110, 194, 26, 18), _text(146, 208, "missing: masked, not zero", "soft small")]
    return _svg(680, 226, "Gaps are masked; the weights of what is there sum to one", parts)


def conflict() -> str:
    """Three modalities on one scale, of which one points the other way."""
    parts = ['<path class="line" d="M150 176 H570 M360 34 V176"/>']
    rows = (("text", "words", -2.1, "“the ending was awful”"), ("audio", "voice", -1.2, "tense"))
    for i, (kind, name, score, says) in enumerate((*rows, ("vision", "face", 1.9, "smiles"))):
        y, x = 58 + 44 * i, 360 + 70 * score
        parts += [_text(24, y + 5, name, f"{kind} bold"), _box(min(x, 360), y - 8, abs(x - 360), 16, kind, 8)]
        parts.append(_text(600, y + 5, says, "soft"))
    parts.append('<rect class="frame" x="350" y="124" width="156" height="44" rx="8" stroke-dasharray="5 4"/>')
    parts.append(_text(428, 118, "contradicts", "bad small bold", "middle"))
    for value, name in ((-3, f"{MINUS}3"), (0, "0"), (3, "+3")):
        parts.append(_text(360 + 70 * value, 198, name, "soft small", "middle"))
    return _svg(780, 214, "Words and voice are negative, the face smiles: the face contradicts the others", parts)


def draw_all() -> None:
    """Write all pictures."""
    for name, draw in {
        "overview": overview,
        "filter": filter_gate,
        "interval": interval,
        "missing": missing,
        "conflict": conflict,
    }.items():
        write_whole(PICTURES / f"{name}.svg", draw())
