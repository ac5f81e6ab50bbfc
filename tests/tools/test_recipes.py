"""The recipes of images: whoever builds one gets the bytes that were meant, and no root. Nothing is built here."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RECIPES = sorted([*ROOT.glob("images/*/Dockerfile"), *ROOT.glob("e2e/images/*/Dockerfile")])
LISTS = sorted([*ROOT.glob("images/*/requirements*.txt"), *ROOT.glob("e2e/images/*/requirements*.txt")])

DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")
PIN = re.compile(r"([A-Za-z0-9][\w.-]*)==([\w.+!]+)(?:\s+--hash=sha256:[0-9a-f]{64})+")
# Ways to fetch something, and whether the same RUN may do it when it compares a checksum afterwards.
FETCHES = {
    r"\b(curl|wget)\b": True,
    r"\b(git clone|git fetch|go install|npm install|conda install|huggingface-cli|hf download)\b": False,
    r"\b(attempt_download\w*|urlretrieve|urlopen|download_url\w*|snapshot_download)\b": False,
}
CHECKED = re.compile(r"\bsha256sum\b[^|&;]*--check\b")
# The first version without a vulnerability that is known at the time of writing; CHANGES that need a newer one come here.
FLOORS = {
    "pillow": "12.2.0",
    "setuptools": "78.1.1",
    "requests": "2.33.0",
    "urllib3": "2.6.3",
    "jinja2": "3.1.6",
    "gitpython": "3.1.41",
    "tqdm": "4.66.3",
    "aiohttp": "3.13.3",
    "opencv-python-headless": "4.8.1.78",
    "transformers": "4.53.0",
    "certifi": "2024.7.4",
}


def instructions(text: str) -> list[tuple[str, str, str]]:
    """(word, arguments, the comments right above it) of each instruction, with its continued lines in one."""
    found, comments = [], ""
    lines = iter(text.splitlines())
    for line in lines:
        if line.startswith("#"):
            comments += line + "\n"
        elif not line.strip():
            comments = ""
        else:
            while line.rstrip().endswith("\\"):
                following = next(lines)
                line = line.rstrip()[:-1] + ("" if following.lstrip().startswith("#") else following)
            word, _, rest = line.partition(" ")
            found.append((word.upper(), rest.strip(), comments))
            comments = ""
    return found


def faults(text: str, folder: Path) -> list[str]:
    """What is wrong with a recipe."""
    wrong: list[str] = []
    defaults: dict[str, tuple[str, str]] = {}
    user = ""
    for word, rest, comments in instructions(text):
        if word == "ARG":
            name, _, default = rest.partition("=")
            defaults[name] = default.strip('"'), comments
        elif re.search(r"https?://(?!\[)", rest):  # a pattern of a mirror's may be one
            wrong.append(f"{word} names a URL: make it an ARG, which a mirror can be given for")
        if word == "FROM":
            wrong += base_faults(rest.split()[0], defaults)
        elif word == "USER":
            user = rest
        elif word == "ADD":
            wrong.append("ADD: use COPY, which fetches and unpacks nothing")
        elif word == "RUN":
            wrong += run_faults(rest, folder)
    if not re.fullmatch(r"[1-9][0-9]*(:[1-9][0-9]*)?", user):
        wrong.append(
            f"USER is {user or 'root'}: name one by its number, so that Kubernetes can tell that it is not root"
        )
    return wrong


def base_faults(image: str, defaults: dict[str, tuple[str, str]]) -> list[str]:
    comments = ""
    if image.startswith("$"):
        image, comments = defaults.get(image.strip("${}"), ("", ""))
    if DIGEST.search(image) or re.fullmatch(r"trainchart/debian:\d+", image):  # which the end-to-end tests make
        return []
    if not re.search(r":[\w.-]+$", image) or image.endswith(":latest"):
        return [f"FROM {image or 'an ARG without default'}: has no version"]
    return [] if "# Pin it:" in comments else [f"FROM {image}: has no digest, and no word on how to pin it"]


def run_faults(command: str, folder: Path) -> list[str]:
    wrong = []
    for install in re.findall(r"\bpip3? install\b[^&|;]*", command):
        if "--no-index" in install:  # it fetches nothing
            continue
        lists = re.findall(r"-r\s+/tmp/(\S+)", install)
        if "--require-hashes" not in install or not lists:
            wrong.append(f"{install.strip()}: without --require-hashes -r")
        if "--only-binary :all:" not in install and "--no-build-isolation" not in install:
            wrong.append(f"{install.strip()}: builds with tools that nothing pins; add --only-binary :all:")
        if "index-url" in install or "--trusted-host" in install:
            wrong.append(f"{install.strip()}: names an index; PIP_INDEX_URL is for that")
        wrong += [f"{name} is missing" for name in lists if not (folder / name).is_file()]
    for pattern, may_check in FETCHES.items():
        fetch = re.search(pattern, re.sub(r"apt-get install[^&|;]*", "", command))
        if fetch and not (may_check and CHECKED.search(command, fetch.end())):
            wrong.append(f"RUN {fetch[0]}: nothing compares a sha256 with what it fetched")
    return wrong


def pins(text: str) -> dict[str, str]:
    """Name -> version of a list with hashes. Raises ValueError on a line that is something else."""
    found = {}
    for line in text.replace("\\\n", " ").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        pin = PIN.fullmatch(line.strip())
        if pin is None:
            raise ValueError(f"{line[:80]!r} is no version with hashes")
        found[pin[1].lower().replace("_", "-")] = pin[2]
    return found


def key(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: str(path.parent.relative_to(ROOT)))
def test_a_recipe_says_by_digest_hash_and_checksum_what_comes_in(recipe: Path) -> None:
    assert faults(recipe.read_text(encoding="utf-8"), recipe.parent) == []


@pytest.mark.parametrize("path", LISTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_python_package_is_pinned_with_hashes_and_without_known_vulnerabilities(path: Path) -> None:
    found = pins(path.read_text(encoding="utf-8"))
    old = {name: found[name] for name, floor in FLOORS.items() if name in found and key(found[name]) < key(floor)}
    assert old == {}
    wanted = dict(re.findall(r"^([\w.-]+)==(\S+)$", path.with_suffix(".in").read_text(encoding="utf-8"), re.MULTILINE))
    source = path.with_name("requirements-source.txt")
    elsewhere = pins(source.read_text(encoding="utf-8")) if source.is_file() else {}
    for name, version in wanted.items():
        assert {**elsewhere, **found}.get(name.lower()) == version, f"{name}: run `make image-pins`"


def test_every_list_has_its_input_which_says_how_it_is_made() -> None:
    made_by = runpy.run_path(str(ROOT / "hack/pin_images.py"))
    assert [path.with_suffix(".txt") for path in made_by["inputs"]()] == LISTS
    assert all("--python-version" in made_by["options"](path) for path in made_by["inputs"]())


def test_the_image_of_the_tools_has_what_pyproject_says_that_they_need() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    declared = re.search(r"^dependencies = \[(.*?)^\]", project, re.MULTILINE | re.DOTALL)
    assert declared
    needed = set(re.findall(r'^ +"([\w-]+)', declared[1], re.MULTILINE))
    recipe = ROOT / "images/trainchart"
    wanted = set(re.findall(r"^[\w-]+$", (recipe / "requirements.in").read_text(encoding="utf-8"), re.MULTILINE))
    assert wanted == needed
    assert needed <= pins((recipe / "requirements.txt").read_text(encoding="utf-8")).keys()


GOOD = f"""FROM base:1@sha256:{"0" * 64}
ARG URL=https://example.com/weights
COPY requirements.txt /tmp/requirements.txt
RUN pip install --require-hashes --only-binary :all: -r /tmp/requirements.txt
RUN curl -o a.pt $URL && echo 0 a.pt | sha256sum --check -
USER 1000
"""


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (f"@sha256:{'0' * 64}", "", "has no digest"),
        (f":1@sha256:{'0' * 64}", "", "has no version"),
        (f":1@sha256:{'0' * 64}", ":latest", "has no version"),
        (f"@sha256:{'0' * 64}", "@sha256:0123", "has no digest"),
        ("--require-hashes ", "", "without --require-hashes"),
        ("-r /tmp/requirements.txt", "torch==2.10.0", "without --require-hashes"),
        ("--only-binary :all: ", "", "builds with tools"),
        ("--only-binary :all:", "--only-binary :all: --index-url $URL", "names an index"),
        ("-r /tmp/requirements.txt", "-r /tmp/other.txt", "other.txt is missing"),
        (" && echo 0 a.pt | sha256sum --check -", "", "curl: nothing compares a sha256"),
        ("curl -o a.pt $URL && echo 0 a.pt | sha256sum --check -", "sha256sum --check x && wget $URL", "wget: nothing compares"),
        ("curl -o a.pt $URL", "python -c 'attempt_download_asset(1)'", "attempt_download_asset: nothing compares"),
        ("curl -o a.pt $URL", "curl -o a.pt https://example.com/a.pt", "RUN names a URL"),
        ("COPY requirements.txt", "ADD requirements.txt", "use COPY"),
        ("USER 1000", "USER trainer", "USER is trainer"),
        ("USER 1000", "USER 0", "USER is 0"),
        ("USER 1000\n", "", "USER is root"),
        ("USER 1000\n", "USER 1000\nUSER root\n", "USER is root"),
    ],
)  # fmt: skip
def test_a_recipe_that_lets_something_else_in_is_refused(old: str, new: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").touch()
    assert faults(GOOD, tmp_path) == []
    assert old in GOOD
    assert words in "\n".join(faults(GOOD.replace(old, new), tmp_path))


def test_what_comes_out_of_the_build_context_needs_no_hash(tmp_path: Path) -> None:
    assert run_faults("pip install --no-deps --no-index /tmp/*.whl", tmp_path) == []
    assert run_faults("pip install --no-deps /tmp/*.whl", tmp_path) != []


@pytest.mark.parametrize(
    "line", ["torch", "torch==2.10.0", "torch>=2 --hash=sha256:" + "0" * 64, "-e .", "torch @ file:///x"]
)
def test_a_list_with_something_else_than_versions_and_hashes_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="no version with hashes"):
        pins(line)
