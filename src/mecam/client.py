"""A client of `mecam serve`: the same objects as `mecam.predict` gives, over HTTP.

    with Client("http://127.0.0.1:8000") as service:
        service.predict_text("I loved it.").label
        service.predict_recording("clip.mp4", transcript="clip.vtt").to_frame()

It needs the extra `client` (httpx), and neither a model nor the libraries that compute one. It sends what it is given,
and no other file: a transcript beside the recording is not looked for.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from mecam.errors import ConfigError, DataError, MecamError, ServiceError, missing_extras
from mecam.prediction.inputs import as_sentences, printable
from mecam.prediction.result import Prediction, RecordingPrediction

if TYPE_CHECKING:
    import httpx

__all__ = ["Client", "Job", "Progress"]

Job = Mapping[str, Any]
"""What the service says of a recording at work: `state`, `stage`, `progress` from 0 to 1, `place` in the queue."""
Progress = Callable[[Job], None]

BUSY = frozenset({429, 503})
"""Statuses after which the same request is worth another try."""
ERRORS: Mapping[int, type[MecamError]] = {
    **dict.fromkeys(range(400, 500), DataError),
    **dict.fromkeys((400, 401, 403), ConfigError),
    **dict.fromkeys((408, 409, 429), ServiceError),
}
"""Status → what is wrong: what was sent, how it was asked for, or the moment; of all others, the service."""
ENDED = frozenset({"done", "failed", "cancelled"})
LONGEST_PAUSE_S = 5.0
"""Between two looks at a job whose events do not come through."""


class Client:
    """A service that `mecam serve` runs.

    Args:
        url: where it is, `http://127.0.0.1:8000`; with a path, where a proxy gives it one.
        token: what the service was started with, if anything.
        timeout: seconds without a sign of life after which an answer is given up.
        patience: seconds that one call may wait, in all, for a service that is full or restarts.

    Raises: MissingExtraError if httpx is not installed; ConfigError if it is no address.
    """

    def __init__(self, url: str, *, token: str | None = None, timeout: float = 60.0, patience: float = 60.0) -> None:
        with missing_extras():
            import httpx
        self._url, self._patience = url, patience
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        if not url.startswith(("http://", "https://")):
            raise ConfigError(f"this is no address of a service: {url!r}", fix="begin it with http:// or https://")
        try:
            self._http = httpx.Client(base_url=url, headers=headers, timeout=timeout)
        except (httpx.InvalidURL, UnicodeEncodeError) as error:
            raise ConfigError(f"the address or the token cannot be used: {error}", where=url) from error

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give back the connections."""
        self._http.close()

    def model(self) -> dict[str, Any]:
        """What the service predicts with: its name, task, cards, limits.

        Raises: ServiceError if it does not answer; ConfigError if it asks for another token.
        """
        return self._content(self._answer("GET", "v1/model"))

    @overload
    def predict_text(self, text: str) -> Prediction: ...  # type: ignore[overload-overlap]
    @overload
    def predict_text(self, text: Sequence[str]) -> list[Prediction]: ...
    def predict_text(self, text: str | Sequence[str]) -> Prediction | list[Prediction]:
        """Predict sentences, as `mecam.predict_text` does.

        Args:
            text: a sentence, which gives one prediction, or a list of them, which gives a list.

        Raises: ModelError if it is no text; DataError if one is empty, or there are more than the service takes; as
            `model`.
        """
        if not (texts := as_sentences(text)):
            return []
        body, headers = json.dumps({"texts": texts}), {"Content-Type": "application/json"}
        answer = self._content(self._answer("POST", "v1/predict/text", content=body, headers=headers))
        predictions = [Prediction.from_json(one) for one in answer.get("predictions", ())]
        if len(predictions) != len(texts):
            raise self._not_ours()
        return predictions[0] if isinstance(text, str) else predictions

    def predict_recording(
        self,
        path: str | Path,
        *,
        transcript: str | Path | None = None,
        baseline: str | Path | None = None,
        language: str | None = None,
        asr: bool | None = None,
        every: float | None = None,
        person: int | Literal["speaker", "listener"] = "speaker",
        words: bool = False,
        shortest: float | None = None,
        longest: float | None = None,
        progress: Progress | None = None,
    ) -> RecordingPrediction:
        """Predict a recording, as `mecam.predict` does; the service forgets it when the answer is here.

        Args:
            path: a video or sound file; it is read while it is sent.
            transcript: a file with what is said.
            baseline: a recording of the same person, or `auto`, this one.
            language: of the speech.
            asr: whether speech is written down where there is no transcript; None: where the service can.
            every: also tell each stretch of so many seconds.
            person: whose face is read: `speaker`, `listener`, or the number of a person.
            words: also tell what each word contributes.
            shortest: seconds of an utterance, at least.
            longest: seconds of an utterance, at most.
            progress: called at each change with what the service says of its work.

        Returns: the prediction; its `utterances` are empty, as their features stay with the service.
        Raises: DataError if a file cannot be read or used; as `model`.
        """
        path = Path(path)
        given = {"language": language, "asr": asr, "every": every, "shortest": shortest, "longest": longest}
        form = {name: _form_value(value) for name, value in given.items() if value is not None}
        form |= {"person": str(person)} if person != "speaker" else {}
        form |= {"words": "true"} if words else {}
        files = {"file": path, "transcript": transcript, "baseline": baseline}
        if baseline == "auto":
            form["baseline"] = str(files.pop("baseline"))
        sent = {name: Path(file) for name, file in files.items() if file is not None}
        headers = {} if progress is None else {"Prefer": "respond-async"}
        response = self._answer("POST", "v1/predict/recording", data=form, headers=headers, upload=sent)
        with self._forgotten(response.headers.get("Location", "")) as address:
            if response.status_code == 202:
                self._wait(address, self._content(response), progress)
                response = self._answer("GET", f"{address}/result", restarts=True)
            return replace(RecordingPrediction.from_json(self._content(response)), path=path)

    @contextmanager
    def _forgotten(self, location: str) -> Iterator[str]:
        """The address of a job, which the service is told to forget at the end, however it comes.

        Where a proxy gives the service a path, `location` does not begin with it.
        """
        address = f"v1/jobs/{location.rpartition('/')[2]}"
        try:
            yield address
        finally:
            if location:
                with suppress(self._lost):
                    self._http.delete(address)

    @property
    def _lost(self) -> type[Exception]:
        """What httpx raises where nothing is answered."""
        import httpx

        return httpx.RequestError

    def _wait(self, address: str, job: Job, progress: Progress | None) -> None:
        """Until a job has ended: by its events, and where these do not come through, by looking now and then."""
        pause = 0.2
        while True:
            if progress is not None:
                progress(job)
            if job.get("state") in ENDED:
                return
            for job in self._events(address):
                if progress is not None and job["state"] not in ENDED:
                    progress(job)
            if job.get("state") not in ENDED:
                time.sleep(pause)
                pause = min(1.5 * pause, LONGEST_PAUSE_S)
                job = self._content(self._answer("GET", address, restarts=True))

    def _events(self, address: str) -> Iterator[Job]:
        """What the service says of a job, until it has ended or the connection breaks."""
        with suppress(self._lost), self._http.stream("GET", f"{address}/events") as response:
            if response.status_code == 200:
                for line in response.iter_lines():
                    if line.startswith("data:"):
                        yield json.loads(line.removeprefix("data:"))

    def _answer(
        self,
        method: str,
        address: str,
        *,
        upload: Mapping[str, Path] | None = None,
        restarts: bool = False,
        **options: Any,
    ) -> "httpx.Response":
        """What the service answers to a request, tried again while it is full or stops.

        Args:
            method: of HTTP.
            address: below that of the service.
            upload: part of the form → its file.
            restarts: try again also while nothing answers: it did before.
            options: of httpx.
        """
        end, pause = time.monotonic() + self._patience, 0.5
        while True:
            asked = pause
            try:
                with _opened(upload or {}) as files:
                    response = self._http.request(method, address, files=files or None, **options)
            except self._lost as error:
                if not restarts or time.monotonic() + pause > end:
                    raise self._silent(error) from error
            else:
                if response.is_success:
                    return response
                asked = _seconds(response.headers.get("Retry-After"), pause)
                if response.status_code not in BUSY or time.monotonic() + asked > end:
                    raise self._error(response)
            time.sleep(asked)
            pause *= 2

    def _content(self, response: "httpx.Response") -> dict[str, Any]:
        """The object of an answer."""
        try:
            found = response.json()
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise self._not_ours()
        return found

    def _silent(self, error: Exception) -> ServiceError:
        what = f"the service does not answer: {str(error) or type(error).__name__}"
        fix = "look whether `mecam serve` runs there; if a recording was sent, whether it is too large"
        return ServiceError(what, where=self._url, fix=fix)

    def _not_ours(self) -> ServiceError:
        return ServiceError("the answer is none of mecam's", where=self._url, fix="look at what runs there")

    def _error(self, response: "httpx.Response") -> MecamError:
        """What a refusal says, as the error that it is."""
        what = f"the service answers {response.status_code} {response.reason_phrase}"
        problem: dict[str, Any] = {"what": what, "where": self._url}
        with suppress(ServiceError):
            found = self._content(response)
            problem = found if "what" in found else problem
        kind = ERRORS.get(response.status_code, ServiceError)
        return kind(str(problem["what"]), where=problem.get("where"), fix=problem.get("fix"))


@contextmanager
def _opened(upload: Mapping[str, Path]) -> Iterator[dict[str, tuple[str, Any]]]:
    """The files of an upload, to be read while they are sent.

    Raises: DataError if one cannot be read.
    """
    with ExitStack() as stack:
        files = {}
        for name, path in upload.items():
            try:
                files[name] = (printable(path.name), stack.enter_context(path.open("rb")))
            except (OSError, ValueError) as error:
                raise DataError(f"cannot read: {error}", where=str(path)) from error
        yield files


def _form_value(value: str | float | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _seconds(asked: str | None, otherwise: float) -> float:
    """What `Retry-After` says in seconds."""
    try:
        return max(0.0, float(asked or otherwise))
    except ValueError:  # a date
        return otherwise
