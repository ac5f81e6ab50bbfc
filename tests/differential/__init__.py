"""The families' checks of data against the trainers' own readers, inside the trainers' images.

Every folder of data goes through both in one container: `verdict.probe` is the answer of the family's probe, and
`verdict.reader` is what the trainer itself makes of the folder. To add a family: an oracle in `oracles/`, which answers
a request with both, and a test module that asks `Trainer` for folders of a corpus (one named case per public report)
and of hypothesis.
"""
