"""A small hostile lab: git, LFS and S3 servers on the loopback that misbehave on purpose, hostile repositories, and kills at any moment.

To add a case, add a row to the table of the file that it belongs to (`test_git_server.py`, `test_s3_server.py`, `test_repositories.py`):

    Case(
        "an LFS object that is not what its pointer says",
        Fault("GET /storage/", lambda real: replace(real, content=b"y" * len(real.content))),
        code=31, words="corrupted", retried=True,
    ),

`Fault` says which requests are hit (a part of "METHOD /path?query"), what they get (an `Answer`, or a function that is given the
honest one), and how often; `answers.py` has the usual ones (a login page, a redirect, a connection that is cut, reset, stalled or slow).
The case ends with `code` and with every one of `words` in its message; `retried` says whether it was tried again within the run.
Rows that take seconds get `slow=True`: they run in `make lab` alone, as does every test that is marked `@pytest.mark.lab`.
A test of your own takes the fixture `server` (or `bucket`) and appends to `server.faults`.
"""
