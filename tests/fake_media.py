"""A clip as a browser's fake camera and microphone want it: MJPEG and WAV, in a loop."""

import wave
from pathlib import Path

import av

RATE = 48_000


def camera(clip: Path, place: Path, *, width: int = 480, fps: int = 15) -> Path:
    """The pictures of a clip as Motion JPEG."""
    with av.open(str(clip)) as given, av.open(str(place), "w", format="mjpeg") as made:
        video = given.streams.video[0]
        height = round(video.height * width / video.width / 2) * 2
        stream = made.add_stream("mjpeg", rate=fps)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuvj420p"
        stream.options = {"qscale": "4"}
        graph = av.filter.Graph()
        source = graph.add_buffer(template=video)
        last = source
        filters = (("fps", str(fps)), ("scale", f"{width}:{height}"), ("format", "yuvj420p"), ("buffersink", None))
        for name, options in filters:
            node = graph.add(name, options)
            last.link_to(node)
            last = node
        graph.configure()
        for frame in given.decode(video):
            graph.push(frame)
            _pull(graph, stream, made)
        graph.push(None)
        _pull(graph, stream, made)
        made.mux(stream.encode(None))
    return place


def _pull(graph: "av.filter.Graph", stream: "av.VideoStream", made: "av.container.OutputContainer") -> None:
    while True:
        try:
            frame = graph.pull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return
        frame.pts = None
        made.mux(stream.encode(frame))


def microphone(clip: Path, place: Path) -> Path:
    """The sound of a clip as PCM."""
    resampler = av.AudioResampler("s16", "mono", RATE)
    with av.open(str(clip)) as given, wave.open(str(place), "wb") as made:
        made.setnchannels(1)
        made.setsampwidth(2)
        made.setframerate(RATE)
        for frame in given.decode(audio=0):
            for one in resampler.resample(frame):
                made.writeframes(one.to_ndarray().tobytes())
    return place
