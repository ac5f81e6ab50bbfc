"""A repository of the run, and the messages for everything that can go wrong with it, which name the values key that
fixes it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple, Pattern
from urllib.parse import urlsplit

from . import network
from .credential import origin
from .errors import RunnerError
from .settings import Settings, is_ssh


class Kind(NamedTuple):
    name: str
    pattern: Pattern[str]  # of git's and git-lfs's English messages
    reason: str
    fix: str
    code: str  # "refused" or "unreachable": the one of the stage (prepare-failed, publish-refused ...); else a name of exit_codes.json
    temporary: bool  # a retry may succeed


def _kind(name: str, pattern: str, reason: str, fix: str, code: str = "refused", temporary: bool = False) -> Kind:
    return Kind(name, re.compile(pattern, re.IGNORECASE | re.MULTILINE), reason, fix, code, temporary)


def _temporary(name: str, pattern: str, reason: str, fix: str, code: str = "unreachable") -> Kind:
    return _kind(name, pattern, reason, fix, code, temporary=True)


# How lines begin that quote the server: git's, git-lfs's of a batch, and git-lfs's of one object of it.
_SERVER = r"remote:|batch response:|\[[0-9a-f]{64}\]"

# In this order: the first that matches decides; the last matches everything. What the server says of itself is never
# taken for something that happened here.
KINDS = (
    _temporary(
        "memory",
        r"^error: git .* was killed for memory",
        "the kernel killed git: it needed more memory than the pod's limit",
        "raise resources.limits.memory",
        "process-killed",
    ),
    _temporary(
        "killed",
        r"^(?!remote:).*(died of signal \d|was killed by (SIG|signal)"
        r"|signal: (killed|terminated|aborted|segmentation fault))",
        "git was killed",
        "see git's output in the log above; Volcano restarts the run while retries last",
        "process-killed",
    ),
    _temporary(
        "machine",
        rf"^(?!{_SERVER}).*(Cannot allocate memory|Out of memory, \w+ failed|Resource temporarily unavailable"
        r"|Too many open files)",
        "git could get no more memory, processes or open files",
        "raise resources.limits.memory, or check the node's limits for processes and open files",
        "process-killed",
    ),
    _temporary(
        "disk",
        rf"^(?!{_SERVER}).*(Input/output error|Stale (NFS )?file handle|Transport endpoint is not connected)",
        "the disk of the workspace failed while git used it",
        "check the file system of the workspace",
        "workspace-lost",
    ),
    _temporary(
        "stalled",
        r"^error: git .* made no progress",
        "the transfer stalled",
        "check the server of {key}, and the proxies and the network between it and the cluster; if it only needs longer to "
        "answer, raise git.stallSeconds",
    ),
    _temporary(
        "server-full",
        rf"^({_SERVER}).*(No space left|Disk quota exceeded)|Insufficient (server )?storage|error: 507|HTTP 507",
        "the server has no space left",
        "free space on the server of {key}",
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
        r"Bandwidth limit exceeded|HTTP 509|over its (data|storage) quota|quota (has been )?exceeded"
        r"|exceeded (?!.*rate).*(quota|limit)|(?<!rate )limit exceeded",
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
        r"subject name .*(does not match|matches)|x509: certificate is (not )?valid for|owner does not match hostname"
        r"|x509: cannot validate certificate for",
        "the server's TLS certificate is for another host",
        "use the name in the certificate in {key}",
    ),
    _kind(
        "certificate-file",
        r"error setting certificate (verify locations|file)|error adding trust anchors|error reading ca cert",
        "the file of caBundle cannot be used",
        "put CA certificates in PEM format into the object that caBundle names",
    ),
    _kind(
        "certificate",
        r"SSL certificate|certificate verif|self.signed certificate|x509:|issuer certificate",
        "the server's TLS certificate is not trusted",
        "set caBundle to the CA that signed it, and check that it is valid now and for this host",
    ),
    _kind(
        "proxy-login",
        r"error: 407|HTTP 407|HTTP code 407 from proxy|tunnel failed, response 407|Proxy Authentication Required",
        "the proxy requires credentials",
        "use a proxy that requires none, or add the host of {key} to proxy.noProxy",
    ),
    _kind(
        "proxy-refused",
        r"HTTP code 4\d\d from proxy|tunnel failed, response 4\d\d|proxyconnect.*Forbidden",
        "the proxy does not let the run through to this host",
        "allow the host of {key} in the proxy, or add it to proxy.noProxy",
    ),
    _temporary(
        "proxy",
        r"Could not resolve proxy|proxyconnect|from proxy after CONNECT|Proxy CONNECT aborted|CONNECT tunnel failed|connect to proxy",
        "the proxy cannot be reached, or failed",
        "check proxy.httpsProxy (or the HTTPS_PROXY of the image), or add the host of {key} to proxy.noProxy",
    ),
    _kind(
        "ssh-host-changed",
        r"HOST IDENTIFICATION HAS CHANGED|host key for .* has changed|REVOKED HOST KEY",
        "the server's host key is not the one in {secret}: somebody may be between it and the cluster",
        "ask the owner of the server; if its key has changed, put what ssh-keyscan prints into key {known_hosts}",
    ),
    _kind(
        "ssh-host-unknown",
        r"host key is known for|Host key verification failed",
        "the server's host key is not in {secret}",
        "put the lines that `ssh-keyscan HOST` prints into key {known_hosts}, and compare them with what its owner publishes",
    ),
    _kind(
        "ssh-key",
        r"Permission denied \([a-z]|Too many authentication failures|Public key authentication failed"
        r"|SSH key has expired",
        "the server refused the key of {secret}",
        "add its public half as a deploy key of {key}, and check the user in the URL, which is often git",
    ),
    _kind(
        "ssh-algorithms",
        r"Unable to negotiate with .* no matching|(fatal|host key): .*(Invalid key length|error in libcrypto)",
        "the server and the ssh of the image have no algorithm in common",
        "use an image with another OpenSSH, or update the server of {key}",
    ),
    _kind(
        "ssh-protocol",
        r"banner exchange: .*invalid|banner line|Protocol mismatch|remote protocol version",
        "the port is not one of an SSH server",
        "check the port of {key}: it is 22, or written as ssh://git@host:2222/path",
    ),
    _kind(
        "no-credentials",
        r"could not read (Username|Password)|credentials for .* not found",
        "the server requires credentials, and none are configured for it",
        "{secret} has credentials for {key} only; for LFS data on another server set {section}.lfs.url and {section}.lfs.secretName",
    ),
    _kind(
        "authentication",
        r"Authentication (failed|required)|error: 401|401 Unauthorized|HTTP 401|(?<!repository )Access denied"
        r"|too many authentication attempts",
        "the server refused the credentials of {secret}",
        "check user and token in that secret, and that the token has not expired",
    ),
    _temporary(
        "server-failed",
        r"\[remote rejected\].*(Internal Server Error|commit_refs|unpacker error|temporar|try again|timed? ?out"
        r"|cannot lock ref .*(File exists|Another git process|but expected)|Internal API (unreachable|error))"
        r"|^remote:.*Internal API (unreachable|error)",
        "the server failed after it received the push",
        "see the log of the git server",
    ),
    _kind(
        "rejected",
        r"\[remote rejected\]|hook declined|protected branch",
        "the server refused the push",
        "see its message; choose another publish.branch, or allow the user of {secret} to push to it",
    ),
    _kind(
        "moved",
        r"\[rejected\]|non-fast-forward|fetch first|reference already exists",
        "another client pushed to the branch",
        "choose another publish.branch",
    ),
    # What git-lfs reports about its server's answers; "Fatal error" is its word for a temporary one.
    _kind(
        "lfs-absent",
        r"batch response: .*(not found|Not Implemented|HTTP (404|501)|disabled|not enabled|not supported)",
        "Git LFS is disabled for it, or the credentials have no access to it",
        "enable Git LFS for this repository; check {key} and the rights of {secret}",
    ),
    _kind(
        "lfs-full",
        r"batch response: .*(Unprocessable entity|HTTP 422|quota|storage)",
        "its LFS storage is full",
        "free space in the LFS storage of this repository, or raise its quota",
    ),
    _kind(
        "lfs-forbidden",
        r"batch response: .*(Authorization error|forbidden|access level|permission)",
        "its LFS storage denies access",
        "allow the user of {secret} to {right} this repository and its LFS storage, and enable Git LFS for it",
    ),
    _kind(
        "too-large",
        r"error: 413|HTTP 413|Entity Too Large|Payload Too Large|Content Too Large|exceeds maximum allowed size",
        "the server, or a proxy in front of it, does not accept requests of this size",
        "raise its limit for request sizes, such as nginx's client_max_body_size",
    ),
    _kind(
        "forbidden",
        r"error: 403|HTTP 403|403 Forbidden|Authorization error|permission to .* denied|not allowed to"
        r"|marked as read.only|not have write access|DENIED by|not authorized to|repository access denied"
        r"|key permission denied|^Unauthorized$|IP allow list|SAML SSO|SSH is not allowed"
        r"|(account|repository) .*(blocked|suspended|disabled|archived)",
        "access denied",
        "allow the user of {secret} to {right} this repository",
    ),
    _kind(
        "absent",
        r"(repository|project)\b.*(not found|not be found|does not exist|no longer exists)|error: 4(04|10)|HTTP 4(04|10)"
        r"|(no such|cannot find) (repository|project)|does not appear to be a git repository",
        "the repository does not exist, or the credentials have no access to it",
        "check {key} and the rights of {secret}",
    ),
    _kind(
        "redirected",
        r"update url base from redirection|redirects followed|error: 30\d|HTTP 30\d",
        "the server redirects to another address",
        "set {key} to the repository's current address",
    ),
    _kind(
        "page",
        r"not valid: is this a git repository|bad line length character: ?<|dumb http transport"
        r"|git-http-push failed|Cannot access URL|invalid server response|Expected JSON type|invalid character '<'",
        "the answer is a web page, such as a login page, not a git repository",
        "check that {key} works with `git clone`, and that no gateway is in front of the server",
    ),
    _temporary(
        "busy",
        r"error: 429|HTTP 429|Rate limit|Too many requests",
        "the server limits the rate of requests",
        "start fewer runs at once, or raise the limit on the server of {key}",
    ),
    _temporary(
        "too-slow",
        r"(error:|HTTP) (408|425)\b",
        "the server did not wait for the complete request",
        "raise the timeout for requests on the server of {key}, or on the proxies in front of it",
    ),
    _kind(
        "bad-request",
        r"error: 4\d\d|HTTP 4\d\d|Client error:|plain HTTP request was sent to HTTPS port",
        "the server rejects the request",
        "check scheme, port and path of {key}, and the server's log",
    ),
    _temporary(
        "corrupted",
        r"expected OID \w+, got|pack is corrupted|invalid index-pack output|index-pack failed|bad pack header"
        r"|pack has bad object|SHA1 mismatch|inflate: data stream error",
        "the server sent incomplete or corrupted data",
        "check that `git clone` of {key} works elsewhere; push LFS objects again with git lfs push --all <remote>",
    ),
    _temporary(
        "name",
        r"Could not resolve host|no such host|Temporary failure in name resolution|server misbehaving",
        "the name of the server cannot be resolved",
        "check the host in {key}, and the cluster's DNS",
    ),
    _temporary(
        "unreachable",
        r"Failed to connect|Couldn't connect|Connection (refused|reset|timed out)|timed? ?out"
        r"|error: 5\d\d|HTTP 5\d\d|early EOF|unexpected disconnect|RPC failed|too slow|hung up|Empty reply"
        r"|Connection (to \S+ )?closed by|unreachable|TLS|SSL_|gnutls|protocol error|Unable to parse HTTP response"
        r"|\bEOF\b|Server error|Fatal error:|Internal (Server )?(Connection )?Error|Bad Gateway|Service Unavailable"
        r"|goroutine \d+"
        r"|^ssh: connect to host|\Afatal: Could not read from remote|Broken pipe|ssh_dispatch_run_fatal|Corrupted MAC"
        r"|not available at this time|not responding"
        # Any other failure of the transport; the server's answers are distinguished above.
        r"|HTTP/?2 |unable to access",
        "the server cannot be reached, or failed",
        "check the host in {key}, the server, and the cluster's network",
    ),
    _kind(
        "lfs-refused",
        r"batch response: |^\[[0-9a-f]{64}\] .*: \[\d+\]",
        "its LFS server refused",
        "see its message; check that Git LFS is enabled for this repository, its quota, and the rights of {secret}",
    ),
    _kind("other", r"", "git failed", "see git's output in the log above"),
)

_SSH_HOST = re.compile(r"host key is known for \[?([^]\s]+)")
_URL = re.compile(r"https?://[^\s'\"]+")
_QUERY = re.compile(r"\?[^\s'\"]+")  # of a signed URL
# Do not say why.
_SUMMARY = re.compile(r"error: failed to (fetch|push) some|fatal: (expected flush|the remote end hung up)")
# What git adds to whatever ssh has said.
_OF_SSH = re.compile(
    r"fatal: Could not read from remote|Please make sure you have the correct|and the repository exists"
)
_ERROR = re.compile(r"(?i:(remote: )?(fatal|error):)|batch re(sponse|quest):|LFS:|expected OID|\[")


@dataclass(frozen=True)
class Remote:
    key: str  # the section of the values that names it: "model", "dataset" or "publish"
    url: str
    branch: str = ""  # if it matters for the message
    submodule: str = ""  # of the repository of that section, in words

    def failure(self, text: str, settings: Settings) -> RunnerError:
        """Return the failure that git's output means, for a run with these settings."""
        kind, key, message = classify(text), f"{self.key}.repository", cause(text)
        credentials = settings.git_credentials(self.key)
        here = {urlsplit(self.url).netloc, (origin(self.url) or ("", ""))[1] if is_ssh(self.url) else ""}
        elsewhere = sorted(
            {
                place.netloc
                for place in map(urlsplit, _URL.findall(message))
                if not here & {place.netloc, place.hostname}
            }
            | (set(_SSH_HOST.findall(message)) - here)
        )
        lfs_url = settings.lfs(self.key).url
        # git-lfs names its server in a line of its own.
        of_lfs = (
            bool(lfs_url) and urlsplit(lfs_url).netloc in {urlsplit(url).netloc for url in _URL.findall(text)} - here
        )
        if of_lfs:
            key, credentials = f"{self.key}.lfs.url", settings.lfs_credentials(self.key)
        elif self.submodule:
            key = "its URL in .gitmodules"
        refused, unreachable, right = ("prepare-failed", "prepare-unreachable", "read")
        if self.key == "publish":
            refused, unreachable, right = ("publish-refused", "publish-unreachable", "write to")
        code = {"refused": refused, "unreachable": unreachable}.get(kind.code, kind.code)
        names = {"key": key, "secret": str(credentials), "right": right, "section": self.key}
        names["known_hosts"] = settings.git.known_hosts_key
        reason, fix = kind.reason.format(**names), kind.fix.format(**names)
        if kind.name == "unreachable":
            fix += network.on_the_way(lfs_url if of_lfs else self.url)
        if not credentials.folder and kind.name in ("no-credentials", "authentication", "forbidden", "absent"):
            reason = "access needs credentials" if kind.name != "no-credentials" else kind.reason
            fix = f"set {credentials.key} to a Secret with user and token, or correct {key}"
        if of_lfs:
            reason += f" ({lfs_url}, {key})"
        elif elsewhere:
            reason += f" ({elsewhere[0]}, reached by a redirect, a proxy or the repository's .lfsconfig)"
            if kind.name.startswith(("lfs-", "ssh-host-")):  # no credentials were sent there
                fix = next(kind.fix for kind in KINDS if kind.name == "no-credentials").format(**names)
        if kind.name in ("forbidden", "page"):
            fix += network.perhaps_refused(lfs_url if of_lfs else self.url)
        branch = f", branch {self.branch}" if self.branch else ""
        if kind.name == "rejected":
            message = "; ".join(filter(None, (message, _server_message(text))))
        where = self.submodule or f"{self.key}.repository"
        return RunnerError(code, f"{where} {self.url}{branch}: {reason}: {message}", fix)


def classify(text: str) -> Kind:
    text = _URL.sub("", text)  # a repository may have any name
    return next(kind for kind in KINDS if kind.pattern.search(text))


def cause(text: str) -> str:
    """Return the most telling line of git's output: a refused ref, else the last error, else the last line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    lines = [line for line in lines if not _OF_SSH.match(line)] or lines
    refused = [line for line in lines if line.startswith("! [")]
    errors = list(filter(_ERROR.match, lines))
    telling = [line for line in errors or lines if not _SUMMARY.match(line)]
    line = (refused or telling or errors or ["git printed nothing"])[-1]
    if line.endswith(":"):  # the rest is below
        line = " ".join([line, *lines[lines.index(line) + 1 :]])
    return _URL.sub(lambda url: _QUERY.sub("", url.group()), line)[:500]


def _server_message(text: str) -> str:
    """Return what the server or its hooks print about a push, which git marks with `remote:`."""
    lines = (line.strip()[len("remote:") :].strip(" =*-") for line in text.splitlines() if line.startswith("remote:"))
    return " ".join(filter(None, lines))[-500:]
