"""`trainchart doctor`: what would keep a run from starting, before it is submitted.

One module per group of checks. What judges is a function of objects alone; what asks the cluster is the ClusterReader, which turns a
right that the account lacks into "not-checked". Checks look at the rendered objects, so none names a family or an accelerator.
"""
