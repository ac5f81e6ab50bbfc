"""Every process gives its rank + 1; all of them must see the same sum. Rank 0 writes it down."""

import argparse
import json
import os
import time
from pathlib import Path

import torch
import torch.distributed as dist

# Alone, without torchrun, the process is a group of one.
for name, value in {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500", "RANK": "0", "WORLD_SIZE": "1"}.items():
    os.environ.setdefault(name, value)

parser = argparse.ArgumentParser()
parser.add_argument("--output", type=Path, required=True)
parser.add_argument("--fail-rank", type=int, default=-1)
parser.add_argument("--hold-seconds", type=int, default=0)
options = parser.parse_args()

dist.init_process_group("gloo")
rank, world_size = dist.get_rank(), dist.get_world_size()
print(
    f"allreduce: rank {rank} of {world_size} joined at {os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}",
    flush=True,
)
if rank == options.fail_rank:
    raise RuntimeError(f"rank {rank} fails because it was told to")
total = torch.tensor([float(rank + 1)])
dist.all_reduce(total)
assert total.item() == world_size * (world_size + 1) / 2, total
print(f"allreduce: rank {rank} sees the sum {total.item()}", flush=True)
time.sleep(options.hold_seconds)
dist.barrier()
if rank == 0:
    text = json.dumps({"sum": total.item(), "world_size": world_size})
    scratch = options.output / "sum.json.new"
    scratch.write_text(text)
    scratch.rename(options.output / "sum.json")
dist.destroy_process_group()
