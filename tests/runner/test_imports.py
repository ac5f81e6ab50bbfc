"""Whether the image has what the programs of a model repository import: read from their sources, never run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from features.imports import probe_imports

RAISE = "raise SystemExit('a program of the repository was run')\n"


def ask(tree: Path, files: dict[str, str], *programs: str) -> dict[str, Any]:
    for name, text in files.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)
    return probe_imports.probe(tree, list(programs or ("train.py",)))


def test_everything_that_lacks_is_named_at_once_with_its_place_and_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    distributions = {"nosuchIPython": "ipython", "nosuchcv2": "opencv-python-headless"}  # whatever this Python has
    monkeypatch.setattr(probe_imports, "DISTRIBUTIONS", distributions)
    files = {
        "train.py": f"import os\nimport val\nfrom utils import loggers, nosuchmodule\n{RAISE}",
        "val.py": f"from utils.general import *\nimport nosuchcv2\n{RAISE}",
        "utils/__init__.py": "",
        "utils/general.py": "import json\nimport nosuchIPython.display\nimport nosuchIPython\n",
        "utils/loggers/__init__.py": "from . import clearml\nfrom .wandb.log import Logger\n",
        "utils/loggers/clearml.py": "from ..plots import draw\n",
        "utils/loggers/wandb/log.py": "import nosuchthop\n",
        "utils/plots.py": "import ourplots\n",
        "unused.py": "import nosuchthing\n",
        "requirements.txt": "# base\nipython  # notebook\nnosuchthop>=0.1.1\nnosuchthop-extra\n",
    }
    answer = ask(tmp_path, files)
    assert answer["reason"] == (
        "the image lacks what programs of the model repository import: No module named 'nosuchIPython' "
        "(utils/general.py:2); No module named 'nosuchcv2' (val.py:2); No module named 'ourplots' (utils/plots.py:1); "
        "No module named 'nosuchthop' (utils/loggers/wandb/log.py:1)"
    )
    assert "pip install 'nosuchthop>=0.1.1' ipython opencv-python-headless;" in answer["fix"]
    assert "ourplots" not in answer["fix"]  # a stranger could publish a package of that name


@pytest.mark.parametrize(
    "text",
    [
        "try:\n    import nosuch\nexcept ImportError:\n    nosuch = None\n",
        "try:\n    import nosuch\nexcept (ImportError, AttributeError):\n    import nosuch2\nelse:\n    import nosuch3\n",
        "try:\n    import nosuch\nexcept:\n    pass\n",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import nosuch\n",
        "import sys\nif sys.platform == 'win32':\n    import nosuch\nelse:\n    import os\n",
        "def later():\n    import nosuch\n",
        "class A:\n    def later(self):\n        import nosuch\n",
        "import contextlib\nwith contextlib.suppress(ImportError):\n    import nosuch\n",
        "import os\nos.system('pip install nosuch')\nimport nosuch\n",
        "def install():\n    import subprocess\n    subprocess.run(['pip', 'install', 'nosuch'])\ninstall()\nimport nosuch\n",
        "import sys, types\nsys.modules['nosuch'] = types.ModuleType('nosuch')\nimport nosuch\n",
        "from utils.general import check_requirements\ncheck_requirements('nosuch')\nimport nosuch\n",
        "import sys\nsys.path.append('src')\nimport mine\n",  # a folder of the repository's
        "import sys\nsys.path.append('deploy')\nfrom tracking.python import mot\n",  # deploy/tracking has no module itself
        "import projects.vision.net\nfrom projects.vision import net\n",  # without __init__.py
        "import conf\nimport linked.net\n",
        "import sys\nsys.path.append('/opt/vendor')\nimport nosuch\n",
        "import os, sys\nROOT = os.environ['VENDOR']\nLIB = ROOT\nsys.path.insert(0, LIB)\nimport nosuch\n",
        "import sys\nsys.path.insert(0, 'libs.zip')\nimport nosuch\n",
        "import site\nsite.addsitedir('/opt/vendor')\nimport nosuch\n",
        "import sys\ndef add(path):\n    sys.path.insert(0, path)\nadd('/opt/vendor')\nimport nosuch\n",
        "import init_paths\nimport nosuch\n",
        "exec(open('set_env.py').read())\nimport nosuch\n",
        "from init_paths import add\nadd('/opt/vendor')\nimport nosuch\n",
        "import collections.abc\ncollections.Old = collections.abc.Mapping\nfrom collections import Old\n",
        "import compiled\n",
        "import xml.dom, os.path\nfrom concurrent import futures\nfrom email.mime.text import MIMEText\n",
        "from pkg import made_at_import\n",
        "from . import nothing\n",
    ],
)
def test_an_import_that_need_not_succeed_is_no_fault(text: str, tmp_path: Path) -> None:
    files = {
        "train.py": text,
        "src/mine/__init__.py": "",
        "deploy/tracking/python/mot.py": "",
        "build/compiled.cpython-313-x86_64-linux-gnu.so": "",
    }
    files.update({"pkg/__init__.py": "globals()['made_at_import'] = 1\n", "utils/general.py": ""})
    vendor = "import sys\ndef add(path):\n    sys.path.append(path)\n"
    files.update({"projects/vision/net.py": "", "conf/net.yaml": "", "init_paths.py": f"{vendor}add('/opt/vendor')\n"})
    (tmp_path / "linked").symlink_to("projects/vision")
    assert ask(tmp_path, files)["ok"] is True


@pytest.mark.parametrize(
    ("text", "lacking"),
    [
        ("import os, nosuch, mine\n", "No module named 'nosuch' (train.py:1)"),
        ('"Needs: pip install nosuch"\nimport nosuch\n', "No module named 'nosuch' (train.py:2)"),
        ("# -*- coding: latin-1 -*-\nimport nosuch\n", "No module named 'nosuch' (train.py:2)"),
        ("def f():\n    'pip'\nimport nosuch\n", "No module named 'nosuch' (train.py:3)"),
        (
            "import sys\nHERE = __file__\nsys.path.append(HERE)\nimport nosuch\n",
            "No module named 'nosuch' (train.py:4)",
        ),
        ("import os\nos.environ['A'] = 'b'\nimport nosuch\n", "No module named 'nosuch' (train.py:3)"),
        ("import installs\nimport nosuch\n", "No module named 'nosuch' (train.py:2)"),
        ("import json.nosuch\n", "No module named 'json.nosuch' (train.py:1)"),
        ("from json import Mapping\n", "cannot import name 'Mapping' from 'json' (PLACE) (train.py:1)"),
        ("from json.nosuch import x\n", "No module named 'json.nosuch' (train.py:1)"),
    ],
)
def test_an_import_that_always_runs_must_succeed(text: str, lacking: str, tmp_path: Path) -> None:
    installs = "try:\n    import lap\nexcept ImportError:\n    print('pip install lap')\n"
    reason = ask(tmp_path, {"train.py": text, "mine.py": "", "installs.py": installs})["reason"]
    assert reason.endswith(f": {lacking}".replace("PLACE", str(json.__file__)))


def test_a_library_that_is_there_and_cannot_be_imported_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenCV without libGL, and a library that its numpy has left behind: the two that are reported most."""
    image = tmp_path / "image"
    (image / "needs_gl").mkdir(parents=True)
    gl = "libGL.so.1: cannot open shared object file"
    (image / "needs_gl" / "__init__.py").write_text(f"raise ImportError('{gl}')")
    (image / "old.py").write_text("raise AttributeError(\"module 'numpy' has no attribute 'float'\")")
    (image / "outer.py").write_text("import inner_that_lacks")
    monkeypatch.syspath_prepend(str(image))
    answer = ask(tmp_path / "model", {"train.py": "import needs_gl\nimport old\nimport outer"})
    assert f"{gl} (train.py:1)" in answer["reason"]
    assert "AttributeError: module 'numpy' has no attribute 'float' (train.py:2)" in answer["reason"]
    assert "No module named 'inner_that_lacks' (train.py:3)" in answer["reason"]


