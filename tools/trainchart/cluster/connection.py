"""The kubeconfig and context that a user has named: a command that is printed to be copied has to name them too."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

# Programs that use a cluster, and their option for its context.
_PROGRAMS = {"kubectl": "--context", "helm": "--kube-context", "trainchart": "--context"}
# Commands of ours that use no cluster.
_LOCAL = ("trainchart validate", "trainchart preset", "trainchart chart", "trainchart completion")
_QUOTED = re.compile(rf"`((?:{'|'.join(_PROGRAMS)}) [^`\n]+)`")


@dataclass(frozen=True)
class Connection:
    """What the command line named; empty for what programs find by themselves."""

    context: str = ""
    kubeconfig: str = ""

    def command(self, command: str) -> str:
        """A command of kubectl, helm or trainchart that uses the same cluster."""
        program, *words = command.split(" ")
        if program not in _PROGRAMS or command.startswith(_LOCAL):
            return command
        options = {_PROGRAMS[program]: self.context, "--kubeconfig": self.kubeconfig}
        given = [
            word
            for option, value in options.items()
            if value and option not in words
            for word in (option, shlex.quote(value))
        ]
        # Those of kubectl may end with the words of another program, or with an ellipsis.
        return " ".join([program, *given, *words] if program == "kubectl" else [program, *words, *given])

    def commands_in(self, text: str) -> str:
        """A text of ours in which every command in backticks uses the same cluster."""
        return _QUOTED.sub(lambda found: f"`{self.command(found[1])}`", text)


NO_CONNECTION = Connection()
