"""What keeps a run from starting, or has ended it: one module per kind of object, of pure functions from objects to findings.

`doctor` makes them of the objects that Helm would create, `diagnosis` of the Job in the cluster. ClusterReader alone reads the
cluster, and a permission that is missing becomes a finding that is `not-checked`. No check names a model family.
"""