def test_a_library_that_fails_for_what_the_program_has_not_set_yet_is_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keras imports TensorFlow unless KERAS_BACKEND says otherwise."""
    image = tmp_path / "image"
    image.mkdir()
    for name in ("backend_of_env", "backend_of_env_too"):
        (image / f"{name}.py").write_text("import os\nif os.environ.get('BACKEND') != 'torch':\n    import nosuch\n")
    monkeypatch.syspath_prepend(str(image))
    own = {"settings.py": "import os\nos.environ.setdefault('BACKEND', 'torch')\n"}
    assert ask(tmp_path / "model", {**own, "train.py": "import settings\nimport backend_of_env\n"})["ok"]
    # Each program starts anew.
    both = {"train.py": "import settings\n", "export.py": "import backend_of_env_too\nimport settings\n"}
    assert "'nosuch' (export.py:1)" in ask(tmp_path / "model", both, "train.py", "export.py")["reason"]


def test_programs_find_modules_where_python_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {
        "tools/train.py": "import sys\nsys.path.insert(0, '.')\nfrom ppdet import core\nimport helper\n",
        "tools/helper.py": "",
        "ppdet/__init__.py": "from . import core\n",
        "ppdet/core.py": "import nosuch1\n",
        "pkg/train.py": "from .deep import x\nfrom model.other import y\n",
        "pkg/deep.py": "import nosuch2\n",
        "pkg/__main__.py": "from pkg import third\n",
        "pkg/third.py": "import nosuch3\n",
        "other.py": "import nosuch4\n",
    }
    tree = tmp_path / "model"
    assert "'nosuch1' (ppdet/core.py:1)" in ask(tree, files, "tools/train.py")["reason"]
    assert "'nosuch3' (pkg/third.py:1)" in ask(tree, {}, "pkg/__main__.py")["reason"]
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    reason = ask(tree, {}, "pkg/train.py")["reason"]
    assert reason.endswith("'nosuch2' (pkg/deep.py:1); No module named 'nosuch4' (other.py:1)")


def test_a_program_that_is_not_there_or_cannot_be_read_is_named_before_the_training(tmp_path: Path) -> None:
    answer = ask(tmp_path, {"train.py": "import mine\n", "mine.py": "print 'python 2'\n"}, "train.py", "export.py")
    assert "mine.py, line 1: the image's Python cannot read it: " in answer["reason"]
    assert "it has no export.py" in answer["reason"]


def test_no_file_outside_of_the_repository_is_opened(tmp_path: Path) -> None:
    (tmp_path / "secret.py").write_text("token = 1 2\n")
    tree = tmp_path / "model"
    tree.mkdir()
    (tree / "mine.py").symlink_to(tmp_path / "secret.py")
    assert ask(tree, {"train.py": "import mine\nfrom .. import secret\n"})["ok"] is True
