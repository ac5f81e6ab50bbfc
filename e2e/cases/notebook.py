"""docs/notebook.ipynb, executed by a Jupyter kernel in a pod: from values to a result, without a helm program."""

from __future__ import annotations

from e2e.cases import Case, llm_sft

CASE = Case(
    image=llm_sft.CASE.image,
    sources={name: llm_sft.CASE.sources[name] for name in ("llm-tiny", "identity")},
    results=(llm_sft.RESULTS,),
    family="llm-sft",
)
