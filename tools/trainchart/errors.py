"""The errors a user can meet: each is one sentence that says what is wrong and what to do."""


class TrainchartError(Exception):
    """Base of all of them; `exit_code` is what the command ends with."""

    exit_code = 1


class RenderError(TrainchartError):
    """The chart refused the values; the text is Helm's."""

    exit_code = 2
