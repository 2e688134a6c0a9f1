"""The whole exception tree of mecam.

    MecamError            everything below; its message says what, where and what to do
    ├── ConfigError       an option, a YAML file or a --set override
    ├── DataError         a store, an imported file, a transcript, a feature
    │   └── MediaError    a video or sound file
    ├── ModelError        a checkpoint, a registry name, a model that cannot use these inputs
    ├── TrainingError     a run that cannot go on (a NaN loss, an unusable run folder)
    └── MissingExtraError an optional dependency that is not installed

Library code raises these; only the command line turns them into a message and an exit code.
"""

__all__ = [
    "ConfigError",
    "DataError",
    "MecamError",
    "MediaError",
    "MissingExtraError",
    "ModelError",
    "TrainingError",
]


class MecamError(Exception):
    """An error that a user can act on.

    Args:
        what: what is wrong, with the offending value.
        where: the file, key or utterance it was found in.
        fix: what the user can do about it.
    """

    def __init__(self, what: str, *, where: str | None = None, fix: str | None = None) -> None:
        self.what = what
        self.where = where
        self.fix = fix
        super().__init__(str(self))

    def __str__(self) -> str:
        lines = [self.what]
        if self.where:
            lines.append(f"  where: {self.where}")
        if self.fix:
            lines.append(f"  fix:   {self.fix}")
        return "\n".join(lines)


class ConfigError(MecamError):
    """A configuration value that is unknown, of the wrong type or out of range."""


class DataError(MecamError):
    """Data that cannot be read, or that contradicts itself."""


class MediaError(DataError):
    """A video or sound file that cannot be decoded, or that lacks what is asked of it."""


class ModelError(MecamError):
    """A model or a checkpoint that cannot be built, loaded or used on these inputs."""


class TrainingError(MecamError):
    """A training run that cannot start or cannot go on."""


class MissingExtraError(MecamError):
    """An optional dependency is needed and not installed.

    Args:
        package: the module that could not be imported.
        extra: the extra of mecam that brings it.
    """

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"this needs the package {package!r}, which is not installed",
            fix=f'pip install "mecam[{extra}]"',
        )
