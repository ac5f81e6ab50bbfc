"""A repository of the run, and words for all that can go wrong with it, naming the values key that mends it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple, Pattern
from urllib.parse import urlsplit

from .errors import RunnerError
from .settings import GitCredentials


class Kind(NamedTuple):
    name: str
    pattern: Pattern[str]  # of git's and git-lfs's English messages
    reason: str
    fix: str
    code: str  # "refused" and "unreachable" are prepare-failed, publish-refused and their like; else a name of exit_codes.json
    temporary: bool  # another try may go better


def _kind(name: str, pattern: str, reason: str, fix: str, code: str = "refused", temporary: bool = False) -> Kind:
    return Kind(name, re.compile(pattern, re.IGNORECASE | re.MULTILINE), reason, fix, code, temporary)


def _moment(name: str, pattern: str, reason: str, fix: str, code: str = "unreachable") -> Kind:
    return _kind(name, pattern, reason, fix, code, temporary=True)


# How lines begin that quote the server: git's, git-lfs's of a batch, and git-lfs's of one object of it.
_SERVER = r"remote:|batch response:|\[[0-9a-f]{64}\]"

# In this order: the first that matches decides; the last matches everything. What the server says of itself is never taken for
# something that happened here.
KINDS = (
    _moment(
        "memory",
        r"^error: git .* was killed for memory",
        "the kernel killed git: it needed more memory than the pod's limit",
        "raise resources.limits.memory",
        "process-killed",
    ),
    _moment(
        "killed",
        r"^(?!remote:).*(died of signal \d|was killed by (SIG|signal)"
        r"|signal: (killed|terminated|aborted|segmentation fault))",
        "git was killed",
        "see git's words in the log above; Volcano restarts the run while retries last",
        "process-killed",
    ),
    _moment(
        "machine",
        rf"^(?!{_SERVER}).*(Cannot allocate memory|Out of memory, \w+ failed|Resource temporarily unavailable"
        r"|Too many open files)",
        "the machine gave git no memory, process or file",
        "raise resources.limits.memory, or see the node's limits of processes and open files",
        "process-killed",
    ),
    _moment(
        "disk",
        rf"^(?!{_SERVER}).*(Input/output error|Stale (NFS )?file handle|Transport endpoint is not connected)",
        "the disk of the run failed git",
        "see whether the file system of the workspace answers",
        "workspace-lost",
    ),
    _moment(
        "stalled",
        r"^error: git .* made no progress",
        "the transfer stood still",
        "check the server of {key}, and the proxies and the network between it and the cluster",
    ),
    _moment(
        "server-full",
        rf"^({_SERVER}).*(No space left|Disk quota exceeded)|Insufficient (server )?storage|error: 507|HTTP 507",
        "the server has no space left",
        "make room on the server of {key}",
    ),
    _kind(
        "temporary-space",
        r"^error: the folder for temporary files",
        "the folder for temporary files is full",
        "give the node more ephemeral storage",
        "prepare-no-space",
    ),
    _kind(
        "space",
        rf"^(?!{_SERVER}).*(No space left on device|Disk quota exceeded)",
        "no space is left",
        "raise workspace.size",
        "prepare-no-space",
    ),
    _kind(
        "server-quota",
        r"Bandwidth limit exceeded|HTTP 509|over its (data|storage) quota|quota (has been )?exceeded|exceeded .* quota",
        "the quota of the repository, or of its owner, is used up",
        "raise the quota on the server of {key}, or remove what is not needed there",
    ),
    _kind(
        "certificate-expired",
        r"certificate has expired|certificate is not yet valid|expired or is not yet valid",
        "the server's TLS certificate has expired, or is not valid yet",
        "renew it on the server of {key}; if it is valid, set the clock of the node",
    ),
    _kind(
        "certificate-name",
        r"subject name .*(does not match|matches)|x509: certificate is (not )?valid for|owner does not match hostname",
        "the server's TLS certificate is for another host",
        "use the name in the certificate in {key}",
    ),
    _kind(
        "certificate-file",
        r"error setting certificate (verify locations|file)|error adding trust anchors|error reading ca cert",
        "the file of git.caBundle cannot be used",
        "put CA certificates in PEM format into what git.caBundle names",
    ),
    _kind(
        "certificate",
        r"SSL certificate|certificate verif|self.signed certificate|x509:|issuer certificate",
        "the server's TLS certificate is not trusted",
        "let git.caBundle name the CA that signed it, and see whether it is valid now and for this host",
    ),
    _kind(
        "proxy-login",
        r"error: 407|HTTP 407|HTTP code 407 from proxy|tunnel failed, response 407|Proxy Authentication Required",
        "the proxy asks for credentials",
        "let the pod use a proxy that asks for none, or add the host of {key} to its NO_PROXY",
    ),
    _kind(
        "proxy-refused",
        r"HTTP code 4\d\d from proxy|tunnel failed, response 4\d\d|proxyconnect.*Forbidden",
        "the proxy does not let the run through to this host",
        "allow the host of {key} in the proxy, or add it to the pod's NO_PROXY",
    ),
    _moment(
        "proxy",
        r"Could not resolve proxy|proxyconnect|from proxy after CONNECT|Proxy CONNECT aborted|CONNECT tunnel failed|connect to proxy",
        "the proxy cannot be reached, or failed",
        "check the proxy that the pod's HTTPS_PROXY names, or add the host of {key} to its NO_PROXY",
    ),
    _kind(
        "no-credentials",
        r"could not read (Username|Password)|credentials for .* not found",
        "the server asks for credentials, and none are configured for it",
        "{secret} holds credentials for {key} alone; what lies on another server has to be public",
    ),
    _kind(
        "authentication",
        r"Authentication (failed|required)|error: 401|401 Unauthorized|HTTP 401|Access denied|too many authentication attempts",
        "the server refused the credentials of {secret}",
        "check user and token in that secret, and that the token has not expired",
    ),
    _moment(
        "server-failed",
        r"\[remote rejected\].*(Internal Server Error|commit_refs|unpacker error|temporar|try again|timed? ?out"
        r"|cannot lock ref .*(File exists|Another git process|but expected)|Internal API (unreachable|error))"
        r"|^remote:.*Internal API (unreachable|error)",
        "the server failed when it had the push",
        "see the log of the git server",
    ),
    _kind(
        "rejected",
        r"\[remote rejected\]|hook declined|protected branch",
        "the server refused the push",
        "see what it said; choose another publish.branch, or allow the user of {secret} to push to it",
    ),
    _kind(
        "moved",
        r"\[rejected\]|non-fast-forward|fetch first|reference already exists",
        "somebody else pushed to the branch",
        "choose another publish.branch",
    ),
    # What git-lfs says of its server's answers; "Fatal error" is one of its own, of the moment.
    _kind(
        "lfs-absent",
        r"batch response: .*(Repository or object not found|Not Implemented|HTTP (404|501)|disabled|not enabled|not supported)",
        "Git LFS is switched off for it, or the credentials may not see it",
        "switch on Git LFS for this repository; check {key} and the rights of {secret}",
    ),
    _kind(
        "lfs-full",
        r"batch response: .*(Unprocessable entity|HTTP 422|quota|storage)",
        "its LFS storage takes nothing more",
        "make room in the LFS storage of this repository, or let its quota be raised",
    ),
    _kind(
        "lfs-forbidden",
        r"batch response: .*Authorization error",
        "its LFS storage denies access",
        "let the user of {secret} {right} this repository and its LFS storage, and switch on Git LFS for it",
    ),
    _kind(
        "too-large",
        r"error: 413|HTTP 413|Entity Too Large|Payload Too Large|Content Too Large|exceeds maximum allowed size",
        "the server, or a proxy before it, takes no request of this size",
        "raise its limit for the size of a request, such as nginx's client_max_body_size",
    ),
    _kind(
        "forbidden",
        r"error: 403|HTTP 403|403 Forbidden|Authorization error|permission to .* denied|not allowed to",
        "access denied",
        "let the user of {secret} {right} this repository",
    ),
    _kind(
        "absent",
        r"repository .* not found|error: 4(04|10)|HTTP 4(04|10)|Repository not found|does not appear to be a git repository",
        "there is no such repository, or the credentials may not see it",
        "check {key} and the rights of {secret}",
    ),
    _kind(
        "redirected",
        r"update url base from redirection|redirects followed|error: 30\d|HTTP 30\d",
        "the server sends the run to another address",
        "set {key} to the address where the repository is now",
    ),
    _kind(
        "page",
        r"not valid: is this a git repository|bad line length character: ?<|dumb http transport"
        r"|git-http-push failed|Cannot access URL|invalid server response|Expected JSON type|invalid character '<'",
        "a web page came where git was asked for, such as a login page",
        "check that {key} is what `git clone` takes, and that no gateway stands before the server",
    ),
    _moment(
        "busy",
        r"error: 429|HTTP 429|Rate limit|Too many requests",
        "the server asks for fewer requests",
        "start fewer runs at once, or raise the limit on the server of {key}",
    ),
    _moment(
        "too-slow",
        r"(error:|HTTP) (408|425)\b",
        "the server did not wait for the whole request",
        "raise the time limit for requests of the server of {key}, or of the proxies before it",
    ),
    _kind(
        "bad-request",
        r"error: 4\d\d|HTTP 4\d\d|Client error:|plain HTTP request was sent to HTTPS port",
        "the server does not take the request",
        "check scheme, port and path of {key}, and the server's log",
    ),
    _moment(
        "corrupted",
        r"expected OID \w+, got|pack is corrupted|invalid index-pack output|index-pack failed|bad pack header"
        r"|pack has bad object|SHA1 mismatch|inflate: data stream error",
        "what the server sent is not what was asked for: it is cut or damaged",
        "see whether `git clone` of {key} works elsewhere; push LFS objects again with git lfs push --all <remote>",
    ),
    _moment(
        "name",
        r"Could not resolve host|no such host|Temporary failure in name resolution|server misbehaving",
        "the name of the server cannot be resolved",
        "check the host in {key}, and the cluster's DNS",
    ),
    _moment(
        "unreachable",
        r"Failed to connect|Couldn't connect|Connection (refused|reset|timed out)|timed? ?out"
        r"|error: 5\d\d|HTTP 5\d\d|early EOF|unexpected disconnect|RPC failed|too slow|hung up|Empty reply"
        r"|unreachable|TLS|SSL_|gnutls|protocol error|Unable to parse HTTP response|\bEOF\b"
        r"|Server error|Fatal error:|Internal Server Error|Bad Gateway|Service Unavailable|goroutine \d+"
        # Whatever else the transport broke on: what the server answers is told apart above.
        r"|HTTP/?2 |unable to access",
        "the server cannot be reached, or failed",
        "check the host in {key}, the server, and the cluster's network",
    ),
    _kind(
        "lfs-refused",
        r"batch response: ",
        "its LFS server refused",
        "see what it said; check that Git LFS is switched on for this repository, its quota, and the rights of "
        "{secret}",
    ),
    _kind("other", r"", "git failed", "see git's words in the log above"),
)

_URL = re.compile(r"https?://[^\s'\"]+")
_QUERY = re.compile(r"\?[^\s'\"]+")  # of a signed URL
_SUMMARY = re.compile(r"error: failed to (fetch|push) some")  # says that, not why
_ERROR = re.compile(r"fatal:|error:|remote: (error|fatal):|batch response:|LFS:|expected OID|\[")


@dataclass(frozen=True)
class Remote:
    key: str  # the section of the values that names it: "model", "dataset" or "publish"
    url: str
    branch: str = ""  # where it matters to the reader

    def failure(self, text: str, credentials: GitCredentials) -> RunnerError:
        """What git's output means for the run, which asked with these credentials."""
        kind, key = classify(text), f"{self.key}.repository"
        refused, unreachable, right = ("prepare-failed", "prepare-unreachable", "read")
        if self.key == "publish":
            refused, unreachable, right = ("publish-refused", "publish-unreachable", "write to")
        code = {"refused": refused, "unreachable": unreachable}.get(kind.code, kind.code)
        words = {"key": key, "secret": str(credentials), "right": right}
        reason, fix = kind.reason.format(**words), kind.fix.format(**words)
        if not credentials.folder and kind.name in ("no-credentials", "authentication", "forbidden", "absent"):
            reason = "access needs credentials" if kind.name != "no-credentials" else kind.reason
            fix = f"set {credentials.key} to a Secret with user and token, or correct {key}"
        said = cause(text)
        elsewhere = sorted({urlsplit(url).netloc for url in _URL.findall(said)} - {urlsplit(self.url).netloc})
        if elsewhere:
            reason += f" ({elsewhere[0]}, where a redirect, a proxy or the repository's .lfsconfig leads)"
        branch = f", branch {self.branch}" if self.branch else ""
        if kind.name == "rejected":
            said = "; ".join(filter(None, (said, _own_words(text))))
        return RunnerError(code, f"{key} {self.url}{branch}: {reason}: {said}", fix)


def classify(text: str) -> Kind:
    text = _URL.sub("", text)  # a repository may be called anything
    return next(kind for kind in KINDS if kind.pattern.search(text))


def cause(text: str) -> str:
    """The line of git's that says most: a ref it refused, else the last one it marks as an error, else the last one."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not _SUMMARY.match(line)]
    refused = [line for line in lines if line.startswith("! [")]
    said = (refused or list(filter(_ERROR.match, lines)) or lines or ["git said nothing"])[-1]
    if said.endswith(":"):  # the rest is below
        said = " ".join([said, *lines[lines.index(said) + 1 :]])
    return _URL.sub(lambda url: _QUERY.sub("", url.group()), said)[:500]


def _own_words(text: str) -> str:
    """What a server or its hooks say of a push, which git marks with `remote:`."""
    lines = (line.strip()[len("remote:") :].strip(" =*-") for line in text.splitlines() if line.startswith("remote:"))
    return " ".join(filter(None, lines))[-500:]
