"""The exceptions a user can meet: each message says what is wrong, where, what was got and what to do."""


class HpcfitError(Exception):
    """Base of every error that is the user's to mend; the command line prints it in one line and exits with 2."""

    exit_code = 2


class ConfigError(HpcfitError):
    """A settings file cannot be used: unknown key, bad value, settings that contradict each other."""


class InputError(HpcfitError):
    """A file that the settings name is missing, malformed or does not hold what is asked of it."""


class MechanismError(InputError):
    """A .mod file does not compile, or a mechanism does not exist or has no such variable."""


class LedgerError(HpcfitError):
    """A run's ledger cannot be read, belongs to other settings, or was written by a newer version."""


class StorageError(HpcfitError):
    """A file cannot be written: disk full, no permission, read-only file system."""


class EngineError(HpcfitError):
    """A simulator cannot be started on this machine, or its workers die at once."""


class SchedulerError(HpcfitError):
    """SLURM cannot be asked, or refuses a job: a command is missing, no controller answers, a limit is passed."""
