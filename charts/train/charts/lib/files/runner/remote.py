"""A repository of the run, and words for all that can go wrong with it, naming the values key that mends it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple, Pattern

from .errors import RunnerError
from .settings import GitCredentials


class Kind(NamedTuple):
    name: str
    pattern: Pattern[str]  # of git's and git-lfs's English messages
    reason: str
    fix: str


def _kind(name: str, pattern: str, reason: str, fix: str) -> Kind:
    return Kind(name, re.compile(pattern, re.IGNORECASE), reason, fix)


# In this order: the first that matches decides; the last matches everything.
KINDS = (
    _kind(
        "space",
        r"No space left on device|Disk quota exceeded",
        "no space is left",
        "raise workspace.size",
    ),
    _kind(
        "certificate",
        r"SSL certificate|certificate verif|self.signed certificate|x509:|issuer certificate",
        "the server's TLS certificate is not trusted",
        "let git.caBundle name the CA that signed it",
    ),
    _kind(
        "authentication",
        r"could not read (Username|Password)|Authentication (failed|required)|error: 401|401 Unauthorized|Access denied",
        "the server refused the credentials of {secret}",
        "check user and token in that secret, and that the token has not expired",
    ),
    _kind(
        "rejected",
        r"\[remote rejected\]|hook declined|protected branch",
        "the server refused the push",
        "choose another publish.branch, or allow the user of {secret} to push to it",
    ),
    _kind(
        "moved",
        r"\[rejected\]|non-fast-forward|fetch first|reference already exists",
        "somebody else pushed to the branch",
        "choose another publish.branch",
    ),
    _kind(
        "forbidden",
        r"error: 403|403 Forbidden|Authorization error|permission to .* denied|not allowed to",
        "access denied",
        "let the user of {secret} {right} this repository",
    ),
    _kind(
        "absent",
        r"repository .* not found|error: 404|Repository not found|does not appear to be a git repository",
        "there is no such repository, or the credentials may not see it",
        "check {key} and the rights of {secret}",
    ),
    _kind(
        "unreachable",
        r"Could not resolve host|Failed to connect|Couldn't connect|Connection (refused|reset|timed out)|timed? ?out"
        r"|error: (429|5\d\d)|HTTP (429|5\d\d)|early EOF|unexpected disconnect|RPC failed|too slow|hung up|Empty reply"
        r"|no such host|unreachable|TLS|SSL_|gnutls|proxy"
        r"|Server error|Internal Server Error|Bad Gateway|Service Unavailable"
        # Whatever else the transport broke on: what the server answers is told apart above.
        r"|HTTP/?2 |unable to access",
        "the server cannot be reached, or failed",
        "check the host in {key}, the server, and the cluster's network and DNS",
    ),
    _kind("other", r"", "git failed", "see git's words in the log above"),
)

_URL = re.compile(r"https?://[^\s']+")
_SUMMARY = re.compile(r"error: failed to (fetch|push) some")  # says that, not why
_ERROR = re.compile(r"fatal:|error:|remote: (error|fatal):|batch response:|\[")


@dataclass(frozen=True)
class Remote:
    key: str  # the section of the values that names it: "model", "dataset" or "publish"
    url: str
    branch: str = ""  # where it matters to the reader

    def failure(self, text: str, credentials: GitCredentials) -> RunnerError:
        """What git's output means for the run, which asked with these credentials."""
        kind, key, publishing = classify(text), f"{self.key}.repository", self.key == "publish"
        if kind.name == "space":
            code = "prepare-no-space"
        elif kind.name == "unreachable":
            code = "publish-unreachable" if publishing else "prepare-unreachable"
        else:
            code = "publish-refused" if publishing else "prepare-failed"
        words = {"key": key, "secret": str(credentials), "right": "write to" if publishing else "read"}
        reason, fix = kind.reason.format(**words), kind.fix.format(**words)
        if not credentials.folder and kind.name in ("authentication", "forbidden", "absent"):
            reason, fix = (
                "access needs credentials",
                f"set {credentials.key} to a Secret with user and token, or correct {key}",
            )
        branch = f", branch {self.branch}" if self.branch else ""
        return RunnerError(code, f"{key} {self.url}{branch}: {reason}: {cause(text)}", fix)


def classify(text: str) -> Kind:
    text = _URL.sub("", text)  # a repository may be called anything
    return next(kind for kind in KINDS if kind.pattern.search(text))


def cause(text: str) -> str:
    """The line of git's that says most: a ref it refused, else the last one it marks as an error, else the last one."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not _SUMMARY.match(line)]
    refused = [line for line in lines if line.startswith("! [")]
    return (refused or list(filter(_ERROR.match, lines)) or lines or ["git said nothing"])[-1][:500]
