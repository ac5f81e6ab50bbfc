"""One rule, one verdict: of the same addresses, revisions and branches, the chart and the runner accept the same ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chart.parity import PLACES, chart_accepts, runner_accepts
from tests.conftest import rows

URLS = {
    **dict.fromkeys(
        (
            *(
                "https://h/x",
                "https://h.example:8443/a/b.git",
                "https://[::1]/x",
                "https://[fd00::1]:443/x",
                "https://m\u00fcnchen.example/x",
            ),
            *("https://h/a@b/c", "https://H:65535/x", "https://1.2.3.4/x", "https://h/%20"),
            *("ssh://git@h/x", "ssh://git@h.example:2222/a/b.git", "ssh://a.b-c+d@[::1]:22/~jane/x", "git@h:x"),
            *("ssh://git@h/@team/x", "git@h:@team/x@2.git", "ssh://git@h:2222/x@y@z"),
            *(
                "git@h.example:team/my%20model.git",
                "git@[fd00::1]:/srv/x.git",
                "git@h:2222/x",
                "git@h:\u6a21\u578b/x.git",
            ),
        ),
        True,
    ),
    **dict.fromkeys(
        (
            *(
                "h/x",
                "HTTPS://h/x",
                "ssh://h/x",
                "h:x",
                "git@h",
                "git@h:",
                "git@h:/",
                "git@-h:x",
                "-o@h:x",
                "git@h:-x",
                "git@h:a b",
                "git@h:x\n",
                "git@[1]:x",
                "git@[h:22]:x",
                "u:p@h:x",
                "ssh://git@h",
                "ssh://git@h/",
                "ssh://git@h:x/y",
                "ssh://git@h:0/x",
                "ssh://git@h:65536/x",
                "ssh://git:p@h/x",
                "ssh://git@h/x?y",
                "ssh://git@-oProxyCommand=x/y",
                "ssh://git@h/'x'",
                "SSH://git@h/x",
                "git+ssh://git@h/x",
                "https:/h/x",
                "https//h/x",
                "https:///x",
                "file:///x",
                "//h/x",
            ),
            *("https://h:0/x", "https://h:65536/x", "https://h:99999/x", "https://h:abc/x", "https://h:08/x"),
            *(
                "https://h h/x",
                " https://h/x",
                "https://h/x ",
                "https://h/\u3000x",
                "https://h/\u00a0x",
                "https://a\u2100b/x",
            ),
            *("https://u@h/x", "https://u:p@h/x", "https://h/x?y", "https://h/x#y", "https://h/https://u:p@h/x"),
            *(
                "https://[1]/x",
                "https://[::1/x",
                "https://[z]/x",
                "https://[]/x",
                "https://h\\x/y",
                "https://h,g/x",
                'https://h"/x',
            ),
        ),
        False,
    ),
}
NAMES = {
    **dict.fromkeys(("main", "a/b.c-d_e", "v7.0", "a.locked", "1", "refs/tags/v1", "a" * 200, "0" * 40), True),
    **dict.fromkeys(
        (
            *(
                "my branch",
                "-x",
                "a..b",
                "x/",
                "/x",
                "a.lock",
                "a.lock/b",
                "a//b",
                "a/.b",
                ".a",
                "a.",
                "a~1",
                "a^",
                "a:b",
                "a?b",
            ),
            *("a*b", "a[b", "a\\b", "@", "a@{1}", " ", "a\x7fb"),
        ),
        False,
    ),
}
ONLY_REVISIONS = ("HEAD", "a@b", "feature/\u4f60\u597d", "+", "a" * 201, "a>b", "a|b")
"""What git knows as a revision, and a branch of ours must not be named."""

FOLDERS = {
    **dict.fromkeys(("a", "a/b.c-d_e", "_a", "a..b", "1"), True),
    **dict.fromkeys(("a/../b", "..", "a//b", "a/.", "./a"), False),
}

CORPUS = [
    *[(place, url, allowed) for place in ("model.repository", "publish.repository") for url, allowed in URLS.items()],
    *[(place, url, None) for place in ("dataset.endpoint", "publish.endpoint", "mlflow.trackingUri") for url in URLS],
    *[(place, name, allowed) for place in ("publish.prefix", "publish.folder") for name, allowed in FOLDERS.items()],
    *[(place, name, allowed) for place in ("model.revision", "publish.branch") for name, allowed in NAMES.items()],
    *[
        (place, name, place == "model.revision")
        for place in ("model.revision", "publish.branch")
        for name in ONLY_REVISIONS
    ],
]


@pytest.mark.parametrize("case", rows(CORPUS, *CORPUS[::9]), ids=lambda case: f"{case[0]} {case[1]!a}"[:50])
def test_the_chart_and_the_runner_give_one_verdict(tmp_path: Path, case: tuple[str, str, bool | None]) -> None:
    place, text, allowed = case
    change = PLACES[place](text)
    verdicts = (chart_accepts(change), runner_accepts(change, tmp_path))
    assert verdicts[0] == verdicts[1]
    assert allowed in (None, verdicts[0])
