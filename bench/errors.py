"""What can go wrong in a bench run.

BenchError
├── ScriptError     a model's name that scripts no answer
├── StartError      a server that can't be started, with its own last words
├── ResultsError    a file of results that can't be read or used
└── Refused         a measurement that may not be printed
"""


class BenchError(Exception):
    """The run can't go on, or can't be trusted; its text is one line for the person who started it."""


class ScriptError(BenchError):
    """A model's name that scripts no answer."""


class StartError(BenchError):
    """A server that can't be started."""


class ResultsError(BenchError):
    """A file of results that can't be read or used."""


class Refused(BenchError):  # noqa: N818 - it is the word of the rule it keeps: refuse to print
    """A measurement that may not be printed, since what it measured was not the whole work."""
